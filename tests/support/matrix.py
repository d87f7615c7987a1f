"""What was tried on which kernel, and what was measured, printed when the tests have ended.

A row is a situation: the first line of the docstring of a test that has a ``kernel``, with the
test's parameters put in (``{way}``). A figure is what a test gave to ``record_property``: it is
printed and never asserted. A :class:`Row` of the laboratory is one of what was broken on purpose.
Use it as a plugin: the first conftest imports the three functions.

Where several processes run the tests, the reports travel to the one that prints.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import astuple, dataclass
from typing import Any

import pytest

from tests.support.kernels import KERNELS

Key = tuple[str, str]
_RESULTS: dict[Key, str] = {}
_FIGURES: list[str] = []
_WORST = ("failed", "skipped", "passed")
LABORATORY = "laboratory"
"""The name of the property that holds a row."""


@dataclass(frozen=True)
class Row:
    """What was broken in one way, in one change.

    Attributes:
        fault: The kind of fault.
        change: What it was done to; for a control, what the control is.
        points: At how many points it can be done.
        runs: How often it was done.
        broken: How many guarantees did not hold.
        control: Whether something had to be broken.
    """

    fault: str
    change: str
    points: int
    runs: int
    broken: int
    control: bool = False

    def told(self) -> list[object]:
        """It as plain values, which travel between processes."""
        return list(astuple(self))


_ROWS: list[Row] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Write on a test's report on which kernel it ran."""
    del call
    report = yield
    callspec: Any = getattr(item, "callspec", None)
    kernel = callspec.params.get("kernel") if callspec else None
    said = (item.function.__doc__ or "").strip().partition("\n")[0]
    if callspec and "{" in said:
        said = said.format_map(callspec.params)
    report.situation = [said.rstrip("."), kernel] if kernel and said else None
    return report


def pytest_runtest_logreport(report: Any) -> None:
    """Keep what a report says."""
    if report.when == "call":
        name = report.nodeid.rpartition("::")[2]
        for what, said in report.user_properties:
            if what == LABORATORY:
                _ROWS.append(Row(*said))
            else:
                _FIGURES.append(f"{name}: {what}: {said}")
    situation = getattr(report, "situation", None)
    if situation and (report.when == "call" or report.outcome != "passed"):
        key = (situation[0], situation[1])
        _RESULTS[key] = min(_RESULTS.get(key, "passed"), report.outcome, key=_WORST.index)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and the figures."""
    _print(terminalreporter, "situations × kernels", table(_RESULTS))
    _print(terminalreporter, "laboratory", laboratory(_ROWS))
    _print(terminalreporter, "figures", _FIGURES)


def _print(reporter: pytest.TerminalReporter, title: str, lines: list[str]) -> None:
    if lines:
        reporter.section(title)
    for line in lines:
        reporter.write_line(line)


def laboratory(rows: list[Row]) -> list[str]:
    """The lines of the laboratory's table, in Markdown, kinds of fault in order."""
    if not rows:
        return []
    lines = ["| fault | change | points | runs | broken |", "|---|---|---:|---:|---:|"]
    for row in sorted(rows, key=lambda row: (row.fault, row.control)):
        broken = f"{row.broken} (must)" if row.control else str(row.broken)
        lines.append(f"| {row.fault} | {row.change} | {row.points} | {row.runs} | {broken} |")
    plain = [row for row in rows if not row.control]
    lines.append(
        f"| **all** | | | {sum(row.runs for row in plain)} | {sum(r.broken for r in plain)} |"
    )
    return lines


def table(results: dict[Key, str]) -> list[str]:
    """The lines of the table."""
    if not results:
        return []
    rows = list(dict.fromkeys(said for said, _ in results))
    width = max(len(row) for row in rows)
    head = "  ".join(f"{kernel:>9}" for kernel in KERNELS)
    lines = [f"{'':{width}}  {head}"]
    for row in rows:
        cells = "  ".join(f"{results.get((row, kernel), '-'):>9}" for kernel in KERNELS)
        lines.append(f"{row:{width}}  {cells}")
    return lines
