"""The deploy: a plan carried out, step by step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from opsnb.core import keepassets, layout, listing
from opsnb.core.configfiles import placed
from opsnb.core.events import Outcome, Phase
from opsnb.core.hooks import at
from opsnb.core.manifest import Entry, Kind, Manifest, edits, parents
from opsnb.core.plan import Build, Plan, Wish
from opsnb.core.plan_deploy import may_reuse, reusing, revision_entry
from opsnb.core.refusal import refuse
from opsnb.core.release import Site, State, of_commit
from opsnb.core.spare import meddled, plain
from opsnb.core.text import plural, safe, size
from opsnb.engine import cache
from opsnb.engine.asked import Prepare, given
from opsnb.engine.caches import prepare_caches
from opsnb.engine.change import Change, Finished
from opsnb.engine.chunking import Patch, patches, payload, remember
from opsnb.engine.cutting import LARGE
from opsnb.engine.ending import End, check_before, publish
from opsnb.engine.hooks import environment, prepare, run_hooks
from opsnb.engine.look import RECENT, Grounds, grounds, plan_for, recall, spare_of
from opsnb.engine.meter import Meter
from opsnb.engine.placing import placing
from opsnb.engine.removing import make_room
from opsnb.engine.sending import modified, pieces, stream
from opsnb.engine.source import Source
from opsnb.engine.steady import uncollected
from opsnb.errors import (
    DeployFailed,
    NotAsSeen,
    StalePlan,
    StepFailed,
)
from opsnb.remote.base import Aside, Brought, Glance, Patched

TELL_EVERY = 0.1
STALE = 5.0  # seconds after which what was looked at before the lock is looked at again
OTHER_BASE, OTHER_CONTENT = 90, 99


@dataclass(frozen=True)
class Order:
    """A deploy that was asked for.

    Attributes:
        prepare: Gives what is asked for and where its content is. It may take a while (a folder is
            read), and tells of it line by line.
        plan: The plan that was agreed to; None when whatever is right may be done.
        makes: Whether the source is made first (checked out, or built): a phase of its own.
    """

    prepare: Prepare
    plan: Plan | None = None
    makes: bool = False


class DeployWork:
    """A deploy, for :meth:`Change.run`.

    Args:
        order: What was asked for.
    """

    wish: Wish
    source: Source
    on: Grounds
    _plan: Plan
    _at: datetime
    _patched: Mapping[bytes, Patch] = MappingProxyType({})

    def __init__(self, order: Order) -> None:
        self._order = order
        self._looked = 0.0
        self._edits = self._patches = True
        self._cutting: asyncio.Task[None] | None = None
        self.agreed = order.plan

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        glance = await self._first_look(change)
        if glance is None:
            change.outcome = Outcome.NOTHING
            change.release = change.live
            return
        try:
            await self._carry_out(change, await self._under_lock(change, glance.site))
        except NotAsSeen as error:
            await change.not_as_seen(error)
            await self._carry_out(change, await self._under_lock(change))
        if self._cutting is not None:
            await asyncio.wait([self._cutting])  # nothing of it is ever needed

    async def _first_look(self, change: Change) -> Glance | None:
        """Plan before the lock, so that a refusal touches nothing; None where nothing is to do."""
        if self._order.makes:
            await self._make(change)
        async with change.phase(Phase.LOOK):
            glance = await self._prepare(change)
            self._looked = time.monotonic()
            self._plan = await self._planned(change, glance)
        return None if self._plan.nothing and self.agreed is None else glance

    async def _under_lock(self, change: Change, seen: Site | None = None) -> Plan:
        """Take the lock, and plan again where the site is not as it was planned for."""
        plan = self._plan
        if plan.nothing or self._is_stale:
            seen = None
        site = await change.take(f"deploy {safe(self.wish.label)}", seen=seen)
        if not _same(site, self.on.site) or self._is_stale:
            plan = await self._planned(change, await change.remote.glance())
        if self.agreed and plan.meaning != self.agreed.meaning:
            raise StalePlan(
                f"{change.actor.server} is no longer as the plan saw it: nothing was changed",
                "Plan again, look, and deploy that plan.",
            )
        plan = self._as_agreed(change, plan)
        change.planned(plan)
        return plan

    @property
    def _is_stale(self) -> bool:
        """Whether it is so long since the server was looked at that it is looked at again."""
        return time.monotonic() - self._looked > STALE

    async def _carry_out(self, change: Change, plan: Plan) -> None:
        """Build what is planned, and publish it."""
        if plan.nothing:
            change.outcome = Outcome.NOTHING
            change.release = change.live
            return
        env = environment(change, change.remote.deploy_to, self.wish.revision)
        await prepare(change, plan.hooks, env)
        prepare_caches(change, plan)
        plan = await self._before(change, plan, env)
        assert plan.build  # noqa: S101 - a deploy's plan has one
        finished = await self._made(change, plan, plan.build, env)
        told = [f"configuration: {file}" for file in placed(plan.config)]
        end = End(finished.record, lambda: [finished.record.good()], told)
        await publish(change, plan, end, env, finished=finished)

    async def _before(self, change: Change, plan: Plan, env: Mapping[str, str]) -> Plan:
        """Run what is to run before anything is made; what it has changed is then planned for."""
        await run_hooks(change, plan.hooks, "before_deploy", "", env)
        if not any(hook.where == "server" for hook in at(plan.hooks, "before_deploy")):
            return plan
        again = await self._planned(change, await change.remote.glance(), self._at)
        if (again.name, again.previous) != (plan.name, plan.previous):
            raise DeployFailed("a before_deploy hook has changed what is live: nothing was made")
        # What hooks were told of, and what was agreed to, is done in any case.
        return self._as_agreed(change, replace(again, hooks=plan.hooks, nothing=False))

    def _as_agreed(self, change: Change, plan: Plan) -> Plan:
        """The same, removing nothing that was to stay when it was agreed to."""
        if self.agreed is None:
            return plan
        if not self.agreed.retention.remove.keys() >= set(plan.early):
            raise StalePlan(
                f"{change.actor.server} has less room than when the plan was made: nothing was "
                "made, and nothing removed",
                "Plan again, look at what is to be removed, and deploy that plan.",
            )
        return replace(plan, retention=plan.retention.within(self.agreed.retention))

    async def _reusing(self, change: Change, plan: Plan, aside: Aside | None) -> Plan:
        """Make it of the release that is kept aside, if there is one and it may become the new."""
        site, base = self.on.site, self.on.base
        if base is None or aside is None or not may_reuse(site, base, plan, self.wish.settings):
            return plan
        spare = await spare_of(change.remote, aside, self.wish.source)
        with uncollected():
            return reusing(plan, base, spare) if spare else plan

    async def _make(self, change: Change) -> None:
        """Have the source made, while a server that cannot take it is told of at once."""
        async with change.phase(Phase.SOURCE):
            refuse(change.saw((await change.remote.glance()).site))
            read = await self._order.prepare(change.log)
        self._order = replace(self._order, prepare=given(*read))

    async def _prepare(self, change: Change) -> Glance:
        """Read the source and look at the server, both at the same time."""
        looking = asyncio.create_task(change.remote.glance())
        reading = self._read_ahead(change, looking)
        read, glance = await asyncio.gather(reading, looking, return_exceptions=True)
        if isinstance(read, BaseException):
            raise read
        if isinstance(glance, BaseException):
            raise glance
        self.wish, source = read
        self.source = _with_revision(source, self.wish)
        change.revision = self.wish.revision
        change.hide(self.source.secrets)
        change.saw(glance.site)
        return glance

    async def _read_ahead(
        self, change: Change, looking: asyncio.Task[Glance]
    ) -> tuple[Wish, Source]:
        wish, source = await self._order.prepare(change.log)
        await recall(wish.source, looking.done)
        return wish, source

    async def _planned(self, change: Change, glance: Glance, at_: datetime | None = None) -> Plan:
        # No name is given twice: whoever was to make a release that was cleared away may come back,
        # and must not take another one for it.
        self._at = layout.later(at_ or change.actor.now(), change.cleared)
        self.on = await grounds(change.remote, glance, self.wish.source)
        plan = await plan_for(change.remote, self.on, self.wish, self._at)
        return plan if plan.nothing else await self._reusing(change, plan, glance.aside)

    async def _made(
        self, change: Change, plan: Plan, build: Build, env: Mapping[str, str]
    ) -> Finished:
        """The release, made of the one kept aside and, where that will not do, of a copy."""
        try:
            async with change.series():
                return await self._build(change, plan, build, env)
        except (StepFailed, DeployFailed) as error:
            otherwise = self._otherwise(change, build, error)
            if otherwise is not None:
                change.begin_again()
                await change.lock.discard([plan.name])
                return await self._made(change, plan, otherwise, env)
            if isinstance(error, StepFailed) and error.status == OTHER_CONTENT:
                await self._name_wrong(change, plan, build)
            raise

    def _otherwise(
        self, change: Change, build: Build, error: StepFailed | DeployFailed
    ) -> Build | None:
        """How the release can be made that could not be made so; None when there is no way."""
        if build.reuse:
            change.log(f"the release kept aside will not do: {error.message}")
            return replace(build, reuse=None)
        status = error.status if isinstance(error, StepFailed) else 0
        if self._patched and status in (OTHER_BASE, OTHER_CONTENT):
            change.log(f"large files could not be put together: {error.message}")
            self._patches = False
            return build
        if status == OTHER_BASE and self._edits:
            change.log(f"what is known of {build.base} is not as expected: sending it whole")
            self._edits = False
            return build
        return None

    async def _build(
        self, change: Change, plan: Plan, build: Build, env: Mapping[str, str]
    ) -> Finished:
        """Everything before the switch; what is then to be known of the release."""
        name, lock, record = plan.name, change.lock, plan.record
        assert record  # noqa: S101 - a deploy's plan has one
        begun = {"release": name, "previous": plan.previous, "revision": self.wish.revision}
        named = {"config": list(record.config)} if record.config else {}
        await change.audit("deploy.begin", **begun, **of_commit(record), **named)
        async with change.phase(Phase.BUILD):
            change.building = name
            if plan.clears_spare:
                await lock.clear_spare()
            if plan.early:
                await make_room(change, plan)
            await lock.begin(name, record.encode())
            await self._fill(change, name, build)
        async with change.phase(Phase.UPLOAD):
            await self._upload(change, plan, build)
        async with change.phase(Phase.LINK):
            await self._link(change, name, build)
        if at(plan.hooks, "before_publish"):
            async with change.phase(Phase.HOOKS):
                await run_hooks(change, plan.hooks, "before_publish", name, env)
        async with change.phase(Phase.CHECK):
            await self._keep_manifest(change, plan, build)
            carried = await self._check(change, name, build)
            await check_before(change, plan, env)
        files = {f"{layout.OURS}/carried/{name}": carried}
        if plan.assets.left:
            files[layout.assets(name)] = keepassets.encode(plan.assets.left)
        config = placing(plan, self.source.shared)
        return Finished(replace(record, state=State.UNCONFIRMED), files, config)

    async def _keep_manifest(self, change: Change, plan: Plan, build: Build) -> None:
        """Write the manifest down, there and here; there by what differs, if that is little."""
        name, made, base = plan.name, build.manifest, self.on.base
        aside = self.on.site.find(plan.aside)
        if aside and aside.record:
            cache.expect_manifest(aside.record.manifest)
        if not self.wish.config:  # their digests stay off this disk
            cache.keep_manifest(made.id, made.encode())
        RECENT.keep(made.id, made)
        if base is not None and base.manifest and self._edits:
            with uncollected():
                told = edits(base.manifest.encode(), made.encode())
            if 0 < len(told) < len(made.encode()) // 2:
                old = layout.manifest(base.name)
                await change.lock.edit(layout.manifest(name), old, told, made.id)
                return
        await change.lock.store(layout.manifest(name), made.encode())

    async def _fill(self, change: Change, name: str, build: Build) -> None:
        """Bring in what the release has in common with the one that is live."""
        lock = change.lock
        if build.reuse:
            change.log(f"taking the release kept aside, and what differs from {build.base}")
            await lock.recycle(name, build.through)
            if build.reuse.drop:
                await lock.drop(name, build.reuse.drop)
            if build.reuse.bring:
                await self._bring(change, name, build, build.reuse.bring)
            return
        if build.base:
            change.log(f"copying release {build.base}")
            await lock.copy(build.base, name, hardlink=build.hardlink, through=build.through)
        if build.drop:
            await lock.drop(name, build.drop)

    async def _bring(self, change: Change, name: str, build: Build, paths: Iterable[bytes]) -> None:
        """Copy paths of the live release, the links after all that is to be no link."""
        entries = self._entries(build)
        links = [path for path in paths if entries[path].kind is Kind.LINK]
        others = [path for path in paths if entries[path].kind is not Kind.LINK]
        kind: Brought = "dirs" if any(entries[p].kind is Kind.DIR for p in others) else "files"
        if others:
            await change.lock.bring(build.base, name, others, kind)
        if links:
            await change.lock.bring(build.base, name, links, "links")

    async def _upload(self, change: Change, plan: Plan, build: Build) -> None:
        wanted = self._wanted(build)
        verified = await self._send(change, plan, build) if build.send else frozenset()
        left = {path: digest for path, digest in wanted.items() if path not in verified}
        if left:
            await self._verify(change, plan.name, build, left)
        if wanted:
            change.log(f"verified {plural(len(wanted), 'file')} by SHA-256")

    async def _send(self, change: Change, plan: Plan, build: Build) -> frozenset[bytes]:
        """Send what is new, whole or of large files what differs; what was hashed on its way."""
        entries = self._entries(build)
        self._patched = patched = await self._differing(build)
        whole = [path for path in build.send if path not in patched]
        less = sum(entries[path].size - patch.size for path, patch in patched.items())
        meter = Meter(change, build, plan.send_bytes - less, entries)
        change.log(f"sending {plural(meter.files_total, 'file')}, {size(plan.send_bytes - less)}")
        how = change.remote.packing
        small = [path for path in whole if _is_small(entries[path])]
        rest = [path for path in whole if not _is_small(entries[path])]
        if small:
            made = pieces(self.source, entries, small, meter.sent)
            digests = {path: entries[path].sha256 for path in small}
            await change.lock.unpack_verified(plan.name, stream(made, how), digests, how)
        # Directories come after what is in them: so they keep their times.
        if rest:
            made = pieces(self.source, entries, rest, meter.sent)
            await change.lock.unpack(plan.name, stream(made, how), how)
        for path, patch in patched.items():
            shown = f"{size(patch.size)} of {size(entries[path].size)} differ"
            change.log(f"making {safe(path)} from that of {build.base}: {shown}")
            looks = Patched(path, entries[path].mode, modified(self.source, path))
            told = stream(payload(self.source, patch, meter.sent), how)
            await change.lock.patch(build.base, plan.name, looks, told, how)
        change.lock.then(meter.end)
        change.lock.then(lambda: self._cut(build))
        return frozenset(small)

    def _cut(self, build: Build) -> None:
        """While the server hashes: what makes the next change of a large file a small one."""
        self._cutting = asyncio.create_task(asyncio.to_thread(remember, self.source, build.send))
        # A change that fails meanwhile does not wait for it.
        self._cutting.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _differing(self, build: Build) -> dict[bytes, Patch]:
        """The large files that are sent as what differs from those of the live release."""
        base = self.on.base
        if base is None or not build.base or not plain(base) or not self._patches:
            return {}
        return await asyncio.to_thread(patches, self.source, build.send, base.manifest)

    async def _verify(
        self, change: Change, name: str, build: Build, wanted: Mapping[bytes, str]
    ) -> None:
        """Have the server hash what was written, the large files by another program."""
        entries = self._entries(build)
        large = {path: digest for path, digest in wanted.items() if entries[path].size >= LARGE}
        small = {path: digest for path, digest in wanted.items() if path not in large}
        if small:
            await change.lock.verify(name, small)
        if large:
            await change.lock.verify(name, large, large=True)

    def _entries(self, build: Build) -> dict[bytes, Entry]:
        return {**self.wish.source.entries, **build.manifest.entries}

    def _wanted(self, build: Build) -> dict[bytes, str]:
        """The files that are hashed on the server, and what that must give."""
        entries = self._entries(build)
        written = [*build.send, *(build.reuse.bring if build.reuse else ())]
        paths = entries if self.wish.settings.verify == "all" else written
        return {p: entries[p].sha256 for p in paths if entries[p].kind is Kind.FILE}

    async def _name_wrong(self, change: Change, plan: Plan, build: Build) -> None:
        """Say which files have other content than planned."""
        await self._hash(change, plan.name, self._wanted(build))

    async def _hash(self, change: Change, name: str, wanted: Mapping[bytes, str]) -> None:
        """Find the files whose content is not what it must be."""
        found = await change.remote.hashes(name, list(wanted))
        wrong = [path for path, digest in wanted.items() if found.get(path) != digest]
        if wrong:
            shown = ", ".join(safe(path) for path in wrong[:5])
            raise DeployFailed(
                f"{plural(len(wrong), 'file')} arrived with other content than planned: {shown}",
                "Did the source change while it was sent? Plan and deploy again.",
            )

    async def _link(self, change: Change, name: str, build: Build) -> None:
        lock = change.lock
        for path in build.seed:
            change.log(f"shared/{safe(path)} is filled from this release, this once")
            await lock.seed(name, path)
        for path in build.make:
            change.log(f"shared/{safe(path)} is made, empty")
            await lock.make_shared(path)
        if build.links:
            await lock.link(name, build.links)
            change.log(f"linked {plural(len(build.links), 'shared path')}")
        await lock.modes(name, build.modes)
        await lock.open_up(name, build.base)

    async def _check(self, change: Change, name: str, build: Build) -> bytes:
        """Hold the finished release against what it must hold; what it holds beyond that."""
        try:
            seen = await self._seen(change, name, build)
        except ValueError as error:
            raise DeployFailed(
                f"the server's listing makes no sense: {safe(str(error))}"
            ) from error
        manifest = build.manifest
        if build.before:
            altered = _altered(seen, manifest)
            if altered:
                change.warn(f"hooks changed {plural(len(altered), 'file')} of the source")
            manifest = Manifest(e for path, e in manifest.items() if path not in altered)
        faults = listing.wrong(seen, manifest, build.links, build.carried)
        if faults:
            raise DeployFailed(f"the release is not as planned: {'; '.join(faults[:5])}")
        gone = build.manifest.keys() - seen.keys() if build.before else ()
        return listing.beyond(seen, manifest, build.links, gone)

    async def _seen(self, change: Change, name: str, build: Build) -> Mapping[bytes, listing.Look]:
        """What is in the finished release; what is as in the live one need not be told again."""
        base, entries = self.on.base, build.manifest.entries
        expected = {**entries, **listing.linked(build.links)}
        if base is None or not build.base or build.before or not plain(base):
            told = await change.lock.finish_as(name, listing.gist(expected.values()))
            return expected if told is None else listing.against(told, entries)
        if build.reuse:
            finish = await change.lock.finish_reused(name, base.name, build.reuse.gist)
            if finish is None:
                return expected
            altered = listing.named(finish.altered)
            if found := meddled(build.reuse, _written(build), altered):
                raise DeployFailed(f"somebody has changed {safe(found[0])} in it")
        else:
            finish = await change.lock.finish_like(name, base.name)
        here, there = listing.apart(finish.unlike)
        if not build.reuse and (odd := self._not_as_copied(build, here)):
            await self._hash(change, name, odd)
        return listing.like(base, here, there)

    def _not_as_copied(self, build: Build, here: Iterable[bytes]) -> dict[bytes, str]:
        """Files that are not as in the release they were copied from, and what they must hold.

        Whoever may write into that one can lead a copy elsewhere while it is made.
        """
        written, entries = set(_written(build)), build.manifest.entries
        copied = [path for path in here if path in entries and path not in written]
        return {p: entries[p].sha256 for p in copied if entries[p].kind is Kind.FILE}


def _is_small(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and entry.size < LARGE


def _written(build: Build) -> list[bytes]:
    """What is made in a release besides what is brought to it."""
    above = {up for path in build.links for up in parents(path)} - build.manifest.keys()
    return [*build.send, *(path for path, _ in build.modes), *build.links, *above]


def _same(now: Site, before: Site) -> bool:
    """Whether a plan that was made on one site holds for the other."""
    parts = [
        (site.state_id, site.current, site.shared, site.spare, site.pending)
        for site in (now, before)
    ]
    return parts[0] == parts[1]


def _altered(seen: Mapping[bytes, listing.Look], manifest: Manifest) -> frozenset[bytes]:
    """Paths of the source that a hook has changed or removed."""
    return frozenset(
        path
        for path, entry in manifest.items()
        if path not in seen or not listing.alike(seen[path], entry)
    )


def _with_revision(source: Source, wish: Wish) -> Source:
    if not wish.revision or layout.REVISION in wish.source:
        return source
    entry = revision_entry(wish.revision)
    return replace(
        source,
        extra={**source.extra, entry.path: layout.revision_text(wish.revision)},
    )
