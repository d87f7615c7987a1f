"""Configuration files in ``shared/``: placed with the switch, and settled after it.

Rule 1: what was there is on the disk, in a place of ours, before anything is replaced.
Rule 2: they stay if their release is live; whoever finds them unsettled settles them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opsnb.core import layout
from opsnb.core.configfiles import ConfigChange, placed, settlement
from opsnb.core.manifest import Entry, Manifest
from opsnb.core.marks import Pending
from opsnb.core.plan import Plan
from opsnb.core.text import safe
from opsnb.remote.base import Held, Remote


@dataclass(frozen=True)
class Placing:
    """Configuration files to be placed.

    Attributes:
        pending: What is there, and what is to be.
        contents: What is to be, in the order of ``pending.after``.
    """

    pending: Pending
    contents: Sequence[bytes] = field(repr=False)

    async def stage(self, held: Held) -> None:
        """Bring them to the server, and keep what is there, all in a place of ours."""
        before = self.pending.before
        await held.config_begin()
        for number, (path, content) in enumerate(
            zip(self.pending.after, self.contents, strict=True)
        ):
            await held.private(layout.gathered(f"new.{number}"), content)
            digest = before[path].sha256 if path in before else ""
            await held.config_keep(number, path, digest)
        await held.private(layout.gathered("journal"), self.pending.encode())
        await held.config_commit()

    async def place(self, held: Held) -> None:
        """Put them where they belong."""
        for number, (path, entry) in enumerate(self.pending.after.items()):
            await held.config_place(number, path, entry.mode)


def placing(plan: Plan, contents: Mapping[bytes, bytes]) -> Placing | None:
    """What a plan places in ``shared/``; None for nothing.

    Args:
        plan: The plan.
        contents: The content of configuration files there, by path.
    """
    found = placed(plan.config)
    if not found:
        return None
    after = Manifest(change.file.entry for change in found)
    pending = Pending(plan.name, Manifest(_before(found)), after)
    return Placing(pending, [contents[path] for path in after])


def _before(found: Sequence[ConfigChange]) -> list[Entry]:
    return [change.before for change in found if change.before is not None]


async def settle(remote: Remote, held: Held, pending: Pending, live: str) -> list[str]:
    """Settle configuration files that came with a release.

    Args:
        remote: The server.
        held: Its lock.
        pending: What was there, and what was placed.
        live: The release that is live.

    Returns:
        Warnings.
    """
    if not pending.release:
        await held.config_done([])
        return ["what a dead change had placed in shared/ is not known: look at the files there"]
    paths = list(pending.after)
    standing = await remote.standing(paths)
    decided = settlement(pending.before, pending.after, standing, keep=live == pending.release)
    for number, path, was in decided.back:
        await held.config_back(number, path, was=was)
    if decided.keep:
        written = {**standing.written, **pending.after.entries}
        await held.private(layout.WRITTEN, Manifest(written.values()).encode())
    await held.config_done(paths)
    back = [f"shared/{safe(path)} is again as it was" for _, path, _ in decided.back]
    return back + [
        f"shared/{safe(path)} was written by somebody else meanwhile, and stays as it is"
        for path in decided.touched
    ]
