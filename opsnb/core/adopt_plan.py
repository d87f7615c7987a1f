"""A plan of an adoption, its undoing or its end; the same in words and as plain data. Pure.

Rule 1: it is data: ``adoption.py`` makes it, the engine carries it out.
Rule 2: its words say everything that will happen; every text is safe to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from opsnb.core.facts import Fact, in_words
from opsnb.core.text import plural, safe
from opsnb.core.webroot import Line

Kind = Literal["records", "plain", "directory"]
Verb = Literal["adopt", "undo", "finish"]
NAMED = 20


@dataclass(frozen=True, slots=True)
class AdoptPlan:
    """Everything that an adoption, its undoing or its end will do.

    Attributes:
        verb: Which of the three.
        kind: What is taken over.
        deploy_to: The deployment path.
        made_by: The tool that laid the site out.
        release: The release that is made, or taken away; empty for ``records``.
        records: Releases that get a record, or lose it, with what it will say.
        copy: What is copied into the release, by its name in the old site.
        shared: What goes into ``shared/`` instead.
        exchange: The program that exchanges ``current``.
        remove: What is removed.
        stays: What stays that one might expect to go, with the reason.
        made: Directories of the layout that are made, or removed again if they are empty.
        lines: Lines of the web server's configuration to change, before or after.
        notes: What the user should know.
        nothing: Whether there is nothing to do.
    """

    verb: Verb
    kind: Kind
    deploy_to: str
    made_by: str = ""
    release: str = ""
    records: Mapping[str, str] = field(default_factory=dict)
    copy: tuple[bytes, ...] = ()
    shared: tuple[bytes, ...] = ()
    exchange: str = ""
    remove: tuple[bytes, ...] = ()
    stays: tuple[tuple[bytes, str], ...] = ()
    made: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    nothing: bool = False

    def __str__(self) -> str:
        return text(self, self.deploy_to)

    @property
    def meaning(self) -> tuple[object, ...]:
        """What makes two plans the same plan, whatever second they were made in."""
        name = self.release if self.verb != "adopt" else ""
        records, remove = tuple(self.records), self.remove
        return (self.verb, self.kind, name, records, self.copy, self.shared, self.exchange, remove)


def facts(plan: AdoptPlan) -> list[Fact]:
    """Everything that it will do.

    Args:
        plan: A plan that has something to do.
    """
    told = {"adopt": _adopting, "undo": _undoing, "finish": _finishing}[plan.verb](plan)
    told += [Fact("web server", f"{line}") for line in plan.lines]
    return told + [Fact("note", safe(note), "warning") for note in plan.notes]


def _adopting(plan: AdoptPlan) -> list[Fact]:
    if plan.kind == "records":
        made_by = f", made by {safe(plan.made_by)}" if plan.made_by else ""
        told = [Fact("records", f"for {plural(len(plan.records), 'release')}{made_by}", "add")]
        told += [Fact("", f"{safe(name)}: {safe(what)}") for name, what in plan.records.items()]
        return [*told, Fact("touch", "nothing of theirs")]
    at = "current" if plan.kind == "directory" else plan.deploy_to
    told = [Fact("copy", f"{_named(plan.copy)} of {safe(at)} to releases/{plan.release}", "add")]
    if plan.shared:
        told.append(Fact("share", f"{_named(plan.shared)}: copied to shared/, and linked", "add"))
    if plan.kind == "directory":
        how = f"the directory and a link change places in one step ({plan.exchange})"
        told.append(Fact("current", f"{how}; the directory stays in .opsnb/was"))
    else:
        told.append(Fact("current", f"is made, and leads to releases/{plan.release}"))
    return [*told, Fact("touch", "nothing of the old files: `opsnb adopt --finish` removes them")]


def _undoing(plan: AdoptPlan) -> list[Fact]:
    told = []
    if plan.kind == "directory" and plan.exchange:
        told.append(Fact("current", f"is the old directory again, in one step ({plan.exchange})"))
    if plan.kind == "plain":
        told.append(Fact("current", "is removed", "remove"))
    if plan.release:
        told.append(Fact("remove", f"releases/{safe(plan.release)}", "remove"))
    told += [Fact("remove", f"shared/{safe(path)}", "remove") for path in plan.shared]
    told += [Fact("forget", safe(name), "remove") for name in plan.records]
    told += [Fact("remove", f"{name}/, if it is empty", "remove") for name in plan.made]
    return [*told, Fact("remove", ".opsnb, with its records and its log", "remove")]


def _finishing(plan: AdoptPlan) -> list[Fact]:
    files = f"{plural(len(plan.remove), 'path')}: {_named(plan.remove)}"
    told = [Fact("remove", files, "remove")]
    return told + [Fact("stays", f"{safe(path)}: {why}") for path, why in plan.stays[:NAMED]]


def _named(paths: Sequence[bytes]) -> str:
    names = ", ".join(safe(path) for path in paths[:NAMED]) or "nothing"
    more = len(paths) - NAMED
    return f"{names} and {more:,} more" if more > 0 else names


def nothing(plan: AdoptPlan, server: str) -> str:
    """Why there is nothing to do, as a sentence.

    Args:
        plan: A plan with nothing to do.
        server: The server's name.
    """
    said = {
        "adopt": "every release has a record",
        "undo": "there is nothing to take away",
        "finish": "nothing is left that was copied",
    }
    return f"nothing to do on {safe(server)}: {said[plan.verb]}"


def text(plan: AdoptPlan, server: str) -> str:
    """A plan in words, a line for each thing that will happen.

    Args:
        plan: The plan.
        server: The server's name.
    """
    if plan.nothing:
        return nothing(plan, server)
    return in_words(plan.verb, server, facts(plan), 11)


def data(plan: AdoptPlan, server: str) -> dict[str, object]:
    """The same as plain data.

    Args:
        plan: The plan.
        server: The server's name.
    """
    return {
        "verb": "adopt" if plan.verb == "adopt" else f"adopt --{plan.verb}",
        "server": server,
        "nothing": plan.nothing,
        "kind": plan.kind,
        "made_by": safe(plan.made_by),
        "release": safe(plan.release),
        "records": {safe(name): safe(what) for name, what in plan.records.items()},
        "copy": [safe(path) for path in plan.copy],
        "shared": [safe(path) for path in plan.shared],
        "exchange": plan.exchange,
        "remove": [safe(path) for path in plan.remove],
        "stays": {safe(path): why for path, why in plan.stays},
        "web_server": [
            {
                "file": safe(line.path),
                "line": line.number,
                "now": safe(line.old),
                "write": safe(line.write),
            }
            for line in plan.lines
        ],
        "warnings": [safe(note) for note in plan.notes],
    }
