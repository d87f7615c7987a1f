"""What stopped a run, in words and as an exit status."""

from __future__ import annotations

import re
from typing import NamedTuple

from opsnb import errors
from opsnb.core.text import safe
from opsnb.errors import GateClosed, Interrupted, OpsnbError

INTERRUPTS = ("KeyboardInterrupt", "CancelledError")
# How `%opsnb` says that its verb failed.
CELL_FAILED = "CellFailed"
_VERB = re.compile(r"opsnb: exit status (\d+)")


class Stop(NamedTuple):
    """What stopped a run.

    Attributes:
        ename: The name of its class; empty when nothing did.
        message: It, in words.
        exit_status: What a shell is told.
    """

    ename: str = ""
    message: str = ""
    exit_status: int = 0


INTERRUPTED = Stop(
    Interrupted.__name__,
    "interrupted; the last outputs of the record say how far it came",
    Interrupted.exit_status,
)
DIED = "the kernel died; if a change was running, `opsnb releases` says what is live"


def raised(ename: str, evalue: str) -> Stop:
    """What an exception in a cell comes to.

    Args:
        ename: The name of its class.
        evalue: Its words.
    """
    ours = ename == CELL_FAILED or hasattr(errors, ename)
    said = evalue if ours else f"{ename}: {evalue}".removesuffix(": ")
    return Stop(ename, lines(said), status_of(ename, evalue))


def status_of(ename: str, evalue: str = "") -> int:
    """The exit status of a notebook that an exception has stopped.

    Args:
        ename: The name of the exception's class.
        evalue: Its words.

    Returns:
        That of opsnb's own error, or of the verb that ``%opsnb`` ran; 130 for an interrupt; 24 for
        the notebook's own failing code, which is a gate, too.
    """
    known = getattr(errors, ename, None)
    if isinstance(known, type) and issubclass(known, OpsnbError):
        return known.exit_status
    verb = _VERB.fullmatch(evalue) if ename == CELL_FAILED else None
    if verb:
        return int(verb[1])
    return Interrupted.exit_status if ename in INTERRUPTS else GateClosed.exit_status


def lines(text: str) -> str:
    """Text that is safe to show, line by line.

    Args:
        text: Text of any kind.
    """
    return "\n".join(safe(line) for line in text.split("\n"))
