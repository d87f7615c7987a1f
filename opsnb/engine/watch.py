"""The watchdog as a change deals with it: armed at a switch, found after a change that has died."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from opsnb.core import layout, watch
from opsnb.core.layout import stamp
from opsnb.core.marks import Watch
from opsnb.core.release import Record, Site
from opsnb.core.text import safe
from opsnb.remote.base import Held


class Who(Protocol):
    """Who acts."""

    @property
    def by(self) -> str:
        """The user."""

    @property
    def host(self) -> str:
        """The machine they work from."""

    def clock(self) -> datetime:
        """The operator's clock."""


class Changing(Protocol):
    """What of a change this has to do with; see :class:`opsnb.engine.change.Change`."""

    verb: str
    site: Site | None

    @property
    def actor(self) -> Who:
        """Who acts."""

    @property
    def lock(self) -> Held:
        """The lock."""

    def series(self) -> AbstractAsyncContextManager[None]:
        """Steps that may be sent together."""

    def log(self, text: str) -> None:
        """Say a line."""

    def warn(self, text: str) -> None:
        """Say what the user should know."""

    def hidden(self, fact: str) -> str:
        """The same without secrets."""

    async def audit(self, what: str, **facts: object) -> None:
        """Add an entry to the audit log."""

    async def put(self, record: Record) -> None:
        """Write a release's record."""


FORSAKEN = "never confirmed, and whoever published it is gone"


def guarded(change: Changing, name: str, seconds: int, record: Record | None) -> watch.Guarded:
    """A switch of a change with a watchdog.

    Args:
        change: The change, which has the lock.
        name: What is published.
        seconds: Within how many it must be confirmed.
        record: Its record, when it is to be marked bad once it was put back.
    """
    actor, before = change.actor, change.site.current.name if change.site else ""
    mark = Watch(
        token=change.lock.token,
        verb=change.verb,
        release=name,
        previous=before,
        seconds=seconds,
        by=actor.by,
        host=actor.host,
        since=stamp(actor.clock()),
    )
    made = watch.guarded(mark, record)
    return watch.Guarded(mark, {key: change.hidden(text) for key, text in made.told.items()})


async def put_back_first(change: Changing, site: Site, found: Watch) -> None:
    """Put back what was live before a release that a dead change published and never confirmed.

    Its watchdog, which would do the same later, finds nothing more to do.

    Args:
        change: The change that has the lock now.
        site: What a look under the lock told.
        found: The mark.
    """
    change.log(f"{safe(found.release)} was {FORSAKEN}: putting {safe(found.previous)} back first")
    left = site.find(found.release)
    intent = watch.restoring(found, FORSAKEN)
    async with change.series():
        if found.verb == "deploy" and left and left.record:
            by, at = change.actor.by, stamp(change.actor.clock())
            await change.put(left.record.bad(by, at, FORSAKEN, left=False))
        await change.lock.store(layout.INTENT, intent.encode())
        await change.audit("restore.intent", release=found.previous, previous=found.release)
        await change.lock.flush()
        await change.lock.publish(found.previous, site.current.target)
        facts = {"release": found.release, "live": found.previous, "why": FORSAKEN}
        await change.audit(f"{found.verb}.restored", **facts)
        await change.lock.forget([layout.INTENT, *watch.marks(site)])
        await change.lock.flush()
    change.warn(f"{safe(found.release)} was {FORSAKEN}: {safe(found.previous)} is live again")


async def tell_of(change: Changing, site: Site) -> None:
    """Write down what became of a watchdog that could not do so itself.

    Args:
        change: The change that has the lock now.
        site: What a look under the lock told.
    """
    if found := watch.was_put_back(site):
        why = watch.late(found)
        change.warn(f"{safe(found.release)} was put back by its watchdog: {why}")
        facts = {"release": found.release, "live": found.previous, "why": why}
        await change.audit(f"{found.verb}.restored", **facts, watchdog=found.seconds)
    if found := watch.died(site):
        change.warn(watch.sentence(site))
        await change.audit("watchdog.died", release=found.release, previous=found.previous)
