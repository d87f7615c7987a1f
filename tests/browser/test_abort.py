"""Every way to stop a change, wherever it is waited for."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.notebook import Notebook
from tests.kernel.cells import DEMO, LOOK, SLOW

WAYS = {"from the panel": "job", "a cell awaits": "await job", "a cell waits": "job.wait()"}
BEGUN = "the hook runs"
AFTER = (
    "hooks(web); report = web.deploy(demo.site('v2')).wait(); print('switched', report.switched)"
)


def begun(opened: Opener, kernel: str, way: str) -> Notebook:
    """A notebook whose cell 1 shows a change in the middle of a slow hook."""
    change = f"job = web.deploy(demo.site('v2'))\n{WAYS[way]}"
    notebook = opened(DEMO + SLOW, change, LOOK, AFTER, "print(first.release)", kernel=kernel)
    notebook.run(0)
    notebook.run(1, wait=way == "from the panel")
    line = notebook.area(1).locator(".opsnb-line", has_text=BEGUN).last
    expect(line).to_be_visible(timeout=30_000)
    return notebook


def stopped(notebook: Notebook) -> None:
    """The view and the server agree: the switch did not happen, and this is live."""
    view = notebook.area(1).locator(".opsnb-job")
    expect(view).to_have_attribute("data-state", "failed", timeout=20_000)
    notebook.ended(1)
    notebook.run(4)
    live = notebook.text(4).strip()
    expect(view).to_contain_text("the switch did not happen")
    expect(view).to_contain_text(f"Visitors see {live}")
    notebook.run(2)
    found = json.loads(notebook.text(2))
    assert found == {"live": live, "held": False, "intent": False, "releases": [live]}
    notebook.run(3)
    assert notebook.text(3).endswith("switched True\n")


@pytest.mark.parametrize("way", WAYS)
def test_abort(opened: Opener, kernel: str, way: str) -> None:
    """Abort, {way}: not done, and the view says so."""
    notebook = begun(opened, kernel, way)
    notebook.area(1).get_by_role("button", name="Abort", exact=True).click()
    stopped(notebook)


@pytest.mark.parametrize("way", ["a cell awaits", "a cell waits"])
def test_interrupt(opened: Opener, kernel: str, way: str) -> None:
    """JupyterLab's interrupt, {way}: not done, and the view says so."""
    notebook = begun(opened, kernel, way)
    notebook.interrupt()
    stopped(notebook)


def test_abort_while_another_cell_keeps_the_kernel_busy(opened: Opener, kernel: str) -> None:
    """Abort while another cell blocks the kernel: never a click without an answer."""
    notebook = begun(opened, kernel, "from the panel")
    notebook.put(2, "import time\nprint('STARTED')\ntime.sleep(600)")
    notebook.run(2, wait=False)
    notebook.says(2, "STARTED")
    view = notebook.area(1).locator(".opsnb-job")
    view.get_by_role("button", name="Abort", exact=True).click()
    other = view.get_by_role("button", name="Interrupt that cell", exact=True)
    ended = notebook.page.locator(".opsnb-job[data-state=failed]")
    expect(other.or_(ended)).to_be_visible(timeout=30_000)
    if other.is_visible():
        other.click()
    else:
        notebook.interrupt()
    notebook.ended(2)
    notebook.put(2, LOOK)
    stopped(notebook)
