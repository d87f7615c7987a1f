"""A notebook in JupyterLab, as a person has it before them.

Rule 1: what a cell has put out is read from the notebook's model, which has all of it; the page
    may have drawn a part.
Rule 2: what the page says on its console as an error, and every request to another host, is kept;
    a test that ends with any of either has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Playwright,
    Request,
    TimeoutError,
)

from tests.support.lab import HOST, THEMES, Lab
from tests.support.sshd import require

PATIENCE = 90_000.0
"""Milliseconds after which something has hung; no statement about speed."""

_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever asks for another host gets no answer; that it asked fails the test.
    f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {HOST}",
]
# What JupyterLab itself puts on the console as an error, without any fault of ours.
_LABS_OWN = (
    "Failed to load resource: the server responded with a status of 404",
    "WebSocket connection to",
    "Connection lost, reconnecting in",
)


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, without a window."""
    return playwright.chromium.launch(executable_path=require("chromium"), args=_CHROMIUM)


class Watch:
    """Keeps what a page should not do.

    Attributes:
        errors: what it said on its console as an error, or raised and nobody caught.
        strangers: addresses on other hosts that it asked for.
    """

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self._expected: tuple[str, ...] = _LABS_OWN
        page.on("console", self._said)
        page.on("pageerror", self._raised)
        page.on("request", self._asked)
        page.on("websocket", lambda line: self._address(line.url))

    def expect(self, text: str) -> None:
        """Do not keep what begins so: it belongs to what the test does."""
        self._expected = (*self._expected, text)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(self._expected):
            self.errors.append(message.text)

    def _raised(self, error: Error) -> None:
        # JupyterLab's own scripts trip now and then, for instance when a theme changes; widgets
        # come from elsewhere.
        places = [line for line in (error.stack or "").splitlines() if "://" in line]
        if not places or not all("/static/lab/" in place for place in places):
            self.errors.append(f"uncaught: {error}\n{error.stack}")

    def _asked(self, request: Request) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        place = urlsplit(url)
        if place.scheme not in ("data", "blob", "about") and place.hostname != HOST:
            self.strangers.append(url)

    def forget(self) -> None:
        """Begin anew."""
        self.errors.clear()
        self.strangers.clear()


