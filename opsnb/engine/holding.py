"""What keeps releases from being removed that no record tells: processes, and room on the disk."""

from __future__ import annotations

from dataclasses import replace

from opsnb.core.release import Site
from opsnb.core.retention import Rules
from opsnb.remote.base import Remote


async def informed(remote: Remote, site: Site, rules: Rules, *, users: bool) -> Site:
    """A site with what a retention needs to know of it besides; it asks only what it must.

    Args:
        remote: The server.
        site: What a look told.
        rules: What is to stay.
        users: Whether it matters now which releases are in use.
    """
    users, sizes = users and rules.in_use, bool(rules.bytes)
    if not (users or sizes):
        return site
    seen = await remote.state(users=users, sizes=sizes)
    return replace(site, users=seen.users, unseen=seen.unseen, measured=seen.measured)
