"""How soon things are there: figures that are printed, and never asserted."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.test_live import SECOND, view
from tests.kernel.cells import DEMO

Record = Callable[[str, object], None]


def test_the_console_begins(opened: Opener, kernel: str, record_property: Record) -> None:
    """The console shows the releases of a server on loopback."""
    notebook = opened("import opsnb\ndemo = opsnb.demo()", "opsnb.console(demo)", kernel=kernel)
    notebook.run(0)
    began = time.monotonic()
    notebook.run(1, wait=False)
    expect(notebook.page.locator(".opsnb-console")).to_contain_text(
        "lock free", timeout=30 * SECOND
    )
    record_property("seconds from the click to the releases", f"{time.monotonic() - began:.2f}")


def test_a_change_begins(opened: Opener, kernel: str, record_property: Record) -> None:
    """A change shows itself as a last line, and is done."""
    notebook = opened(DEMO, "web.deploy(demo.site('v2'))", kernel=kernel)
    notebook.run(0)
    began = time.monotonic()
    notebook.run(1, wait=False)
    expect(view(notebook, 1)).to_be_visible(timeout=30 * SECOND)
    seen = time.monotonic()
    expect(view(notebook, 1)).to_have_attribute("data-state", "done", timeout=30 * SECOND)
    record_property("seconds from the click to its view", f"{seen - began:.2f}")
    record_property("seconds from the click to done", f"{time.monotonic() - began:.2f}")
