"""Both themes, and what a person who cannot see them is told.

Each test leaves pictures in the folder of `shots`, to be looked at.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import findings
from tests.browser.conftest import Opener
from tests.browser.notebook import Notebook
from tests.browser.test_console import SETUP
from tests.browser.test_live import HOOKS, SECOND, line, slow
from tests.kernel.cells import DEMO
from tests.support.lab import THEMES

CONSOLE = ".opsnb-console"
JOB = ".opsnb-job"
OBJECTS = {
    "project": "demo",
    "server": "web",
    "plan": "web.plan(demo.site('v1'))",
    "rollback plan": "web.plan_rollback()",
    "report": "web.jobs[-1].report",
    "receipt": "web.jobs[-1]",
}


@pytest.fixture(params=THEMES)
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def named(theme: str, what: str) -> str:
    return f"{what}-{theme.rpartition(' ')[2].lower()}"


def looked_at(notebook: Notebook, theme: str, what: str, place: str) -> None:
    """Scan a place, and take a picture of the page."""
    notebook.shot(named(theme, what))
    assert findings(notebook.page, place) == []


def set_up(notebook: Notebook) -> None:
    """Run cell 0; what it shows is not what is looked at."""
    notebook.run(0)
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")


def press(page: Page, name: str) -> None:
    page.locator(CONSOLE).get_by_role("button", name=name, exact=True).click()


def test_the_console_in_every_state(opened: Opener, theme: str) -> None:
    notebook = opened("PAUSE = 4" + SETUP, "panel = opsnb.console(project)\npanel")
    page = notebook.page
    page.set_viewport_size({"width": 1280, "height": 900})
    with notebook.theme(theme):
        set_up(notebook)
        notebook.run(1)
        console = page.locator(CONSOLE)
        expect(console.get_by_role("grid", name="Releases")).to_be_visible(timeout=30 * SECOND)
        page.locator(".jp-WindowedPanel-outer").evaluate("(el) => el.scrollTo(0, 1e6)")
        looked_at(notebook, theme, "console", CONSOLE)

        press(page, "Unlock")
        press(page, "Plan")
        expect(console.locator(".opsnb-plan")).to_be_visible()
        console.scroll_into_view_if_needed()
        looked_at(notebook, theme, "console-plan", CONSOLE)

        console.get_by_label("Type web1 to deploy").fill("web1")
        press(page, "Deploy")
        expect(console.locator(".opsnb-line", has_text="the hook runs").last).to_be_visible()
        looked_at(notebook, theme, "console-deploy", CONSOLE)
        expect(console.locator(JOB)).to_have_attribute("data-state", "done", timeout=30 * SECOND)
        looked_at(notebook, theme, "console-deployed", CONSOLE)


def test_a_change_that_runs_and_one_that_failed(opened: Opener, theme: str, gate: Path) -> None:
    change = "job = web.deploy(demo.site('v3'))\njob"
    notebook = opened(DEMO + HOOKS + slow(40, gate=gate), change)
    with notebook.theme(theme):
        set_up(notebook)
        notebook.run(1)
        expect(line(notebook, 1, "line 12")).to_be_visible(timeout=30 * SECOND)
        looked_at(notebook, theme, "job-running", JOB)
        gate.touch()
        view = notebook.area(1).locator(JOB)
        expect(view).to_have_attribute("data-state", "failed", timeout=60 * SECOND)
        expect(view).to_contain_text("Visitors see")
        notebook.area(1).get_by_role("searchbox").fill("line")
        looked_at(notebook, theme, "job-failed", JOB)


@pytest.mark.parametrize("what", OBJECTS)
def test_what_objects_show(opened: Opener, theme: str, what: str) -> None:
    begin = DEMO + "web.deploy(demo.site('v2'), revision='3f1c2ab').wait()"
    notebook = opened(begin, OBJECTS[what])
    with notebook.theme(theme):
        set_up(notebook)
        notebook.run(1)
        expect(notebook.area(1).locator(".opsnb").first).to_be_visible()
        looked_at(notebook, theme, what.replace(" ", "-"), ".jp-Cell-outputArea .opsnb")


def test_the_control_what_is_wrong_is_found(opened: Opener) -> None:
    notebook = opened(
        "from IPython.display import HTML\n"
        "HTML('<div class=x><button></button><p style=\"color: #999; background: white\">pale</p>'"
        " '<input></div>')"
    )
    notebook.run(0)
    found = {line.partition(":")[0] for line in findings(notebook.page, ".x")}
    assert found == {"button-name", "color-contrast", "label"}
