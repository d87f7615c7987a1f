"""Pins and holds: the changes that switch nothing."""

from __future__ import annotations

from dataclasses import replace

from opsnb.core import layout
from opsnb.core.events import Outcome
from opsnb.core.layout import stamp
from opsnb.core.release import Holder, Record, Site
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.errors import Locked, NoSuchRelease, NotReady


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
        self._find(await change.look())
        site = await change.take(change.verb)
        change.release = self._name
        record = self._find(site)
        if record.pinned == self._pinned:
            change.outcome = Outcome.NOTHING
            return
        await change.audit(f"{change.verb}.done", release=self._name)
        await change.put(replace(record, pinned=self._pinned))
        await change.lock.flush()

    def _find(self, site: Site) -> Record:
        release = site.find(self._name)
        if release is None or release.record is None or not release.present:
            known = ", ".join(r.name for r in site.releases if r.record and r.present) or "none"
            raise NoSuchRelease(
                f"no release with a record is called {safe(self._name)}", f"There are: {known}."
            )
        return release.record


class HoldWork:
    """Place a hold by hand: no change until it is taken away.

    Args:
        why: The reason, for everybody who is held back.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        site = await change.look()
        if not site.ours:
            raise NotReady(
                f"opsnb has never deployed to {site.deploy_to}", "There is nothing to hold back."
            )
        site = await change.take("hold")
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
            await self._break(change, site.holder)
        elif not site.hold:
            change.outcome = Outcome.NOTHING
            return
        hold = site.hold
        if hold and hold.who != change.actor.by and not self._force:
            raise Locked(f"held by {hold}", "`--force` takes it away all the same.")
        site = await change.take("release", through_hold=True)
        if site.hold:
            forced = site.hold.who != change.actor.by
            await change.audit("hold.release", of=str(site.hold), forced=forced)
            await change.lock.forget([layout.HOLD])
        if self._broken:
            await change.audit("lock.forced", of=str(self._broken), forced=True)
        await change.lock.flush()

    async def _break(self, change: Change, holder: Holder) -> None:
        if not self._force:
            raise Locked(
                f"a change is running: {holder}",
                "Its lock ends with it. `--force` ends the change on the server, now.",
            )
        change.log(f"taking the lock from {holder}")
        await change.remote.break_lock(holder)
        self._broken = holder
