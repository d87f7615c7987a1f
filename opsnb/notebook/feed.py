"""What a view of a running change is told: how far it is, and its lines in batches.

Rule 1: at most ten messages a second, whatever the change says: a server drops what is more.
Rule 2: everything is sent from opsnb's own thread, in order.
Rule 3: lines are counted from the first of the change, so a view knows what it has missed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from opsnb.core import facts
from opsnb.core.lines import Line, clock, lines
from opsnb.core.progress import Progress, steps
from opsnb.core.text import age, safe, size
from opsnb.job import Job
from opsnb.loop import LOOP

EVERY = 0.1
TICK = 1.0
BATCH = 5_000
LONGEST = 2_000
KEPT = 50_000
Message = dict[str, Any]


class Feed:
    """Follows a change and tells a view of it.

    Args:
        job: The change.
        progress: Is given the state of the change, as plain data.
        send: Sends a message with lines.
        key: What the messages are marked with.
    """

    def __init__(
        self,
        job: Job,
        progress: Callable[[Message], None],
        send: Callable[[Message], None],
        key: str = "",
    ) -> None:
        self._job, self._progress, self._send, self._key = job, progress, send, key
        self._told = 0
        self._lines = 0
        self._recent: list[Line] = []

    def begin(self) -> None:
        """Follow the change until it has ended."""
        LOOP.submit(self._follow())

    def again(self) -> None:
        """Send the last lines once more, for a view that has just come."""
        LOOP.submit(self._resend())

    async def _follow(self) -> None:
        last: Message = {}
        pushed = 0.0
        while True:
            ended = self._job.done
            self._tell(self._fresh())
            state = progress_of(self._job)
            if state != last or time.monotonic() - pushed > TICK:
                last, pushed = state, time.monotonic()
                self._progress(state)
            if ended:
                return
            await asyncio.sleep(EVERY)

    def _fresh(self) -> list[Line]:
        events, self._told = self._job.since(self._told)
        return lines(events)

    def _tell(self, fresh: list[Line]) -> None:
        self._recent = (self._recent + fresh)[-KEPT:]
        self._pass_on(self._lines, fresh, again=False)
        self._lines += len(fresh)

    def _pass_on(self, first: int, told: list[Line], *, again: bool) -> None:
        for start in range(0, len(told), BATCH):
            batch = [plain(line) for line in told[start : start + BATCH]]
            at = first + start
            # What is told again is all that there is: what is missing before it is kept no more.
            message = {"kind": "lines", "job": self._key, "first": at, "again": again}
            self._send({**message, "lines": batch})

    async def _resend(self) -> None:
        self._pass_on(self._lines - len(self._recent), self._recent, again=True)


def plain(line: Line) -> list[str]:
    """A line as a view takes it: time, kind, text.

    Args:
        line: The line.
    """
    text = line.text
    cut = len(text) - LONGEST
    return [clock(line.at), line.kind, f"{text[:LONGEST]}… {cut:,} more" if cut > 0 else text]


def progress_of(job: Job) -> Message:
    """How far a change is, in words and numbers a view can draw.

    Args:
        job: The change.
    """
    now = job.progress
    report = job.report
    state = "running" if report is None else ("failed" if report.error else "done")
    return {
        "verb": job.verb,
        "server": safe(job.server),
        "state": state,
        "release": safe(now.release),
        "live": safe(now.live),
        "steps": steps_of(now),
        "share": now.bytes / now.bytes_total if now.bytes_total else None,
        "amounts": amounts(now),
        "seconds": round(now.at - now.began, 1) if report else round(_since(now), 0),
        "sees": _sees(now),
        "switched": now.switched,
        "warnings": [safe(text) for text in now.warnings],
        "aborting": job.aborting,
        "waited": job.waited,
        "log": str(job.log_file or ""),
        "end": _end(job),
    }


def _since(now: Progress) -> float:
    return max(0.0, time.time() - now.began) if now.began else 0.0


def steps_of(now: Progress) -> list[dict[str, str]]:
    """The phases of the change; those that never came are left out once it has gone past them."""
    done = dict(now.done)
    here = (*done, now.phase, now.stopped_in)
    listed = steps(now.verb, here)
    reached = [number for number, phase in enumerate(listed) if phase in here]
    # After the end nothing lies ahead, except of a change that stopped on its way.
    over = now.report is not None and now.stopped_in is None
    last = len(listed) if over else max(reached, default=-1)
    shown = []
    for number, phase in enumerate(listed):
        if phase in done:
            shown.append({"name": phase.value, "is": "done", "took": f"{done[phase]:.2f} s"})
        elif phase is now.stopped_in:
            shown.append({"name": phase.value, "is": "failed", "took": ""})
        elif phase is now.phase:
            shown.append({"name": phase.value, "is": "now", "took": ""})
        elif number > last:
            shown.append({"name": phase.value, "is": "ahead", "took": ""})
    return shown


def amounts(now: Progress) -> str:
    """Bytes, files, rate and time left, in words; empty when nothing is to be sent."""
    if not now.bytes_total:
        return ""
    said = [
        f"{size(now.bytes)} of {size(now.bytes_total)}",
        f"{now.files:,} of {now.files_total:,} files",
    ]
    if now.rate:
        said.append(f"{size(now.rate)}/s")
    if now.report is None and now.seconds_left is not None:
        said.append(f"{age(now.seconds_left)} left")
    return " · ".join(said)


def _sees(now: Progress) -> str:
    if now.report is not None and not now.live:
        return "No release is live, or it is not known"
    if not now.live:
        return "Visitors see nothing yet" if now.release else ""
    if now.report is not None or now.switched:
        return f"Visitors see {safe(now.live)}"
    return f"Visitors still see {safe(now.live)}"


def _end(job: Job) -> dict[str, str] | None:
    report = job.report
    if report is None:
        return None
    return {
        "text": report.sentence,
        "error": safe(report.error),
        "hint": safe(report.hint),
        "switched": facts.switched(report),
    }
