"""An experiment: visitors open pages, something is changed meanwhile, and everything is counted.

Rule 1: a number that is shown was counted in this run.
Rule 2: whatever stops an experiment, its visitors go home and its change is ended.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from opsnb.core.events import Report, Switched
from opsnb.embedded.readers import KINDS, Kind, Readers, View
from opsnb.errors import OpsnbError
from opsnb.job import Job
from opsnb.lesson.film import Film, Recorder
from opsnb.lesson.shop import Place

BEFORE = 1.2  # seconds that visitors come before the change begins
AFTER = 1.0  # and after it has ended
BEAT = 0.05


@dataclass(frozen=True)
class Run:
    """What happened in one experiment. Times are seconds since it began, but for ``began``.

    Attributes:
        title: What was done.
        began: When, seconds since the epoch.
        seconds: How long visitors came.
        changing: When the change began and when it had ended; nothing before it did.
        switched: When a link was seen to have moved, as the change told it.
        views: Every page that a visitor opened.
        film: The files, whenever they changed.
        result: What the change gave back; of a release its report.
    """

    title: str
    began: float
    seconds: int
    changing: tuple[float, ...] = ()
    switched: tuple[float, ...] = ()
    views: Sequence[View] = field(default=(), repr=False)
    film: Film = field(default_factory=Film, repr=False)
    result: Any = None

    @property
    def counts(self) -> dict[Kind, int]:
        """Pages by what became of them."""
        counted = Counter(view.kind for view in self.views)
        return {kind: counted[kind] for kind in KINDS}

    @property
    def pages(self) -> int:
        """Pages opened."""
        return len(self.views)

    @property
    def requests(self) -> int:
        """Requests made."""
        return sum(view.requests for view in self.views)

    @property
    def failed(self) -> int:
        """Pages of which a part did not come, or came incomplete."""
        return self.counts["failed"]

    @property
    def mixed(self) -> int:
        """Pages put together from two releases."""
        return self.counts["mixed"]

    @property
    def between(self) -> int:
        """Pages that were not good, and were when they were loaded again at once."""
        return self.counts["between"]

    @property
    def broken(self) -> float:
        """Seconds from the first page that was mixed or failed to the last."""
        bad = [view for view in self.views if view.kind in ("mixed", "failed")]
        return bad[-1].at + bad[-1].seconds - bad[0].at if bad else 0.0

    @property
    def reasons(self) -> list[dict[str, str | int]]:
        """What was wrong with pages, the most frequent first, with an example."""
        examples = {view.why: view.where for view in self.views if view.why}
        counted = Counter(view.why for view in self.views if view.why)
        return [
            {"what was wrong": why, "pages": pages, "for example": examples[why]}
            for why, pages in counted.most_common()
        ]

    @property
    def versions(self) -> dict[str, int]:
        """Pages by the version that they named."""
        return dict(sorted(Counter(v.version for v in self.views if v.version).items()))

    def per_second(self) -> list[dict[Kind, int]]:
        """For each second: how many pages that were asked for in it became what."""
        counted = Counter((int(view.at - self.began), view.kind) for view in self.views)
        return [{kind: counted[second, kind] for kind in KINDS} for second in range(self.seconds)]


def watch(
    place: Place,
    change: Callable[[], object],
    *,
    title: str = "",
    visitors: int = 4,
    seconds: float = 0.0,
    slow: bool = True,
    dawdle: float = 0.0,
    show: Callable[[Run], None] | None = None,
) -> Run:
    """Let visitors come, change a site meanwhile, and count what they get.

    Args:
        place: The site.
        change: Changes it; when it gives back a job, that is waited for, also when it fails.
        title: What is done.
        visitors: How many visitors open pages at a time.
        seconds: How long they come at least; until the change has ended in any case.
        slow: Whether the change goes over the slow line.
        dawdle: Seconds that each visitor's browser takes between a page's HTML and the rest.
        show: Told of the run as it is, once a second, and at its end.
    """
    readers = Readers(place.url, place.pages, count=visitors, dawdle=dawdle)
    recorder = Recorder(place.draw)
    watched = _Watch(title or place.title, readers, recorder, _Change(change), show)
    with recorder, readers:
        watched.until(lambda: watched.seconds >= BEFORE)
        place.line.pause = place.pause if slow else 0
        try:
            watched.change.start()
            watched.until(lambda: not watched.change.is_alive())
        finally:
            place.line.pause = 0  # so that what was interrupted ends at once
            watched.change.end()
        enough = ceil(max(seconds, watched.seconds + AFTER))  # whole seconds, for the chart
        watched.until(lambda: watched.seconds >= enough)
    return watched.ended(enough)


class _Change(threading.Thread):
    """The change, in a thread of its own: a cell that waits for it stays interruptible."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__(name="opsnb-change", daemon=True)
        self._change = change
        self._error: BaseException | None = None
        self.times: list[float] = []
        self.result: Any = None
        self.job: Job | None = None

    def run(self) -> None:
        self.times.append(time.time())
        try:
            self.result = self._change()
            if isinstance(self.result, Job):
                self.job = self.result
                self.result = finish(self.job, fails=True)
        except BaseException as error:  # noqa: BLE001 - end() raises it
            self._error = error
        self.times.append(time.time())

    def end(self) -> None:
        """Wait for it, aborting what still runs.

        Raises:
            Exception: What the change raised.
        """
        if self.job is not None and not self.job.done:
            self.job.cancel()
        if self.ident is not None:
            self.join()
        if self._error is not None:
            raise self._error

    @property
    def switched(self) -> list[float]:
        """When links moved."""
        return switches(self.job) if self.job else []


