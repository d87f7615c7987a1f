"""What a plan rests on, gathered from a server. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

from opsnb.core import layout, listing
from opsnb.core.configfiles import overlaid
from opsnb.core.configfiles import shared as shared_files
from opsnb.core.keepassets import believed
from opsnb.core.links import Listing, Standing
from opsnb.core.listing import Base
from opsnb.core.manifest import Kind, Manifest, compare
from opsnb.core.plan import Plan, Unlisted, Wish
from opsnb.core.plan_config import wished, with_config
from opsnb.core.plan_deploy import plan_deploy
from opsnb.core.refusal import refuse
from opsnb.core.release import Record, Release, Site
from opsnb.core.spare import Spare
from opsnb.core.text import safe
from opsnb.engine import cache
from opsnb.engine.holding import informed
from opsnb.engine.steady import uncollected
from opsnb.errors import RemoteError
from opsnb.remote.base import Aside, Changes, Glance, Remote


@dataclass(frozen=True)
class Grounds:
    """What a plan rests on.

    Attributes:
        site: What a look told.
        base: The live release as it truly is; None when none is live.
    """

    site: Site
    base: Base | None


async def grounds(remote: Remote, glance: Glance, like: Manifest) -> Grounds:
    """Put together what a plan rests on.

    Args:
        remote: The server.
        glance: What a glance told.
        like: A manifest that is much like the live release's.
    """
    site = glance.site
    refuse(site)
    live = site.live
    if live is None:
        return Grounds(site, None)
    if glance.live != live.name:
        # Somebody has switched between the two halves of the glance.
        base = await look_at_live(remote, site)
        return Grounds(site, base and await _with_assets(remote, live, base))
    base = await _base(remote, site, live, glance.changes, like)
    return Grounds(site, await _with_assets(remote, live, base))


async def _with_assets(remote: Remote, live: Release, base: Base) -> Base:
    """The live release, and since when it holds what its source no longer had."""
    named = live.record.assets if live.record else ""
    if not named:
        return base
    # Beside the manifests, and so read like one.
    text = await remote.manifest(layout.assets(live.name).rpartition("/")[2])
    return replace(base, assets=believed(text, named))


class Recent:
    """The manifests that this process had to do with last, for it deals with them again.

    Args:
        most: How many.
        entries: Larger ones are not kept: rather read again than held in memory.
    """

    def __init__(self, most: int = 4, entries: int = 30_000) -> None:
        self._most, self.entries = most, entries
        self._kept: dict[str, Manifest] = {}

    def get(self, digest: str) -> Manifest | None:
        """The manifest with that SHA-256."""
        return self._kept.get(digest)

    def keep(self, digest: str, manifest: Manifest) -> Manifest:
        """Keep a manifest, and forget the one that was kept first; the manifest itself."""
        if len(manifest) <= self.entries:
            self._kept.pop(digest, None)
            self._kept[digest] = manifest
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
        return manifest


RECENT = Recent()
LIKELY = 2  # the live release's, and that of the one kept aside


async def recall(like: Manifest, answered: Callable[[], bool]) -> None:
    """Read the manifests that a plan is likely to need, for as long as the server has not answered.

    Args:
        like: A manifest that is much like them.
        answered: Whether it has.
    """
    if len(like) > RECENT.entries:
        return
    for digest in cache.manifests()[:LIKELY]:
        if answered():
            return
        text = cache.manifest(digest) if RECENT.get(digest) is None else None
        if text is not None and text.count(b"\n") <= RECENT.entries:
            with suppress(ValueError):
                RECENT.keep(digest, await asyncio.to_thread(Manifest.decode, text, like))


async def spare_of(remote: Remote, aside: Aside, like: Manifest) -> Spare | None:
    """The release kept aside; None for one whose description makes no sense.

    Args:
        remote: The server.
        aside: What the server tells of it.
        like: A manifest that is much like its.
    """
    try:
        record = Record.decode(aside.record)
        here, there = listing.apart(aside.unlike)
    except ValueError:
        return None
    manifest = RECENT.get(record.manifest)
    if manifest is None:
        text = cache.manifest(record.manifest) or await remote.spare_manifest()
        try:
            manifest = Manifest.decode(text, like)
        except ValueError:
            return None
        if manifest.id != record.manifest:
            return None
        RECENT.keep(record.manifest, manifest)
    return Spare(record, manifest, there | here.keys())


async def manifest_of(remote: Remote, release: Release, like: Manifest | None = None) -> Manifest:
    """A release's manifest, as its record names it, and empty when it has none.

    Args:
        remote: The server.
        release: The release.
        like: A manifest that is much like it.

    Raises:
        RemoteError: It cannot be read.
    """
    digest = release.record.manifest if release.record else ""
    known = RECENT.get(digest) if digest else None
    if known is not None:
        return known
    text = cache.manifest(digest) if digest else None
    try:
        if text is not None:
            return RECENT.keep(digest, Manifest.decode(text, like))
        text = await remote.manifest(release.name)
        manifest = Manifest.decode(text, like) if text else Manifest()
    except ValueError as error:
        raise RemoteError(
            f"the manifest of {safe(release.name)} cannot be read: {error}"
        ) from error
    if digest and manifest.id == digest:
        # That of a release with configuration files stays off this disk: it holds their digests.
        if not (release.record and release.record.config):
            cache.keep_manifest(digest, text)
        RECENT.keep(digest, manifest)
    return manifest


async def look_at_live(remote: Remote, site: Site) -> Base | None:
    """The live release as it truly is: its manifest, and what has changed in it since.

    Args:
        remote: The server.
        site: What a look told.

    Returns:
        None when no release is live.
    """
    live = site.live
    if live is None:
        return None
    return await _base(remote, site, live, await remote.changes(live.name), None)


async def with_files(remote: Remote, site: Site, plan: Plan) -> Plan:
    """A rollback's plan with what visitors' files gain and lose, by what the releases hold now.

    Args:
        remote: The server.
        site: What a look told.
        plan: The plan.
    """
    target = site.find(plan.name)
    if target is None or site.live is None:
        return plan
    one = await _base(remote, site, site.live, await remote.changes(site.live.name), None)
    other = await _base(remote, site, target, await remote.changes(target.name), one.manifest)
    return replace(plan, difference=compare(one.found, other.found))


async def _base(
    remote: Remote, site: Site, live: Release, changes: Changes, like: Manifest | None
) -> Base:
    manifest = await manifest_of(remote, live, like)
    if live.record and live.record.manifest and manifest.id != live.record.manifest:
        raise RemoteError(
            f"the manifest of {safe(live.name)} is not the one its record names",
            "Somebody changed .opsnb by hand. Deploy with --force after looking into it, or roll "
            "back to another release.",
        )
    try:
        now = listing.read(changes.now)
        touched = [
            path for path, seen in now.items() if path in manifest and seen.entry.kind is Kind.FILE
        ]
        digests = await remote.hashes(live.name, touched) if touched else {}
        with uncollected():
            return listing.base(
                live.name,
                site.deploy_to,
                manifest,
                carried=changes.carried,
                links=[unquote_to_bytes(path) for path in live.record.links] if live.record else (),
                now=changes.now,
                gone=changes.gone,
                digests=digests,
            )
    except ValueError as error:
        raise RemoteError(f"the server's listing makes no sense: {safe(str(error))}") from error


async def plan_for(
    remote: Remote, on: Grounds, wish: Wish, now: datetime, *, thorough: bool = False
) -> Plan:
    """Plan a deploy, asking the server for whatever the plan turns out to need.

    Which releases are in use is asked where one must go before the new one is made: what goes in
    the end is looked at once more when it goes.

    Args:
        remote: The server.
        on: What it rests on.
        wish: What is asked for.
        now: The present time, aware.
        thorough: Whether to ask, too, who uses what goes in the end.
    """
    rules = wish.settings.rules
    site = await informed(remote, on.site, rules, users=False)
    plan = await _plan_on(remote, Grounds(site, on.base), wish, now)
    if rules.in_use and (plan.early or (thorough and plan.retention.remove)):
        site = await informed(remote, site, rules, users=True)
        plan = await _plan_on(remote, Grounds(site, on.base), wish, now)
    return plan


async def _plan_on(remote: Remote, on: Grounds, wish: Wish, now: datetime) -> Plan:
    shared: dict[bytes, Listing] = {b"": dict(on.site.shared)}
    standing = await _standing(remote, on.site, wish)
    wish = wished(on.site, on.base, wish, standing)
    while True:
        listings = overlaid(shared, wish.config)
        with uncollected():
            planned = plan_deploy(on.site, on.base, listings, wish, now)
        if not isinstance(planned, Unlisted):
            planned = with_config(planned, on.base, wish, standing)
            return await _with_past(planned, on.site, wish)
        _learn(shared, await remote.shared(planned.paths), planned.paths)


async def _standing(remote: Remote, site: Site, wish: Wish) -> Standing:
    """What is in ``shared/`` where the configuration files belong that are asked for."""
    paths = [file.path for file in shared_files(wish.config)]
    return await remote.standing(paths) if paths and site.exists and site.commands else Standing()


async def _with_past(plan: Plan, site: Site, wish: Wish) -> Plan:
    """The plan, with the commits between what is live and what is proposed."""
    commit, live = wish.origin.commit, site.live
    if commit is None or live is None or live.record is None or not live.record.revision:
        return plan
    from opsnb.engine.git.past import past  # noqa: PLC0415 - a plain folder has none

    found = await past(Path(wish.origin.repository), live.record.revision, commit.id)
    return replace(plan, past=found)


def _learn(
    shared: dict[bytes, Listing], listed: Mapping[bytes, Listing], asked: tuple[bytes, ...]
) -> None:
    shared.update({path: listed.get(path, {}) for path in asked})
