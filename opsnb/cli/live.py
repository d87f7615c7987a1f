"""A running change, as it is seen from a shell.

Rule 1: who tells never decides: a change goes on whatever becomes of its audience.
Rule 2: what is over is a line that stays; what goes on is drawn below it, on a terminal only.
Rule 3: Ctrl-C, SIGTERM and the end of the terminal abort the change and wait for its clean-up;
        the second one leaves.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from opsnb.cli import json_out
from opsnb.cli.brief import settled
from opsnb.cli.streams import Borne, hung_up
from opsnb.errors import OpsnbError

if TYPE_CHECKING:
    from opsnb.core.events import Event, Report
    from opsnb.job import Job
    from opsnb.server import Server

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Teller(Protocol):
    """Tells of a running change."""

    def watch(self, job: Job) -> AbstractContextManager[object]:
        """What surrounds the telling: a display that is drawn while the job runs."""

    def tell(self, event: Event) -> None:
        """Tell of an event."""

    def end(self, report: Report) -> None:
        """Tell how it ended."""


class Lines:
    """One line of JSON for each event, the report last."""

    def watch(self, job: Job) -> AbstractContextManager[object]:
        """See :meth:`Teller.watch`."""
        del job
        return nullcontext()

    def tell(self, event: Event) -> None:
        """See :meth:`Teller.tell`."""
        json_out.line(event.to_dict())

    def end(self, report: Report) -> None:
        """The report was the last event."""


class Stop:
    """What a signal does: abort the job, once; with no job yet, interrupt."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        del frame
        hung_up(number)
        if self.job is None:
            raise KeyboardInterrupt
        self.restore()
        self.job.cancel()

    def install(self) -> None:
        """Handle the signals, but for those that the caller ignores (``nohup``, ``&``)."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self)

    def restore(self) -> None:
        """Handle them as before: a second signal interrupts the wait."""
        while self._before:
            signal.signal(*self._before.popitem())


@contextmanager
def stopping() -> Iterator[Stop]:
    """Signals abort the job that is given to what this yields."""
    stop = Stop()
    stop.install()
    try:
        yield stop
    finally:
        stop.restore()


def run(server: Server, start: Callable[[], Job], *, as_json: bool) -> int:
    """Start a change, tell of it until it ends, and say how it ended.

    Args:
        server: The server.
        start: Starts it.
        as_json: Whether a machine reads.

    Returns:
        The exit status.
    """
    with stopping() as stop:
        stop.job = job = start()
        # It runs already while that is loaded which tells of it.
        teller = Lines() if as_json else _teller(server)
        settled()
        with Borne() as words, teller.watch(job):
            told = _listen(job, teller)
        report = _ended(job)
    if words.fault is None:
        with words:
            for event in job.since(told)[0]:
                teller.tell(event)
            teller.end(report)
            if not as_json:
                _untold(job)
    words.complain(report.sentence)
    return report.exit_status


def _untold(job: Job) -> None:
    """Say who was not told of it; the log has it, too. Whoever does not want to wait leaves."""
    with suppress(KeyboardInterrupt):
        if faults := job.untold():
            from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

            show.err().lines(show.note(fault) for fault in faults)


def _listen(job: Job, teller: Teller) -> int:
    """Tell of everything up to the end, and not wait whether more follows; how much was told."""
    from opsnb.core.events import Ended  # noqa: PLC0415 - loaded with the change

    told = 0
    for event in job:
        teller.tell(event)
        told += 1
        if isinstance(event, Ended):
            break
    return told


def _teller(server: Server) -> Teller:
    from opsnb.cli.telling import Words  # noqa: PLC0415 - rich is loaded when a person reads

    return Words(server, time.monotonic)


def _ended(job: Job) -> Report:
    try:
        return job.wait()
    except OpsnbError as error:
        report: Report | None = error.report
        if report is None:
            raise
        return report