class Notebook:
    """A notebook that is open in a page.

    Parameters:
        page: the page.
        lab: the server.
        name: its file.
    """

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.lab = lab
        self.name = name

    # Opening and closing

    def open(self) -> Self:
        """Open it, in a JupyterLab that shows nothing else, and wait for its kernel."""
        self.page.goto(f"{self.lab.url}/lab/tree/{self.name}?reset")
        self.ready()
        self.answers()
        return self

    def reload(self) -> Self:
        """Load the page anew, as F5 does; the kernel goes on."""
        self.page.goto(f"{self.lab.url}/lab/tree/{self.name}")
        return self.ready()

    def ready(self) -> Self:
        """Wait until JupyterLab has restored itself and shows it."""
        self.page.wait_for_function("window.jupyterapp", timeout=PATIENCE)
        self.page.evaluate("jupyterapp.restored.then(() => 1)")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)
        self.connected()
        # The file browser takes a third of the width.
        self.page.evaluate(
            "jupyterapp.shell.leftCollapsed ||"
            " jupyterapp.commands.execute('application:toggle-left-area')"
        )
        return self

    def connected(self) -> None:
        """Wait until its kernel is there.

        JupyterLab knows a kernel's status once the kernel has answered its first question, which
        may stay unread; see `CONNECT`.
        """
        for _ in range(5):
            with contextlib.suppress(TimeoutError):
                self.page.wait_for_function(_CONNECTED, timeout=PATIENCE / 6)
                return
            if self.page.evaluate(f"!!{_KERNEL}"):
                self.page.evaluate(CONNECT)
        self.page.wait_for_function(_CONNECTED, timeout=PATIENCE / 6)

    def answers(self) -> None:
        """Wait until a kernel that has just begun answers; see `CONNECT`."""
        for _ in range(12):
            if self.page.evaluate(ASK):
                return
            self.page.evaluate(CONNECT)
        raise AssertionError(f"the kernel does not answer: {self.lab.log()}")

    def close(self) -> None:
        """End its kernel and close it; nothing is saved."""
        self.page.evaluate(f"{_SESSION}.shutdown()")
        self.page.evaluate(f"{_WIDGET}.context.model.dirty = false")
        self.page.evaluate(f"{_WIDGET}.close()")

    # Cells

    def run(self, number: int, *, wait: bool = True) -> None:
        """Run a cell, the first being 0."""
        self.page.evaluate(
            f"(number) => {{ {_WIDGET}.content.activeCellIndex = number;"
            " jupyterapp.commands.execute('notebook:run-cell'); }",
            number,
        )
        if wait:
            self.ended(number)

    def ended(self, number: int) -> None:
        """Wait until a cell has ended; see `CONNECT`."""
        ended = (
            f"(number) => {{ const cell = {_WIDGET}.content.model.cells.get(number);"
            " return cell.executionState === 'idle' && cell.executionCount !== null; }"
        )
        for _ in range(5):
            with contextlib.suppress(TimeoutError):
                self.page.wait_for_function(ended, arg=number, timeout=PATIENCE / 6)
                return
            if self.page.evaluate(f"{_KERNEL}.status") == "idle":
                self.page.evaluate(CONNECT)
        self.page.wait_for_function(ended, arg=number, timeout=PATIENCE / 6)

    def busy(self, number: int) -> bool:
        """Whether a cell runs, or waits for its turn."""
        found = self.page.evaluate(
            f"(number) => {_WIDGET}.content.model.cells.get(number).executionState", number
        )
        return bool(found != "idle")

    def put(self, number: int, source: str) -> None:
        """Write another text into a cell."""
        self.page.evaluate(
            f"([number, source]) => {_WIDGET}.content.model.cells.get(number)"
            ".sharedModel.setSource(source)",
            [number, source],
        )

    def outputs(self, number: int) -> list[dict[str, Any]]:
        """What a cell has put out, as the notebook's file would have it."""
        found: list[dict[str, Any]] = self.page.evaluate(
            f"(number) => {_WIDGET}.content.model.cells.get(number).outputs.toJSON()", number
        )
        return found

    def text(self, number: int) -> str:
        """What a cell has printed, and the words of its error."""
        said = []
        for output in self.outputs(number):
            said.append(_joined(output.get("text", "")))
            said += output.get("traceback", [])
        return "".join(said)

    def says(self, number: int, marker: str) -> None:
        """Wait until a cell has printed something."""
        self.page.wait_for_function(
            f"([number, marker]) => JSON.stringify({_WIDGET}.content.model.cells.get(number)"
            ".outputs.toJSON().map((output) => output.text || '')).includes(marker)",
            arg=[number, marker],
            timeout=PATIENCE,
        )

    def area(self, number: int) -> Locator:
        """Where a cell's outputs are drawn."""
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        return cells.nth(number).locator(".jp-Cell-outputArea")

    # The kernel

    def interrupt(self) -> None:
        """Press the button that interrupts the kernel."""
        self.page.locator(".jp-NotebookPanel-toolbar [data-jp-item-name=interrupt]").click()

    def restart(self) -> None:
        """Restart the kernel, and wait for the new one."""
        self.page.evaluate(f"{_KERNEL}.restart()")
        self.connected()
        self.answers()

    # The file and the look

    def saved(self) -> dict[str, Any]:
        """Save it, and read the file."""
        self.page.evaluate(f"{_WIDGET}.context.save()")
        found: dict[str, Any] = json.loads((self.lab.work / self.name).read_text("utf-8"))
        return found

    def shot(self, name: str) -> Path:
        """Take a picture of the page, into the folder of `shots`."""
        path = shots() / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    @contextlib.contextmanager
    def theme(self, name: str) -> Iterator[None]:
        """Show JupyterLab in a theme, and in the first one again afterwards."""
        self._theme(name)
        try:
            yield
        finally:
            self._theme(THEMES[0])

    def _theme(self, name: str) -> None:
        self.page.evaluate(
            "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })", name
        )
        self.page.wait_for_function(
            "(theme) => document.body.dataset.jpThemeName === theme", arg=name, timeout=PATIENCE
        )


_WIDGET = "jupyterapp.shell.currentWidget"
_SESSION = f"{_WIDGET}.sessionContext"
_KERNEL = f"({_SESSION}.session && {_SESSION}.session.kernel)"
_CONNECTED = f"""(() => {{
    const kernel = {_KERNEL};
    return kernel && kernel.connectionStatus === 'connected' &&
        ['idle', 'busy'].includes(kernel.status);
}})()"""

ASK = f"""() => Promise.race([
    {_KERNEL}.requestKernelInfo().then(() => true, () => false),
    new Promise((tell) => setTimeout(() => tell(false), 5000)),
])"""
CONNECT = f"""() => {{
    const kernel = {{ model: {_KERNEL}.model, handleComms: false }};
    const other = jupyterapp.serviceManager.kernels.connectTo(kernel);
    setTimeout(() => other.dispose(), 5000);
}}"""
"""Connects to the kernel once more. What reaches an ipykernel 7.1 to 7.3 while it sends a reply may
stay unread until somebody connects (ipykernel's issue 1554); mostly that befalls the first cell."""


def shots() -> Path:
    """Where pictures go: ``OPSNB_SHOTS``, else a folder among the temporary ones."""
    folder = Path(os.environ.get("OPSNB_SHOTS") or f"{tempfile.gettempdir()}/opsnb-shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
