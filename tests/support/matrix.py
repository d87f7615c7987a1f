"""What was tried on which kernel, and what was measured, printed when the tests have ended.

A row is a situation: the first line of the docstring of a test that has a ``kernel``, with the
test's parameters put in (``{way}``). A figure is what a test gave to ``record_property``: it is
printed and never asserted. Use it as a plugin: a conftest imports the two functions.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.support.kernels import KERNELS

Key = tuple[str, str]
_RESULTS = pytest.StashKey[dict[Key, str]]()
_FIGURES = pytest.StashKey[list[str]]()
_WORST = ("failed", "skipped", "passed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the result of a test that says on which kernel it ran."""
    report = yield
    if call.when == "call":
        figures = item.config.stash.setdefault(_FIGURES, [])
        figures += [f"{item.name}: {name}: {said}" for name, said in report.user_properties]
    callspec: Any = getattr(item, "callspec", None)
    kernel = callspec.params.get("kernel") if callspec else None
    said = (item.function.__doc__ or "").strip().partition("\n")[0]
    if callspec and "{" in said:
        said = said.format_map(callspec.params)
    if kernel and said and (call.when == "call" or report.outcome != "passed"):
        results = item.config.stash.setdefault(_RESULTS, {})
        key = (said.rstrip("."), kernel)
        results[key] = min(results.get(key, "passed"), report.outcome, key=_WORST.index)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and the figures, once."""
    stash = terminalreporter.config.stash
    _print(terminalreporter, "situations × kernels", table(stash.get(_RESULTS, {})))
    _print(terminalreporter, "figures", stash.get(_FIGURES, []))
    # The conftests of several folders have this hook.
    stash[_RESULTS], stash[_FIGURES] = {}, []


def _print(reporter: pytest.TerminalReporter, title: str, lines: list[str]) -> None:
    if lines:
        reporter.section(title)
    for line in lines:
        reporter.write_line(line)


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
