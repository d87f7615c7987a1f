"""What a dead change left behind, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opsnb.core.layout import stamp
from opsnb.core.marks import Intent
from opsnb.core.release import Record, Site, State
from opsnb.core.watch import late, marks, was_put_back


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a dead change left, and what to do about it.

    Attributes:
        records: Records to write, each settling a release.
        discard: Unfinished releases to remove.
        forget: Records of releases that are not there any more.
        settled: Whether the switch that was begun had happened; None when none was begun.
        marks: Marks of watchdogs to remove, below ``.opsnb``.
    """

    records: tuple[Record, ...] = ()
    discard: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    settled: bool | None = None
    marks: tuple[str, ...] = ()


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
    forget += site.remains
    intent, bad, gone = site.intent, tuple(_put_back(site)), tuple(marks(site))
    if intent is None:
        return Recovery(bad, tuple(unfinished), tuple(forget), marks=gone)
    happened = site.current.name == intent.name
    target = site.find(intent.name)
    # One that is good or bad has been live, whatever stands at ``current`` now.
    never_live = target is not None and target.present and target.state is State.UNCONFIRMED
    never_live = never_live and intent.name not in {record.name for record in bad}
    if intent.verb in ("deploy", "adopt") and not happened and never_live:
        unfinished = sorted({*unfinished, intent.name})
    return Recovery(
        bad + (tuple(_settle(site, intent, now)) if happened else ()),
        tuple(unfinished),
        tuple(forget),
        happened,
        gone,
    )


def nothing_left(site: Site, recovery: Recovery) -> bool:
    """Whether a dead change left nothing that is to be cleared.

    Args:
        site: What was seen.
        recovery: What :func:`plan_recovery` gave for it.
    """
    gone = recovery.discard or recovery.forget or recovery.marks
    return not (gone or site.debris or site.intent or site.pending)


def _put_back(site: Site) -> Iterable[Record]:
    """After a watchdog that put a release back, its verdict, if it could not be written down."""
    watch = was_put_back(site)
    left = site.find(watch.release) if watch and watch.verb == "deploy" else None
    if watch and left and left.record and left.state is State.UNCONFIRMED:
        yield left.record.bad(watch.by, watch.since, late(watch), left=False)


def _settle(site: Site, intent: Intent, now: datetime) -> Iterable[Record]:
    """After a rollback that happened, its verdicts; a deployed release stays unconfirmed."""
    if intent.verb != "rollback":
        return
    target, left = site.find(intent.name), site.find(intent.previous)
    if target and target.record:
        yield target.record.good()
    if left and left.record and target and target.seq < left.seq:
        yield left.record.bad(intent.by, stamp(now), intent.why or "rolled back", left=True)
