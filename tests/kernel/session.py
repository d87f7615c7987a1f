"""A kernel without a front end, as a headless runner has one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any, Self

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

PATIENCE = 120.0
"""Seconds after which a cell has hung; no statement about speed."""

Message = dict[str, Any]


class Cell:
    """A cell that was sent to a kernel, and what it has put out so far.

    Parameters:
        number: the id of the message that carried it.

    Attributes:
        text: what it printed.
        outputs: the contents of its displays and results, in order.
        error: the name and the words of the error that ended it; empty when none did.
        ended: whether it has ended.
    """

    def __init__(self, number: str) -> None:
        self.number = number
        self.text = ""
        self.outputs: list[Message] = []
        self.error = ""
        self.ended = False

    def take(self, message: Message) -> None:
        """Take a message that belongs to it."""
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                self.text += content["text"]
            case "display_data" | "execute_result":
                self.outputs.append(content["data"])
            case "error":
                self.error = f"{content['ename']}: {content['evalue']}"
                self.text += "\n".join(content["traceback"])
            case "status":
                self.ended = content["execution_state"] == "idle"


class Session:
    """A running kernel and its one client.

    Parameters:
        kernel: its name.
        specs: the folder of kernel descriptions.
        folder: its working directory.

    Attributes:
        updates: what was put in the place of an earlier output, whichever cell that is in.
    """

    def __init__(self, kernel: str, specs: Path, folder: Path) -> None:
        known = KernelSpecManager(kernel_dirs=[str(specs)])
        # Sockets of its own: a port that was free when it was chosen can be taken when it starts.
        self._sockets = TemporaryDirectory(prefix="opsnb-")
        self._manager = KernelManager(
            kernel_name=kernel,
            kernel_spec_manager=known,
            transport="ipc",
            ip=str(Path(self._sockets.name) / "kernel"),
        )
        self._folder = folder
        self.updates: list[Message] = []
        self._client: BlockingKernelClient

    def __enter__(self) -> Self:
        self._manager.start_kernel(cwd=str(self._folder))
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._sockets.cleanup()

    def _connect(self) -> None:
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def restart(self, *, now: bool) -> None:
        """Restart the kernel: killed at once, or asked to end first."""
        self._client.stop_channels()
        self._manager.restart_kernel(now=now)
        self._connect()

    def interrupt(self) -> None:
        """What the interrupt button does."""
        self._manager.interrupt_kernel()

    def begin(self, code: str) -> Cell:
        """Send a cell; it runs."""
        return Cell(self._client.execute(code))

    def until(self, cell: Cell, true: Callable[[Cell], bool]) -> Cell:
        """Take what the cell puts out until something is true of it, or it has ended."""
        deadline = time.monotonic() + PATIENCE
        while not true(cell) and not cell.ended:
            if time.monotonic() > deadline:
                raise AssertionError(f"the cell hangs; it said: {cell.text}")
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["msg_type"] == "update_display_data":
                self.updates.append(message["content"]["data"])
            elif message["parent_header"].get("msg_id") == cell.number:
                cell.take(message)
        return cell

    def says(self, cell: Cell, marker: str) -> Cell:
        """Wait until a running cell has printed something."""
        self.until(cell, lambda now: marker in now.text)
        assert marker in cell.text, f"it ended without {marker!r}: {cell.text}{cell.error}"
        assert not cell.ended
        return cell

    def end(self, cell: Cell) -> Cell:
        """Wait until a cell has ended, and been answered.

        A request that reaches an ipykernel 7.1 to 7.3 while it sends a reply may stay unread
        (ipykernel's issue 1554), so there is never one on the way.
        """
        self.until(cell, lambda now: now.ended)
        while (
            self._client.get_shell_msg(timeout=PATIENCE)["parent_header"]["msg_id"] != cell.number
        ):
            pass
        return cell

    def run(self, code: str) -> str:
        """Run a cell that must end well.

        Returns:
            What it printed.
        """
        cell = self.end(self.begin(code))
        assert not cell.error, cell.text
        return cell.text
