"""A table of what was tried on which kernel, printed when the tests have ended.

A row is a situation: the first line of the docstring of a test that has a ``kernel``, with the
test's parameters put in (``{way}``). Use it as a plugin: a conftest imports the two functions.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.support.kernels import KERNELS

Key = tuple[str, str]
_RESULTS = pytest.StashKey[dict[Key, str]]()
_WORST = ("failed", "skipped", "passed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the result of a test that says on which kernel it ran."""
    report = yield
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
    """Print the table, once."""
    stash = terminalreporter.config.stash
    results = stash.get(_RESULTS, {})
    if not results:
        return
    terminalreporter.section("situations × kernels")
    for line in table(results):
        terminalreporter.write_line(line)
    stash[_RESULTS] = {}


def table(results: dict[Key, str]) -> list[str]:
    """The lines of the table."""
    rows = list(dict.fromkeys(said for said, _ in results))
    width = max(len(row) for row in rows)
    head = "  ".join(f"{kernel:>9}" for kernel in KERNELS)
    lines = [f"{'':{width}}  {head}"]
    for row in rows:
        cells = "  ".join(f"{results.get((row, kernel), '-'):>9}" for kernel in KERNELS)
        lines.append(f"{row:{width}}  {cells}")
    return lines
