"""Projects, servers, plans, reports and jobs as HTML and as text.

Rule 1: both say the same; the text is for a terminal, a diff and a reader without the styles.
Rule 2: colour never says anything alone: a word or a sign says it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from opsnb.core import facts, tree
from opsnb.core.events import Planned, Report
from opsnb.core.facts import Fact
from opsnb.core.lines import Line, lines
from opsnb.core.plan import Plan
from opsnb.core.release import Site
from opsnb.core.text import plural, safe, size
from opsnb.errors import OpsnbError
from opsnb.job import Job
from opsnb.notebook.console import Still
from opsnb.notebook.html import Html, join, page, tag
from opsnb.notebook.mode import face
from opsnb.project import Project
from opsnb.server import DeployPlan, Server

LISTED = 200
TAIL = 8
MARKS = {"good": "✓ ", "bad": "✕ ", "warning": "! ", "add": "+ ", "remove": "− "}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a cell puts out.

    Attributes:
        text: For a terminal.
        html: For a page.
    """

    text: str
    html: Html


def fact_table(listed: Sequence[Fact]) -> Html:
    """Facts as a table with their titles on the left.

    Args:
        listed: The facts; a title that stands above already is left out.
    """
    rows, above = [], ""
    for fact in listed:
        title = tag("th", "" if fact.title == above else fact.title, scope="row")
        said = tag("td", MARKS.get(fact.kind, ""), fact.text, class_=f"opsnb-{fact.kind}")
        rows.append(tag("tr", title, said))
        above = fact.title
    return tag("table", tag("tbody", rows), class_="opsnb-facts")


def fact_text(listed: Sequence[Fact]) -> str:
    """Facts as lines.

    Args:
        listed: The facts.
    """
    return "\n".join(f"  {fact.title:<9} {MARKS.get(fact.kind, '')}{fact.text}" for fact in listed)


def environment_badge(server: Server) -> Html | None:
    """The environment of a server: word, sign and colour.

    Args:
        server: The server.
    """
    name = server.environment_name
    if not name:
        return None
    guarded = server.environment.confirm == "type-name"
    color = server.environment.color or ("red" if guarded else "grey")
    sign = "▲ " if guarded else "○ "
    return tag("span", sign, name.upper() if guarded else name, class_=f"opsnb-pill opsnb-{color}")


# --- a server ----------------------------------------------------------------------------------


def server(shown: Server) -> Shown:
    """A server as its tree; asks it once.

    Args:
        shown: The server.
    """
    try:
        site = shown.look()
    except OpsnbError as error:
        return trouble(error, f"{safe(shown.name)} · {safe(shown.url)}")
    now = datetime.now(UTC)
    branches = tree.tree(site, now)
    text = f"{safe(shown.name)} · {safe(shown.url)}\n{tree.text(branches)}\n{weather(site)}"
    head = _head(safe(shown.name), environment_badge(shown), _mute(safe(shown.url)))
    foot = tag("div", f"{weather(site)} · as of {now:%H:%M:%S} UTC", class_="opsnb-mute")
    return Shown(text, page(head, tree_html(branches), foot, label=f"server {safe(shown.name)}"))


def still(shown: Still) -> Shown:
    """A console where nothing can be clicked.

    Args:
        shown: The console.
    """
    drawn = server(shown.server)
    said = "The console needs JupyterLab; this is what stands on the server."
    return Shown(f"{drawn.text}\n{said}", page(drawn.html, _mute(said), label="console"))


def _head(title: str, *beside: Html | None) -> Html:
    return tag("div", tag("b", title), *beside, class_="opsnb-head")


def _mute(text: str) -> Html:
    return tag("span", text, class_="opsnb-mute")


def weather(site: Site) -> str:
    """What else is to be known of a server, in one line.

    Args:
        site: What a look told.
    """
    said = []
    if site.hold:
        said.append(f"{'FROZEN' if site.hold.freezes else 'HELD BACK'} by {site.hold}")
    if site.holder:
        said.append(f"a change is running: {site.holder}")
    if site.intent:
        said.append("a switch was begun and not settled: the next change settles it")
    said = said or ["lock free"]
    if not site.ours and site.releases:
        said.append(f"laid out by {site.made_by}")
    if site.missing:
        said.append(f"lacks {', '.join(safe(item) for item in site.missing)}")
    return " · ".join([*said, f"{size(site.free_bytes)} free"])


def tree_html(branches: Sequence[tree.Branch]) -> Html:
    """A site's picture: its text, line by line, so that it also stands where styles do not.

    Args:
        branches: Its lines.
    """
    drawn = [
        tag("span", line, class_=f"opsnb-is-{branch.kind}")
        for branch, line in zip(branches, tree.text(branches).split("\n"), strict=True)
    ]
    return tag("pre", [[line, "\n"] for line in drawn], class_="opsnb-tree")


# --- a project ---------------------------------------------------------------------------------


def project(shown: Project) -> Shown:
    """A project as the list of its servers; asks none of them.

    Args:
        shown: The project.
    """
    found = [shown.server(name) for name in shown.config.servers]
    count, name = plural(len(found), "server"), safe(shown.name)
    rows = [tag("tr", [tag("td", cell) for cell in _cells(one)]) for one in found]
    heads = [tag("th", title, scope="col") for title in ("server", "environment", "address")]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="opsnb-table")
    hint = "opsnb.toml names no server"
    if found:
        hint = f"project.server({found[0].name!r}) is one of them; opsnb.console(project) has all"
    content = [_head(name, _mute(count)), table, tag("div", _mute(hint))]
    listed = [f"  {safe(s.name)}  {s.environment_name or '-'}  {safe(s.url)}" for s in found]
    text = "\n".join([f"{name} · {count}", *listed])
    return Shown(text, page(content, label=f"project {name}"))


