"""The question before a change.

Rule: nobody is asked where nobody is; then ``--yes`` is needed, or ``confirm = "none"``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from opsnb.cli.streams import complain, someone_there
from opsnb.core.text import safe
from opsnb.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from rich.text import Text

    from opsnb.server import Server


def must_ask(server: Server, verb: str, *, yes: bool) -> bool:
    """Whether a person must be asked before a change.

    Args:
        server: The server.
        verb: The change.
        yes: Whether ``--yes`` was given.

    Raises:
        ConfigError: One must be, and there is no terminal to ask on.
    """
    if yes or server.environment.confirm == "none":
        return False
    if not someone_there():
        raise ConfigError(
            f"{verb} asks first, and there is no terminal to ask on: nothing was changed",
            "Give --yes to answer beforehand.",
        )
    return True


def ask(server: Server, what: Iterable[Text]) -> None:
    """Show what will happen and ask whether it may.

    Args:
        server: The server; its environment says how to ask.
        what: What will happen, as lines.

    Raises:
        Interrupted: The answer is no.
    """
    from opsnb.cli import show  # noqa: PLC0415 - rich is loaded when there is something to show

    show.err().lines(what)
    if server.environment.confirm == "type-name":
        name = safe(server.name)
        agreed = _answer(f"Type the server's name ({name}) to go on: ") == name
    else:
        agreed = _answer("Go on? [y/N] ").lower() in ("y", "yes")
    if not agreed:
        raise Interrupted("not confirmed: nothing was changed")


def _answer(question: str) -> str:
    complain(question)
    line = sys.stdin.readline()
    if not line:
        complain("\n")
    return line.strip()
