"""Standard output and standard error, also when their readers have gone away."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, TextIO


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


class Written:
    """A stream whose closed terminal is a broken pipe, which rich and click know how to bear.

    Between the moment that a terminal is closed and the moment that SIGHUP is handled, and for ever
    where SIGHUP is ignored (``nohup``), a write fails with EIO.

    Args:
        stream: Standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or buffer, a text."""
        with self._to_somebody():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._to_somebody():
            self._stream.flush()

    @contextmanager
    def _to_somebody(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self.fileno()).st_mode):
                raise BrokenPipeError(errno.EPIPE, "the terminal has been closed") from error
            raise

    def fileno(self) -> int:
        """The stream's descriptor."""
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Borne:
    """Bears that words can be written nowhere, as on a full disk: what they tell of goes on.

    Attributes:
        fault: Why they could not be written; None while they can.
    """

    def __init__(self) -> None:
        self.fault: OSError | None = None

    def __enter__(self) -> Borne:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        del kind, trace
        if not isinstance(error, OSError):
            return False
        self.fault = self.fault or error
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                hush(stream)
        return True

    def complain(self, instead: str) -> None:
        """Say that not all could be told, where something still can be.

        Args:
            instead: What matters most of it.
        """
        if self.fault is not None:
            with self:
                complain(f"not all could be told ({self.fault.strerror}): {instead}\n")


def put(text: str) -> None:
    """Write to standard output, at once.

    Args:
        text: Whole lines.
    """
    _put(text, sys.stdout)


def complain(text: str) -> None:
    """Write to standard error, at once.

    Args:
        text: Whole lines, or a question.
    """
    _put(text, sys.stderr)


def _put(text: str, stream: TextIO) -> None:
    written = Written(stream)
    try:
        written.write(text)
        written.flush()
    except BrokenPipeError:
        hush(stream)


def someone_there() -> bool:
    """Whether a person can be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def aside(line: str) -> None:
    """Tell of what goes on before there is an answer: on standard error.

    Args:
        line: A line, safe to show.
    """
    complain(f"{line}\n")
