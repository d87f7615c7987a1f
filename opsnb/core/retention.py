"""Which releases stay, which go, and why.

Rule 1: never the live release, the good one before it, a pinned one, or one without our record.
Rule 2: only good releases count toward ``keep_releases``, so failures evict nobody.
Rule 3: every release gets a reason, also the ones that stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from opsnb.core.release import Release, Site, State, rollback_targets


@dataclass(frozen=True, slots=True)
class Retention:
    """The decision, by release name.

    Attributes:
        keep: Why each release that stays does.
        remove: Why each release that goes does.
    """

    keep: dict[str, str]
    remove: dict[str, str]


def retain(site: Site, keep_releases: int) -> Retention:
    """Decide what prune removes.

    Args:
        site: The server as it was seen, ``current`` included.
        keep_releases: How many good releases stay, the live one included; at least 1.
    """
    keep: dict[str, str] = {}
    remove: dict[str, str] = {}
    previous = next(iter(rollback_targets(site)), None)
    counted = _counted(site, keep_releases)
    unsure = _unsure(site, keep_releases)
    oldest = min((release.seq for release in counted), default=0)
    for release in site.releases:
        if not release.present:
            continue
        reason = _protected(release, previous)
        if reason:
            keep[release.name] = reason
        elif release in counted:
            keep[release.name] = f"one of the {keep_releases} newest good releases"
        elif release in unsure:
            keep[release.name] = f"unconfirmed, one of the {keep_releases} newest"
        elif release.state is State.BAD and release.seq > oldest > 0:
            keep[release.name] = "bad, but newer than the oldest good one that is kept"
        else:
            remove[release.name] = _why_not(release, keep_releases)
    return Retention(keep, remove)


def _protected(release: Release, previous: Release | None) -> str:
    if release.live:
        return "live"
    if release is previous:
        return "the good release before the live one"
    if release.pinned:
        return "pinned"
    if not release.real:
        return "not a directory of its own"
    if release.record is None:
        return "not made or adopted by opsnb"
    return ""


def _counted(site: Site, keep_releases: int) -> list[Release]:
    """The newest good releases, the live one counted among them whatever its state."""
    live = [release for release in site.releases if release.live]
    others = [
        release
        for release in reversed(site.releases)
        if release.present and release.real and release.state is State.GOOD and not release.live
    ]
    return live + others[: max(0, keep_releases - len(live))]


def _unsure(site: Site, keep_releases: int) -> list[Release]:
    """Unconfirmed releases (adopted, or their maker died) that may be needed still."""
    usable = [
        release
        for release in reversed(site.releases)
        if release.present and release.real
        if release.state in (State.GOOD, State.UNCONFIRMED)
    ]
    return [release for release in usable[:keep_releases] if release.state is State.UNCONFIRMED]


def _why_not(release: Release, keep_releases: int) -> str:
    if release.state is State.UNFINISHED:
        return "unfinished: its deploy never completed it"
    if release.state is State.GOOD:
        return f"good, older than the {keep_releases} that are kept"
    return f"{release.state}, older than the {keep_releases} that are kept"