class _Watch:
    """An experiment that is under way."""

    def __init__(
        self,
        title: str,
        readers: Readers,
        recorder: Recorder,
        change: _Change,
        show: Callable[[Run], None] | None,
    ) -> None:
        self.change = change
        self._title = title
        self._readers = readers
        self._recorder = recorder
        self._show = show
        self._began = time.time()

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.time() - self._began

    def until(self, over: Callable[[], bool]) -> None:
        """Go on until something is over; show the run as it is whenever a second has passed."""
        shown = int(self.seconds)
        while not over():
            time.sleep(BEAT)
            if self._show and int(self.seconds) > shown:
                shown = int(self.seconds)
                self._show(self._run(shown))

    def ended(self, seconds: int) -> Run:
        """The run as it was in all, which is for so long."""
        run = self._run(seconds)
        if self._show:
            self._show(run)
        return run

    def _run(self, seconds: int) -> Run:
        told = self.change.job.events if self.change.job else []
        return Run(
            self._title,
            self._began,
            seconds,
            tuple(at - self._began for at in self.change.times),
            tuple(at - self._began for at in self.change.switched),
            [view for view in self._readers.views if view.at < self._began + seconds],
            self._recorder.film(told),
            self.change.result,
        )


def finish(job: Job, *, fails: bool = False) -> Report:
    """Wait for a change, without a view of it: the lesson draws its own pictures.

    Args:
        job: The change.
        fails: Whether it may fail.

    Returns:
        How it ended.

    Raises:
        OpsnbError: It failed, and must not.
    """
    try:
        while not job.done:
            time.sleep(BEAT)
    except KeyboardInterrupt:
        job.cancel()
        raise
    report = job.report
    assert report is not None  # noqa: S101 - a job that has ended has a report
    if report.error and not fails:
        raise OpsnbError(report.error, report.hint)
    return report


def switches(job: Job) -> list[float]:
    """When a change moved its link, seconds since the epoch.

    Args:
        job: The change.
    """
    return [event.at for event in job.events if isinstance(event, Switched)]


def apart(*jobs: Job) -> int:
    """How long the first and the last of several releases were apart, in milliseconds.

    Args:
        jobs: The changes; all have ended well.
    """
    moved = [switches(job)[-1] for job in jobs]
    return round(1000 * (max(moved) - min(moved)))
