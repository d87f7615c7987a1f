"""A plan as a person reads it before saying yes.

Rule: a plan says everything that will happen; on a terminal, lists of paths stop at 20.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from opsnb.cli import show
from opsnb.core.facts import ODD, SPARE, build_text, commit_text, hook_title, past_lines
from opsnb.core.text import plural, safe, size

if TYPE_CHECKING:
    from opsnb.core.origin import Past
    from opsnb.core.plan import Build, Plan
    from opsnb.core.release import Release, Site
    from opsnb.server import Server

MOST = 20
SIGNS = {"+": "green", "~": "yellow", "m": "cyan", "−": "red"}


def lines(plan: Plan, server: Server, most: int | None = None) -> list[Text]:
    """A plan as lines.

    Args:
        plan: The plan.
        server: The server it is for.
        most: How many paths of each kind to name; None for all.
    """
    if plan.nothing:
        return [_nothing(plan, server)]
    title = Text.assemble((f"{plan.verb} ", "bold"), show.where(server))
    told = [title]
    if plan.verb != "prune":
        told.append(_item("current", _switch(plan)))
    told += _origin(plan)
    if plan.build:
        told += _build(plan, plan.build, most)
    told += _hooks(plan, "before")
    told += _hooks(plan, "after")
    told += [_item("check", safe(check.url or check.command)) for check in plan.health]
    told += _hooks(plan, "on")
    if plan.marks_bad:
        told.append(_item("mark bad", safe(plan.marks_bad)))
    told += _reasons("remove", plan.retention.remove, "red")
    if plan.clears_spare:
        told.append(_item("remove", SPARE))
    if plan.verb == "prune":
        told += _reasons("keep", plan.retention.keep, "")
    return told + [show.note(warning) for warning in plan.warnings]


def _nothing(plan: Plan, server: Server) -> Text:
    said = {
        "prune": "there is nothing to remove",
        "rollback": f"{safe(plan.name)} is live already",
        "deploy": f"the live release {safe(plan.previous)} is already what the source holds",
    }
    line = Text.assemble(("✓ ", "green"), ("nothing to do", "bold"))
    return line.append(f" on {safe(server.name)}: {said[plan.verb]}")


def _item(title: str, text: str | Text) -> Text:
    return Text.assemble("  ", (f"{title:<9}", "dim"), text)


def _origin(plan: Plan) -> list[Text]:
    """The commit, those that lie between, and the build."""
    origin = plan.origin
    told = [_item("source", commit_text(origin.commit))] if origin.commit else []
    if plan.past:
        words, *listed = past(plan.past)
        told += [_item("commits", words), *(Text.assemble("    ", line) for line in listed)]
    if origin.isolation:
        told.append(_item("build", build_text(origin)))
    return told + [show.note(note) for note in origin.notes]


def past(way: Past) -> list[Text]:
    """The way from one commit to another, as lines.

    Args:
        way: The way.
    """
    words, *listed = past_lines(way)
    style = "red" if way.way == "back" else "green"
    return [Text(words, "bold yellow" if way.way in ODD else ""), *(Text(x, style) for x in listed)]


def _switch(plan: Plan) -> Text:
    text = Text(f"{safe(plan.previous) or 'nothing'} → {safe(plan.name)}")
    # A deploy that waits for an answer begins later than its plan was made.
    return text.append(" (or the time when it begins)", "dim") if plan.build else text


def _build(plan: Plan, build: Build, most: int | None) -> list[Text]:
    difference = plan.difference
    told = [_item("changes", _counts(plan))]
    kinds = zip(
        SIGNS,
        (difference.added, difference.changed, difference.modes, difference.removed),
        strict=True,
    )
    for sign, listed in kinds:
        told += _paths(sign, listed, most)
    told.append(_item("send", f"{plural(len(build.send), 'path')}, {size(plan.send_bytes)}"))
    if build.base:
        how = "hard links to" if build.hardlink else "a copy of"
        told.append(_item("begin", f"with {how} {safe(build.base)}"))
    told += _named("link", "to shared/", build.links, most)
    told += _named("make", "in shared/", build.make, most)
    told += _named("fill", "in shared/, from this release, once", build.seed, most)
    told += _named("carry", "over, as written on the server", plan.carried, most)
    return told + _named("replace", "what was changed on the server", plan.overwritten, most)


def _hooks(plan: Plan, when: str) -> list[Text]:
    """Hooks of the points whose names begin so; those that are left out, dim."""
    return [
        _item(hook_title(due), Text(due.told, "dim" if due.skipped else ""))
        for due in plan.hooks
        if due.point.startswith(f"{when}_")
    ]


def _counts(plan: Plan) -> Text:
    found = plan.difference
    counts = (found.added, found.changed, found.modes, found.removed)
    text = Text()
    for (sign, style), listed in zip(SIGNS.items(), counts, strict=True):
        if listed or sign != "m":
            text.append(f"{sign}{len(listed):,} ", style if listed else "dim")
    return text.append(f"· {found.unchanged:,} unchanged", "dim")


def _paths(sign: str, listed: tuple[bytes, ...], most: int | None) -> list[Text]:
    told = [Text(f"    {sign} {safe(path)}", SIGNS[sign]) for path in listed[:most]]
    more = len(listed) - len(told)
    return [*told, Text(f"    {sign} and {more:,} more", "dim")] if more else told


def _named(title: str, how: str, listed: tuple[bytes, ...], most: int | None) -> list[Text]:
    if not listed:
        return []
    names = ", ".join(safe(path) for path in listed[:most])
    more = len(listed) - len(listed[:most])
    rest = f" and {more:,} more" if more else ""
    return [_item(title, Text.assemble(f"{names}{rest} ", (how, "dim")))]


def _reasons(title: str, reasons: Mapping[str, str], style: str) -> Iterable[Text]:
    for name, why in reasons.items():
        yield _item(title, Text.assemble((safe(name), style), (f": {safe(why)}", "dim")))


def strangers(site: Site) -> list[Release]:
    """The releases that an adoption gives a record.

    Args:
        site: What a look told.
    """
    return [release for release in site.releases if release.record is None and release.real]


def adoption(site: Site, server: Server) -> list[Text]:
    """What an adoption would do, as lines.

    Args:
        site: What a look told.
        server: The server.
    """
    found = strangers(site)
    made_by = "" if site.ours else f", made by {site.made_by}"
    told = [Text.assemble(("adopt ", "bold"), show.where(server))]
    told.append(_item("records", f"for {plural(len(found), 'release')}{made_by}"))
    for release in found:
        what = "live, so it counts as good" if release.live else "unconfirmed: nobody knows"
        told.append(_item("", Text.assemble(safe(release.name), (f": {what}", "dim"))))
    return [*told, _item("touch", "nothing of theirs")]
