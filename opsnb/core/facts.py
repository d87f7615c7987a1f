"""A plan and a report as facts with a title: what a page, a receipt and a terminal show. Pure.

Rule 1: a plan says everything that will happen, in the order in which it happens.
Rule 2: every text is safe to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from opsnb.core.caches import opcache_shown, purge_shown
from opsnb.core.checks import shown, watchdog_shown
from opsnb.core.events import SWITCHES, Report
from opsnb.core.hooks import EARLY, Due, Point
from opsnb.core.keepassets import told
from opsnb.core.manifest import Difference
from opsnb.core.origin import Commit, Origin, Past, short
from opsnb.core.plan import Build, Plan
from opsnb.core.text import plural, safe, size

NAMED = 5
ODD = ("back", "apart", "unknown")  # ways from the live commit that nobody may expect
SPARE = "the release kept aside: the next one will be a copy"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know.

    Attributes:
        title: What it is about, one or two words.
        text: The fact.
        kind: ``add``, ``remove``, ``warning``, ``good``, ``bad`` or nothing: how it is marked.
    """

    title: str
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Paths that change in one way.

    Attributes:
        sign: ``+``, ``~``, ``m`` or ``−``.
        word: added, changed, mode, removed.
        paths: The paths, safe to show, in their order.
    """

    sign: str
    word: str
    paths: tuple[str, ...]


def nothing(plan: Plan, server: str) -> str:
    """Why a plan has nothing to do, as a sentence.

    Args:
        plan: A plan with nothing to do.
        server: The server's name.
    """
    said = {
        "prune": "there is nothing to remove",
        "rollback": f"{safe(plan.name)} is live already",
        "deploy": f"the live release {safe(plan.previous)} is already what the source holds",
    }
    return f"nothing to do on {safe(server)}: {said[plan.verb]}"


def changes(found: Difference) -> list[Change]:
    """What visitors' files gain and lose, by kind; kinds that are empty are left out."""
    kinds = (
        ("+", "added", found.added),
        ("~", "changed", found.changed),
        ("m", "mode", found.modes),
        ("−", "removed", found.removed),
    )
    return [
        Change(sign, word, tuple(safe(path) for path in paths))
        for sign, word, paths in kinds
        if paths
    ]


def counts(plan: Plan) -> str:
    """``+12 ~131 −4, 4,669 unchanged``."""
    found = plan.difference
    text = f"+{len(found.added):,} ~{len(found.changed):,} −{len(found.removed):,}"
    modes = f" m{len(found.modes):,}" if found.modes else ""
    return f"{text}{modes}, {found.unchanged:,} unchanged"


def plan_facts(plan: Plan) -> list[Fact]:
    """Everything a plan will do.

    Args:
        plan: A plan that has something to do.
    """
    facts = []
    if plan.verb != "prune":
        facts.append(Fact("current", f"{safe(plan.previous) or 'nothing'} → {safe(plan.name)}"))
    facts += _origin(plan)
    facts += _hooks(plan, *EARLY)
    if plan.build:
        facts += _build(plan, plan.build)
    elif changes(plan.difference):
        facts.append(Fact("files", counts(plan)))
    facts += _hooks(plan, "before_publish")
    if plan.opcache:
        facts.append(Fact("opcache", opcache_shown(plan.opcache)))
    facts += _hooks(plan, "after_publish", "after_rollback")
    facts += [Fact("purge", purge_shown(purge)) for purge in plan.purge]
    facts += [Fact("check", shown(check)) for check in plan.health]
    if told := watchdog_shown(plan):
        facts.append(Fact("watchdog", told))
    facts += _hooks(plan, "on_failure")
    if plan.marks_bad:
        facts.append(Fact("mark bad", safe(plan.marks_bad), "remove"))
    facts += _reasons("remove", late(plan), "remove")
    if plan.clears_spare:
        facts.append(Fact("remove", SPARE, "remove"))
    if plan.verb == "prune":
        facts += _reasons("keep", plan.retention.keep, "")
    if plan.unseen:
        facts.append(Fact("in use", plan.unseen))
    return facts + [Fact("note", safe(warning), "warning") for warning in plan.warnings]


def _origin(plan: Plan) -> list[Fact]:
    origin = plan.origin
    facts = [Fact("source", commit_text(origin.commit))] if origin.commit else []
    if plan.past:
        words, *listed = past_lines(plan.past)
        facts.append(Fact("commits", words, "warning" if plan.past.way in ODD else ""))
        facts += [Fact("", line) for line in listed]
    if origin.isolation:
        facts.append(Fact("build", build_text(origin)))
    return facts + [Fact("note", safe(note), "warning") for note in origin.notes]


def commit_text(commit: Commit) -> str:
    """A commit on one line: ``3f1c2ab09d Mend the door (Ada Lovelace, 2026-03-25)``."""
    who = ", ".join(filter(None, (safe(commit.author), commit.at[:10])))
    return f"{short(commit.id)} {safe(commit.subject)} ({who})"


def past_lines(past: Past) -> list[str]:
    """The way from the live release's commit to the proposed one: in words, then its commits."""
    live, many = safe(short(past.live)), plural(len(past.commits) + past.more, "commit")
    words = {
        "same": f"none: it is {live}, too",
        "on": f"{many} since {live}",
        "back": f"goes back: without {many} of {live}",
        "apart": f"{many} more than {live}, but without {plural(past.lost, 'commit')} of it",
        "unknown": f"not known: {live}, which is live, is not in the repository",
    }
    sign = "−" if past.way == "back" else "+"
    listed = [f"{sign} {commit_text(commit)}" for commit in past.commits]
    return [words[past.way], *listed, *([f"and {past.more:,} more"] if past.more else [])]


