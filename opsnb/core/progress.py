"""One pure fold of the stream of events: what every view of a running change shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from opsnb.core.events import (
    Ended,
    Event,
    Log,
    Phase,
    PhaseBegan,
    PhaseEnded,
    Planned,
    Report,
    Sent,
    Started,
    Switched,
    Warned,
)

TAIL = 200
_STEPS = {
    "deploy": tuple(Phase)[1:],
    "promote": tuple(Phase)[1:],
    "rollback": (Phase.LOCK, Phase.PUBLISH, Phase.CONFIRM, Phase.RECORD),
    "prune": (Phase.LOCK, Phase.PRUNE, Phase.RECORD),
}


def steps(verb: str, reached: Iterable[Phase | None] = ()) -> tuple[Phase, ...]:
    """The phases that a kind of change may go through, in their order.

    Args:
        verb: What kind of change.
        reached: Those that it has come to. Most deploys have nothing to make first.
    """
    made = (Phase.SOURCE,) if Phase.SOURCE in reached else ()
    return (*made, *_STEPS.get(verb, (Phase.LOCK,)))


@dataclass(frozen=True, slots=True)
class Progress:
    """A change at one moment.

    Attributes:
        verb: What kind of change.
        release: The release it is about.
        live: What visitors see.
        phase: The phase that runs; None before the first and after the last.
        done: Phases that have ended, with their seconds.
        began: When it began, seconds since the epoch.
        at: When the last event came.
        upload_began: When the upload began; 0 before.
        files: Files sent.
        files_total: Files to send.
        bytes: Bytes sent.
        bytes_total: Bytes to send.
        switched: Whether the switch has happened.
        warnings: What the user should know.
        tail: The last lines of the log, at most 200.
        report: How it ended; None while it runs.
        stopped_in: The phase in which it failed; None while it runs and when it did not.
    """

    verb: str = ""
    release: str = ""
    live: str = ""
    phase: Phase | None = None
    done: tuple[tuple[Phase, float], ...] = ()
    began: float = 0.0
    at: float = 0.0
    upload_began: float = 0.0
    files: int = 0
    files_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    switched: bool = False
    warnings: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    report: Report | None = None
    stopped_in: Phase | None = None

    @property
    def rate(self) -> float:
        """Bytes a second since the upload began; 0 while that is not known."""
        seconds = self.at - self.upload_began
        return self.bytes / seconds if self.upload_began and seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the upload has ended at this rate; None while that is not known."""
        return (self.bytes_total - self.bytes) / self.rate if self.rate else None


def fold(events: Iterable[Event], start: Progress | None = None) -> Progress:
    """What a run of events amounts to.

    Args:
        events: Events in their order.
        start: What came before them.
    """
    progress = start or Progress()
    for event in events:
        progress = _step(replace(progress, at=event.at, began=progress.began or event.at), event)
    return progress


def _step(now: Progress, event: Event) -> Progress:  # noqa: PLR0911 - one return for each event
    match event:
        case Started():
            return replace(now, verb=event.verb)
        case PhaseBegan():
            started = event.at if event.phase is Phase.UPLOAD else now.upload_began
            return replace(now, phase=event.phase, upload_began=started)
        case PhaseEnded():
            return replace(now, phase=None, done=(*now.done, (event.phase, event.seconds)))
        case Planned():
            return replace(
                now,
                release=event.release,
                live=event.live,
                files_total=event.send_files,
                bytes_total=event.send_bytes,
            )
        case Sent():
            return replace(
                now,
                files=event.files,
                files_total=event.files_total,
                bytes=event.bytes,
                bytes_total=event.bytes_total,
            )
        case Log():
            return replace(now, tail=(*now.tail, event.text)[-TAIL:])
        case Warned():
            return replace(now, warnings=(*now.warnings, event.text))
        case Switched():
            return replace(now, live=event.release, switched=True)
        case Ended():
            report = event.report
            failed = now.phase if report.error else None
            return replace(now, phase=None, live=report.live, report=report, stopped_in=failed)
    return now
