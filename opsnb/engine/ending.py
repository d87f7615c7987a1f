"""After the switch: checks, the way back when they fail, and what is written down at the end."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from opsnb.core import layout
from opsnb.core.events import Phase
from opsnb.core.plan import Plan
from opsnb.core.release import Record
from opsnb.core.room import still_short
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.engine.health import check_health
from opsnb.engine.hooks import run_hooks
from opsnb.errors import (
    CheckFailed,
    ConnectError,
    Disconnected,
    LockLost,
    NotReady,
    NotRestored,
    OpsnbError,
    OutcomeUnknown,
    RemoteError,
    Restored,
    StepTimedOut,
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


async def _put_back(change: Change, plan: Plan, record: Record, error: OpsnbError) -> None:
    """Publish what was live before. Always raises."""
    why = error.message
    change.log(f"{why}: putting the previous release back")
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
    if change.lock.broken:
        await _regain(change, plan)
    if not plan.previous:
        await change.put(bad)
        await change.audit("deploy.failed", release=plan.name, why=why)
        await change.lock.forget([layout.INTENT])
        raise CheckFailed("there is no previous release")
    for last in (False, True):
        if change.lock.broken:
            await _regain(change, plan)
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


async def _regain(change: Change, plan: Plan) -> None:
    """Take the lock again, for as long as the site is as this change left it.

    Raises:
        LockLost: Somebody else has published something meanwhile: that is not ours to undo.
    """
    site = await change.regain()
    if site.current.name not in (plan.name, plan.previous):
        change.live = site.current.name
        raise LockLost(f"somebody else has made {safe(change.live)} live meanwhile")


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


async def finish(change: Change, plan: Plan, *records: Record) -> None:
    """Write down what is so now, prune, flush it to the disk, and give the lock back.

    Args:
        change: The change.
        plan: What is being carried out.
        records: What is to be known of releases from now on.
    """
    async with change.series():
        for record in records:
            await change.put(record)
        if plan.retention.remove.keys() - plan.early or (
            plan.verb == "prune" and plan.clears_spare
        ):
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
        await change.lock.let_go()


async def prune(change: Change, plan: Plan) -> None:
    """Remove the releases that the plan says; what cannot be removed is a warning."""
    names = [name for name in plan.retention.remove if name not in plan.early]
    for name in names:
        change.log(f"removing {safe(name)}: {plan.retention.remove[name]}")
    if plan.verb == "prune" and plan.clears_spare:
        change.log("removing the release kept aside")
    await remove(change, plan, names)


async def remove(change: Change, plan: Plan, names: list[str]) -> None:
    """Remove releases of a plan, and keep in mind which of them are gone.

    Args:
        change: The change.
        plan: What is being carried out.
        names: The releases.
    """
    well, used = await _remove(change, plan, names)
    for name in used:
        change.warn(f"{safe(name)} stays: a process on the server uses it")
    gone = set(names) - set(used)
    if not well:
        change.warn("some files of removed releases could not be deleted: .opsnb/trash")
        site = await change.remote.look()
        gone -= {release.name for release in site.releases if release.present}
    reasons = plan.retention.remove
    change.removed = {**change.removed, **{name: reasons[name] for name in names if name in gone}}


async def _remove(change: Change, plan: Plan, names: list[str]) -> tuple[bool, list[str]]:
    """Remove releases; whether all of their files could be, and those that stay in use."""
    aside = plan.aside if plan.aside in names else ""
    others = [name for name in names if name != aside]
    well, used = await _each(change, plan, others) if others else (True, [])
    if aside:
        kept, more = await _each(change, plan, [aside], aside=True)
        return kept and well, used + more
    if plan.verb == "prune":
        # Whoever prunes wants the room.
        return await change.lock.clear_spare() and well, used
    return well, used


async def _each(
    change: Change, plan: Plan, names: list[str], *, aside: bool = False
) -> tuple[bool, list[str]]:
    lock = change.lock
    if plan.rules.in_use:
        return await lock.remove_idle(names, aside=aside)
    return (await lock.retire(names[0]) if aside else await lock.discard(names)), []


async def make_room(change: Change, plan: Plan) -> None:
    """Remove what goes before the new release is made, and see whether that was enough.

    Args:
        change: The change, before anything was made.
        plan: A deploy.

    Raises:
        NotReady: It was not: somebody else fills the disk, or what was removed shares its files.
    """
    names = list(plan.early)
    for name in names:
        change.log(f"making room, removing {safe(name)}: {plan.retention.remove[name]}")
    await remove(change, plan, names)
    if short := still_short(await change.remote.look(), plan):
        raise NotReady(short, "`opsnb usage` shows what takes the room.")
