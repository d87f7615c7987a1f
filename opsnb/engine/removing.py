"""How releases leave: in the end of a change, or before it, to make room."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from opsnb.core.plan import Plan
from opsnb.core.room import still_short
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.errors import NotReady


def leaving(plan: Plan) -> list[str]:
    """The releases that go in the end."""
    return [name for name in plan.retention.remove if name not in plan.early]


async def prune(change: Change, plan: Plan) -> None:
    """Remove the releases that the plan says, as steps of a series.

    Raises:
        StepFailed: With a status of :data:`opsnb.remote.base.LEFT`, one stays, or files of one;
            for the verb prune that is a warning.
    """
    names, reasons = leaving(plan), plan.retention.remove
    for name in names:
        change.log(f"removing {safe(name)}: {reasons[name]}")
    if plan.verb == "prune":
        if plan.clears_spare:
            change.log("removing the release kept aside")
        if names:
            await change.audit("prune.begin", releases=names)
        await remove(change, plan, names)
        return
    others, aside = _apart(plan, names)
    for some in filter(None, (others, aside)):
        await change.lock.remove_all(some, aside=some is aside, idle=plan.rules.in_use)
        change.lock.then(partial(_gone, change, {name: reasons[name] for name in some}))


def _gone(change: Change, removed: Mapping[str, str]) -> None:
    change.removed = {**change.removed, **removed}


def _apart(plan: Plan, names: list[str]) -> tuple[list[str], list[str]]:
    """Those that go, and the one that is kept aside, if it is among them."""
    return [n for n in names if n != plan.aside], [n for n in names if n == plan.aside]


async def remove(change: Change, plan: Plan, names: list[str]) -> None:
    """Remove releases of a plan, and keep in mind which of them are gone.

    Args:
        change: The change.
        plan: What is being carried out.
        names: The releases.
    """
    reasons = plan.retention.remove
    change.leaving = {name: reasons[name] for name in names}
    well, used = await _remove(change, plan, names)
    for name in used:
        change.warn(f"{safe(name)} stays: a process on the server uses it")
    gone = set(names) - set(used)
    if not well:
        change.warn("some files of removed releases could not be deleted: .opsnb/trash")
        site = await change.remote.look()
        gone -= {release.name for release in site.releases if release.present}
    change.leaving = {}
    _gone(change, {name: reasons[name] for name in names if name in gone})


async def _remove(change: Change, plan: Plan, names: list[str]) -> tuple[bool, list[str]]:
    """Remove releases; whether all of their files could be, and those that stay in use."""
    others, aside = _apart(plan, names)
    well, used = await _each(change, plan, others) if others else (True, [])
    if aside:
        kept, more = await _each(change, plan, aside, aside=True)
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
