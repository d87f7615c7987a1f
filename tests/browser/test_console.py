"""The console in JupyterLab: by mouse, by keyboard alone, in production, and over a refresh."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Opener
from tests.browser.notebook import Notebook

SETUP = """
import opsnb, pathlib, tempfile
demo = opsnb.demo()
first = demo.server("demo")
for version in ("v2", "v1"):
    with_log = first.deploy(demo.site(version), revision=version).wait()
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "opsnb.toml").write_text(f'''
[project]
name = "shop"
source = "{demo.site("v2")}"
before_publish = ["echo the hook runs; sleep {PAUSE}"]
[environments.production]
confirm = "type-name"
[environments.staging]
color = "blue"
[servers.web1]
url = "{first.url}"
environment = "production"
[servers.stage]
url = "{first.url}-stage"
environment = "staging"
[servers.gone]
url = "ssh://deploy@127.0.0.1:9/var/www/shop"
environment = "staging"
''')
project = opsnb.load(folder / "opsnb.toml", ssh_config=demo.embedded.ssh_config)
"""
LIVE = "print(project.server('web1').look().current.name)"


@pytest.fixture
def notebook(opened: Opener) -> Notebook:
    """A notebook that shows a console, in cell 1; cell 2 tells what is live."""
    notebook = opened("PAUSE = 0" + SETUP, "panel = opsnb.console(project)\npanel", LIVE)
    return shown(notebook)


def shown(notebook: Notebook) -> Notebook:
    notebook.run(0)
    # The views of the set-up are not what is tested here.
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    notebook.run(1)
    expect(grid(notebook.page)).to_be_visible(timeout=30_000)
    return notebook


def panel(page: Page) -> Locator:
    return page.locator(".opsnb-console")


def grid(page: Page) -> Locator:
    return page.get_by_role("grid", name="Releases")


def rows(page: Page) -> Locator:
    return grid(page).locator("tr[data-name]")


def press(page: Page, name: str) -> None:
    panel(page).get_by_role("button", name=name, exact=True).click()


def live(notebook: Notebook) -> str:
    notebook.run(2)
    return notebook.text(2).strip()


def finished(page: Page) -> None:
    job = panel(page).locator(".opsnb-job")
    expect(job).to_have_attribute("data-state", "done", timeout=30_000)


def test_what_is_live_and_where_one_is_can_be_seen_at_once(notebook: Notebook) -> None:
    """The console: server, environment, what is live, releases and their disk."""
    page = notebook.page
    console = panel(page)
    expect(console).to_contain_text("▲ PRODUCTION")
    expect(console).to_contain_text("read-only")
    name = rows(page).nth(0).get_attribute("data-name")
    expect(console.locator(".opsnb-bar-top")).to_contain_text(f"live {name}")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).nth(0)).to_contain_text("● live")
    expect(rows(page).nth(0)).to_contain_text("kB")
    expect(console.get_by_role("img", name="What stands on the server")).to_contain_text(
        f"current → releases/{name}"
    )
    expect(console.locator(".opsnb-ran")).to_have_text("server = project.server('web1')")


def test_a_deploy_by_mouse_is_planned_unlocked_and_confirmed(notebook: Notebook) -> None:
    """The console by mouse: plan, unlock, type the name, deploy."""
    page, before = notebook.page, live(notebook)
    press(page, "Plan")
    plan = panel(page).locator(".opsnb-plan")
    expect(plan).to_contain_text("nothing has changed yet")
    expect(plan).to_contain_text("Read-only: press Unlock first.")
    deploy = plan.get_by_role("button", name="Deploy", exact=True)
    expect(deploy).to_be_disabled()
    press(page, "Unlock")
    expect(panel(page)).to_contain_text("changes allowed")
    expect(deploy).to_be_disabled()
    typed = plan.get_by_label(re.compile("^Type web1 to deploy"))
    typed.fill("web")
    expect(deploy).to_be_disabled()
    typed.fill("web1")
    assert live(notebook) == before
    deploy.click()
    finished(page)
    after = live(notebook)
    assert after != before
    expect(rows(page).nth(0)).to_have_attribute("data-name", after)
    expect(rows(page).nth(0)).to_contain_text("● live")
    expect(panel(page)).to_contain_text(f"the switch happened · Visitors see {after}")
    expect(panel(page).locator(".opsnb-ran")).to_have_text("await server.deploy(plan)")
    # The plan was used; the next change needs a new one.
    expect(panel(page).locator(".opsnb-plan")).to_have_count(0)
    # What stays in the saved notebook, where no widget will be.
    expect(notebook.area(1)).to_contain_text("Whole log:")
    _, receipt = notebook.saved()["cells"][1]["outputs"]
    said = "".join(receipt["data"]["text/plain"])
    assert f"✓ {after} is live" in said
    assert "the switch happened" in said


def focused(page: Page) -> str:
    """What has the focus, by its words."""
    found: str = page.evaluate(
        "(() => { const at = document.activeElement;"
        " return at.getAttribute('aria-label') || at.dataset.name || at.innerText || ''; })()"
    )
    return found


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(60):
        if re.match(name, focused(page)):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {name}")


def test_a_rollback_by_keyboard_alone(notebook: Notebook) -> None:
    """The console by keyboard alone: select, plan, unlock, type, roll back."""
    page, before = notebook.page, live(notebook)
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    page.evaluate("document.querySelector('.opsnb-console select').focus()")
    tab_to(page, "Unlock")
    page.keyboard.press("Enter")
    expect(panel(page)).to_contain_text("changes allowed")
    tab_to(page, before)
    page.keyboard.press("ArrowDown")
    target = focused(page)
    assert target == rows(page).nth(1).get_attribute("data-name")
    # JupyterLab's own keys do nothing here: `b` would insert a cell, `d d` delete one.
    for key in ("b", "d", "d", "a", "x"):
        page.keyboard.press(key)
    page.keyboard.press("Home")
    page.keyboard.press("End")
    assert focused(page) == target
    page.keyboard.press("Enter")
    expect(panel(page).locator(".opsnb-plan")).to_contain_text(f"Roll back to {target}")
    expect(panel(page).get_by_role("group", name="What will move")).to_contain_text("after")
    tab_to(page, "Type web1 to roll back")
    page.keyboard.type("web1")
    page.keyboard.press("Enter")
    finished(page)
    assert live(notebook) == target
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    expect(rows(page).nth(0)).to_contain_text("✕ bad")


def test_a_refresh_keeps_the_selection_and_the_scroll(opened: Opener) -> None:
    """Five hundred releases: a refresh keeps selection and scroll."""
    many = (
        "PAUSE = 0" + SETUP + "\nimport shutil\nsite = pathlib.Path(first.deploy_to) / 'releases'\n"
        "for n in range(500):\n    (site / f'2026010{n // 100}{n % 100:06d}').mkdir()\n"
    )
    notebook = shown(opened(many, "opsnb.console(project)", LIVE))
    page = notebook.page
    expect(rows(page)).to_have_count(502, timeout=30_000)
    rows(page).nth(300).click()
    name = rows(page).nth(300).get_attribute("data-name")
    frame = grid(page).locator("xpath=..")
    scroll = frame.evaluate("(el) => el.scrollTop")
    assert scroll > 0
    as_of = panel(page).locator(".opsnb-sub")
    before = as_of.inner_text()
    page.wait_for_timeout(1100)
    press(page, "Refresh")
    expect(as_of).not_to_have_text(before)
    expect(panel(page)).to_contain_text("as of")
    selected = grid(page).locator("tr[aria-selected=true]")
    expect(selected).to_have_count(1)
    assert selected.get_attribute("data-name") == name
    assert frame.evaluate("(el) => el.scrollTop") == scroll


def test_a_server_that_does_not_answer_is_said_and_left(notebook: Notebook) -> None:
    """A server that is not there: words, what to do, and no traceback."""
    page = notebook.page
    panel(page).get_by_label("environment", exact=True).select_option("staging")
    panel(page).get_by_label("server", exact=True).select_option("gone")
    alert = panel(page).get_by_role("alert")
    expect(alert).to_contain_text("cannot connect to 127.0.0.1")
    expect(panel(page)).to_contain_text("gone was not seen")
    expect(panel(page)).not_to_contain_text("Traceback")
    panel(page).get_by_label("server", exact=True).select_option("stage")
    expect(panel(page)).to_contain_text("No release yet")
    expect(panel(page).get_by_role("alert")).to_have_count(0)


def test_a_plan_that_is_no_longer_true_is_taken_away(notebook: Notebook) -> None:
    """Plan first: when the server changes, the plan goes."""
    page = notebook.page
    press(page, "Unlock")
    press(page, "Plan")
    expect(panel(page).locator(".opsnb-plan")).to_be_visible()
    notebook.put(2, "report = project.server('web1').rollback().wait(); " + LIVE)
    notebook.run(2)
    press(page, "Refresh")
    expect(panel(page)).to_contain_text("the server has changed since the plan was made")
    expect(panel(page).locator(".opsnb-plan")).to_have_count(0)


def test_abort_in_the_console(opened: Opener) -> None:
    """Abort in the console: not done, and it says so."""
    notebook = shown(opened("PAUSE = 60" + SETUP, "opsnb.console(project)", LIVE))
    page, before = notebook.page, live(notebook)
    press(page, "Unlock")
    press(page, "Plan")
    panel(page).get_by_label(re.compile("^Type web1 to deploy")).fill("web1")
    press(page, "Deploy")
    expect(panel(page).locator(".opsnb-line", has_text="the hook runs").last).to_be_visible()
    expect(panel(page)).to_contain_text(f"Visitors still see {before}")
    press(page, "Abort")
    job = panel(page).locator(".opsnb-job")
    expect(job).to_have_attribute("data-state", "failed", timeout=20_000)
    expect(job).to_contain_text("the switch did not happen")
    assert live(notebook) == before


def test_a_console_after_a_reload_finds_the_change_that_runs(opened: Opener) -> None:
    """Reload: the console and the change that runs come back."""
    notebook = shown(opened("PAUSE = 20" + SETUP, "opsnb.console(project)", LIVE))
    page = notebook.page
    press(page, "Unlock")
    press(page, "Plan")
    panel(page).get_by_label(re.compile("^Type web1 to deploy")).fill("web1")
    press(page, "Deploy")
    expect(panel(page).locator(".opsnb-line", has_text="the hook runs").last).to_be_visible()
    notebook.saved()
    notebook.reload()
    expect(panel(page).locator(".opsnb-line", has_text="the hook runs").last).to_be_visible(
        timeout=60_000
    )
    finished(page)


def test_every_click_is_answered_while_a_cell_keeps_the_kernel_busy(notebook: Notebook) -> None:
    """A click while the kernel is busy: done at once, or said why not."""
    page = notebook.page
    notebook.put(2, "import time\nprint('STARTED')\ntime.sleep(5)")
    notebook.run(2, wait=False)
    notebook.says(2, "STARTED")
    press(page, "Unlock")
    answered = panel(page).get_by_text("changes allowed")
    explained = panel(page).get_by_text("The kernel is busy with a cell")
    expect(answered.or_(explained).first).to_be_visible(timeout=4_000)
    notebook.ended(2)
    expect(answered).to_be_visible()
    expect(explained).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 700])
def test_nothing_is_cut_off(notebook: Notebook, width: int) -> None:
    """1280 x 720 and half a window: no control is out of reach."""
    page = notebook.page
    page.set_viewport_size({"width": width, "height": 720})
    press(page, "Plan")
    expect(panel(page).locator(".opsnb-plan")).to_be_visible()
    outside = page.evaluate(
        """() => {
          const panel = document.querySelector('.opsnb-widget:has(.opsnb-console)');
          const edge = panel.getBoundingClientRect();
          return [...panel.querySelectorAll('button, input, select, h4, tr[data-name]')]
            .map((el) => [el, el.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0)
            .filter(([, box]) => box.right > edge.right + 1 || box.left < edge.left - 1)
            .map(([el]) => el.outerHTML.slice(0, 80));
        }"""
    )
    assert outside == []
    notebook.shot(f"console-{width}")


def pick(page: Page, environment: str, live_there: str) -> None:
    panel(page).get_by_label("environment").select_option(environment)
    expect(panel(page).locator(".opsnb-bar-top")).to_contain_text(live_there, timeout=30_000)


def test_a_question_takes_the_focus_once_and_not_to_yes(notebook: Notebook) -> None:
    """The console is drawn anew while you read: a key that you press then is no yes."""
    page = notebook.page
    pick(page, "staging", "nothing is live")
    press(page, "Plan")
    press(page, "Unlock")
    press(page, "Deploy")
    yes = panel(page).get_by_role("button", name="Yes, deploy")
    expect(panel(page).get_by_role("button", name="No", exact=True)).to_be_focused()
    notebook.put(2, "panel.glance = {'at': 9e9, 'clock': '12:34:56 UTC'}")
    notebook.run(2)
    expect(panel(page)).to_contain_text("12:34:56")
    expect(yes).to_be_visible()
    expect(yes).not_to_be_focused()
    assert not panel(page).evaluate("panel => panel.contains(document.activeElement)")


def test_while_one_server_changes_another_shows_what_is_live_on_it(opened: Opener) -> None:
    notebook = shown(opened("PAUSE = 60" + SETUP, "opsnb.console(project)", LIVE))
    page, name = notebook.page, live(notebook)
    pick(page, "staging", "nothing is live")
    press(page, "Plan")
    press(page, "Unlock")
    press(page, "Deploy")
    press(page, "Yes, deploy")
    job = panel(page).locator(".opsnb-job")
    expect(job).to_contain_text("the hook runs", timeout=30_000)
    pick(page, "production", f"live {name}")
    expect(job).to_contain_text("on stage")
    press(page, "Plan")
    expect(panel(page).locator(".opsnb-plan")).to_contain_text("Read-only: press Unlock first.")
    expect(panel(page)).not_to_contain_text("A change is running.")
    job.get_by_role("button", name="Abort").click()
    expect(job).to_have_count(0, timeout=30_000)


def test_a_console_whose_kernel_was_ended_says_so(notebook: Notebook) -> None:
    page = notebook.page
    notebook.restart()
    alert = panel(page).get_by_role("alert")
    expect(alert).to_contain_text("The kernel was ended", timeout=30_000)
    assert panel(page).locator("[inert]").count() == 3
