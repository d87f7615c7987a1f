"""Which releases stay, which go, and why.

Rule 1: never the live release, the good one before it, a pinned one, one without our record, or one
that a running process uses.
Rule 2: only good releases count toward ``keep_releases``, so failures evict nobody.
Rule 3: what any rule keeps stays; then the size budget takes the oldest of those that rule 1 does
not protect.
Rule 4: every release gets a reason, also the ones that stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from opsnb.core.release import Release, Site, State, rollback_targets
from opsnb.core.text import safe, size


@dataclass(frozen=True, slots=True)
class Rules:
    """What is to stay.

    Attributes:
        count: How many good releases stay, the live one included; at least 1.
        seconds: Good releases younger than this stay, too; 0 when age keeps none.
        bytes: What releases may take in all; 0 for no limit.
        in_use: Whether a release stays that a running process uses.
    """

    count: int = 3
    seconds: int = 0
    bytes: int = 0
    in_use: bool = True


@dataclass(frozen=True, slots=True)
class Retention:
    """The decision, by release name.

    Attributes:
        keep: Why each release that stays does.
        remove: Why each release that goes does.
        passing: Those of ``keep`` that stay for a reason which passes by itself: time goes by, a
            process ends.
        over: Bytes by which what must stay takes more than the budget.
    """

    keep: dict[str, str]
    remove: dict[str, str]
    passing: frozenset[str] = frozenset()
    over: int = 0

    @property
    def meaning(self) -> tuple[str, ...]:
        """What would go if no reason were a passing one: two decisions alike in this are one."""
        return tuple(sorted({*self.remove, *self.passing}))

    def within(self, agreed: Retention) -> Retention:
        """The same, removing nothing that was not agreed to."""
        more = dict.fromkeys(self.remove, "was to stay when this was agreed to")
        keep = {name: why for name, why in more.items() if name not in agreed.remove}
        remove = {name: why for name, why in self.remove.items() if name not in keep}
        return replace(self, keep={**self.keep, **keep}, remove=remove)


def retain(site: Site, rules: Rules, now: datetime) -> Retention:
    """Decide what prune removes.

    Args:
        site: The server as it was seen, ``current`` included.
        rules: What is to stay.
        now: The present time, aware.
    """
    keep: dict[str, str] = {}
    remove: dict[str, str] = {}
    passing: set[str] = set()
    fixed = protected(site)
    counted, unsure = _counted(site, rules.count), _unsure(site, rules.count)
    oldest = min((release.seq for release in counted), default=0)
    for release in site.releases:
        if not release.present:
            continue
        if reason := fixed.get(release.name) or _wanted(release, counted, unsure, oldest, rules):
            keep[release.name] = reason
        elif reason := _for_now(release, site, rules, now):
            keep[release.name] = reason
            passing.add(release.name)
        else:
            remove[release.name] = _why_not(release, rules.count)
    return _within_budget(site, rules, Retention(keep, remove, frozenset(passing)), fixed)


def protected(site: Site) -> dict[str, str]:
    """Releases that nothing may remove, with the reason, but for those that processes use."""
    previous = next(iter(rollback_targets(site)), None)
    found = {release.name: _protection(release, previous) for release in site.releases}
    return {name: why for name, why in found.items() if why}


def _protection(release: Release, previous: Release | None) -> str:
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


def _wanted(
    release: Release, counted: list[Release], unsure: list[Release], oldest: int, rules: Rules
) -> str:
    """Why a release stays for its place among the others; empty when it does not."""
    if release in counted:
        return f"one of the {rules.count} newest good releases"
    if release in unsure:
        return f"unconfirmed, one of the {rules.count} newest"
    if release.state is State.BAD and release.seq > oldest > 0:
        return "bad, but newer than the oldest good one that is kept"
    return ""


def _for_now(release: Release, site: Site, rules: Rules, now: datetime) -> str:
    """Why a release stays until time goes by or a process ends; empty when it does not."""
    if used := in_use(release, site, rules):
        return used
    if rules.seconds and release.state is State.GOOD and release.record:
        made = _moment(release.record.at)
        if made and now - made < timedelta(seconds=rules.seconds):
            return f"good, younger than {_length(rules.seconds)}"
    return ""


def in_use(release: Release, site: Site, rules: Rules) -> str:
    """Which process uses a release, as a reason; empty when none is known."""
    user = site.users.get(release.name, "") if rules.in_use else ""
    return f"in use by {safe(user)}" if user else ""


def _length(seconds: int) -> str:
    hours = seconds // 3600
    return f"{hours // 24} d" if hours % 24 == 0 else f"{hours} h"


def _moment(text: str) -> datetime | None:
    """A record's time; None for one that makes no sense."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _counted(site: Site, count: int) -> list[Release]:
    """The newest good releases, the live one counted among them whatever its state."""
    live = [release for release in site.releases if release.live]
    others = [
        release
        for release in reversed(site.releases)
        if release.present and release.real and release.state is State.GOOD and not release.live
    ]
    return live + others[: max(0, count - len(live))]


def _unsure(site: Site, count: int) -> list[Release]:
    """Unconfirmed releases (adopted, or their maker died) that may be needed still."""
    usable = [
        release
        for release in reversed(site.releases)
        if release.present and release.real
        if release.state in (State.GOOD, State.UNCONFIRMED)
    ]
    return [release for release in usable[:count] if release.state is State.UNCONFIRMED]


def _why_not(release: Release, count: int) -> str:
    if release.state is State.UNFINISHED:
        return "unfinished: its deploy never completed it"
    if release.state is State.GOOD:
        return f"good, older than the {count} that are kept"
    return f"{release.state}, older than the {count} that are kept"


# --- the budget --------------------------------------------------------------------------------


def takes(release: Release, site: Site) -> int:
    """Bytes that a release takes: as measured, or else what its files hold."""
    held = release.record.size if release.record else 0
    return site.measured.get(release.name, held)


def _within_budget(
    site: Site, rules: Rules, found: Retention, fixed: Mapping[str, str]
) -> Retention:
    """The oldest go until what stays takes no more than the budget."""
    staying = [release for release in site.releases if release.name in found.keep]
    total = sum(takes(release, site) for release in staying)
    if not rules.bytes or total <= rules.bytes:
        return found
    keep, remove = dict(found.keep), dict(found.remove)
    why = f"the releases take {size(total)}, more than the {size(rules.bytes)} of keep_size"
    for release in staying:
        if total <= rules.bytes:
            break
        if release.name not in fixed and not in_use(release, site, rules):
            total -= takes(release, site)
            remove[release.name] = why
            del keep[release.name]
    gone = frozenset(found.passing - remove.keys())
    ordered = {r.name: remove[r.name] for r in site.releases if r.name in remove}
    return Retention(keep, ordered, gone, max(0, total - rules.bytes))


def over_budget(found: Retention, rules: Rules) -> list[str]:
    """What is to be said where what must stay takes more than the budget.

    Args:
        found: The decision.
        rules: What it was made by.
    """
    if not found.over:
        return []
    more = f"{size(found.over)} more than keep_size ({size(rules.bytes)})"
    return [f"the releases that must stay take {more}"]


def unseen(site: Site, found: Retention, rules: Rules) -> str:
    """What cannot be known of processes that may use what goes; empty when all is known.

    Args:
        site: What a look told.
        found: The decision.
        rules: What it was made by.
    """
    if not (site.unseen and rules.in_use and found.remove):
        return ""
    if not site.commands:
        return "SFTP tells nothing of processes: whether one uses what goes cannot be known"
    return "whether processes of other users use what goes cannot be known"