def build_text(origin: Origin) -> str:
    """What was run to build a release, and how far it could reach."""
    commands = " && ".join(safe(command) for command in origin.build)
    took = f", {origin.seconds:.1f} s" if origin.seconds else ""
    return f"{commands or 'hooks alone'} ({safe(origin.isolation)}{took})"


def _reasons(title: str, reasons: Mapping[str, str], kind: str) -> list[Fact]:
    return [Fact(title, f"{safe(name)}: {safe(why)}", kind) for name, why in reasons.items()]


def early(plan: Plan) -> dict[str, str]:
    """The releases that go before the new one is made, with reasons."""
    return {name: plan.retention.remove[name] for name in plan.early}


def late(plan: Plan) -> dict[str, str]:
    """The releases that go in the end, with reasons."""
    return {name: why for name, why in plan.retention.remove.items() if name not in plan.early}


def _build(plan: Plan, build: Build) -> list[Fact]:
    facts = _reasons("first", {n: f"removed, {why}" for n, why in early(plan).items()}, "remove")
    facts.append(Fact("files", counts(plan)))
    facts += [Fact("config", str(change)) for change in plan.config]
    facts.append(Fact("send", f"{plural(len(build.send), 'path')}, {size(plan.send_bytes)}"))
    if build.base:
        how = "hard links to" if build.hardlink else "a copy of"
        facts.append(Fact("begin", f"with {how} {safe(build.base)}"))
    lists = (
        ("link", "to shared/: ", build.links, ""),
        ("make", "in shared/: ", build.make, ""),
        ("fill", "in shared/, from this release, once: ", build.seed, ""),
        ("carry", "over, as written on the server: ", plan.carried, ""),
        ("replace", "what was changed on the server: ", plan.overwritten, "warning"),
    )
    facts += [Fact(title, how + _named(paths), kind) for title, how, paths, kind in lists if paths]
    if plan.assets.left:
        facts.append(Fact("keep", told(plan.assets)))
    return facts


def _hooks(plan: Plan, *points: Point) -> list[Fact]:
    """The hooks of some points."""
    return [Fact(*hook_told(due)) for due in plan.hooks if due.point in points]


def hook_told(due: Due) -> tuple[str, str]:
    """When a hook runs, in one word, and what it is."""
    when, _, what = due.point.partition("_")
    if due.point == "on_failure":
        return "if failed", due.told
    return when, due.told if what == "publish" else f"{what}: {due.told}"


def _named(paths: tuple[bytes, ...]) -> str:
    names = ", ".join(safe(path) for path in paths[:NAMED])
    more = len(paths) - NAMED
    return f"{names} and {more:,} more" if more > 0 else names


def plan_text(plan: Plan, server: str) -> str:
    """A plan in words, a line for each thing that will happen.

    Args:
        plan: The plan.
        server: The server's name.
    """
    if plan.nothing:
        return nothing(plan, server)
    return in_words(plan.verb, server, plan_facts(plan), 9)


def in_words(verb: str, server: str, facts: Sequence[Fact], width: int) -> str:
    """Facts of a plan as text, a line for each.

    Args:
        verb: The change.
        server: The server's name.
        facts: What will happen.
        width: Columns of the titles.
    """
    told = [f"  {fact.title:<{width}}{fact.text}" for fact in facts]
    return "\n".join([f"{verb} on {safe(server)}", *told])


# --- the end of a change -----------------------------------------------------------------------


def switched(report: Report) -> str:
    """Whether the switch happened, in words; empty for what switches nothing."""
    if report.verb not in SWITCHES:
        return ""
    if report.switched is None:
        return "not known whether the switch happened"
    if not report.switched:
        return "the switch did not happen"
    return "the switch happened" + (", and was put back" if report.live == report.previous else "")


def report_facts(report: Report, at: float = 0.0) -> list[Fact]:
    """What became of a change.

    Args:
        report: The report.
        at: When it ended, seconds since the epoch; 0 when that is not to be told.
    """
    ok = not report.error
    facts = [Fact("result", report.sentence, "good" if ok else "bad")]
    if report.error:
        facts.append(Fact("error", safe(report.error), "bad"))
    if report.hint:
        facts.append(Fact("next", safe(report.hint), "warning"))
    if report.verb in SWITCHES:
        facts += _moved(report)
    if report.files or report.bytes:
        facts.append(Fact("sent", f"{plural(report.files, 'file')}, {size(report.bytes)}"))
    facts += [
        Fact("removed", f"{safe(name)}: {safe(why)}", "remove") for name, why in report.removed
    ]
    facts.append(Fact("took", _took(report)))
    if at:
        facts.append(Fact("ended", f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"))
    return facts + [Fact("note", safe(warning), "warning") for warning in report.warnings]


def _moved(report: Report) -> list[Fact]:
    moved = f"{safe(report.previous) or 'nothing'} → {safe(report.release) or 'nothing'}"
    return [
        Fact("release", moved),
        Fact("switch", switched(report)),
        Fact("live now", safe(report.live) or "not known, or none"),
    ]


def _took(report: Report) -> str:
    phases = ", ".join(f"{safe(phase)} {seconds:.2f}" for phase, seconds in report.phases)
    return f"{report.seconds:.2f} s" + (f" ({phases})" if phases else "")
