"""Room on the disk for a new release: what goes before it is made, or why it cannot be. Pure.

Rule 1: nothing goes early while there is room; then as few as will do, the oldest first: those that
would go in the end, then those that failed, then those that only their number or age keeps.
Rule 2: never the live release, the good one before it, a pinned one or one in use, as ever.
Rule 3: what is not enough is refused before anything is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from opsnb.core.plan import Plan
from opsnb.core.release import Release, Site, State
from opsnb.core.retention import Retention, Rules, in_use, protected, takes
from opsnb.core.text import size
from opsnb.errors import NotReady

HINT = "`opsnb usage` shows what takes the room, `opsnb prune` gives it back."


@dataclass(frozen=True, slots=True)
class Need:
    """What a new release takes.

    Attributes:
        bytes: Bytes.
        inodes: Inodes.
    """

    bytes: int
    inodes: int

    def fits(self, site: Site, more: int = 0, inodes: int = 0) -> bool:
        """Whether there is room, with so many bytes and inodes more.

        Args:
            site: What a look told.
            more: Bytes that are given back first.
            inodes: Inodes that are given back first.
        """
        short = 0 < site.free_inodes < self.inodes - inodes
        return self.bytes <= site.free_bytes + more and not short


def make_room(site: Site, plan: Plan, need: Need, rules: Rules) -> Plan:
    """The plan with what goes before the release is made; as it is where there is room.

    Args:
        site: What a look told.
        plan: A deploy.
        need: What it takes.
        rules: What is to stay.

    Raises:
        NotReady: There is too little room even then.
    """
    if plan.build is None or plan.nothing or not site.exists or need.fits(site):
        return plan
    aside = site.spare
    more, inodes = (aside.size, aside.files) if aside else (0, 0)
    early: list[Release] = []
    for release in _candidates(site, plan.retention, rules):
        if need.fits(site, more, inodes):
            break
        early.append(release)
        more += takes(release, site)
        inodes += release.record.files if release.record else 0
    if not need.fits(site, more, inodes):
        raise _refusal(site, need, more, early)
    names = tuple(release.name for release in early)
    return replace(plan, early=names, retention=_with(plan.retention, names, site))


def _candidates(site: Site, retention: Retention, rules: Rules) -> Iterable[Release]:
    """What may go early, in the order in which it does."""
    fixed = protected(site)
    free = [
        release
        for release in site.releases
        if release.present and release.name not in fixed and not in_use(release, site, rules)
    ]

    def rank(release: Release) -> tuple[bool, bool, int]:
        stays = release.name in retention.keep
        return stays, stays and release.state is not State.BAD, release.seq

    return sorted(free, key=rank)


def _with(retention: Retention, early: tuple[str, ...], site: Site) -> Retention:
    """The decision, with what else must go for the room."""
    more = {
        name: f"to make room: {size(site.free_bytes)} are free"
        for name in early
        if name not in retention.remove
    }
    keep = {name: why for name, why in retention.keep.items() if name not in more}
    remove = {**retention.remove, **more}
    return replace(retention, keep=keep, remove=remove, passing=retention.passing - more.keys())


def _refusal(site: Site, need: Need, more: int, early: list[Release]) -> NotReady:
    given = f"; removing what may go ({len(early)}) would give {size(more)} more" if early else ""
    if need.bytes > site.free_bytes + more:
        said = f"not enough room: the release needs {size(need.bytes)}, {size(site.free_bytes)}"
        return NotReady(f"{said} are free{given}", HINT)
    said = f"not enough inodes: the release needs {need.inodes:,}, {site.free_inodes:,}"
    return NotReady(f"{said} are free{given}", HINT)


def still_short(site: Site, plan: Plan) -> str:
    """What is wrong once room was made, in one line; empty when the release fits.

    Args:
        site: A look after that.
        plan: The deploy.
    """
    need = Need(*plan.needs)
    if need.fits(site):
        return ""
    return (
        f"room was made, and it is still not enough: the release needs {size(need.bytes)} and "
        f"{need.inodes:,} inodes, {size(site.free_bytes)} and {site.free_inodes:,} are free"
    )
