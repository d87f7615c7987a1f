"""The system's libraries that asyncssh looks for while it is imported.

Of one that is not installed, ``ctypes.util.find_library`` asks the C compiler and the linker, too:
where there are any, that takes as long as connecting to a server does.
"""

from __future__ import annotations

import ctypes.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path("/etc/ld.so.cache")


@contextmanager
def no_compiler() -> Iterator[None]:
    """Meanwhile, a library that the loader does not know is taken as not installed.

    Where it may load others, or does not say which it knows, they are looked for as ever.
    """
    known, find = _known(), ctypes.util.find_library

    def found(name: str) -> str | None:
        return find(name) if f"lib{name}.".encode() in known else None

    if known:
        ctypes.util.find_library = found
    try:
        yield
    finally:
        ctypes.util.find_library = find


def _known() -> bytes:
    """The names of the libraries that the loader finds; empty when they cannot be told."""
    if os.environ.get("LD_LIBRARY_PATH"):
        return b""
    try:
        return CACHE.read_bytes()
    except OSError:
        return b""
