"""What a change says, as lines of a log: one wording for files, receipts and views. Pure.

Rule: every text here is already safe to show; a line break cannot come from a server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from opsnb.core.events import (
    Ended,
    Event,
    Log,
    PhaseEnded,
    Planned,
    Started,
    Switched,
    Warned,
)
from opsnb.core.text import plural, safe, size


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a change's log.

    Attributes:
        at: When, seconds since the epoch.
        kind: Whose it is or what it is: opsnb, hook, check, phase, warning, plan, switch, end,
            error.
        text: What it says.
    """

    at: float
    kind: str
    text: str

    def __str__(self) -> str:
        mark = {"hook": "│ ", "check": "│ ", "warning": "! ", "plan": "plan: "}.get(self.kind, "")
        return f"{clock(self.at)} {mark}{self.text}"


def clock(at: float) -> str:
    """A moment as the log shows it, UTC: ``14:03:12.120``.

    Args:
        at: Seconds since the epoch.
    """
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def lines(events: Iterable[Event]) -> list[Line]:
    """The lines of a run of events, in their order.

    Args:
        events: Events; those that say nothing of their own give no line.
    """
    return [line for event in events if (line := _line(event)) is not None]


def _line(event: Event) -> Line | None:
    said = _said(event)
    return Line(event.at, *said) if said else None


def _said(event: Event) -> tuple[str, str] | None:  # noqa: PLR0911 - one return for each event
    match event:
        case Log():
            return event.stream, event.text
        case Started():
            return "phase", f"{event.verb} on {safe(event.server)} begins"
        case PhaseEnded():
            return "phase", f"{event.phase.value} done in {event.seconds:.2f} s"
        case Planned():
            return "plan", _planned(event)
        case Warned():
            return "warning", event.text
        case Switched():
            before = safe(event.previous) or "nothing"
            return "switch", f"current -> {safe(event.release)} (before: {before})"
        case Ended():
            report = event.report
            return ("error", safe(report.error)) if report.error else ("end", report.sentence)
    return None


def _planned(event: Planned) -> str:
    facts = [f"{safe(event.live) or 'nothing'} -> {safe(event.release)}"]
    if event.send_files:
        facts.append(f"send {plural(event.send_files, 'path')}, {size(event.send_bytes)}")
    if event.removed:
        facts.append(f"{plural(event.removed, 'path')} fewer")
    if event.prune:
        facts.append(f"then remove {plural(len(event.prune), 'old release')}")
    return ", ".join(facts)
