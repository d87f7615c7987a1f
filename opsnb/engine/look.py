"""What a plan rests on, gathered from a server. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote_to_bytes

from opsnb.core import listing
from opsnb.core.links import Listing
from opsnb.core.listing import Base
from opsnb.core.manifest import Kind
from opsnb.core.plan import Plan, Unlisted, Wish
from opsnb.core.plan_deploy import plan_deploy
from opsnb.core.refusal import refuse
from opsnb.core.release import Site
from opsnb.core.text import safe
from opsnb.errors import RemoteError
from opsnb.remote.base import Remote


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
    manifest = await remote.manifest(live.name)
    if live.record and live.record.manifest and manifest.id != live.record.manifest:
        raise RemoteError(
            f"the manifest of {safe(live.name)} is not the one its record names",
            "Somebody changed .opsnb by hand. Deploy with --force after looking into it, or roll "
            "back to another release.",
        )
    changes = await remote.changes(live.name)
    try:
        now = listing.read(changes.now)
        touched = [
            path for path, seen in now.items() if path in manifest and seen.entry.kind is Kind.FILE
        ]
        digests = await remote.hashes(live.name, touched) if touched else {}
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


async def plan_for(remote: Remote, site: Site, wish: Wish, now: datetime) -> Plan:
    """Plan a deploy, asking the server for whatever the plan turns out to need.

    Args:
        remote: The server.
        site: What a look told.
        wish: What is asked for.
        now: The present time, aware.
    """
    refuse(site)
    base = await look_at_live(remote, site)
    shared: dict[bytes, Listing] = {b"": dict(site.shared)}
    while True:
        planned = plan_deploy(site, base, shared, wish, now)
        if not isinstance(planned, Unlisted):
            return planned
        _learn(shared, await remote.shared(planned.paths), planned.paths)


def _learn(
    shared: dict[bytes, Listing], listed: Mapping[bytes, Listing], asked: tuple[bytes, ...]
) -> None:
    shared.update({path: listed.get(path, {}) for path in asked})
