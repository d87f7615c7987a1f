"""A change and the lock: how it is taken, what a dead change left, and how it is taken again.

Rule 1: there is one way to lock, and to recover.
Rule 2: a step whose outcome is unknown is settled by taking the lock again (which waits until the
dead step has ended on the server) and looking; never by guessing.
Rule 3: nothing is cleared away, recorded or put back without the lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from opsnb.core import audit, layout, watch
from opsnb.core.events import Phase
from opsnb.core.gates import Gates, Refusal, held_back
from opsnb.core.layout import stamp
from opsnb.core.marks import Intent, Pending
from opsnb.core.recovery import nothing_left, plan_recovery
from opsnb.core.refusal import refuse_missing
from opsnb.core.release import Record, Site
from opsnb.core.text import safe
from opsnb.engine import placing
from opsnb.engine.standing import Standing
from opsnb.engine.watch import put_back_first, tell_of
from opsnb.errors import (
    ConnectError,
    Disconnected,
    HeldBack,
    Locked,
    LockLost,
    NotAsSeen,
    OpsnbError,
    OutcomeUnknown,
)
from opsnb.remote.base import Held, Remote

CLEANUP = 60.0
RETRY = 0.2


class Locking(Standing):
    """What a change does with the lock, and only under it.

    Attributes:
        remote: The server.
        wait: Seconds to wait for the lock.
        gates: What is configured to hold changes back; None for nothing.
        building: The release being built; empty before and after.
        cleared: Names of releases that were cleared away: whoever made one may still ask for it.
        put_back_first: Whether a dead change's release was put back before this one began.
        leaving: Releases whose removal was begun, with the reason for each.
    """

    remote: Remote
    wait: float
    gates: Gates | None
    building: str
    cleared: tuple[str, ...]
    put_back_first: bool
    leaving: Mapping[str, str]
    _config: Pending | None
    _begun: bool

    @property
    def lock(self) -> Held:
        """The lock, which must be held."""
        if self.held is None:
            raise LockLost("the lock is not held")
        return self.held

    @asynccontextmanager
    async def series(self) -> AsyncIterator[None]:
        """Steps that may be sent together; see :meth:`Held.series`."""
        try:
            async with self.lock.series():
                yield
        except BaseException:
            self._tail = None  # nobody knows which of the log's lines were written
            raise

    def saw(self, site: Site) -> Site:
        """Remember what is live, for the report; the site itself."""
        self.previous = self.live = site.current.name
        return site

    async def look(self, *, fingerprint: bool = False) -> Site:
        """Look before the lock is taken: a refusal then touches nothing."""
        site = await self.remote.look(fingerprint=fingerprint)
        refuse_missing(site)
        return self.saw(site)

    async def take(self, why: str, *, through_hold: bool = False, seen: Site | None = None) -> Site:
        """Take the lock, look, and clear what a dead change left.

        Args:
            why: The reason, for whoever finds the server locked.
            through_hold: Whether a hold placed by hand is no hindrance.
            seen: What was seen a moment ago. Where nothing in it hinders, the lock may be asked for
                with the first step, and this very site is returned: that step raises NotAsSeen
                where it is no more. Then :meth:`not_as_seen`, and take it again.

        Raises:
            Locked: Somebody else has it still after the time to wait, or holds the server by hand.
            HeldBack: It is frozen, or the hours are over that deploys are allowed in.
        """
        async with self.phase(Phase.LOCK):
            known = seen if seen and self._hinders_nothing(seen) else None
            site = (self.held or await self._acquire(why, self.wait, known)).seen
            self._tail = site.audit_tail
            if not through_hold:
                _pass(held_back(site.hold, self.verb, self.actor.server, self.actor.typed), Locked)
            self._pass_gates()
            await self._told_of_mending()
            self.site = site = await self._recover(self.saw(site))
            await self._note_outside()
        return self.saw(site)

    def _hinders_nothing(self, site: Site) -> bool:
        """Whether a change may begin on a site as it is, with nothing to clear or say before."""
        marks = site.holder or site.hold or site.lapsed or site.watches or site.torn
        said = marks or site.adoption or (self.gates and self.gates.outside)
        well = nothing_left(site, plan_recovery(site, self.actor.now()))
        return bool(site.fingerprint) and well and not said

    async def not_as_seen(self, error: NotAsSeen) -> None:
        """Go back to where the lock is to be taken, after steps that were not."""
        self.begin_again()
        self.building, self._begun, self.release, self.leaving = "", False, "", {}
        if not error.ours:
            held, self.held = self.lock, None
            await held.release()

    def _pass_gates(self) -> None:
        """Go on only if nothing that is configured holds the change back.

        Raises:
            HeldBack: Something does.
        """
        if self.gates:
            _pass(self.gates.refusal(self.called, self.actor.now()), HeldBack)

    async def _note_outside(self) -> None:
        """Write down that somebody deploys outside of the hours for it, and why."""
        gates = self.gates
        if gates and gates.outside and gates.closed(self.verb, self.actor.now()):
            await self.audit(f"{self.verb}.outside", why=gates.outside)
            self.warn(f"outside of the hours for it: {safe(gates.outside)}")

    async def _acquire(self, why: str, wait: float, seen: Site | None = None) -> Held:
        deadline = time.monotonic() + wait
        actor, told = self.actor, False
        while True:
            since = stamp(actor.now())
            self.held = await self.remote.lock(actor.by, actor.host, since, why, seen)
            if self.held:
                return self.held
            if time.monotonic() >= deadline:
                raise await self._locked()
            if not told:
                self.log(f"waiting for the lock, {wait:g} s at the most")
                told = True
            await asyncio.sleep(min(RETRY, max(0.0, deadline - time.monotonic())))

    async def _told_of_mending(self) -> None:
        """Say, also in the log itself, that a torn line of it was put aside."""
        if self.lock.mended:
            self.warn(audit.MENDED)
            await self.audit("log.mended", why=audit.MENDED)

    async def _locked(self) -> Locked:
        site = await self.remote.look()
        holder = f"{site.holder}" if site.holder else "somebody who has just let it go"
        return Locked(
            f"{self.actor.server} is locked by {holder}",
            "Wait for it (--wait, or lock_wait in opsnb.toml), or look with `opsnb lock "
            f"{self.actor.typed} status`. A holder that has died loses the lock by itself within a "
            "minute.",
        )

    async def _recover(self, site: Site) -> Site:
        """Clear what a dead change left, and look again when that changed anything."""
        if found := watch.waiting(site):
            await put_back_first(self, site, found)
            self.put_back_first = True
            site = self.saw(await self.remote.look())
        recovery = plan_recovery(site, self.actor.now())
        if nothing_left(site, recovery):
            return site
        gone = [*recovery.discard, *recovery.forget]
        self._config = site.pending
        await self.settle_config()
        for record in recovery.records:
            await self.put(record)
        self.cleared = recovery.discard
        for name in recovery.discard:
            self.log(f"cleared {safe(name)}, which a dead change left unfinished")
        if not (await self.lock.discard(gone) if gone else await self.lock.sweep()):
            self.warn("something a dead change left could not be removed: .opsnb/trash")
        if site.intent:
            await self._settled(site.intent, bool(recovery.settled))
        if recovery.marks:
            await tell_of(self, site)
            await self.lock.forget(recovery.marks)
        return await self.remote.look()

    async def settle(self, site: Site) -> None:
        """Write down what a watchdog did with this change's release, under a lock taken again."""
        self._tail = site.audit_tail
        await self._recover(site)

    async def settle_config(self) -> None:
        """What was placed in ``shared/`` stays if its release is live; else what was there is."""
        pending, self._config = self._config, None
        if pending is not None:
            for said in await placing.settle(self.remote, self.lock, pending, self.live):
                self.warn(said)

    async def _settled(self, intent: Intent, happened: bool) -> None:
        said = "had happened" if happened else "had not happened"
        self.warn(f"the last {intent.verb} ended without a word: its switch {said}")
        await self.audit(f"{intent.verb}.settled", release=intent.name, switched=happened)
        await self.lock.forget([layout.INTENT])

    # --- records -------------------------------------------------------------------------------

    async def audit(self, what: str, **facts: object) -> None:
        """Add an entry to the audit log."""
        actor = self.actor
        entry = {
            "at": stamp(actor.now()),
            "by": actor.by,
            "host": actor.host,
            "what": what,
            **{key: self.hidden(fact) for key, fact in facts.items()},
        }
        if self._tail is None:
            self._tail = (await self.remote.look()).audit_tail
        text = audit.line(self._tail, entry)
        self._tail = None  # not known while it is not known whether the line was written
        await self.lock.append_audit(text)
        self._begun = True
        self._tail = text.rstrip(b"\n")

    async def put(self, record: Record) -> None:
        """Write a release's record."""
        await self.lock.store(layout.record(record.name), self._hidden_in(record.encode()))

    # --- lost, and taken again -------------------------------------------------------------------

    def forget_unsent(self) -> None:
        """What waits to be sent with the wish for the lock was not begun."""
        if self.held is not None and self.held.unasked:
            self.building, self._begun = "", False

    async def regain(self) -> Site:
        """End the lost step on the server, take the lock again, and look.

        Raises:
            OutcomeUnknown: The server cannot be asked, or somebody else was quicker.
        """
        try:
            async with asyncio.timeout(CLEANUP):
                await self._let_go()
                while True:
                    try:
                        return await self._reacquire()
                    except (ConnectError, Disconnected) as error:
                        self.log(f"{safe(error.message)}: trying again")
                        await asyncio.sleep(RETRY)
        except (TimeoutError, OpsnbError) as error:
            raise OutcomeUnknown(
                f"the server could not be asked what happened: {safe(str(error))}",
                "Look again when it can be reached: `opsnb releases` shows what is live; the next "
                "change clears what is left.",
            ) from error

    async def _reacquire(self) -> Site:
        held = await self._acquire(f"settle a {self.verb}", CLEANUP)
        self.site = site = held.seen
        self._tail = site.audit_tail
        if site.pending is None or (self._config and site.pending.release != self._config.release):
            self._config = None  # somebody else has settled what was placed
        await self._told_of_mending()
        return site

    async def _let_go(self) -> None:
        """Give the lock up, however the connection is."""
        held, self.held = self.held, None
        if held:
            await end(held)


def _pass(refusal: Refusal | None, error: type[Locked]) -> None:
    if refusal is not None:
        raise error(refusal.message, refusal.hint)


async def end(held: Held) -> None:
    """End a lock and whatever step runs under it.

    The line may be dead: then the server ends both by itself within a minute, and whoever takes
    the lock next waits for that.
    """
    with suppress(OpsnbError):
        await held.kill()
