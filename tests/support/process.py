"""Processes that a test has begun, by their numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has reaped yet has."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def running(word: str) -> list[str]:
    """The programs that run with this word among their arguments."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = place.read_bytes().decode(errors="replace").split("\0")
            found += [" ".join(words)] if word in words else []
    return found


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is true.

    Raises:
        AssertionError: It did not become so in time.
    """
    over = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < over
        time.sleep(0.02)


def gone(pids: Iterable[int], seconds: float = 0.5) -> bool:
    """Whether processes have ended, or do so in a moment.

    What is killed lets its pipes go a moment before it has ended: whoever waits for the pipes may
    come too early by that much.
    """
    left = list(pids)
    over = time.monotonic() + seconds
    while left := [pid for pid in left if runs(pid)]:
        if time.monotonic() > over:
            return False
        time.sleep(0.01)
    return True
