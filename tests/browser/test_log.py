"""The log of a change: it keeps up, and it can be searched, paused, copied and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Opener
from tests.browser.notebook import Notebook
from tests.browser.test_live import HOOKS, SECOND, done, holds, line, slow
from tests.kernel.cells import DEMO

LINES = 50_000
# 25 times 2,000 lines of about 100 bytes, one tenth of a second apart: 20,000 lines a second.
FLOOD = (
    "i=0; while [ $i -lt 25 ]; do awk -v at=$i 'BEGIN { for (n = 0; n < 2000; n++)"
    ' printf "flood %05d %s\\n", at * 2000 + n,'
    ' "the quick brown fox jumps over the lazy dog and then sits down to rest a little" }\';'
    " i=$((i+1)); sleep 0.1; done"
)
# The longest time between two frames, in ms, while the page is watched.
GAPS = """() => {
    let last = performance.now();
    window.longest = 0;
    const tick = (now) => {
        window.longest = Math.max(window.longest, now - last);
        last = now;
        requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
}"""
COUNT = """
from opsnb.core.events import Log
said = [event.at for event in job.events if isinstance(event, Log) and event.stream == "hook"]
print(len(said), said[-1] - said[0])
"""
Record = Callable[[str, object], None]


def log(notebook: Notebook) -> Locator:
    return notebook.area(1).locator(".opsnb-log")


def begun(opened: Opener, setup: str, kernel: str | None = None) -> Notebook:
    """A notebook whose cell 1 shows a change that says much."""
    given = {"kernel": kernel} if kernel else {}
    notebook = opened(DEMO + HOOKS + setup, "job = web.deploy(demo.site('v2'))\njob", **given)
    notebook.run(0)
    return notebook


def test_fifty_thousand_lines_at_twenty_thousand_a_second(
    opened: Opener, kernel: str, record_property: Record
) -> None:
    """50,000 lines, 20,000 a second: every line arrives, the page holds few."""
    notebook = begun(opened, f"hooks(web, {FLOOD!r})", kernel)
    notebook.page.evaluate(GAPS)
    notebook.run(1)
    most = 0
    view = notebook.area(1).locator(".opsnb-job")
    expect(view).to_be_visible(timeout=30 * SECOND)
    while view.get_attribute("data-state") == "running":
        most = max(most, notebook.page.locator(".opsnb-line").count())
    done(notebook, 1)
    expect(line(notebook, 1, "is live")).to_be_visible()
    longest = notebook.page.evaluate("window.longest")
    holds(notebook, 1, "flood ", LINES + 1)  # and the command
    assert 0 < most < 100
    notebook.put(1, COUNT)
    notebook.run(1)
    count, seconds = notebook.text(1).split()
    assert int(count) == LINES
    record_property("lines a second", f"{LINES / float(seconds):,.0f}")
    record_property("longest time between two frames", f"{longest:.0f} ms")
    record_property("most lines in the page at once", most)


def test_the_whole_log_is_downloaded(opened: Opener, tmp_path: Path) -> None:
    notebook = begun(opened, f"hooks(web, {FLOOD!r})")
    notebook.run(1)
    done(notebook, 1)
    with notebook.page.expect_download() as download:
        log(notebook).get_by_role("button", name="Download log").click()
    download.value.save_as(tmp_path / "log")
    text = (tmp_path / "log").read_text("utf-8")
    assert "-demo-deploy-" in download.value.suggested_filename
    told = [row for row in text.splitlines() if "│ flood" in row]
    assert [row.split("flood ")[1][:5] for row in told] == [f"{n:05d}" for n in range(LINES)]


def test_pause_holds_the_log_still_and_follow_goes_to_its_end(opened: Opener, gate: Path) -> None:
    notebook = begun(opened, slow(60, gate=gate))
    notebook.run(1)
    expect(line(notebook, 1, "line 20")).to_be_visible(timeout=30 * SECOND)
    log(notebook).get_by_role("button", name="Pause", exact=True).click()
    pane = log(notebook).get_by_role("log")
    stands = pane.evaluate("(pane) => pane.scrollTop")
    notebook.page.wait_for_timeout(1500)
    assert pane.evaluate("(pane) => pane.scrollTop") == stands
    log(notebook).get_by_role("button", name="Follow", exact=True).click()
    at_end = "(pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 20"
    assert pane.evaluate(at_end)
    gate.touch()
    done(notebook, 1)
    expect(line(notebook, 1, "is live")).to_be_visible()


def test_scrolling_back_pauses(opened: Opener, gate: Path) -> None:
    notebook = begun(opened, slow(60, gate=gate))
    notebook.run(1)
    expect(line(notebook, 1, "line 20")).to_be_visible(timeout=30 * SECOND)
    log(notebook).get_by_role("log").hover()
    notebook.page.mouse.wheel(0, -2000)
    expect(log(notebook).get_by_role("button", name="Follow", exact=True)).to_be_visible()
    expect(line(notebook, 1, "deploy on demo begins")).to_be_visible()
    gate.touch()


def test_a_search_goes_from_match_to_match(opened: Opener) -> None:
    notebook = begun(opened, slow(30))
    notebook.run(1)
    done(notebook, 1)
    box = log(notebook).get_by_role("searchbox", name="Search the log")
    box.fill("LINE 2")
    said = log(notebook).get_by_role("status")
    expect(said).to_have_text("11")
    box.press("Enter")
    expect(said).to_have_text("1 of 11")
    expect(log(notebook).locator(".opsnb-here")).to_contain_text("line 2")
    box.press("Shift+Enter")
    expect(said).to_have_text("11 of 11")
    expect(log(notebook).locator(".opsnb-here")).to_contain_text("line 29")
    box.press("Escape")
    expect(box).to_have_value("")


def test_the_log_is_copied(opened: Opener) -> None:
    notebook = begun(opened, slow(3))
    notebook.run(1)
    done(notebook, 1)
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    log(notebook).get_by_role("button", name="Copy the log").click()
    expect(log(notebook).get_by_text("Copied", exact=True)).to_be_visible()
    text = notebook.page.evaluate("navigator.clipboard.readText()")
    assert [row.split(" ", 1)[1] for row in text.splitlines() if " line " in row][-1] == "line 2"


MARKUP = (
    "<img src=x onerror=console.error('ran')>",
    "</script><script>console.error('ran')</script>",
)
SAYS = {text: text for text in MARKUP} | {
    "\x1b]0;title\x07\x1b[31mred": "\\x1b]0;title\\x07\\x1b[31mred"
}


@pytest.mark.parametrize("said", SAYS, ids=["tag", "script", "terminal"])
def test_what_a_server_says_is_shown_and_never_run(opened: Opener, said: str) -> None:
    # What ran would say so on the console, which fails the test.
    notebook = begun(opened, f"hooks(web, 'cat <<\\'EOF\\'\\n' + {said!r} + '\\nEOF')")
    notebook.run(1)
    done(notebook, 1)
    shown = notebook.area(1).locator(".opsnb-line-hook", has_text=SAYS[said])
    expect(shown.last).to_be_visible()
    assert notebook.area(1).locator("img, script").count() == 0
