"""Script-style cells: ``asyncio.run(main())`` in a kernel, whose loop runs already.

It is the users' own code that needs this; nothing of opsnb's nests loops. ``nest_asyncio2`` patches
asyncio for the whole kernel, until it is restarted, and makes task switching slower: so it is done
only when the extension is loaded, and only where it works.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

INSTEAD = "`await main()` works in a cell without it."


class Scripts:
    """Lets script-style cells run in a kernel.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting = False

    def load(self) -> None:
        """Do it now, or before the first cell when the kernel has not begun to run its loop."""
        if getattr(self._shell, "kernel", None) is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._waiting = True
            self._shell.events.register("pre_run_cell", self._before_a_cell)
            return
        doubt = patch(loop)
        if doubt:
            sys.stderr.write(f"{doubt}\n")

    def unload(self) -> None:
        """Stop waiting for the first cell."""
        if self._waiting:
            self._waiting = False
            self._shell.events.unregister("pre_run_cell", self._before_a_cell)

    def _before_a_cell(self, *_: object) -> None:
        self.unload()
        self.load()


def patch(loop: asyncio.AbstractEventLoop) -> str:
    """Let a running loop run another coroutine to its end.

    Args:
        loop: The loop.

    Returns:
        Why it was not done; empty when it was.
    """
    if hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2"):
        return (
            "asyncio.run() in a cell: left alone, since nest_asyncio has patched asyncio, and that "
            f"loses cells and clicks on ipykernel 7.\nRestart the kernel without it. {INSTEAD}"
        )
    if not isinstance(loop, asyncio.BaseEventLoop):
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        return f"asyncio.run() in a cell: the kernel's loop ({kind}) cannot be patched.\n{INSTEAD}"
    nest_asyncio2 = import_module("nest_asyncio2")  # untyped, and only wanted here
    nest_asyncio2.apply(loop, error_on_mispatched=True)
    return ""
