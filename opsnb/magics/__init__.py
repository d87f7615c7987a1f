"""What ``%load_ext opsnb`` gives: the verbs in a cell, a shell on a server, script-style cells.

* ``%opsnb VERB ...`` runs a verb of the command line.
* ``%%remote SERVER`` runs the cell on a server, read-only unless ``--change`` is given.
* ``asyncio.run(main())`` works in a cell.

Rule 1: nothing is changed until the extension is loaded.
Rule 2: what goes wrong fails its cell in a line or two, so that "Run all" and a headless run stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsnb.magics.cells import OpsnbMagics
from opsnb.magics.scripts import Scripts

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LOADED: dict[int, tuple[OpsnbMagics, Scripts]] = {}


def load(shell: InteractiveShell) -> None:
    """Add the magics to a shell, and let script-style cells run where that can be.

    Args:
        shell: The shell.
    """
    unload(shell)
    magics, scripts = OpsnbMagics(shell), Scripts(shell)
    _LOADED[id(shell)] = magics, scripts
    shell.register_magics(magics)
    scripts.load()


def unload(shell: InteractiveShell) -> None:
    """Take the magics away, and close their connections.

    What was done for script-style cells stays until the kernel is restarted.

    Args:
        shell: The shell.
    """
    magics, scripts = _LOADED.pop(id(shell), (None, None))
    if magics is None or scripts is None:
        return
    scripts.unload()
    magics.close()
    manager: Any = shell.magics_manager
    for kind, names in magics.magics.items():
        for name in names:
            manager.magics[kind].pop(name, None)
