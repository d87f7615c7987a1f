"""Marks that stand below ``.opsnb`` for as long as something is under way there.

Each is a line that somebody else may find when its writer is dead: who holds the server, which
switch was begun, which release awaits its confirmation, which files came with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from opsnb.core.manifest import Manifest
from opsnb.core.text import safe
from opsnb.core.written import UNREADABLE, checked, known, release_name

FREEZE = "freeze"
_SWITCHES = ("deploy", "rollback", "restore", "adopt")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock, or who placed a hold or a freeze by hand.

    Attributes:
        who: The user.
        host: The machine they work from.
        since: When, UTC, ISO 8601, by their clock.
        why: What for.
        token: The fencing token; 0 for a hold.
        pid: The server's process group that holds the lock; 0 for a hold.
        kind: ``freeze`` for what a rollback may pass; whatever else it says, nothing may.
        until: When it ends by itself, UTC, ISO 8601; empty when it does not.
    """

    who: str
    host: str
    since: str
    why: str
    token: int = 0
    pid: int = 0
    kind: str = ""
    until: str = ""

    def encode(self) -> bytes:
        """As one line of JSON; what only some holds have is left out of the others."""
        told = {k: v for k, v in asdict(self).items() if v or k not in ("kind", "until")}
        return json.dumps(told, ensure_ascii=True, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, line: str | bytes) -> Holder:
        """Read what :meth:`encode` gave.

        Raises:
            ValueError: It is not that.
        """
        try:
            return checked(cls(**known(cls, json.loads(line))))
        except UNREADABLE as error:
            raise ValueError(f"not a holder: {safe(line[:200])}") from error

    @property
    def freezes(self) -> bool:
        """Whether it is a freeze, which a rollback may pass."""
        return self.kind == FREEZE

    @property
    def words(self) -> str:
        """What it does, and who placed it."""
        return f"{'frozen' if self.freezes else 'held'} by {self}"

    def lapsed(self, now: datetime) -> bool:
        """Whether it has ended by itself; what cannot be read as a time never comes.

        Args:
            now: The present time, aware.
        """
        try:
            return bool(self.until) and datetime.fromisoformat(self.until) <= now
        except (ValueError, TypeError):
            return False

    @property
    def told(self) -> str:
        """As the agent is told of it, which adds token and process itself."""
        body = self.encode().decode().strip().removeprefix("{")
        return body.replace('"pid": 0, ', "").replace(', "token": 0', "")

    def __str__(self) -> str:
        until = f" until {safe(self.until)}" if self.until else ""
        who = f"{safe(self.who)}@{safe(self.host)}"
        return f"{who} since {safe(self.since)}{until}: {safe(self.why)}"


@dataclass(frozen=True, slots=True)
class Intent:
    """A switch that has been begun: written before it, removed when its result is recorded.

    Attributes:
        verb: ``deploy``, ``rollback``, ``adopt``, or ``restore`` (what was live before is put
            back).
        name: The release that is to be live.
        previous: The release that was live; empty when none was.
        by: Who.
        at: When, UTC, ISO 8601.
        why: The reason given.
    """

    verb: str
    name: str
    previous: str
    by: str
    at: str
    why: str = ""

    def encode(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=True, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, line: str | bytes) -> Intent:
        """Read what :meth:`encode` gave.

        Raises:
            ValueError: It is not that.
        """
        try:
            made = checked(cls(**known(cls, json.loads(line))))
            if made.verb not in _SWITCHES:
                raise ValueError("no such switch")
            for name in filter(None, (made.name, made.previous)):
                release_name(name)
            return made
        except UNREADABLE as error:
            raise ValueError(f"not an intent: {safe(line[:200])}") from error


@dataclass(frozen=True, slots=True)
class Watch:
    """A release that was published and awaits its confirmation: the mark of its watchdog.

    Attributes:
        token: The fencing token of the change that published it.
        verb: That change: ``deploy`` or ``rollback``.
        release: What was published.
        previous: What is put back if nobody confirms it.
        seconds: Within how many seconds after the switch.
        by: Who published it.
        host: The machine they work from.
        since: When, UTC, ISO 8601, by their clock.
        fired: Whether the time was up, and putting back was begun.
        alive: Whether the watchdog runs, as far as can be told.
    """

    token: int
    verb: str
    release: str
    previous: str
    seconds: int
    by: str
    host: str
    since: str
    fired: bool = False
    alive: bool = True

    def encode(self) -> bytes:
        """The mark as one line of JSON."""
        body = {key: value for key, value in asdict(self).items() if key not in ("fired", "alive")}
        return json.dumps(body, ensure_ascii=True, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, line: str | bytes, *, fired: bool, alive: bool) -> Watch:
        """Read what :meth:`encode` gave.

        Raises:
            ValueError: It is not that.
        """
        try:
            said = {**known(cls, json.loads(line)), "fired": fired, "alive": alive}
            made = checked(cls(**said))
            if made.verb not in _SWITCHES:
                raise ValueError("no such switch")
            for name in (made.release, made.previous):
                release_name(name)
            return made
        except UNREADABLE as error:
            raise ValueError(f"not a watchdog's mark: {safe(line[:200])}") from error


@dataclass(frozen=True, slots=True)
class Pending:
    """Configuration files in ``shared/`` that came with a release, until that is settled.

    Attributes:
        release: The release; empty when the description could not be read.
        before: What was there before; a path that is missing was not there.
        after: What was placed, or was to be.
    """

    release: str
    before: Manifest
    after: Manifest

    def encode(self) -> bytes:
        """As one line of JSON."""
        texts = {"before": self.before.encode().decode(), "after": self.after.encode().decode()}
        return json.dumps({"release": self.release, **texts}, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, line: str | bytes) -> Pending:
        """Read what :meth:`encode` gave.

        Raises:
            ValueError: It is not that.
        """
        try:
            said = json.loads(line)
            before, after = (Manifest.decode(said[key].encode()) for key in ("before", "after"))
            return cls(release_name(said["release"]), before, after)
        except UNREADABLE as error:
            raise ValueError("not a list of placed configuration files") from error
