"""A runbook that runs, in words, and what is drawn of it on a terminal."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from opsnb.cli import show
from opsnb.cli.telling import SPIN
from opsnb.core.text import plural, safe
from opsnb.headless import CellBegan, CellEnded, CellSaid

if TYPE_CHECKING:
    from opsnb.headless import RunReport, Told

CODE = 60  # characters of a cell's first line


class Words:
    """Tells a person: a line for each section and cell, and what the cells say."""

    def __init__(self) -> None:
        self._page = show.err()
        self._section = ""
        self._running: tuple[CellBegan, float] | None = None

    def watch(self) -> AbstractContextManager[object]:
        """See :class:`opsnb.cli.run.Teller`."""
        if not self._page.is_terminal or self._page.is_dumb_terminal:
            return nullcontext()
        return Live(
            console=self._page,
            get_renderable=lambda: self._page.plain(self._drawn(time.monotonic())),
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _drawn(self, now: float) -> Text:
        """The cell that runs, and for how long."""
        running = self._running
        if running is None:
            return Text("  …", "dim")
        told, began = running
        line = Text.assemble("  ", (f"{SPIN[int(now * 5) % len(SPIN)]} ", "bold cyan"))
        line.append(f"{told.cell}/{told.cells} {told.section}", "bold")
        line.append(f"  {now - began:.0f} s", "dim")
        line.truncate(max(1, self._page.width - 1), overflow="ellipsis")
        return line

    def tell(self, told: Told) -> None:
        """See :class:`opsnb.cli.run.Teller`."""
        match told:
            case CellBegan():
                self._begin(told)
            case CellSaid():
                self._page.lines(Text(f"    {line}") for line in told.text.split("\n"))
            case CellEnded():
                self._running = None
                sign, style = ("✓", "green") if told.ok else ("✕ stopped here,", "bold red")
                took = (f" {told.seconds:.1f} s", "dim")
                self._page.lines([Text.assemble("  ", (sign, style), took)])

    def _begin(self, told: CellBegan) -> None:
        self._running = told, time.monotonic()
        if told.section != self._section:
            self._section = told.section
            self._page.lines([Text(), Text(told.section, "bold")])
        code = told.line if len(told.line) <= CODE else f"{told.line[:CODE]}…"
        count = f"{told.cell:>2}/{told.cells} "
        self._page.lines([Text.assemble(("  ▸ ", "cyan"), (count, "dim"), (code, "cyan"))])

    def end(self, report: RunReport) -> None:
        """See :class:`opsnb.cli.run.Teller`."""
        page = show.err() if report.error else show.out()
        page.lines([Text(), *_ended(report)])
        page.lines([Text.assemble(("  record  ", "dim"), safe(report.record))])
        if report.page:
            page.lines([Text.assemble(("  page    ", "dim"), safe(report.page))])
        else:
            page.lines([show.note(f"there is no page of it: {report.page_error}")])


def _ended(report: RunReport) -> list[Text]:
    told = f"{plural(report.ran, 'cell')} of {report.cells} in {report.seconds:.1f} s"
    if report.error:
        return [*show.troubled(report.message or report.error), Text(f"  {told}", "dim")]
    how = "to its end" if report.ran == report.cells else "ended by itself, before its end"
    return [Text.assemble(("✓ ", "bold green"), (how, "bold"), (f" · {told}", "dim"))]
