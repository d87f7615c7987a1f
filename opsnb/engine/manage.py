"""Pins and holds: the changes that switch nothing."""

from __future__ import annotations

from dataclasses import replace

from opsnb.core import intended, layout
from opsnb.core.events import Outcome
from opsnb.core.layout import stamp
from opsnb.core.release import Holder, Site
from opsnb.engine.change import Change


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
    """Place a hold by hand: no change until it is taken away.

    Args:
        why: The reason, for everybody who is held back.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        intended.refuse_unknown(await change.look())
        await change.take("hold")
        actor = change.actor
        hold = Holder(actor.by, actor.host, stamp(actor.now()), self._why)
        await change.audit("hold.acquire", why=self._why)
        await change.lock.store(layout.HOLD, hold.encode())
        await change.lock.flush()


class UnholdWork:
    """Take a hold away, and with ``force`` the lock of whoever has it.

    Args:
        force: Whether to take what somebody else placed or holds.
    """

    def __init__(self, *, force: bool) -> None:
        self._force = force
        self._broken: Holder | None = None

    async def __call__(self, change: Change) -> None:
        """Carry it out; what was forced is written into the audit log."""
        site = await change.look()
        if site.holder:
            await self._break(change, site, site.holder)
        elif not site.hold:
            change.outcome = Outcome.NOTHING
            return
        intended.refuse_others(replace(site, holder=None), change.actor.by, force=self._force)
        site = await change.take("release", through_hold=True)
        if site.hold:
            forced = site.hold.who != change.actor.by
            await change.audit("hold.release", of=str(site.hold), forced=forced)
            await change.lock.forget([layout.HOLD])
        if self._broken:
            await change.audit("lock.forced", of=str(self._broken), forced=True)
        await change.lock.flush()

    async def _break(self, change: Change, site: Site, holder: Holder) -> None:
        intended.refuse_others(site, change.actor.by, force=self._force)
        change.log(f"taking the lock from {holder}")
        await change.remote.break_lock(holder)
        self._broken = holder
