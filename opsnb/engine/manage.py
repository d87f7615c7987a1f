"""Pins, holds and taking over: the changes that switch nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from urllib.parse import quote_from_bytes

from opsnb.core import layout, listing
from opsnb.core.events import Outcome
from opsnb.core.layout import stamp
from opsnb.core.manifest import Kind, Manifest
from opsnb.core.release import FREEZE, CurrentKind, Holder, Record, Release, Site, State
from opsnb.core.text import plural, safe
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
        site = await change.look()
        if not site.ours:
            raise NotReady(
                f"opsnb has never deployed to {site.deploy_to}", "There is nothing to hold back."
            )
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
            await self._break(change, site.holder)
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
            server = change.actor.server
            other = f"lock {server} release" if self._freeze else f"unfreeze {server}"
            raise Locked(f"{server} is {site.hold.words}", f"`opsnb {other}` takes that away.")

    async def _break(self, change: Change, holder: Holder) -> None:
        if not self._force:
            raise Locked(
                f"a change is running: {holder}",
                "Its lock ends with it. `--force` ends the change on the server, now.",
            )
        change.log(f"taking the lock from {holder}")
        await change.remote.break_lock(holder)
        self._broken = holder


class AdoptWork:
    """Give the releases of another tool their records, for :meth:`Change.run`.

    Nothing of theirs is changed. The live release counts as good, since visitors use it; of the
    others nobody knows whether they were ever completed, so they become ``unconfirmed``: a
    rollback goes there only when they are named.
    """

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        first = _adoptable(await change.look())
        made_by = first.made_by or "another tool"
        if not _strangers(first):
            change.outcome = Outcome.NOTHING
            return
        site = _adoptable(await change.take("adopt"))
        strangers = _strangers(site)
        counter = site.counter
        names = [release.name for release in strangers]
        await change.audit("adopt.begin", releases=names, made_by=made_by)
        for release in strangers:
            counter += 1
            await _adopt(change, site, release, counter, made_by)
        change.warnings += [f"{safe(name)} is adopted" for name in names]
        await change.audit("adopt.done", releases=names)
        await change.lock.flush()


def _adoptable(site: Site) -> Site:
    if site.current.kind not in (CurrentKind.RELEASE, CurrentKind.NONE):
        raise NotReady(
            f"current of {site.deploy_to} is no link to a release ({site.current.kind})",
            "Point it at a directory in releases/, then adopt again.",
        )
    return site


def _strangers(site: Site) -> list[Release]:
    """Releases without a record; a name that is no plain text is left alone, as prune does."""
    return [
        release
        for release in site.releases
        if release.real and release.record is None and safe(release.name) == release.name
    ]


async def _adopt(change: Change, site: Site, release: Release, seq: int, made_by: str) -> None:
    name = release.name
    seen = listing.read(await change.lock.finish(name))
    links = [path for path in seen if listing.leads_to_shared(seen[path].entry, site.deploy_to)]
    files = [path for path, item in seen.items() if item.entry.kind is Kind.FILE and not item.odd]
    digests = await change.remote.hashes(name, files) if files else {}
    kept = [item.entry for path, item in seen.items() if path not in links and not item.odd]
    manifest = Manifest(replace(entry, sha256=digests.get(entry.path, "")) for entry in kept)
    carried = listing.beyond(seen, manifest, links)
    await change.lock.store(layout.manifest(name), manifest.encode())
    await change.lock.store(f"{layout.OURS}/carried/{name}", carried)
    await change.put(
        Record(
            name=name,
            seq=seq,
            state=State.GOOD if release.live else State.UNCONFIRMED,
            at=stamp(change.actor.now()),
            by=change.actor.by,
            host=change.actor.host,
            source=f"adopted from {made_by}",
            files=manifest.files,
            size=manifest.size,
            manifest=manifest.id,
            links=tuple(quote_from_bytes(path) for path in links),
            adopted=True,
        )
    )
    change.log(f"adopted {safe(name)}: {plural(manifest.files, 'file')}")
