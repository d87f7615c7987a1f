"""What a change says while it runs: the engine's only way to speak.

Every event carries ``server`` (its name) and ``at`` (seconds since the epoch, by the operator's
clock).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Literal, TypeVar

from opsnb.core.text import safe


class Phase(StrEnum):
    """The steps of a change, in their order."""

    SOURCE = "source"
    LOOK = "look"
    LOCK = "lock"
    BUILD = "build"
    UPLOAD = "upload"
    LINK = "link"
    HOOKS = "hooks"
    CHECK = "check"
    PUBLISH = "publish"
    CONFIRM = "confirm"
    PRUNE = "prune"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    server: str
    at: float

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON, the event's name under ``event``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A change has begun. ``verb`` says which kind."""

    verb: str


@dataclass(frozen=True, slots=True)
class PhaseBegan(Event):
    """A phase has begun."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class PhaseEnded(Event):
    """A phase has ended well after ``seconds``."""

    phase: Phase
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """What is about to be done, in numbers. ``live`` is the release that visitors see."""

    release: str
    live: str
    send_files: int
    send_bytes: int
    removed: int
    links: int
    prune: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """How much of the upload is on its way: files and bytes of content, done and in all."""

    files: int
    files_total: int
    bytes: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Log(Event):
    """A line for the log, already safe to show. ``stream`` says whose it is."""

    text: str
    stream: Literal["opsnb", "hook", "check"] = "opsnb"


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something the user should know."""

    text: str


@dataclass(frozen=True, slots=True)
class Switched(Event):
    """``current`` now leads to ``release``; it led to ``previous``."""

    release: str
    previous: str


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The change has ended; the report says how."""

    report: Report

    def to_dict(self) -> dict[str, Any]:
        """The report itself, under the event's name."""
        return {"event": "Report", "server": self.server, "at": self.at, **self.report.to_dict()}


class Outcome(StrEnum):
    """How a change ended (G4): settled by looking, never guessed."""

    DONE = "done"
    NOTHING = "nothing to do"
    NOT_DONE = "not done"
    RESTORED = "restored"
    NOT_RESTORED = "not restored"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a change.

    Attributes:
        verb: ``deploy``, ``promote``, ``rollback``, ``prune``, ….
        server: The server's name.
        outcome: How it ended.
        release: The release it was about.
        previous: The release that was live before.
        live: The release that is live now; empty when none is or when it is not known.
        switched: Whether the switch happened; None when that is not known.
        seconds: How long it took.
        phases: Seconds by phase.
        files: Files sent.
        bytes: Bytes of content sent.
        removed: Releases pruned, with the reason for each.
        warnings: What the user should know.
        error: What went wrong, in one line; empty when nothing did.
        hint: What to do next.
        exit_status: What a shell is told.
        revision: What the source of the release was; empty when not known.
        typed: What stands for the server in a command: its name, or its address.
        until: When what was placed ends by itself, UTC, ISO 8601; empty when it does not.
    """

    verb: str
    server: str
    outcome: Outcome
    release: str = ""
    previous: str = ""
    live: str = ""
    switched: bool | None = False
    seconds: float = 0.0
    phases: tuple[tuple[str, float], ...] = ()
    files: int = 0
    bytes: int = 0
    removed: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    exit_status: int = 0
    revision: str = ""
    typed: str = ""
    until: str = ""

    def __str__(self) -> str:
        """How it ended, what went wrong, what to do next, and what to know: a line for each."""
        told = (self.sentence, self.error, self.hint, *self.warnings)
        return "\n".join(safe(line) for text in told for line in text.splitlines() if line)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        data = asdict(self)
        data["phases"] = dict(self.phases)
        data["removed"] = dict(self.removed)
        return data

    @property
    def sentence(self) -> str:  # noqa: PLR0911 - one return for each outcome
        """The outcome in words: what happened, and what visitors see now.

        For what switches nothing it says what is so now.
        """
        sees = f"visitors see {safe(self.live)}" if self.live else "no release is live"
        match self.outcome:
            case Outcome.DONE if self.verb in SWITCHES and self.live not in ("", self.release):
                return f"{safe(self.release)} was made live; {sees}"
            case Outcome.DONE if self.verb in SWITCHES:
                return f"{safe(self.release)} is live"
            case Outcome.DONE:
                return self._said(_DONE, f"{self.verb}: done")
            case Outcome.NOTHING:
                return "nothing to do" + self._said(_NOTHING, f"; {sees}")
            case Outcome.NOT_DONE if self.exit_status == 10:
                return "not done: the server could not be reached"
            case Outcome.NOT_DONE if not self.live:
                # It failed before it had looked, perhaps: then nobody knows what visitors see.
                return "not done: nothing was changed"
            case Outcome.NOT_DONE if self.verb in STILL:
                return f"not done; {sees}"
            case Outcome.NOT_DONE:
                return f"not done: the switch did not happen; {sees}"
            case Outcome.RESTORED:
                return f"put back: {safe(self.release)} failed after the switch; {sees}"
            case Outcome.NOT_RESTORED:
                return f"{safe(self.release)} failed after the switch and was not put back; {sees}"
        return "unknown: the server could not be asked whether the switch happened"

    def _said(self, words: Mapping[str, str], otherwise: str) -> str:
        if self.verb not in words:
            return otherwise
        until = f"{safe(self.until)}, or until " if self.until else ""
        typed = safe(self.typed or self.server)
        return words[self.verb].format(release=safe(self.release), typed=typed, until=until)


SWITCHES = ("deploy", "promote", "rollback")
STILL = ("prune", "pin", "unpin", "hold", "release", "freeze", "unfreeze")
_DONE = {
    "pin": "{release} is pinned: prune leaves it alone",
    "unpin": "{release} is no longer pinned",
    "hold": "held back: no change until {until}`opsnb lock {typed} release`",
    "release": "free: a change can begin",
    "freeze": "frozen: a rollback alone, until {until}`opsnb unfreeze {typed}`",
    "unfreeze": "no longer frozen",
    "adopt": "every release has a record",
    "undo": "what the adoption made is gone",
    "finish": "what the adoption copied is gone from the old place",
    "prune": "old releases are removed",
}
_NOTHING = {
    "pin": ": {release} is pinned already",
    "unpin": ": {release} is not pinned",
    "release": ": it is not held",
    "unfreeze": ": it is not frozen",
    "prune": ": no release is due to be removed",
}
T = TypeVar("T", Event, Report)


def masked(told: T, hide: Callable[[Any], Any]) -> T:
    """The same, with every text in it changed.

    Args:
        told: An event, or a report.
        hide: Gives back what is to be told of a value: another text for a text.
    """
    values = {item.name: getattr(told, item.name) for item in fields(told)}
    return replace(told, **{name: _hidden(value, hide) for name, value in values.items()})


def _hidden(value: Any, hide: Callable[[Any], Any]) -> Any:
    if isinstance(value, Report):
        return masked(value, hide)
    if isinstance(value, tuple):
        return tuple(_hidden(item, hide) for item in value)
    return value if isinstance(value, StrEnum) else hide(value)
