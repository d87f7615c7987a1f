"""How much of a front end there is."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from opsnb.errors import ConfigError

Face = Literal["widget", "static", "text"]
FACES: tuple[Face, ...] = ("widget", "static", "text")


def shell() -> Any:
    """The running IPython shell; None where there is none. Loads nothing."""
    ipython = sys.modules.get("IPython")
    found = getattr(ipython, "get_ipython", None)
    return found() if found is not None else None


def in_kernel() -> bool:
    """Whether this process is a notebook's kernel."""
    return hasattr(shell(), "kernel")


def face() -> Face:
    """What can be shown here.

    ``OPSNB_FACE`` decides where it is set. Else ``widget`` in a kernel that a Jupyter server's
    front end started (which sets ``JPY_SESSION_NAME``; a headless run does not), ``static`` in any
    other kernel, and ``text`` in a terminal or a script.

    Raises:
        ConfigError: ``OPSNB_FACE`` holds something else.
    """
    asked = os.environ.get("OPSNB_FACE", "")
    if asked:
        for known in FACES:
            if asked == known:
                return known
        raise ConfigError(f"OPSNB_FACE is {asked!r}", f"Known are: {', '.join(FACES)}.")
    if not in_kernel():
        return "text"
    return "widget" if os.environ.get("JPY_SESSION_NAME") else "static"
