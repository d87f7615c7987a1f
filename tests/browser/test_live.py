"""A change goes on, whatever happens to what shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Opener
from tests.browser.notebook import Notebook
from tests.kernel.cells import DEMO, LOOK, SLOW
from tests.support.sshd import RealSshd

LONG = "i=0; while [ $i -lt {count} ]; do echo {word} $i; i=$((i+1)); {rest}; done"
WAITS = "; i=0; while [ ! -e {gate} ] && [ $i -lt 900 ]; do i=$((i+1)); sleep 0.1; done"
HOOKS = SLOW.rpartition("hooks(web")[0]
SECOND = 1000.0


def slow(count: int, word: str = "line", server: str = "web", *, gate: Path | None = None) -> str:
    """A cell that makes a server's next change say some lines, ten a second.

    With a gate it goes on only where that file is, and then without a pause: a test sees all that
    it has to see of a running change, however slow the machine is.
    """
    rest = f"[ -e {gate} ] || sleep 0.1" if gate else "sleep 0.1"
    command = LONG.format(count=count, word=word, rest=rest)
    return f"hooks({server}, {command + WAITS.format(gate=gate) if gate else command!r})\n"


def view(notebook: Notebook, cell: int) -> Locator:
    return notebook.area(cell).locator(".opsnb-job")


def line(notebook: Notebook, cell: int, text: str) -> Locator:
    return notebook.area(cell).locator(".opsnb-line", has_text=text).last


def done(notebook: Notebook, cell: int) -> None:
    """Wait until the view says that the change is done."""
    expect(view(notebook, cell)).to_have_attribute("data-state", "done", timeout=60 * SECOND)


def holds(notebook: Notebook, cell: int, text: str, count: int) -> None:
    """Wait until so many lines of a whole log hold a text, as its search says."""
    log = notebook.area(cell).locator(".opsnb-log")
    log.get_by_role("searchbox", name="Search the log").fill(text)
    expect(log.get_by_role("status")).to_have_text(f"{count:,}" if count else "none")


def test_two_changes_at_once_keep_their_lines_apart(
    opened: Opener, kernel: str, gate: Path
) -> None:
    """Two changes at once: each view has its own lines only."""
    two = (
        HOOKS
        + "import opsnb\n"
        + "demo, demo2 = opsnb.demo(), opsnb.demo()\n"
        + "north, south = demo.server('demo'), demo2.server('demo')\n"
        + slow(30, "to-the-north", "north", gate=gate)
        + slow(30, "to-the-south", "south", gate=gate)
    )
    change = "{0} = {0}.deploy(demo.site('v1'))\n{0}"
    notebook = opened(two, change.format("north"), change.format("south"), kernel=kernel)
    for cell in range(3):
        notebook.run(cell)
    expect(line(notebook, 1, "to-the-north")).to_be_visible()
    expect(line(notebook, 2, "to-the-south")).to_be_visible()
    expect(view(notebook, 1)).to_have_attribute("data-state", "running")
    expect(view(notebook, 2)).to_have_attribute("data-state", "running")
    gate.touch()
    done(notebook, 1)
    done(notebook, 2)
    for cell, own, other in (
        (1, "to-the-north", "to-the-south"),
        (2, "to-the-south", "to-the-north"),
    ):
        holds(notebook, cell, own, 30 + 1)  # the command of the hook is a line too
        holds(notebook, cell, other, 0)


@pytest.mark.parametrize("way", ["job", "await job", "job.wait()"])
def test_a_reloaded_page_shows_the_change_again(
    opened: Opener, kernel: str, way: str, gate: Path
) -> None:
    """Reload in the middle, {way}: the change goes on, and its view comes back."""
    change = f"job = web.deploy(demo.site('v2'))\n{way}"
    show = (
        "report = web.jobs[-1].report\nprint('switched', report and report.switched)\nweb.jobs[-1]"
    )
    # The other ways keep the kernel, without which no page is ready, until the change has ended.
    free = way == "job"
    setup = DEMO + HOOKS + slow(100, gate=gate if free else None)
    notebook = opened(setup, change, show, kernel=kernel)
    notebook.run(0)
    notebook.run(1, wait=False)
    expect(line(notebook, 1, "line 3")).to_be_visible(timeout=30 * SECOND)
    notebook.saved()
    notebook.reload()
    notebook.run(2)
    if free:
        expect(view(notebook, 2)).to_have_attribute("data-state", "running")
    gate.touch()
    done(notebook, 2)
    holds(notebook, 2, "line", 100 + 1)
    # The first view too, once the kernel had time for it.
    done(notebook, 1)
    holds(notebook, 1, "line", 100 + 1)
    notebook.run(2)
    assert "switched True" in notebook.text(2)


def test_a_cell_that_is_run_again_leaves_its_change_running(
    opened: Opener, kernel: str, gate: Path
) -> None:
    """The cell is run again: the first change goes on, the second says that it is locked."""
    change = "job = web.deploy(demo.site('v2'))\njob"
    notebook = opened(DEMO + HOOKS + slow(60, gate=gate), change, "web.jobs[-2]", kernel=kernel)
    notebook.run(0)
    notebook.run(1)
    expect(line(notebook, 1, "line 3")).to_be_visible(timeout=30 * SECOND)
    notebook.run(1)
    expect(view(notebook, 1)).to_have_attribute("data-state", "failed", timeout=30 * SECOND)
    expect(view(notebook, 1)).to_contain_text("lock")
    notebook.run(2)
    expect(view(notebook, 2)).to_have_attribute("data-state", "running")
    gate.touch()
    done(notebook, 2)
    holds(notebook, 2, "line", 60 + 1)


def test_a_closed_view_stops_nothing(opened: Opener, kernel: str, gate: Path) -> None:
    """The view is closed: the change goes on."""
    change = "job = web.deploy(demo.site('v2'))\njob"
    notebook = opened(
        DEMO + HOOKS + slow(20, gate=gate), change, "print(job.wait().switched)", kernel=kernel
    )
    notebook.run(0)
    notebook.run(1)
    expect(line(notebook, 1, "line 3")).to_be_visible(timeout=30 * SECOND)
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    expect(notebook.page.locator(".opsnb-job")).to_have_count(0)
    gate.touch()
    notebook.run(2)
    assert notebook.text(2).endswith("True\n")


@pytest.fixture
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def test_a_kernel_restart_leaves_the_site_whole(
    opened: Opener, sshd: RealSshd, kernel: str
) -> None:
    """Kernel restart in the middle: the site is whole, the view says it, the next deploy works."""
    server = (
        "import opsnb\n"
        "from opsnb.embedded.demo import Demo\n"
        f"web = opsnb.Server({sshd.url()!r}, name='web1', ssh_config={str(sshd.ssh_config)!r})\n"
    )
    first = "print(web.deploy(Demo.site('v1')).wait().release)\n" + SLOW
    change = "web.deploy(Demo.site('v2'))"
    notebook = opened(server, first, change, LOOK, change + ".wait()", kernel=kernel)
    notebook.run(0)
    notebook.run(1)
    live = notebook.text(1).strip()
    notebook.run(2)
    expect(line(notebook, 2, "the hook runs")).to_be_visible(timeout=30 * SECOND)

    notebook.restart()

    expect(view(notebook, 2)).to_contain_text("The kernel was ended")
    assert sshd.deploy_to.joinpath("current").resolve().name == live
    notebook.run(0)
    notebook.run(3)
    assert json.loads(notebook.text(3))["live"] == live
    notebook.run(4)
    notebook.run(3)
    after = json.loads(notebook.text(3))
    assert after["live"] != live
    assert (after["held"], after["intent"], len(after["releases"])) == (False, False, 2)
