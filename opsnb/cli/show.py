"""What a person reads: tables, plans, reports and errors, drawn with rich.

Rule 1: every text is a :class:`rich.text.Text`; markup, emoji and highlighting are off, so a name
        is a name. What came from a server is made safe.
Rule 2: colours and cursor movements only on a terminal, and colours not with NO_COLOR; a word or a
        sign always says the same as a colour.
Rule 3: where the output is no terminal, nothing is cut or wrapped.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

from opsnb.cli.grid import Column, draw
from opsnb.cli.streams import Written, hush
from opsnb.core.text import age, plural, safe, size

if TYPE_CHECKING:
    from opsnb.core.audit import Fault
    from opsnb.core.doctor import Finding
    from opsnb.core.events import Report
    from opsnb.core.release import Site
    from opsnb.server.link import Link

Shown = Mapping[str, Any]  # a row of :mod:`opsnb.core.rows`
Columns = Callable[[Sequence[Shown]], Sequence[Column]]
WIDE = 100_000
SUBJECT = 50  # characters of a commit's first line in a table
COLORS = {"orange": "dark_orange", "purple": "magenta", "grey": "bright_black"}
STATES = {"bad": "red", "unfinished": "yellow", "unconfirmed": "yellow", "unrecorded": "dim"}
CHANGES = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("−", "red")}
ASCII = str.maketrans("●✓✕→▸−·○◐◓◑◒│├└─", "*+x>>--.....||`-") | {ord("…"): "..."}


class Page(Console):
    """A stream for a person. When its reader goes away it falls silent."""

    def on_broken_pipe(self) -> None:
        """Write no more; what is under way goes on."""
        self.quiet = True
        hush(self.file)  # type: ignore[arg-type]  # standard output or standard error

    def lines(self, lines: Iterable[Text | str]) -> None:
        """Print lines; on a terminal, longer ones go on below, a little further in.

        A text with ``no_wrap`` stays one line: a command for pasting would be two, if it were cut.

        Args:
            lines: The lines.
        """
        for line in lines:
            text = self.plain(Text(line) if isinstance(line, str) else line)
            for part in self._folded(text):
                self.print(part, soft_wrap=True)

    def _folded(self, text: Text) -> list[Text]:
        if text.no_wrap or not self.is_terminal or text.cell_len <= self.width:
            return [text]
        indent = len(text.plain) - len(text.plain.lstrip(" "))
        room = max(20, self.width - indent - 2)
        first, *more = text[indent:].wrap(self, room)
        head = Text(" " * indent).append_text(first)
        return [head, *(Text(" " * (indent + 2)).append_text(part) for part in more)]

    def plain(self, text: Text) -> Text:
        """The text, with signs that the stream's encoding knows.

        Args:
            text: A line.
        """
        if self.encoding.lower().startswith("utf"):
            return text
        text.plain = text.plain.translate(ASCII)
        return text


def page(stream: TextIO) -> Page:
    """A stream as a page.

    Args:
        stream: Standard output or standard error.
    """
    terminal = stream.isatty()
    plain = bool(os.environ.get("NO_COLOR")) or not terminal
    return Page(
        file=Written(stream),  # type: ignore[arg-type]  # rich writes, flushes and asks
        force_terminal=terminal,
        force_jupyter=False,
        color_system=None if plain else "auto",
        width=None if terminal else WIDE,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def out() -> Page:
    """Standard output."""
    return page(sys.stdout)


def err() -> Page:
    """Standard error."""
    return page(sys.stderr)


# --- words -------------------------------------------------------------------------------------


def trouble(message: str, hint: str = "") -> None:
    """Tell of an error.

    Args:
        message: What happened.
        hint: What to do next.
    """
    err().lines(troubled(message, hint))


def troubled(message: str, hint: str = "") -> list[Text]:
    """An error as lines.

    Args:
        message: What happened.
        hint: What to do next.
    """
    said = [safe(line) for line in message.split("\n")]
    lines = [Text.assemble(("✕ ", "bold red"), (said[0], "bold"))]
    lines += [Text(f"  {line}", "bold") for line in said[1:]]
    return lines + [Text(f"  {safe(line)}") for line in hint.split("\n") if line]


def note(text: str) -> Text:
    """Something the user should know, as a line.

    Args:
        text: What.
    """
    return Text.assemble(("  ! ", "bold yellow"), safe(text))


def colored(environment: str) -> str:
    """The style of an environment's colour.

    Args:
        environment: A colour's name, as ``opsnb.toml`` has it.
    """
    return f"bold {COLORS.get(environment, environment)}".strip()


def where(server: Link) -> Text:
    """Which server, in which environment, as one line.

    Args:
        server: The server.
    """
    line = Text.assemble((safe(server.name), "bold"))
    if server.environment_name:
        line.append(" · ").append(safe(server.environment_name), colored(server.environment.color))
    return line.append(f" · {safe(server.url)}", "dim")


# --- tables ------------------------------------------------------------------------------------


def table(rows: Sequence[Shown], columns: Columns, nothing: str) -> None:
    """Print the answer to a question.

    Args:
        rows: The answer.
        columns: Makes the columns of its rows.
        nothing: What to say when it has none.
    """
    console = out()
    console.lines(draw(columns(rows), console) if rows else [nothing])


def releases(rows: Sequence[Shown]) -> list[Column]:
    """The columns of ``releases``.

    Args:
        rows: Its rows.
    """
    return [
        Column("release", [_name(row["name"], live=row["current"]) for row in rows]),
        Column(
            "state",
            [_state(row["state"], live=row["current"], pinned=row["pinned"]) for row in rows],
        ),
        Column("age", [Text(_age(row["age"])) for row in rows], right=True, rank=1),
        Column("revision", [Text(_short(row["revision"])) for row in rows], rank=2),
        *_subjects(rows),
        Column("size", [Text(_size(row["bytes"])) for row in rows], right=True, rank=4),
        Column("by", [Text(row["by"] or "") for row in rows], rank=5),
        Column("files", [Text(_count(row["files"])) for row in rows], right=True, rank=6),
        Column("made (UTC)", [Text(_time(row["at"])) for row in rows], rank=7),
        Column("note", [Text(row["note"] or "") for row in rows], rank=3),
        Column("next prune", [Text(row["retention"] or "") for row in rows], rank=8),
    ]


def _subjects(rows: Sequence[Shown]) -> list[Column]:
    """What commits say of themselves, where any is known."""
    if not any(row["subject"] for row in rows):
        return []
    return [Column("commit", [Text(_subject(row)) for row in rows], rank=8)]


def _subject(row: Shown) -> str:
    subject = row["subject"] or ""
    cut = f"{subject[:SUBJECT]}…" if len(subject) > SUBJECT else subject
    return f"{cut} ({row['author']})" if row["author"] else cut


def _name(name: str, *, live: bool) -> Text:
    return Text(name, "bold green" if live else "")


def _state(state: str, *, live: bool, pinned: bool) -> Text:
    """``● live``, ``✕ bad`` or the plain word; what a release is besides, behind it."""
    if live:
        text = Text("● live", "bold green")
        if state != "good":
            text.append(f", {state}", STATES.get(state, ""))
    else:
        text = Text(("✕ " if state == "bad" else "  ") + state, STATES.get(state, ""))
    return text.append(", pinned", "cyan") if pinned else text


def usage(rows: Sequence[Shown]) -> list[Column]:
    """The columns of ``usage``.

    Args:
        rows: Its rows.
    """
    return [
        Column("release", [_name(row["name"], live=row["state"] == "live") for row in rows]),
        Column("state", [_used(row["state"]) for row in rows]),
        Column("files", [Text(_count(row["files"])) for row in rows], right=True, rank=2),
        Column("content", [Text(_size(row["apparent"])) for row in rows], right=True, rank=1),
        Column("on disk", [Text(_size(row["disk"])) for row in rows], right=True),
        Column("freed if removed", [Text(_size(row["own"])) for row in rows], right=True),
    ]


def _used(state: str) -> Text:
    return _state("good", live=True, pinned=False) if state == "live" else _other(state)


def _other(state: str) -> Text:
    return _state(state, live=False, pinned=False) if state else Text()


def diff(rows: Sequence[Shown]) -> list[Column]:
    """The columns of ``diff``.

    Args:
        rows: Its rows.
    """
    return [
        Column("change", [_change(row["change"]) for row in rows]),
        Column("before", [Text(_size(row["bytes_a"])) for row in rows], right=True, rank=1),
        Column("after", [Text(_size(row["bytes_b"])) for row in rows], right=True, rank=1),
        Column("path", [Text(row["path"]) for row in rows]),
    ]


def _change(change: str) -> Text:
    sign, style = CHANGES.get(change, ("m", "cyan"))
    return Text(f"{sign} {change}", style)


def counted(rows: Sequence[Shown]) -> Text:
    """How many paths a diff names, by kind.

    Args:
        rows: The diff.
    """
    found = Counter(row["change"] for row in rows)
    kinds = ("added", "changed", "mode", "removed")
    return Text(", ".join(f"{found[kind]:,} {kind}" for kind in kinds), "dim")


def log(rows: Sequence[Shown]) -> list[Column]:
    """The columns of ``log``.

    Args:
        rows: Its rows.
    """
    return [
        Column("at (UTC)", [Text(_time(row["at"])) for row in rows]),
        Column("what", [_act(row["what"] or "") for row in rows]),
        Column("release", [Text(row["release"] or "") for row in rows]),
        Column("before", [Text(row["previous"] or "") for row in rows], rank=2),
        Column("by", [Text(row["by"] or "") for row in rows], rank=1),
        Column("from", [Text(row["host"] or "") for row in rows], rank=4),
        Column("details", [Text(row["details"] or "") for row in rows], rank=3),
    ]


def _act(what: str) -> Text:
    bad = what.endswith((".failed", ".restored", ".forced")) or what == "unreadable"
    return Text(what, "red" if bad else "")


def notices(rows: Sequence[Shown]) -> list[Column]:
    """The columns of ``notices``.

    Args:
        rows: Its rows.
    """
    return [
        Column("notice", [Text(str(row["number"])) for row in rows], right=True),
        Column("service", [Text(row["service"] or "?") for row in rows]),
        Column("address from", [Text(row["from"]) for row in rows]),
        Column("on", [Text(row["on"]) for row in rows], rank=1),
        Column("fault", [Text(row["fault"], "red") for row in rows]),
    ]


def findings(found: Sequence[Finding]) -> list[Text]:
    """What a doctor's look found, as lines.

    Args:
        found: The findings.
    """
    lines = []
    for finding in found:
        sign, style = ("✓", "green") if finding.ok else ("✕", "bold red")
        line = Text.assemble((f"{sign} ", style), (f"{finding.item:<10}", "bold"))
        lines.append(line.append(safe(finding.found), "" if finding.ok else "red"))
        if finding.hint:
            lines.append(Text.assemble(" " * 12, ("→ " + safe(finding.hint), "dim")))
    return lines


def verdict(faults: Sequence[Fault], entries: int) -> list[Text]:
    """Whether the audit log holds, as lines.

    Args:
        faults: Where it does not.
        entries: How many entries it has.
    """
    if not faults:
        said = f"{plural(entries, 'entry', 'entries')}, each follows the one before it"
        return [Text.assemble(("✓ ", "green"), ("the log holds: ", "bold"), said)]
    lines = troubled("the log does not hold: it was changed, or cut off while it was written")
    return lines + [Text(f"  line {fault.number}: {safe(fault.what)}") for fault in faults]


def lock(site: Site) -> list[Text]:
    """Who has the lock, as lines.

    Args:
        site: What a look told.
    """
    lines = []
    if site.hold:
        what = "frozen, but for a rollback" if site.hold.freezes else "held by hand"
        lines.append(Text.assemble((f"● {what}: ", "bold red"), str(site.hold)))
    if site.holder:
        lines.append(Text.assemble(("● a change is running: ", "bold yellow"), str(site.holder)))
    return lines or [Text.assemble(("✓ ", "green"), "free: a change can begin")]


def _age(value: Any) -> str:
    return "" if value is None else age(value.total_seconds())


def _size(value: int | None) -> str:
    return "" if value is None else size(value)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _time(value: Any) -> str:
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _short(revision: str | None) -> str:
    """A commit as people write it; anything else as it is."""
    text = revision or ""
    commit = len(text) == 40 and all(character in "0123456789abcdef" for character in text)
    return text[:10] if commit else text


# --- the end of a change -----------------------------------------------------------------------


def report(ended: Report) -> list[Text]:
    """What became of a change, as lines.

    Args:
        ended: Its report.
    """
    if ended.error:
        told = Text.assemble("  ", (ended.sentence, "bold"))
        facts = _facts(ended) if ended.switched or ended.files or ended.removed else []
        return [*troubled(ended.error, ended.hint), told, *facts]
    first = Text.assemble(("✓ ", "bold green"), f"{safe(ended.server)}: ", (ended.sentence, "bold"))
    return [first, *_facts(ended)]


def _facts(ended: Report) -> list[Text]:
    facts = [f"{ended.seconds:.1f} s"]
    if ended.files or ended.bytes:
        facts.insert(0, f"sent {plural(ended.files, 'file')}, {size(ended.bytes)}")
    if ended.previous and ended.switched:
        facts.append(f"before: {safe(ended.previous)}")
    lines = [Text("  " + " · ".join(facts), "dim")]
    return lines + [
        Text.assemble("  removed ", safe(name), (f": {safe(why)}", "dim"))
        for name, why in ended.removed
    ]
