"""How a change tells what it does: its words, in which nothing is shown that must not be.

Rule 1: what is said of a step is said once the step is done, however many were sent together.
Rule 2: a secret is masked before anything leaves: in events, in the log, in what is written down.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from opsnb.core.events import (
    Event,
    Log,
    Phase,
    PhaseBegan,
    PhaseEnded,
    Planned,
    Warned,
    masked,
)
from opsnb.core.plan import Plan
from opsnb.core.secrets import Masker, Secrets
from opsnb.remote.base import Held

T = TypeVar("T")


@dataclass(frozen=True)
class Actor:
    """Who acts, for whom, and how they are told.

    Attributes:
        server: The server's name.
        by: The user.
        host: The machine they work from.
        emit: Takes the events; it must return at once.
        now: The operator's clock, aware.
        environment: The name of the environment the server belongs to; empty for none.
        typed: What stands for the server in a command; its name, when not given.
    """

    server: str
    by: str
    host: str
    emit: Callable[[Event], None]
    now: Callable[[], datetime]
    environment: str = ""
    typed: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "typed", self.typed or self.server)

    def clock(self) -> datetime:
        """The present time by the operator's clock, aware."""
        return self.now()

    def at(self) -> float:
        """The time of an event, seconds since the epoch."""
        return self.now().timestamp()


class Telling:
    """What a change says, and what it keeps to itself.

    Attributes:
        actor: Who acts, and how they are told.
        secrets: What its commands are given and nobody is shown.
        hush: What nobody is shown, and its commands are not given.
        held: The lock, while it is held.
        release: The release it is about.
        warnings: What the user should know.
    """

    actor: Actor
    secrets: Secrets
    hush: Secrets
    held: Held | None
    release: str
    warnings: list[str]
    _phases: list[tuple[str, float]]
    _open: dict[Phase, float]
    _unsaid: Secrets
    _masker: Masker

    def _begin_to_tell(self) -> None:
        """Mask from now on what must not be shown."""
        self._open = {}
        self._unsaid = self.secrets.beside(self.hush)
        self._masker = self.masker()
        emit = self.actor.emit
        self.actor = replace(
            self.actor,
            emit=lambda event: emit(masked(event, self.hidden) if self._unsaid else event),
        )

    def hide(self, secrets: Secrets) -> None:
        """Show these nowhere either, from now on; commands are not given them."""
        self._unsaid = self._unsaid.beside(secrets)
        self._masker = self.masker()

    def masker(self) -> Masker:
        """What masks all that must not be shown, in a stream of its own."""
        values = [*self.secrets.values(), *self._unsaid.values()]
        return Masker(dict.fromkeys(values))

    def hidden(self, fact: T) -> T:
        """The same, or where it is text that holds a secret, without it."""
        return self._masker.text(fact) if isinstance(fact, str) else fact  # type: ignore[return-value]

    def _hidden_in(self, line: bytes) -> bytes:
        return self.hidden(line.decode()).encode()

    def log(self, text: str) -> None:
        """Say a line, once the steps so far are done; the text must be safe already."""
        self._then(lambda: self.actor.emit(Log(self.actor.server, self.actor.at(), text)))

    def _then(self, tell: Callable[[], None]) -> None:
        if self.held is None:
            tell()
        else:
            self.held.then(tell)

    def warn(self, text: str) -> None:
        """Say what the user should know, and keep it for the report."""
        self.warnings.append(text)
        self.actor.emit(Warned(self.actor.server, self.actor.at(), text))

    def planned(self, plan: Plan) -> None:
        """Say what is about to be done, once the lock is ours."""
        self.release = plan.name
        self._then(lambda: self._tell_plan(plan))

    def _tell_plan(self, plan: Plan) -> None:
        for warning in plan.warnings:
            self.warn(warning)
        actor, build = self.actor, plan.build
        event = Planned(
            actor.server,
            actor.at(),
            release=plan.name,
            live=plan.previous,
            send_files=len(build.send) if build else 0,
            send_bytes=plan.send_bytes,
            removed=len(plan.difference.removed),
            links=len(build.links) if build else 0,
            prune=tuple(plan.retention.remove),
        )
        actor.emit(event)

    @asynccontextmanager
    async def phase(self, phase: Phase) -> AsyncIterator[None]:
        """Tell of a phase's beginning and, when nothing went wrong, of its end.

        One that did not end, and begins again, goes on.
        """
        self.begins(phase)
        yield
        self.ends(phase)

    def begins(self, phase: Phase) -> None:
        """Tell of a phase's beginning, once the steps so far are done."""
        self._then(lambda: self._phase_began(phase))

    def ends(self, phase: Phase) -> None:
        """Tell of its end, once the steps so far are done; of one that is over, nothing."""
        self._then(lambda: self._phase_ended(phase))

    def begin_again(self) -> None:
        """Phases that did not end have failed: each begins anew."""
        self._open.clear()

    def _phase_began(self, phase: Phase) -> None:
        if phase not in self._open:
            self._open[phase] = time.monotonic()
            self.actor.emit(PhaseBegan(self.actor.server, self.actor.at(), phase))

    def _phase_ended(self, phase: Phase) -> None:
        began = self._open.pop(phase, None)
        if began is None:
            return
        seconds = time.monotonic() - began
        self._phases.append((phase.value, seconds))
        self.actor.emit(PhaseEnded(self.actor.server, self.actor.at(), phase, seconds))
