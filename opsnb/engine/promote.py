"""A deploy of exactly what another server runs.

Rule 1: both servers are looked at, and every byte that is needed is here and verified, before the
server that is to change is locked.
Rule 2: the server it comes from is only read. What is deployed there meanwhile does no harm: what
was read is held against the manifest that was planned with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from opsnb.core import promotion
from opsnb.core.config import Settings
from opsnb.core.manifest import Entry
from opsnb.core.plan import Build, Plan, Wish
from opsnb.core.text import plural, safe, size
from opsnb.engine.arriving import Arrival, Spool
from opsnb.engine.asked import Tell
from opsnb.engine.change import Change, Finished
from opsnb.engine.configfiles import About, configured
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.look import look_at_live
from opsnb.engine.source import Source
from opsnb.errors import NoSuchRelease, StalePlan, StepTimedOut
from opsnb.remote.base import Glance, Remote

STALL = 60.0  # seconds without a byte after which no more will come


@dataclass(frozen=True)
class Origin:
    """The server that something is promoted from, and who asks.

    Attributes:
        server: Its name.
        remote: The server.
        connected: Waits until a connection that was begun is there.
        settings: What is configured for the server that it goes to.
        by: Who asks.
        host: The machine they ask from.
        force: Whether to make a release that changes nothing.
        once_at: The server that runs the hooks that run once in its environment; empty for this.
        about: What templates of the configuration files of that server are told.
    """

    server: str
    remote: Remote
    connected: Callable[[], Awaitable[None]]
    settings: Settings
    by: str
    host: str
    force: bool = False
    once_at: str = ""
    about: About = field(default_factory=About)


@dataclass(frozen=True)
class Found:
    """What is promoted.

    Attributes:
        release: The release's name, on the server that it comes from.
        wish: What a deploy of it is asked for, with the configuration of the server it goes to.
        source: That configuration; the rest is still on the other server.
    """

    release: str
    wish: Wish
    source: Source


async def find(origin: Origin, tell: Tell = lambda _: None) -> Found:
    """Look at what a server runs, and whether it may go on.

    Args:
        origin: The server.
        tell: Is told what commands for secrets complain of.

    Raises:
        NoSuchRelease: What it runs is not good, or not what was deployed.
        Locked: It is in the middle of a change.
    """
    await origin.connected()
    site = await origin.remote.look()
    promotion.refuse_busy(site, origin.server)
    record = promotion.live_record(site, origin.server)
    base = await look_at_live(origin.remote, site)
    if base is None:
        raise NoSuchRelease(f"nothing is live on {origin.server} any more")
    manifest = promotion.content(base, record, origin.server)
    wish = promotion.wish(record, manifest, origin.server, origin.settings)
    asked = replace(
        wish,
        by=origin.by,
        host=origin.host,
        force=origin.force,
        once_at=origin.once_at,
    )
    nowhere = Source(Path(), asked.source)
    return Found(record.name, *await configured(asked, nowhere, origin.about, tell))


class PromoteWork(DeployWork):
    """A promote, for :meth:`Change.run`.

    Args:
        origin: Where it comes from.
        agreed: What was agreed to, and the plan of it; None when whatever is right may be done.
    """

    _spool: Spool

    def __init__(self, origin: Origin, agreed: tuple[Found, Plan] | None = None) -> None:
        super().__init__(Order(self._read, agreed[1] if agreed else None))
        self._origin = origin
        self._found = agreed[0] if agreed else None

    async def __call__(self, change: Change) -> None:
        """Carry it out; what was kept here for it is removed whatever happens."""
        self._spool = Spool()
        try:
            await super().__call__(change)
        finally:
            await asyncio.shield(asyncio.to_thread(self._spool.remove))

    async def _read(self, tell: Tell) -> tuple[Wish, Source]:
        found = await find(self._origin, tell)
        agreed = self._found
        if agreed and (found.release, found.wish.source.id) != (
            agreed.release,
            agreed.wish.source.id,
        ):
            raise StalePlan(
                f"{self._origin.server} runs another release than the plan saw: nothing was done",
                "Plan again, look, and promote that plan.",
            )
        tell(f"{self._origin.server} runs {safe(found.release)}, which is good")
        return found.wish, replace(found.source, root=self._spool.root)

    async def _planned(self, change: Change, glance: Glance, at_: datetime | None = None) -> Plan:
        plan = await super()._planned(change, glance, at_)
        if plan.build and not plan.nothing:
            await self._fetch(change, plan.build)
        return plan

    async def _fetch(self, change: Change, build: Build) -> None:
        """Bring here what is to be sent and is not here yet."""
        entries = self._entries(build)
        files = self._spool.missing([entries[path] for path in build.send if path in self._whole])
        if not files:
            return
        amount = f"{plural(len(files), 'file')}, {size(sum(file.size for file in files))}"
        change.log(f"reading {amount} from {self._origin.server}")
        await self._receive(files)
        change.log(f"verified {plural(len(files), 'file')} by SHA-256")

    @property
    def _whole(self) -> Mapping[bytes, Entry]:
        """What comes from the other server; ``REVISION`` and configuration are made here."""
        here = self.source.extra
        return {path: e for path, e in self.wish.source.items() if path not in here}

    async def _receive(self, files: list[Entry]) -> None:
        arrival = Arrival(files, self._spool)
        clock = asyncio.get_running_loop().time
        release = self.wish.label.rpartition(" ")[2]
        try:
            async with asyncio.timeout(STALL) as limit:

                def take(piece: bytes) -> None:
                    arrival(piece)
                    if not limit.expired():
                        limit.reschedule(clock() + STALL)

                await self._origin.remote.fetch(release, [file.path for file in files], take)
        except TimeoutError as error:
            raise StepTimedOut(f"{self._origin.server} sent nothing for {STALL:g} s") from error
        arrival.end()

    async def _build(
        self, change: Change, plan: Plan, build: Build, env: Mapping[str, str]
    ) -> Finished:
        await change.audit("deploy.promoted", release=plan.name, source=self.wish.label)
        return await super()._build(change, plan, build, env)
