"""One change under way: its switch, its words, and how it ends.

Rule: every change goes through here: there is one way to switch, to fail and to tell. The lock, and
what is done when the line breaks, is in :mod:`opsnb.engine.locking`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opsnb.core import layout
from opsnb.core.events import (
    Ended,
    Outcome,
    Report,
    Started,
    Switched,
)
from opsnb.core.gates import Gates
from opsnb.core.layout import stamp
from opsnb.core.marks import Intent, Pending, Watch
from opsnb.core.release import Current, CurrentKind, Record, Site, State
from opsnb.core.secrets import Secrets
from opsnb.core.text import safe
from opsnb.core.watch import Guarded
from opsnb.engine import locking
from opsnb.engine.locking import Locking, end
from opsnb.engine.placing import Placing
from opsnb.engine.telling import Actor
from opsnb.engine.watch import guarded
from opsnb.errors import (
    ConnectError,
    DeployFailed,
    Disconnected,
    LockLost,
    NotAsSeen,
    NotRestored,
    OpsnbError,
    OutcomeUnknown,
    RemoteError,
    Restored,
    StepTimedOut,
)
from opsnb.remote.base import Held, Remote


@dataclass(frozen=True)
class Finished:
    """A release that has just been built.

    Attributes:
        record: Its record, as of a complete release.
        files: What is to be written below ``.opsnb`` before it is published, by path.
        config: Configuration files that are placed in ``shared/`` with it.
    """

    record: Record
    files: Mapping[str, bytes]
    config: Placing | None = None


@dataclass
class Change(Locking):
    """A change under way.

    Attributes:
        remote: The server.
        actor: Who acts.
        verb: What kind of change.
        wait: Seconds to wait for the lock.
        held: The lock, while it is held.
        site: The last look taken under the lock.
        release: The release it is about.
        previous: What was live before.
        live: What is live, as far as is known.
        revision: What that release's source was; empty when not known.
        building: The release being built; empty before and after.
        switched: Whether the switch happened; None while that is not known.
        outcome: How it ends if nothing goes wrong from here.
        files: Files sent.
        size: Bytes of content sent.
        removed: Releases pruned, with the reason for each.
        warnings: What the user should know.
        secrets: What its commands are given and nobody is shown.
        hush: What nobody is shown, and its commands are not given.
        called: What people are told that it is; the verb, when not given. A promote is a deploy.
        gates: What is configured to hold changes back; None for nothing.
        room: Bytes that its commands may still say at once; then their last words only.
        folder: Where its commands of this machine run.
        scripts: Texts of the scripts among its hooks, by file.
        environment: What its commands are told, beside the secrets.
        after_failure: Told what went wrong once that has been settled, while the lock is held.
        armed: The mark of the watchdog of its switch; None when it has none.
        disarmed: Whether that was called off.
        cleared: Names of releases that were cleared away: whoever made one may still ask for it.
        put_back_first: Whether a dead change's release was put back before this one began.
        leaving: Releases whose removal was begun, with the reason for each, until it is known what
            became of it.
        until: When what it placed ends by itself, UTC, ISO 8601; empty when it does not.
    """

    remote: Remote
    actor: Actor
    verb: str
    wait: float = 0
    secrets: Secrets = field(default_factory=Secrets)
    hush: Secrets = field(default_factory=Secrets)
    called: str = ""
    gates: Gates | None = None
    room: int = 16 << 20
    folder: Path = field(default_factory=Path)
    scripts: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    after_failure: Callable[[OpsnbError], Coroutine[Any, Any, None]] | None = None
    held: Held | None = None
    site: Site | None = None
    release: str = ""
    previous: str = ""
    live: str = ""
    revision: str = ""
    building: str = ""
    switched: bool | None = False
    outcome: Outcome = Outcome.DONE
    files: int = 0
    size: int = 0
    removed: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    armed: Watch | None = None
    put_back_first: bool = False
    leaving: Mapping[str, str] = field(default_factory=dict)
    cleared: tuple[str, ...] = ()
    disarmed: bool = False
    until: str = ""
    _config: Pending | None = None
    _phases: list[tuple[str, float]] = field(default_factory=list)
    _tail: bytes | None = b""
    _begun: bool = False
    _earlier: bool | None = False
    _ended: bool = False
    _done: bytes | None = None
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.called = self.called or self.verb
        self._begin_to_tell()

    # --- the switch ----------------------------------------------------------------------------

    async def switch(
        self,
        name: str,
        why: str = "",
        *,
        finished: Finished | None = None,
        verb: str = "",
        watchdog: int = 0,
        by: Callable[[], Coroutine[Any, Any, None]] | None = None,
        then: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> bool:
        """Publish a release, with the intent written before; settle it when it is unknown.

        Args:
            name: The release.
            why: The reason, for the record.
            finished: What is to be known of it, when it has just been built. Its record is written
                after the intent: whoever finds it complete but not live then knows that it never
                was.
            verb: What the intent is called, when it is not the change's own verb.
            watchdog: Seconds after which the server puts back what was live before, by itself,
                unless :meth:`confirmed`; 0 for never.
            by: Another step that makes it live, where no link can be replaced.
            then: Further steps, which are sent with it.

        Returns:
            Whether those have been taken, too: not where the switch had to be settled.

        Raises:
            RemoteError: It did not happen; or it did (``switched``), and a further step failed.
            OutcomeUnknown: The server cannot be asked whether it happened.
        """
        site = self.site or await self.remote.look()
        actor = self.actor
        before = site.current.name
        verb = verb or self.verb
        intent = Intent(verb, name, before, actor.by, stamp(actor.now()), why)
        record = finished.record if finished else None
        guard = await self._guard(name, watchdog, record)
        self._earlier, self.switched = self.switched, None
        facts = {"watchdog": watchdog} if guard else {}
        config = finished.config if finished else None
        self._config = config.pending if config else self._config
        try:
            async with self.series():
                if config:
                    await config.stage(self.lock)
                for path, content in (finished.files if finished else {}).items():
                    await self.lock.store(path, content)
                await self.lock.store(layout.INTENT, self._hidden_in(intent.encode()))
                await self.audit(f"{verb}.intent", release=name, previous=before, **facts)
                if finished:
                    await self.put(finished.record)
                await self.lock.flush()
                if config:
                    await config.place(self.lock)
                if by:
                    await by()
                elif guard:
                    self.armed = guard.watch
                    await self.lock.publish_guarded(name, site.current.target, guard)
                else:
                    await self.lock.publish(name, site.current.target)
                now = Current(CurrentKind.RELEASE, layout.release(name).encode(), name)
                self._then(lambda: self._has_switched(name, before, replace(site, current=now)))
                if then:
                    await then()
        except (LockLost, NotAsSeen):
            if not self.switched:
                self.switched = self._earlier
            raise
        except RemoteError as error:
            if self.switched:
                raise
            found = await self._settle(name, error)
            self._has_switched(name, before, found)
            # An intent stands until the end, or until somebody else has settled it.
            # Where somebody else has made another one live, nothing is left to be done.
            return self.live != name or (then is not None and found.intent is None)
        return then is not None

    async def _guard(self, name: str, seconds: int, record: Record | None) -> Guarded | None:
        """What puts back what was live, if it is to; it knows the change by its lock."""
        if not seconds:
            return None
        await self.lock.settle()
        return guarded(self, name, seconds, record)

    def _has_switched(self, name: str, before: str, site: Site) -> None:
        self.switched, self.live, self.building = True, site.current.name, ""
        self.site = site
        self.actor.emit(Switched(self.actor.server, self.actor.at(), name, before))

    async def confirmed(self) -> None:
        """Call the watchdog of the switch off, if it has one.

        Raises:
            StepFailed: With status 89, it was quicker.
        """
        if self.armed:
            await self.lock.disarm(self.armed.token)
            self._then(self._called_off)
            self.log("confirmed: the watchdog is called off")

    @property
    def marks(self) -> tuple[str, ...]:
        """Where the mark of its watchdog may be, below ``.opsnb``."""
        return layout.watch(self.armed.token) if self.armed else ()

    def _happened(self, site: Site, name: str) -> bool:
        """Whether a switch happened, by what is so now.

        Its release is live. Or it was being built, and somebody else has taken the lock since and
        made another one live: then it is good or bad, as only one becomes that was live; or it is
        unconfirmed, and its intent was settled, which removes one that had not been live.
        """
        found = site.find(name) if name == self.building else None
        state = found.record.state if found and found.record else None
        settled = site.intent is None or site.intent.name != name
        was_live = state in (State.GOOD, State.BAD) or (state is State.UNCONFIRMED and settled)
        return site.current.name == name or was_live

    async def _settle(self, name: str, error: OpsnbError) -> Site:
        """Find out whether a publish happened whose answer was lost, or that failed half way.

        Returns:
            A look, by which it happened.

        Raises:
            OpsnbError: The error itself, when it did not happen.
            OutcomeUnknown: The server cannot be asked.
        """
        self.log(f"the switch did not end well ({error.message}): looking again")
        lost = self.lock.broken or isinstance(error, (Disconnected, StepTimedOut))
        site = await (self.regain() if lost else self._look_again())
        self.live = site.current.name
        if not self._happened(site, name):
            self.switched = self._earlier
            raise error
        if self.live != name and not (self.armed and self.live == self.previous):
            self.warn(f"{safe(name)} was live; since then somebody made {safe(self.live)} live")
        elif not lost:
            self.warn(f"{safe(name)} is live, but its switch did not end well: {error.message}")
        return site

    async def _look_again(self) -> Site:
        try:
            return await self.remote.look()
        except OpsnbError:
            return await self.regain()

    # --- the end -------------------------------------------------------------------------------

    async def run(self, work: Callable[[Change], object]) -> tuple[Report, OpsnbError | None]:
        """Do the work, and end well whatever happens.

        Args:
            work: A coroutine function that does it.

        Returns:
            The report, and the error when there was one.
        """
        error: OpsnbError | None = None
        self.actor.emit(Started(self.actor.server, self.actor.at(), self.called))
        try:
            self._pass_gates()
            await work(self)  # type: ignore[misc]  # a coroutine function, typed by its callers
        except asyncio.CancelledError:
            _uncancel()
            error = None if self._ended else await self._ending(self._interrupted())
        except OpsnbError as failed:
            error = await self._ending(self._failed(failed))
        except BaseException:
            # A bug of ours must not keep the server locked by its signs of life.
            await self._let_go()
            raise
        if error is not None and self._begun and self.after_failure is not None:
            await self._tell_failure(error, self.after_failure)
        await self._leave()
        if error is not None:
            error.message, error.hint = self.hidden(error.message), self.hidden(error.hint)
            error.args = tuple(map(self.hidden, error.args))
        report = self.report(error)
        self.actor.emit(Ended(self.actor.server, self.actor.at(), report))
        return report, error

    async def _ending(self, step: Coroutine[Any, Any, OpsnbError | None]) -> OpsnbError | None:
        """Clear up. A cancellation cuts that short; the lock is ended all the same."""
        try:
            return await step
        except asyncio.CancelledError:
            _uncancel()
        await _surely(self._let_go())
        self.warn("interrupted while clearing up: the next change clears what is left")
        if self.switched is None:
            return OutcomeUnknown(
                "interrupted before the server had said what happened",
                "Look again: `opsnb releases` shows what is live.",
            )
        return self.stopped()

    async def _tell_failure(
        self, error: OpsnbError, tell: Callable[[OpsnbError], Coroutine[Any, Any, None]]
    ) -> None:
        """Tell whoever wants to know of a failure; a cancellation cuts that short."""
        try:
            await tell(error)
        except asyncio.CancelledError:
            _uncancel()
            await _surely(self._let_go())
            self.warn("interrupted: not all that was to be done after the failure was done")

    async def _interrupted(self) -> OpsnbError | None:
        self.log("interrupted: ending the step that runs on the server")
        self.forget_unsent()
        if self.switched is None or (self.held is not None and self.held.broken):
            try:
                await self._find_out()
            except OutcomeUnknown as unknown:
                return unknown
        if self._ended and not self.switched:
            return None
        await self._abandon("interrupted")
        return self.stopped()

    async def _failed(self, error: OpsnbError) -> OpsnbError | None:
        """Clear up after an error, and say it as what it means for the site."""
        self.forget_unsent()
        if isinstance(error, LockLost) and self.switched:
            return self.after_the_switch(error)
        if self.held is None or isinstance(error, (LockLost, OutcomeUnknown)):
            return error
        if self.held.broken or isinstance(error, ConnectError):
            try:
                await self._find_out()
            except OutcomeUnknown as unknown:
                if self.switched is None:
                    return unknown
                self.warn("the server is out of reach: the next change clears what is left")
        if isinstance(error, (Restored, NotRestored)):
            return error
        return await self._cleared_up(error)

    async def _cleared_up(self, error: OpsnbError) -> OpsnbError | None:
        if self.switched:
            return self.after_the_switch(error)
        if self._ended:
            return None  # what switches nothing was done unheard
        began = bool(self.building)
        await self._abandon(error.message)
        return DeployFailed(error.message, error.hint) if began else error

    async def _find_out(self) -> None:
        site = await self.regain()
        self.live = site.current.name
        if self.switched is None:
            self.switched = self._earlier or self._happened(site, self.release)
        self._ended = self.all_written(site)

    async def _abandon(self, why: str) -> None:
        """Remove what was being built, and write down that it failed."""
        if self.held is None or self.held.broken or self.switched or not self._begun:
            return
        try:
            async with asyncio.timeout(locking.CLEANUP):
                await self.settle_config()
                # First of all what may fill the disk, on which the log is to be written.
                if self.building and self.building != self.live:
                    await self.lock.discard([self.building])
                await self._see_what_left()
                await self.audit(
                    f"{self.verb}.failed", release=self.release, why=why, **self.removed_facts
                )
                await self.lock.forget([layout.INTENT, *self.marks])
        except (TimeoutError, OpsnbError) as error:
            self.warn(f"what was built is left for the next change to clear: {safe(str(error))}")

    async def _see_what_left(self) -> None:
        """Of releases whose removal was begun, know which are gone."""
        if not self.leaving:
            return
        with suppress(OpsnbError):
            there = {one.name for one in (await self.remote.look()).releases if one.present}
            gone = {name: why for name, why in self.leaving.items() if name not in there}
            self.removed, self.leaving = {**self.removed, **gone}, {}

    async def _leave(self) -> None:
        """Give the lock back, or make sure on the server that it ends."""
        held, self.held = self.held, None
        if held is None:
            return
        try:
            async with asyncio.timeout(locking.CLEANUP):
                await held.release()
        except asyncio.CancelledError:
            # Too late: the change has ended. Only the lock must still go.
            _uncancel()
            await end(held)
        except (TimeoutError, OpsnbError) as error:
            self.log(f"the lock was not given back, so it was ended: {safe(str(error))}")
            await end(held)


async def _surely(step: Coroutine[Any, Any, None]) -> None:
    """Wait for a step, however often the waiting is cancelled; the step has its own deadlines."""
    task = asyncio.ensure_future(step)
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            _uncancel()
    await task


def _uncancel() -> None:
    """Let the clean-up after a cancellation await; a second cancellation still ends it."""
    task = asyncio.current_task()
    if task:
        task.uncancel()
