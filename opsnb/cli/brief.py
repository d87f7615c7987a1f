"""A process that lives for a moment: what it need not do.

While modules are loaded, Python's collector looks again and again for garbage where there is none,
and at the end it looks once more through all that there is. Both together take longer than to
connect to a server and to ask it something. And it takes all of it apart, piece by piece, before
the system gets it back as a whole.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def brief() -> Iterator[None]:
    """Around a command that has the process to itself: no garbage is looked for.

    What may go on for longer says so: see :func:`settled`. At the end, when all has been cleaned up
    that is registered to be, the process leaves with the status of its :class:`SystemExit`, and
    what was loaded is not taken apart.
    """
    gc.disable()
    status: list[int] = []
    # What is registered first is called last. Whoever came before is not to be left out.
    if not atexit._ncallbacks():
        atexit.register(_leave, status)
    try:
        yield
    except SystemExit as end:
        if isinstance(end.code, int):
            status.append(end.code)
        raise
    finally:
        gc.freeze()


def _leave(status: list[int]) -> None:
    """End the process here, if it ends in the ordinary way and has been heard to the end."""
    if not status:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return  # Python tells of it in its own way
    os._exit(status[0])


def settled() -> None:
    """From here on garbage is looked for, if it is not already: but not in what was loaded."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
