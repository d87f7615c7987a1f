"""The harness: is what it says about a notebook true?"""

from __future__ import annotations

from importlib.metadata import version

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.notebook import Watch
from tests.support.kernels import PINNED
from tests.support.lab import HOST, THEMES

HELLO = """
import anywidget, traitlets
class Hello(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model, el }) {
        const button = document.createElement("button");
        const draw = () => { button.textContent = `pressed ${model.get("count")} times`; };
        button.onclick = () => {
            model.set("count", model.get("count") + 1);
            model.save_changes();
        };
        model.on("change:count", draw);
        draw();
        el.append(button);
    } };
    '''
    count = traitlets.Int(0).tag(sync=True)
hello = Hello()
hello
"""

DEMO = "import opsnb\ndemo = opsnb.demo()\nweb = demo.server('demo')\nweb.deploy(demo.site('v1'))\n"


def test_a_kernel_runs_and_its_version_is_seen(opened: Opener, kernel: str) -> None:
    """A cell runs and its text is read."""
    notebook = opened("import ipykernel\nprint(ipykernel.__version__)", kernel=kernel)
    notebook.run(0)
    expected = PINNED.get(kernel, version("ipykernel")).removesuffix("*")
    assert notebook.text(0).startswith(expected)


def test_a_table_of_pandas_is_drawn(opened: Opener) -> None:
    notebook = opened(DEMO + "_ = web.jobs[-1].wait()", "web.releases()")
    notebook.run(0)
    notebook.run(1)
    table = notebook.area(1).locator("table.dataframe")
    expect(table).to_be_visible()
    expect(table.get_by_role("columnheader", name="name", exact=True)).to_be_visible()
    expect(table.locator("tbody tr")).to_have_count(1)


def test_a_widget_draws_and_hears(opened: Opener, kernel: str) -> None:
    """A widget draws, and its clicks reach the kernel."""
    notebook = opened(HELLO, "print(hello.count)", kernel=kernel)
    notebook.run(0)
    notebook.area(0).get_by_role("button", name="pressed 0 times", exact=True).click()
    expect(notebook.area(0).get_by_role("button", name="pressed 1 times")).to_be_visible()
    notebook.run(1)
    assert notebook.text(1) == "1\n"


def test_a_cell_is_interrupted_and_a_kernel_restarted(opened: Opener, kernel: str) -> None:
    """The buttons for interrupt and restart."""
    cells = ("print('STARTED')\nimport time\ntime.sleep(60)", "x = 1", "print('x' in globals())")
    notebook = opened(*cells, kernel=kernel)
    notebook.run(0, wait=False)
    notebook.says(0, "STARTED")
    notebook.interrupt()
    notebook.ended(0)
    assert "KeyboardInterrupt" in notebook.text(0)
    notebook.run(1)
    notebook.run(2)
    notebook.restart()
    assert notebook.text(2) == "True\n"
    notebook.run(2)
    assert notebook.text(2) == "False\n"


def test_a_reloaded_page_shows_the_same_kernel(opened: Opener) -> None:
    notebook = opened("x = 41", "print(x + 1)")
    notebook.run(0)
    notebook.saved()
    notebook.reload()
    notebook.run(1)
    assert notebook.text(1) == "42\n"


def test_a_notebook_is_saved_as_it_is_shown(opened: Opener) -> None:
    notebook = opened("print('kept')")
    notebook.run(0)
    cell = notebook.saved()["cells"][0]
    assert "".join(cell["outputs"][0]["text"]) == "kept\n"


@pytest.mark.parametrize("theme", THEMES)
def test_themes_change_the_background(opened: Opener, theme: str) -> None:
    notebook = opened("1")
    with notebook.theme(theme):
        colour = notebook.page.evaluate(
            "getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim()"
        )
    assert (colour in ("white", "#fff", "#ffffff")) == (theme == THEMES[0]), colour


def test_the_control_errors_and_requests_to_strangers_are_seen(
    opened: Opener, watch: list[Watch]
) -> None:
    notebook = opened("1")
    page = notebook.page
    assert (watch[0].errors, watch[0].strangers) == ([], [])
    page.evaluate("console.error('ours')")
    page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    page.evaluate("fetch('https://cdn.example.com/x.js').catch(() => 1)")
    page.evaluate(f"fetch('http://{HOST}:9/').catch(() => 1)")
    page.wait_for_timeout(500)
    assert watch[0].errors[0] == "ours"
    assert any("thrown" in error for error in watch[0].errors)
    assert watch[0].strangers == ["https://cdn.example.com/x.js"]
    watch[0].forget()
