"""What a dead change left behind, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opsnb.core.layout import stamp
from opsnb.core.release import Intent, Record, Site, State


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a dead change left, and what to do about it.

    Attributes:
        records: Records to write, each settling a release.
        discard: Unfinished releases to remove.
        forget: Records of releases that are not there any more.
        settled: Whether the switch that was begun had happened; None when none was begun.
    """

    records: tuple[Record, ...] = ()
    discard: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    settled: bool | None = None


def plan_recovery(site: Site, now: datetime) -> Recovery:
    """Decide how to clear what a dead change left; call it only while holding the lock.

    Args:
        site: What was seen under the lock.
        now: The present time, aware.
    """
    unfinished = [
        release.name
        for release in site.releases
        if release.state is State.UNFINISHED and not release.live and release.present
    ]
    forget = [release.name for release in site.releases if release.record and not release.present]
    intent = site.intent
    if intent is None:
        return Recovery(discard=tuple(unfinished), forget=tuple(forget))
    happened = site.current.name == intent.name
    target = site.find(intent.name)
    # One that is good or bad has been live, whatever stands at ``current`` now.
    never_live = target is not None and target.present and target.state is State.UNCONFIRMED
    if intent.verb in ("deploy", "adopt") and not happened and never_live:
        unfinished = sorted({*unfinished, intent.name})
    return Recovery(
        tuple(_settle(site, intent, now)) if happened else (),
        tuple(unfinished),
        tuple(forget),
        happened,
    )


def _settle(site: Site, intent: Intent, now: datetime) -> Iterable[Record]:
    """After a rollback that happened, its verdicts; a deployed release stays unconfirmed."""
    if intent.verb != "rollback":
        return
    target, left = site.find(intent.name), site.find(intent.previous)
    if target and target.record:
        yield target.record.good()
    if left and left.record and target and target.seq < left.seq:
        yield left.record.bad(intent.by, stamp(now), intent.why or "rolled back", left=True)
