"""An accessibility scan with axe-core, which is in ``data/``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "data" / "axe.min.js"
SCROLLED = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
GRAVE = ("serious", "critical")


def findings(page: Page, place: str) -> list[str]:
    """What is seriously wrong within the places that a CSS selector finds, one line each."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    with _all_in_sight(page):
        found: dict[str, list[dict[str, Any]]] = page.evaluate(
            "(place) => axe.run({ include: [[place]] })", place
        )
    # axe leaves out what it takes to be hidden, and says nothing: so its answer is looked at.
    compared = [rule for rule in found["passes"] if rule["id"] == "color-contrast"]
    texts = sum(len(rule["nodes"]) for rule in (*compared, *_grave(found)))
    assert texts, "no colours were compared"
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in _grave(found)
        for node in rule["nodes"]
    ]


def _grave(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [rule for rule in found["violations"] if rule["impact"] in GRAVE]


@contextmanager
def _all_in_sight(page: Page) -> Iterator[None]:
    """Make the page so tall that nothing is scrolled away.

    JupyterLab's body is 0 high and hides what flows over: axe takes all of it to be hidden.
    """
    before = page.viewport_size
    assert before
    tall = page.locator(SCROLLED).evaluate("(all) => all.scrollHeight + 500")
    page.set_viewport_size({"width": before["width"], "height": tall})
    page.evaluate("document.body.style.height = '100vh'")
    page.wait_for_function(
        "([place, tall]) => document.querySelector(place).clientHeight > tall - 300",
        arg=[SCROLLED, tall],
    )
    # One can scroll on past the end.
    stood = page.locator(SCROLLED).evaluate("(all) => [all.scrollTop, all.scrollTo(0, 0)][0]")
    try:
        yield
    finally:
        page.evaluate("document.body.style.height = ''")
        page.set_viewport_size(before)
        page.locator(SCROLLED).evaluate("(all, stood) => all.scrollTo(0, stood)", stood)
