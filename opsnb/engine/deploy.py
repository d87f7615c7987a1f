"""The deploy: a plan carried out, step by step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from opsnb.core import layout, listing
from opsnb.core.events import Outcome, Phase, Sent
from opsnb.core.manifest import Entry, Kind, Manifest
from opsnb.core.plan import Build, Plan, Wish
from opsnb.core.plan_deploy import revision_entry
from opsnb.core.refusal import refuse
from opsnb.core.release import Record, State
from opsnb.core.text import plural, safe, size
from opsnb.engine.change import Change
from opsnb.engine.confirm import check_health, environment, run_hooks
from opsnb.engine.look import plan_for
from opsnb.engine.source import Source, pieces, stream
from opsnb.errors import (
    CheckFailed,
    ConnectError,
    DeployFailed,
    Disconnected,
    NotRestored,
    OpsnbError,
    OutcomeUnknown,
    RemoteError,
    Restored,
    StalePlan,
    StepTimedOut,
)

TELL_EVERY = 0.1


@dataclass(frozen=True)
class Order:
    """A deploy that was asked for.

    Attributes:
        prepare: Gives what is asked for and where its content is; it may take a while (a folder is
            read), so it is called in a thread.
        plan: The plan that was agreed to; None when whatever is right may be done.
    """

    prepare: Callable[[], tuple[Wish, Source]]
    plan: Plan | None = None


class DeployWork:
    """A deploy, for :meth:`Change.run`.

    Args:
        order: What was asked for.
    """

    wish: Wish
    source: Source

    def __init__(self, order: Order) -> None:
        self._order = order
        self.agreed = order.plan

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        plan = await self._plan(change)
        if plan.nothing:
            change.outcome = Outcome.NOTHING
            change.release = change.live
            return
        assert plan.build and plan.record  # noqa: S101, PT018 - a deploy's plan has both
        await change.audit(
            "deploy.begin", release=plan.name, previous=plan.previous, revision=self.wish.revision
        )
        env = environment(change, change.remote.deploy_to, self.wish.revision)
        record = await self._build(change, plan, plan.build, plan.record, env)
        async with change.phase(Phase.PUBLISH):
            await change.switch(plan.name, finished=record)
            change.building = ""
        change.log(f"current leads to releases/{plan.name}")
        await confirm(change, plan, record, env)
        await finish(change, plan)

    async def _plan(self, change: Change) -> Plan:
        """Plan before the lock, so that a refusal touches nothing, and again under it."""
        async with change.phase(Phase.LOOK):
            self.wish, source = await asyncio.to_thread(self._order.prepare)
            self.source = _with_revision(source, self.wish)
            site = await change.look()
            refuse(site)
            if self.agreed is None:
                plan = await plan_for(change.remote, site, self.wish, change.actor.now())
                if plan.nothing:
                    return plan
        site = await change.take(f"deploy {safe(self.wish.label)}")
        plan = await plan_for(change.remote, site, self.wish, change.actor.now())
        if self.agreed and plan.meaning != self.agreed.meaning:
            raise StalePlan(
                f"{change.actor.server} is no longer as the plan saw it: nothing was changed",
                "Plan again, look, and deploy that plan.",
            )
        change.planned(plan)
        return plan

    async def _build(
        self, change: Change, plan: Plan, build: Build, record: Record, env: Mapping[str, str]
    ) -> Record:
        """Everything before the switch; the finished record."""
        name, lock = plan.name, change.lock
        async with change.phase(Phase.BUILD):
            change.building = name
            await lock.begin(name, record.encode())
            if build.base:
                change.log(f"copying release {build.base}")
                await lock.copy(build.base, name, hardlink=build.hardlink)
            if build.drop:
                await lock.drop(name, build.drop)
        async with change.phase(Phase.UPLOAD):
            await self._upload(change, plan, build)
        async with change.phase(Phase.LINK):
            await self._link(change, name, build)
        if build.before:
            async with change.phase(Phase.HOOKS):
                await run_hooks(change, build.before, name, env)
        async with change.phase(Phase.CHECK):
            await self._check(change, name, build)
            await lock.store(layout.manifest(name), build.manifest.encode())
        return replace(record, state=State.UNCONFIRMED)

    async def _upload(self, change: Change, plan: Plan, build: Build) -> None:
        if not build.send:
            return
        entries = dict(self.wish.source) | dict(build.manifest)
        meter = _Meter(change, build, plan.send_bytes, entries)
        made = pieces(self.source, entries, build.send, meter.sent)
        change.log(f"sending {plural(meter.files_total, 'file')}, {size(plan.send_bytes)}")
        await change.lock.unpack(plan.name, stream(made))
        meter.tell()
        change.files, change.size = meter.files, meter.bytes
        whole = self.wish.settings.verify == "all"
        candidates = entries if whole else {path: entries[path] for path in build.send}
        await self._hash(change, plan.name, candidates)

    async def _hash(self, change: Change, name: str, entries: Mapping[bytes, Entry]) -> None:
        """Compare files on the server with what they must hold, by their SHA-256."""
        wanted = {p: entry.sha256 for p, entry in entries.items() if entry.kind is Kind.FILE}
        if not wanted:
            return
        found = await change.remote.hashes(name, list(wanted))
        wrong = [path for path, digest in wanted.items() if found.get(path) != digest]
        if wrong:
            shown = ", ".join(safe(path) for path in wrong[:5])
            raise DeployFailed(
                f"{plural(len(wrong), 'file')} arrived with other content than planned: {shown}",
                "Did the source change while it was sent? Plan and deploy again.",
            )
        change.log(f"verified {plural(len(wanted), 'file')} by SHA-256")

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

    async def _check(self, change: Change, name: str, build: Build) -> None:
        """Hold the finished release against what it must hold, and remember how it looks."""
        try:
            seen = listing.read(await change.lock.finish(name))
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
        carried = listing.beyond(seen, manifest, build.links)
        await change.lock.store(f"{layout.OURS}/carried/{name}", carried)


def _altered(seen: Mapping[bytes, listing.Seen], manifest: Manifest) -> frozenset[bytes]:
    """Paths of the source that a hook has changed or removed."""
    return frozenset(
        path
        for path, entry in manifest.items()
        if path not in seen or not listing.alike(seen[path], entry)
    )


def _with_revision(source: Source, wish: Wish) -> Source:
    if not wish.revision:
        return source
    entry = revision_entry(wish.revision)
    return replace(
        source,
        extra={entry.path: layout.revision_text(wish.revision)},
        mtimes={**source.mtimes, entry.path: int(time.time())},
    )


class _Meter:
    """Counts what goes out, and tells of it now and then."""

    def __init__(
        self, change: Change, build: Build, total: int, entries: Mapping[bytes, Entry]
    ) -> None:
        self._change = change
        self._told = 0.0
        self._bytes_total = total
        self.files_total = sum(entries[path].kind is Kind.FILE for path in build.send)
        self.files = self.bytes = 0

    def sent(self, files: int, count: int) -> None:
        """Called from the thread that reads the files."""
        self.files += files
        self.bytes += count
        if time.monotonic() - self._told > TELL_EVERY:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        actor = self._change.actor
        actor.emit(
            Sent(
                actor.server,
                actor.at(),
                self.files,
                self.files_total,
                self.bytes,
                max(self._bytes_total, self.bytes),
            )
        )


async def confirm(change: Change, plan: Plan, record: Record, env: Mapping[str, str]) -> None:
    """After the switch: hooks and checks, and the previous release again when they fail.

    Args:
        change: The change.
        plan: What is being carried out.
        record: The record of the release that is live now.
        env: The hooks' environment.

    Raises:
        Restored: They failed, and the previous release is live again.
        NotRestored: They failed, and it is not.
    """
    async with change.phase(Phase.CONFIRM):
        try:
            await run_hooks(change, plan.after, plan.name, env)
            await check_health(change, plan.health, plan.name, env)
        except OutcomeUnknown:
            raise
        except OpsnbError as error:
            await _put_back(change, plan, record, error)
        await change.put(record.good())


async def _put_back(change: Change, plan: Plan, record: Record, error: OpsnbError) -> None:
    """Publish what was live before. Always raises."""
    why = error.message
    change.log(f"{why}: putting the previous release back")
    if change.lock.broken:
        await change.regain()
    bad = record.bad(change.actor.by, record.at, why, left=False)
    try:
        await _restore(change, plan, bad, why)
    except OutcomeUnknown:
        raise
    except OpsnbError as second:
        raise NotRestored(
            f"{why}; and the previous release was not put back: {second.message}",
            f"Visitors see {safe(change.live)}. Mend it, or "
            f"`opsnb rollback {change.actor.server}`.",
        ) from error
    raise Restored(
        why, f"{safe(change.live)} is live again; {safe(plan.name)} stays for you to look at."
    ) from error


async def _restore(change: Change, plan: Plan, bad: Record, why: str) -> None:
    """Mark the release bad and publish the previous one, once more if the line breaks meanwhile.

    Visitors come first: what cannot be written down is a warning.
    """
    if not plan.previous:
        await change.put(bad)
        await change.audit("deploy.failed", release=plan.name, why=why)
        await change.lock.forget([layout.INTENT])
        raise CheckFailed("there is no previous release")
    for last in (False, True):
        if change.lock.broken:
            await change.regain()
        try:
            if plan.verb == "deploy":
                await _noting(change, change.put(bad))
            await change.switch(plan.previous, why, verb="restore")
            break
        except (ConnectError, Disconnected, StepTimedOut):
            if last:
                raise
    facts = {"release": plan.name, "live": change.live, "why": why}
    await _noting(change, _restored(change, plan.verb, facts))


async def _restored(change: Change, verb: str, facts: Mapping[str, str]) -> None:
    await change.audit(f"{verb}.restored", **facts)
    await change.lock.forget([layout.INTENT])
    await change.lock.flush()


async def _noting(change: Change, step: Coroutine[Any, Any, None]) -> None:
    """A step that writes down what is so in any case: its failure is no failure of the change."""
    try:
        await step
    except RemoteError as error:
        change.warn(f"not everything could be written down: {error.message}")


async def finish(change: Change, plan: Plan) -> None:
    """Prune, write the result down, flush it to the disk."""
    if plan.retention.remove:
        async with change.phase(Phase.PRUNE):
            await prune(change, plan)
    async with change.phase(Phase.RECORD):
        await change.audit(
            f"{plan.verb}.done",
            release=plan.name,
            previous=plan.previous,
            files=change.files,
            bytes=change.size,
            removed=dict(change.removed),
        )
        await change.lock.forget([layout.INTENT])
        await change.lock.flush()


async def prune(change: Change, plan: Plan) -> None:
    """Remove the releases that the plan says; what cannot be removed is a warning."""
    names = list(plan.retention.remove)
    for name in names:
        change.log(f"removing {safe(name)}: {plan.retention.remove[name]}")
    gone = set(names)
    if not await change.lock.discard(names):
        change.warn("some files of removed releases could not be deleted: .opsnb/trash")
        site = await change.remote.look()
        gone -= {release.name for release in site.releases if release.present}
    change.removed = {name: why for name, why in plan.retention.remove.items() if name in gone}
