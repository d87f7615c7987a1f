"""A plan as a person reads it before saying yes.

Rule: a plan says everything that will happen; on a terminal, lists of paths stop at 20.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from opsnb.cli import show
from opsnb.core import adopt_plan, caches, checks, keepassets
from opsnb.core.facts import (
    ODD,
    SPARE,
    build_text,
    changes,
    commit_text,
    early,
    hook_told,
    late,
    past_lines,
)
from opsnb.core.hooks import EARLY
from opsnb.core.text import plural, safe, size

if TYPE_CHECKING:
    from opsnb.core.adopt_plan import AdoptPlan
    from opsnb.core.hooks import Point
    from opsnb.core.origin import Past
    from opsnb.core.plan import Build, Plan
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
    told += _hooks(plan, *EARLY)
    if plan.build:
        told += _build(plan, plan.build, most)
    elif changes(plan.difference):
        told += [_item("changes", _counts(plan)), *_changed(plan, most)]
    told += [_item("config", str(change)) for change in plan.config]
    if plan.assets.left:
        told.append(_item("keep", keepassets.told(plan.assets)))
    told += _hooks(plan, "before_publish")
    if plan.opcache:
        told.append(_item("opcache", caches.opcache_shown(plan.opcache)))
    told += _hooks(plan, "after_publish", "after_rollback")
    told += [_item("purge", caches.purge_shown(purge)) for purge in plan.purge]
    told += [_item("check", checks.shown(check)) for check in plan.health]
    if watchdog := checks.watchdog_shown(plan):
        told.append(_item("watchdog", watchdog))
    told += _hooks(plan, "on_failure")
    if plan.marks_bad:
        told.append(_item("mark bad", safe(plan.marks_bad)))
    told += _reasons("remove", late(plan), "red")
    if plan.clears_spare:
        told.append(_item("remove", SPARE))
    if plan.verb == "prune":
        told += _reasons("keep", plan.retention.keep, "")
    if plan.unseen:
        told.append(_item("in use", plan.unseen))
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
    first = {
        name: f"removed before the new one is made, {why}" for name, why in early(plan).items()
    }
    told = [*_reasons("first", first, "red"), _item("changes", _counts(plan))]
    told += _changed(plan, most)
    told.append(_item("send", f"{plural(len(build.send), 'path')}, {size(plan.send_bytes)}"))
    if build.base:
        how = "hard links to" if build.hardlink else "a copy of"
        told.append(_item("begin", f"with {how} {safe(build.base)}"))
    told += _named("link", "to shared/", build.links, most)
    told += _named("make", "in shared/", build.make, most)
    told += _named("fill", "in shared/, from this release, once", build.seed, most)
    told += _named("carry", "over, as written on the server", plan.carried, most)
    return told + _named("replace", "what was changed on the server", plan.overwritten, most)


def _hooks(plan: Plan, *points: Point) -> list[Text]:
    """The hooks of some points; those that are left out, dim."""
    told = [(due, *hook_told(due)) for due in plan.hooks if due.point in points]
    return [_item(title, Text(text, "dim" if due.skipped else "")) for due, title, text in told]


def _changed(plan: Plan, most: int | None) -> list[Text]:
    found = plan.difference
    lists = (found.added, found.changed, found.modes, found.removed)
    signed = zip(SIGNS, lists, strict=True)
    return [line for sign, listed in signed for line in _paths(sign, listed, most)]


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


def adoption(plan: AdoptPlan, server: Server) -> list[Text]:
    """What an adoption, its undoing or its end would do, as lines.

    Args:
        plan: The plan.
        server: The server.
    """
    if plan.nothing:
        return [Text.assemble(("✓ ", "green"), adopt_plan.nothing(plan, server.name))]
    title = "adopt" if plan.verb == "adopt" else f"adopt --{plan.verb}"
    told = [Text.assemble((f"{title} ", "bold"), show.where(server))]
    for fact in adopt_plan.facts(plan):
        if fact.kind == "warning":
            told.append(show.note(fact.text))
        else:
            told.append(Text.assemble("  ", (f"{fact.title:<11}", "dim"), fact.text))
    return told
