"""A change that runs: watch it, wait for it, await it, abort it.

Rule 1: to stop watching is not to stop the change: only :meth:`Job.cancel`, an interrupt, and the
cancellation of a task that awaits it do.
Rule 2: a job ends with a report, also when it failed; waiting for a failed one raises its error,
which carries the report.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from opsnb.core.events import Event, Log, Report, Warned
from opsnb.core.progress import Progress, fold
from opsnb.errors import OpsnbError
from opsnb.joblog import JobLog
from opsnb.loop import BEAT, LOOP, wait

Ran = tuple[Report, OpsnbError | None]
KEPT_LINES = 100_000


class Teller(Protocol):
    """What tells others of a job, and may fail to; failing, it calls ``fault`` with the words."""

    fault: Callable[[str], None]

    def hear(self, event: Event) -> None:
        """Tell of an event; returns at once."""

    def wait(self) -> None:
        """Wait, for a bounded time, until everything is told."""


class Company(Protocol):
    """What keeps somebody company who waits for a job: it may show what happens meanwhile."""

    def beat(self) -> None:
        """Called a few times a second, in the thread that waits."""

    def end(self) -> None:
        """Called when the job has ended, before its result is given."""


# Who to ask for company when somebody begins to wait: a notebook shows the job then.
COMPANIONS: list[Callable[[Job], Company | None]] = []


@contextmanager
def unaccompanied() -> Iterator[None]:
    """Keep nobody company meanwhile: what waits in here is shown by others, or by nobody."""
    before = COMPANIONS[:]
    COMPANIONS.clear()
    try:
        yield
    finally:
        COMPANIONS[:] = before


class Job:
    """A running change.

    Args:
        verb: What kind of change.
        server: The server's name.
        work: Carries it out on opsnb's loop, telling of its events.
        by: Who began it, and on which machine.
        teller: Tells others of it; None for nobody.
    """

    def __init__(
        self,
        verb: str,
        server: str,
        work: Callable[[Callable[[Event], None]], Awaitable[Ran]],
        by: str = "",
        teller: Teller | None = None,
    ) -> None:
        self.verb = verb
        self.server = server
        self.by = by
        self._news = threading.Condition()
        self._events: list[Event] = []
        self._progress = Progress()
        self._lines = 0
        self._dropped = 0
        self._waiting = 0
        self._log = JobLog(verb, server)
        self._fault_told = False
        self._teller = teller
        self._untold: list[str] = []
        if teller is not None:
            teller.fault = self._not_told
        self._task: asyncio.Task[Ran] | None = None
        self._cancelled = self._aborted = 0  # how often it was told to stop, and has been
        self._ran: Future[Ran] = LOOP.submit(self._main(work))
        self.when_done(self._wake)

    def _wake(self) -> None:
        """Whoever waits for the next event is told at once that there is none."""
        with self._news:
            self._news.notify_all()

    async def _main(self, work: Callable[[Callable[[Event], None]], Awaitable[Ran]]) -> Ran:
        self._task = task = asyncio.ensure_future(_run(work, self._tell))
        # When the work has ended, not when nobody waits for it any more: its clean-up has a say.
        task.add_done_callback(lambda _: self._log.close())
        if self._cancelled:
            # Cancelled before it began: let it begin, so that it ends with a report.
            asyncio.get_running_loop().call_soon(self._abort)
        return await asyncio.shield(task)

    def _tell(self, event: Event) -> None:
        self._log.add(event)
        self._keep(event)
        if self._log.fault and not self._fault_told:
            self._fault_told = True
            self._keep(Warned(event.server, event.at, self._log.fault))
        if self._teller is not None:
            self._teller.hear(event)

    def _not_told(self, fault: str) -> None:
        """Somebody was not told: a warning in the log, which the job is none the worse for."""
        warned = Warned(self.server, time.time(), fault)
        self._log.late(warned)
        with self._news:
            self._untold.append(fault)

    def untold(self) -> list[str]:
        """Wait for this job's notices, for a bounded time; what was not delivered, in words."""
        if self._teller is not None:
            self._teller.wait()
        with self._news:
            return list(self._untold)

    def _keep(self, event: Event) -> None:
        with self._news:
            if isinstance(event, Log):
                self._lines += 1
                if self._lines > KEPT_LINES:
                    oldest = next(i for i, e in enumerate(self._events) if isinstance(e, Log))
                    del self._events[oldest]
                    self._dropped += 1
            self._events.append(event)
            self._progress = fold([event], self._progress)
            self._news.notify_all()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    @property
    def events(self) -> list[Event]:
        """Everything that was told so far (of log lines the last 100,000)."""
        with self._news:
            return list(self._events)

    def since(self, told: int) -> tuple[list[Event], int]:
        """What was told after the first ``told`` events.

        Args:
            told: How many were told already; those that are no longer kept count.

        Returns:
            The events that came since and are kept, and how many were told in all.
        """
        with self._news:
            return self._since(told), self._dropped + len(self._events)

    @property
    def log_file(self) -> Path | None:
        """Where the whole log is; None when it could not be kept (a warning says why)."""
        return self._log.path

    @property
    def waited(self) -> bool:
        """Whether the main thread waits for it, so that an interrupt of the program aborts it."""
        return self._waiting > 0

    @property
    def aborting(self) -> bool:
        """Whether it was told to stop and has not ended yet."""
        return self._cancelled > 0 and not self.done

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._ran.done()

    def when_done(self, call: Callable[[], None]) -> None:
        """Call something when it has ended, on opsnb's thread; at once when it has ended already.

        Args:
            call: What to call; it must not wait for anything.
        """
        self._ran.add_done_callback(lambda _: call())

    @property
    def report(self) -> Report | None:
        """How it ended; None while it runs."""
        return self._progress.report

    def cancel(self) -> None:
        """Abort it: the step on the server is ended, what was being built is removed.

        Returns at once; wait for the job to know whether the switch had happened.
        """
        self._cancelled += 1
        self._pass_on()

    def _pass_on(self) -> None:
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        """Cancel the work as often as it was told to stop, however often that is passed on."""
        if self._task is not None and self._aborted < self._cancelled:
            self._aborted += 1
            self._task.cancel()

    def _abort_for(self) -> None:
        """Abort it for an interrupt of who waits: once, also where the view's Abort did it."""
        if not self.aborting:
            self.cancel()

    def wait(self, timeout: float | None = None) -> Report:
        """Wait until it has ended. An interrupt (Ctrl-C) aborts it, and waits for its clean-up.

        Args:
            timeout: Seconds to wait at most; None for ever. The job goes on when they are over.

        Raises:
            TimeoutError: It has not ended yet.
            OpsnbError: It failed; ``error.report`` is the report.
        """
        with self._accompanied() as beat:
            try:
                wait(self._ran, timeout, beat)
            except KeyboardInterrupt:
                try:
                    self._abort_for()
                    wait(self._ran, None, beat)
                except KeyboardInterrupt:
                    # It may have come before the first one had been passed on.
                    self._cancelled = max(1, self._cancelled)
                    self._pass_on()
                    raise
        return _result(self._ran.result())

    def __await__(self) -> Generator[object, None, Report]:
        return self._awaited().__await__()

    async def _awaited(self) -> Report:
        # The short timeout is a heartbeat: a kernel's interrupt does not wake an idle loop.
        waiting = asyncio.wrap_future(self._ran)
        with self._accompanied() as beat:
            try:
                while not waiting.done():
                    await asyncio.wait([waiting], timeout=BEAT)
                    beat()
            except asyncio.CancelledError:
                self._abort_for()
                while not waiting.done():
                    await asyncio.wait([waiting], timeout=BEAT)
                    beat()
                raise asyncio.CancelledError(self._ended()) from None
        return _result(waiting.result())

    def _ended(self) -> str:
        report = self.report
        return report.sentence if report else "the change has ended"

    @contextmanager
    def _accompanied(self) -> Iterator[Callable[[], None]]:
        """Count who waits, and keep them company."""
        company = [found for ask in COMPANIONS if (found := ask(self)) is not None]

        def beat() -> None:
            for friend in company:
                friend.beat()

        # An interrupt comes to the main thread alone.
        counts = threading.current_thread() is threading.main_thread()
        with self._news:
            self._waiting += counts
        try:
            yield beat
        finally:
            with self._news:
                self._waiting -= counts
            if self.done:
                for friend in company:
                    friend.end()

    def __iter__(self) -> Iterator[Event]:
        """Its events from the first, as they come, until it ends. Leaving early stops nothing."""
        told = 0
        while True:
            with self._news:
                if not self._since(told) and not self.done:
                    self._news.wait(BEAT)
            ended = self.done
            fresh, told = self.since(told)
            yield from fresh
            if ended and not fresh:
                return

    async def __aiter__(self) -> AsyncIterator[Event]:
        told = 0
        while True:
            ended = self.done
            fresh, told = self.since(told)
            for event in fresh:
                yield event
            if ended and not fresh:
                return
            if not fresh:
                await asyncio.sleep(0.02)

    def _since(self, told: int) -> list[Event]:
        """Events after the first ``told``; those that were dropped count."""
        return self._events[max(0, told - self._dropped) :]

    def __repr__(self) -> str:
        report = self.report
        state = report.sentence if report else f"running: {self._progress.phase or 'begins'}"
        return f"<Job {self.verb} on {self.server}: {state}>"


async def _run(
    work: Callable[[Callable[[Event], None]], Awaitable[Ran]], tell: Callable[[Event], None]
) -> Ran:
    return await work(tell)


def _result(ran: Ran) -> Report:
    report, error = ran
    if error is None:
        return report
    error.report = report
    raise error
