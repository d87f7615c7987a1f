"""A runbook that runs, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from opsnb.cli import show
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

    def tell(self, told: Told) -> None:
        """See :class:`opsnb.cli.run.Teller`."""
        match told:
            case CellBegan():
                self._begin(told)
            case CellSaid():
                self._page.lines(Text(f"    {line}") for line in told.text.split("\n"))
            case CellEnded() if not told.ok:
                self._page.lines([Text(f"  ✕ stopped here, after {told.seconds:.1f} s", "red")])
            case CellEnded() if told.seconds >= 1:
                self._page.lines([Text(f"    {told.seconds:.1f} s", "dim")])

    def _begin(self, told: CellBegan) -> None:
        if told.section != self._section:
            self._section = told.section
            self._page.lines([Text(), Text(told.section, "bold")])
        code = told.line if len(told.line) <= CODE else f"{told.line[:CODE]}…"
        count = f"{told.cell:>2}/{told.cells} "
        self._page.lines([Text.assemble(("  ▸ ", "cyan"), (count, "dim"), (code, "cyan"))])

    def end(self, report: RunReport) -> None:
        """See :class:`opsnb.cli.run.Teller`."""
        page = show.err() if report.error else show.out()
        told = f"{plural(report.ran, 'cell')} of {report.cells} in {report.seconds:.1f} s"
        if report.error:
            page.lines([Text(), *show.troubled(report.message or report.error)])
            page.lines([Text(f"  {told}", "dim")])
        else:
            line = Text.assemble(
                ("✓ ", "bold green"), ("to its end", "bold"), (f" · {told}", "dim")
            )
            page.lines([Text(), line])
        page.lines([Text.assemble(("  record  ", "dim"), safe(report.record))])
        if report.page:
            page.lines([Text.assemble(("  page    ", "dim"), safe(report.page))])
