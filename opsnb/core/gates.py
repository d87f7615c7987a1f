"""Guard rails: what holds a change back, and what to do about it. Pure.

Rule 1: a rollback is never held back but by a hold: whoever has to go back, goes back.
Rule 2: these keep a team from slips. Whoever may log in may do without opsnb: no access control.
Rule 3: every time is the clock's of whoever acts, and is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from opsnb.core.doctor import Finding
from opsnb.core.marks import Holder
from opsnb.core.settings.gates import GateSettings
from opsnb.core.text import safe
from opsnb.core.windows import Window, is_open, next_opening, zone

# What a freeze and the windows leave alone; a verb that is not named is a change like a deploy.
SMALL = frozenset(("rollback", "pin", "unpin", "hold", "release", "freeze", "unfreeze"))
WINDOWED = frozenset(("deploy", "promote"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a change is held back.

    Attributes:
        message: What holds it back.
        hint: What to do about it.
        window: Whether it is the time of day, which a reason overrides.
    """

    message: str
    hint: str
    window: bool = False

    @property
    def words(self) -> str:
        """Both as one line, for a plan."""
        return f"would be refused: {self.message}. {self.hint}"


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands between a wish and a change on one server.

    Attributes:
        server: The server's name.
        settings: What is configured for it.
        outside: Why a deploy is made outside of the windows all the same; empty when it is not.
    """

    server: str
    settings: GateSettings
    outside: str = ""

    def refusal(self, verb: str, now: datetime) -> Refusal | None:
        """Why a change is held back by what is configured; None when it is not.

        Args:
            verb: The change.
            now: The present time, aware.
        """
        if self.settings.freeze and verb not in SMALL:
            return Refusal(
                f"{safe(self.server)} is frozen: {safe(self.settings.freeze)}",
                "`freeze` in opsnb.toml says so. A rollback is allowed.",
            )
        closed = self.closed(verb, now)
        return None if self.outside else closed

    def closed(self, verb: str, now: datetime) -> Refusal | None:
        """Why the time of day holds a change back; None when it does not.

        Args:
            verb: The change.
            now: The present time, aware.
        """
        settings = self.settings
        if verb not in WINDOWED or not settings.windows:
            return None
        windows, where = [Window.parse(text) for text in settings.windows], zone(settings.timezone)
        if is_open(windows, where, now):
            return None
        opens = next_opening(windows, where, now)
        when = f"the next window opens {opens:%a %Y-%m-%d %H:%M %Z}" if opens else "none opens soon"
        return Refusal(
            f"{safe(self.server)} takes no {verb} now: {when} ({_listed(settings)})",
            "`--outside-window WHY` does it all the same, and is recorded. A rollback is allowed.",
            window=True,
        )


def examine(gates: Gates, read_only: str, now: datetime) -> list[Finding]:
    """What a doctor says of what is configured; nothing where nothing is.

    Hours that are over are as they should be: only a freeze is something to mend.

    Args:
        gates: What is configured.
        read_only: Why nothing may be changed from here; empty when something may.
        now: The present time, aware.
    """
    settings, found = gates.settings, []
    if read_only:
        found.append(Finding("gates", True, f"nothing can be changed from here: {read_only}"))
    if settings.freeze:
        said = f"frozen: {safe(settings.freeze)}"
        found.append(Finding("freeze", False, said, "`freeze` in opsnb.toml."))
    if settings.windows:
        closed = gates.closed("deploy", now)
        said = closed.message if closed else f"open now ({_listed(settings)})"
        found.append(Finding("windows", True, said))
    return found


def _listed(settings: GateSettings) -> str:
    return f"{', '.join(safe(window) for window in settings.windows)} {settings.timezone}"


def held_back(hold: Holder | None, verb: str, server: str, typed: str = "") -> Refusal | None:
    """Why a change is held back by what was placed on the server by hand.

    Args:
        hold: What was placed, when something was; it has not lapsed.
        verb: The change.
        server: The server's name.
        typed: What stands for it in a command; its name, when not given.
    """
    typed = typed or server
    if hold is None:
        return None
    if not hold.freezes:
        return Refusal(
            f"{server} is {hold.words}",
            f"`opsnb lock {typed} release --force` takes the hold away.",
        )
    if verb == "hold":
        return Refusal(
            f"{server} is {hold.words}",
            f"A server is frozen or held, not both: `opsnb unfreeze {typed}` first.",
        )
    if verb in SMALL:
        return None
    return Refusal(
        f"{server} is {hold.words}",
        f"A rollback is allowed. `opsnb unfreeze {typed} --force` takes the freeze away.",
    )


def warnings(refusals: Sequence[Refusal | None]) -> tuple[str, ...]:
    """What a plan says of the gates that its change would meet.

    Args:
        refusals: What they say.
    """
    return tuple(refusal.words for refusal in refusals if refusal is not None)