def _cells(shown: Server) -> tuple[Html | None, ...]:
    name, address = safe(shown.name), safe(shown.url)
    return tag("b", name), environment_badge(shown), tag("code", address)


# --- plans -------------------------------------------------------------------------------------


def deploy_plan(shown: DeployPlan) -> Shown:
    """A deploy's plan.

    Args:
        shown: The plan.
    """
    return plan(
        shown.plan, shown.server, "server.deploy(plan) carries it out exactly as it stands."
    )


def plan(shown: Plan, where: str = "", hint: str = "") -> Shown:
    """A plan: counts, everything it will do, and the lists of paths.

    Args:
        shown: The plan.
        where: The server's name, where it is known.
        hint: What to do with it.
    """
    name = safe(where) or "the server"
    text = facts.plan_text(shown, name)
    if shown.nothing:
        done = tag("div", "✓ ", facts.nothing(shown, name), class_="opsnb-good")
        return Shown(text, page(done, label="plan"))
    head = _head(f"{shown.verb} on {name}", _mute("a plan: nothing has changed yet"))
    foot = tag("div", hint, class_="opsnb-mute") if hint else None
    content = [head, fact_table(facts.plan_facts(shown)), _paths(shown), foot]
    return Shown(text, page(content, label="plan"))


def _paths(shown: Plan) -> list[Html]:
    return [
        tag(
            "details",
            tag("summary", f"{change.sign} {plural(len(change.paths), 'path')} {change.word}"),
            tag("pre", _listed(change), class_="opsnb-mono"),
        )
        for change in facts.changes(shown.difference)
    ]


def _listed(change: facts.Change) -> str:
    shown = [f"{change.sign} {path}" for path in change.paths[:LISTED]]
    more = len(change.paths) - len(shown)
    return "\n".join([*shown, f"and {more:,} more"] if more else shown)


# --- reports and receipts ----------------------------------------------------------------------


def report(shown: Report) -> Shown:
    """What became of a change.

    Args:
        shown: The report.
    """
    return _ended(shown, facts.report_facts(shown), [], "")


def receipt(job: Job) -> Shown:
    """The record of a change, as it stands now: who, where, what, result, the last of its log.

    Args:
        job: The change.
    """
    where = str(job.log_file or "")
    told = lines(job.events)
    ended = job.report
    if ended is None:
        return _running(job, where)
    at = told[-1].at if told else 0.0
    known = [*_asked(job), *facts.report_facts(ended, at), *_planned(job)]
    return _ended(ended, known, told[-TAIL:], where)


def receipts(ended: Sequence[Job]) -> Shown:
    """The records of several changes, the oldest first.

    Args:
        ended: The changes.
    """
    if not ended:
        said = "Each change that is made from here leaves its receipt below the console."
        return Shown(said, page(_mute(said), label="receipts"))
    drawn = [receipt(job) for job in ended]
    return Shown("\n\n".join(one.text for one in drawn), join([one.html for one in drawn]))


def _asked(job: Job) -> list[Fact]:
    """Who and where."""
    return [Fact("who", job.by)] if job.by else []


def _planned(job: Job) -> list[Fact]:
    """The plan in numbers, as it was when it was carried out."""
    plans = [event for event in job.events if isinstance(event, Planned)]
    return [Fact("plan", line.text) for line in lines(plans[-1:])]


def _ended(ended: Report, known: list[Fact], tail: Sequence[Line], where: str) -> Shown:
    title = f"{safe(ended.verb)} on {safe(ended.server)}"
    text = f"{title}\n{fact_text(known)}"
    kind = "bad" if ended.error else "good"
    badge = tag("span", "✕ failed" if ended.error else "✓ done", class_=f"opsnb-pill opsnb-{kind}")
    log: list[Html] = []
    if tail:
        last = [str(line) for line in tail]
        text += "\n  last lines of the log\n" + "\n".join(f"    {line}" for line in last)
        shown = tag("pre", "\n".join(last), class_="opsnb-lines")
        log = [tag("details", tag("summary", "Last lines of the log"), shown, open=True)]
    if where:
        text += f"\n  whole log  {safe(where)}"
        log.append(tag("div", "Whole log: ", tag("code", safe(where)), class_="opsnb-mute"))
    content = [_head(title, badge), fact_table(known), log]
    return Shown(text, page(content, label=f"receipt: {title}"))


def _running(job: Job, where: str) -> Shown:
    now = job.progress
    phase = now.phase.value if now.phase else "begins"
    title = f"{job.verb} on {safe(job.server)}"
    said = f"{title}: running ({phase})"
    note = "Whoever waits for it shows its receipt."
    if face() == "widget":
        note = "This line becomes the receipt when it has ended."
    text = f"{said}\n  {note}" + (f"\n  log  {safe(where)}" if where else "")
    return Shown(text, page(_head(said, _mute(note)), label=title))


def trouble(error: OpsnbError, title: str = "") -> Shown:
    """An error: what happened, and what to do next.

    Args:
        error: The error.
        title: What was asked for.
    """
    message, hint = safe(error.message), safe(error.hint)
    text = "\n".join(
        line for line in (safe(title), f"✕ {message}", f"  {hint}" if hint else "") if line
    )
    said = tag("div", tag("b", "✕ ", message), class_="opsnb-bad")
    head = tag("div", safe(title), class_="opsnb-mute") if title else None
    return Shown(text, page(head, said, tag("div", hint) if hint else None, label="error"))
