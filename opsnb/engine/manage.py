"""Pins and holds: the changes that switch nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from opsnb.core import intended, layout
from opsnb.core.events import Outcome
from opsnb.core.layout import stamp
from opsnb.core.marks import FREEZE, Holder
from opsnb.core.release import Site
from opsnb.engine.change import Change
from opsnb.errors import Locked


class PinWork:
    """Set or take away a release's pin, for :meth:`Change.run`.

    Args:
        name: The release.
        pinned: Whether it is to be pinned.
    """

    def __init__(self, name: str, *, pinned: bool) -> None:
        self._name, self._pinned = name, pinned

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        intended.recorded(await change.look(), self._name)
        site = await change.take(change.verb)
        change.release = self._name
        record = intended.recorded(site, self._name)
        if record.pinned == self._pinned:
            change.outcome = Outcome.NOTHING
            return
        await change.audit(f"{change.verb}.done", release=self._name)
        await change.put(replace(record, pinned=self._pinned))
        await change.lock.flush()


class HoldWork:
    """Place a hold, or a freeze, by hand.

    Args:
        why: The reason, for everybody who is held back.
        freeze: Whether a rollback may pass it.
        until: When it ends by itself, by the clock of whoever meets it; None when it does not.
    """

    def __init__(self, why: str, *, freeze: bool = False, until: datetime | None = None) -> None:
        self._why, self._until = why, stamp(until) if until else ""
        self._kind = FREEZE if freeze else ""

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        intended.refuse_unknown(await change.look())
        site = await change.take(change.verb)
        actor = change.actor
        if site.hold and site.hold.who != actor.by:
            raise Locked(f"{actor.server} is {site.hold.words}", "Who placed it may change it.")
        hold = Holder(
            actor.by, actor.host, stamp(actor.now()), self._why, kind=self._kind, until=self._until
        )
        until = {"until": self._until} if self._until else {}
        await change.audit(f"{self._kind or 'hold'}.acquire", why=self._why, **until)
        await change.lock.store(layout.HOLD, hold.encode())
        change.until = self._until
        await change.lock.flush()


class UnholdWork:
    """Take a hold or a freeze away, and with ``force`` the lock of whoever has it.

    Args:
        force: Whether to take what somebody else placed or holds.
        freeze: Whether it is a freeze that is meant.
    """

    def __init__(self, *, force: bool, freeze: bool = False) -> None:
        self._force, self._freeze = force, freeze
        self._broken: Holder | None = None

    async def __call__(self, change: Change) -> None:
        """Carry it out; what was forced is written into the audit log."""
        site = await change.look()
        hold = self._meant(site)
        if site.holder:
            await self._break(change, site, site.holder)
        elif not hold:
            self._refuse_other(change, site)
            change.outcome = Outcome.NOTHING
            return
        if hold and hold.who != change.actor.by and not self._force:
            raise Locked(f"{hold.words}", "`--force` takes it away all the same.")
        site = await change.take(change.verb, through_hold=True)
        hold = self._meant(site)
        if hold:
            what = "freeze" if hold.freezes else "hold"
            forced = hold.who != change.actor.by
            await change.audit(f"{what}.release", of=str(hold), forced=forced)
            await change.lock.forget([layout.HOLD])
        if self._broken:
            await change.audit("lock.forced", of=str(self._broken), forced=True)
        await change.lock.flush()

    def _meant(self, site: Site) -> Holder | None:
        """What was placed of the kind that is to go, also when it has ended by itself."""
        hold = site.hold or site.lapsed
        return hold if hold and hold.freezes == self._freeze else None

    def _refuse_other(self, change: Change, site: Site) -> None:
        """Whoever takes away what is not there may mean what is."""
        if site.hold:
            server, typed = change.actor.server, change.actor.typed
            other = f"lock {typed} release" if self._freeze else f"unfreeze {typed}"
            raise Locked(f"{server} is {site.hold.words}", f"`opsnb {other}` takes that away.")

    async def _break(self, change: Change, site: Site, holder: Holder) -> None:
        intended.refuse_others(site, change.actor.by, force=self._force)
        change.log(f"taking the lock from {holder}")
        await change.remote.break_lock(holder)
        self._broken = holder
