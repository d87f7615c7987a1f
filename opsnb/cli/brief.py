"""A process that lives for a moment: what it need not do.

While modules are loaded, Python's collector looks again and again for garbage where there is none,
and at the end it looks once more through all that there is. Both together take longer than to
connect to a server and to ask it something.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def brief() -> Iterator[None]:
    """Around a command that has the process to itself: no garbage is looked for.

    What may go on for longer says so: see :func:`settled`.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()


def settled() -> None:
    """From here on garbage is looked for, if it is not already: but not in what was loaded."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
