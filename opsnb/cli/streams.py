"""Standard output and standard error, also when their readers have gone away."""

from __future__ import annotations

import os
import signal
import stat
import sys
from io import TextIOWrapper
from typing import TextIO


def forgive() -> None:
    """Let a character that an old locale lacks be written as an escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hush(stream: TextIO) -> None:
    """Send what is still to come to nowhere: the reader is gone (``| head``).

    A change that runs must not end because nobody reads its words any more.

    Args:
        stream: Standard output or standard error.
    """
    _hush(stream.fileno())


def _hush(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def hung_up(number: int) -> None:
    """Write no more to a terminal that has been closed, if that is what a signal says.

    Args:
        number: The signal.
    """
    if number != signal.SIGHUP:
        return
    for descriptor in (1, 2):
        # What is written to a file is still read by somebody. (The terminal no longer says that it
        # is one.)
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            _hush(descriptor)


def put(text: str) -> None:
    """Write to standard output, at once.

    Args:
        text: Whole lines.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        hush(sys.stdout)


def complain(text: str) -> None:
    """Write to standard error, at once.

    Args:
        text: Whole lines, or a question.
    """
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        hush(sys.stderr)


def someone_there() -> bool:
    """Whether a person can be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()
