"""Around the switch: checks, the way back when they fail, and what is written down at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsnb.core import layout
from opsnb.core.checks import watchdog_shown
from opsnb.core.events import Phase
from opsnb.core.hooks import at
from opsnb.core.plan import Plan
from opsnb.core.release import Record
from opsnb.core.text import safe
from opsnb.engine.caches import empty_opcache, purge
from opsnb.engine.change import Change, Finished
from opsnb.engine.health import check_health
from opsnb.engine.hooks import run_hooks
from opsnb.engine.removing import leaving, prune, remove
from opsnb.errors import (
    CheckFailed,
    ConnectError,
    Disconnected,
    LockLost,
    NotRestored,
    OpsnbError,
    OutcomeUnknown,
    RemoteError,
    Restored,
    StepFailed,
    StepTimedOut,
)
from opsnb.remote.base import LEFT

NOT_CONFIRMED = 89
SOONER = 0.9  # of the watchdog's time is ours: who knows why it failed puts it back
LOST = (ConnectError, Disconnected, LockLost, StepTimedOut)


@dataclass(frozen=True)
class End:
    """How a change ends that makes a release live.

    Attributes:
        record: The release's record until it is confirmed.
        records: Gives what is to be known of releases from then on; that of the live one first.
        told: What is said once it is live.
    """

    record: Record
    records: Callable[[], Sequence[Record]]
    told: Sequence[str] = ()


async def publish(
    change: Change,
    plan: Plan,
    end: End,
    env: Mapping[str, str],
    *,
    finished: Finished | None = None,
    why: str = "",
) -> None:
    """Make a release live, see that it is well, write that down, and give the lock back.

    Where nothing is to be seen to in between, all of it is sent together.

    Args:
        change: The change.
        plan: What is being carried out.
        end: How it ends.
        env: The hooks' environment.
        finished: What is to be known of the release, when it has just been built.
        why: The reason, for the record.

    Raises:
        RemoteError: It was not made live.
        Restored: It was, and was not well: the previous release is live again.
        NotRestored: The same, and it is not.
    """

    def told() -> None:
        change.ends(Phase.PUBLISH)
        for line in (f"current leads to releases/{safe(plan.name)}", *end.told):
            change.log(line)

    async def at_once() -> None:
        told()
        async with change.phase(Phase.CONFIRM):
            pass
        await _steps(change, plan, end.records())

    change.begins(Phase.PUBLISH)
    then = at_once if _goes_on_at_once(plan, finished) else None
    try:
        ended = await change.switch(
            plan.name, why, finished=finished, watchdog=plan.watchdog, then=then
        )
    except StepFailed as error:
        if not (change.switched and error.status in LEFT):
            raise
        await _one_by_one(change, plan)
        return
    if ended:
        change.ends(Phase.PUBLISH)  # where nobody heard of it
        await _unless_put_back(change, plan)
        return
    told()
    await confirm(change, plan, end.record, env)
    await change.settle_config()
    await finish(change, plan, *end.records())


async def _unless_put_back(change: Change, plan: Plan) -> None:
    """After a switch whose answer was lost, until somebody else has settled what it was.

    Raises:
        Restored: That was its watchdog, or whoever did its work.
    """
    if change.armed and change.put_back and change.site:
        await _noting(change, change.settle(change.site))
        raise _back(change, plan, "it was not confirmed: the answer to its switch was lost")


def _goes_on_at_once(plan: Plan, finished: Finished | None) -> bool:
    """Whether nothing is run, asked or settled between the switch and the end."""
    hooks = [*at(plan.hooks, "after_publish"), *at(plan.hooks, "after_rollback")]
    asked = any(check.is_asked("after") for check in plan.health)
    config = finished.config if finished else None
    return not (hooks or asked or plan.opcache or plan.purge or plan.watchdog or config)


async def check_before(change: Change, plan: Plan, env: Mapping[str, str]) -> None:
    """Before the switch: the checks that can be asked of the new release.

    Raises:
        CheckFailed: One did not answer well. Nothing was switched.
    """
    await check_health(change, plan.health, "before", plan.name, env)


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
        if change.armed:
            change.log(f"the watchdog {watchdog_shown(plan)}")
        try:
            await _confirmed(change, plan, env)
        except OutcomeUnknown:
            raise
        except OpsnbError as error:
            await _put_back(change, plan, record, error, env)


async def _confirmed(change: Change, plan: Plan, env: Mapping[str, str]) -> None:
    """Caches, hooks and checks after the switch, sooner than the watchdog bites."""
    limit = change.armed.seconds * SOONER if change.armed else None
    try:
        async with asyncio.timeout(limit):
            await empty_opcache(change, plan, plan.name)
            for point in ("after_publish", "after_rollback"):
                await run_hooks(change, plan.hooks, point, plan.name, env)
            await purge(change, plan, plan.name, env)
            await check_health(change, plan.health, "after", plan.name, env)
    except TimeoutError as error:
        raise CheckFailed(f"not confirmed within {limit:g} s") from error


async def _put_back(
    change: Change, plan: Plan, record: Record, error: OpsnbError, env: Mapping[str, str]
) -> None:
    """Publish what was live before, and whatever else a failure asks for. Always raises."""
    why = error.message
    change.log(f"{why}: putting the previous release back")
    bad = record.bad(change.actor.by, record.at, why, left=False)
    try:
        await _restore(change, plan, bad, why)
    except OutcomeUnknown:
        raise
    except OpsnbError as second:
        if isinstance(second, LockLost) and await _is_back(change, plan):
            raise _back(change, plan, why) from error
        raise NotRestored(
            f"{why}; and the previous release was not put back: {second.message}",
            f"Visitors see {safe(change.live)}. Mend it, or `opsnb rollback {change.actor.typed}`.",
        ) from error
    await _caches_again(change, plan, env)
    raise _back(change, plan, why) from error


def _back(change: Change, plan: Plan, why: str) -> Restored:
    return Restored(
        why, f"{safe(change.live)} is live again; {safe(plan.name)} stays for you to look at."
    )


async def _is_back(change: Change, plan: Plan) -> bool:
    """Whether the watchdog, or whoever took the lock, has put back what was live before."""
    if change.armed is None:
        return False
    try:
        change.live = (await change.remote.look()).current.name
    except OpsnbError:
        return False
    return change.live == plan.previous


async def _caches_again(change: Change, plan: Plan, env: Mapping[str, str]) -> None:
    """Tell the caches that the release before is live again; that they do not hear is a warning."""
    try:
        await empty_opcache(change, plan, change.live, again=True)
        await purge(change, plan, change.live, env, again=True)
    except OpsnbError as error:
        change.warn(f"not all caches were told: {error.message}")


async def _restore(change: Change, plan: Plan, bad: Record, why: str) -> None:
    """Mark the release bad and publish the previous one, once more if the line breaks meanwhile.

    Visitors come first: what cannot be written down is a warning.
    """
    if change.lock.broken and await _regain(change, plan):
        return
    if not plan.previous:
        await change.put(bad)
        await change.audit("deploy.failed", release=plan.name, why=why)
        await change.lock.forget([layout.INTENT])
        raise CheckFailed("there is no previous release")
    for last in (False, True):
        if change.lock.broken and await _regain(change, plan):
            return
        try:
            if plan.verb == "deploy":
                await _noting(change, change.put(bad))
            await change.switch(plan.previous, why, verb="restore")
            break
        except (ConnectError, Disconnected, StepTimedOut):
            if last:
                raise
    await _noting(change, change.settle_config())
    facts = {"release": plan.name, "live": change.live, "why": why}
    await _noting(change, _restored(change, plan.verb, facts))


async def _regain(change: Change, plan: Plan) -> bool:
    """Take the lock again, for as long as the site is as this change left it.

    Returns:
        Whether the watchdog has put back meanwhile what was live before.

    Raises:
        LockLost: Somebody else has published something meanwhile: that is not ours to undo.
    """
    site = await change.regain()
    change.live = site.current.name
    if change.live not in (plan.name, plan.previous):
        raise LockLost(f"somebody else has made {safe(change.live)} live meanwhile")
    if change.armed is None or change.live != plan.previous:
        return False
    change.log(f"the watchdog was quicker: {safe(change.live)} is live again")
    await _noting(change, change.settle(site))
    return True


async def _restored(change: Change, verb: str, facts: Mapping[str, str]) -> None:
    await change.audit(f"{verb}.restored", **facts, **change.removed_facts)
    await change.lock.forget([layout.INTENT, *change.marks])
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
        records: What is to be known of releases from now on; that of the live one first.

    Raises:
        Restored: It was not confirmed in time, and the previous release is live again.
    """
    try:
        await _finish(change, plan, records)
    except (StepFailed, *LOST) as error:
        if change.armed is None or getattr(error, "status", NOT_CONFIRMED) != NOT_CONFIRMED:
            raise
        await _unconfirmed(change, plan, records[0], error)


async def _unconfirmed(change: Change, plan: Plan, record: Record, error: OpsnbError) -> None:
    """The end was lost, or it came too late: under the lock one sees what is so. Always raises."""
    change.log(f"{error.message}: looking whether it was confirmed")
    why = f"it was not confirmed: {error.message}"
    if await _regain(change, plan):
        await _caches_again(change, plan, change.environment)
        raise _back(change, plan, why) from error
    marks = change.site.watches if change.site else ()
    if not any(change.armed and mark.token == change.armed.token for mark in marks):
        change.seen_disarmed()
        raise error
    await _put_back(change, plan, record, CheckFailed(why), change.environment)


async def _finish(change: Change, plan: Plan, records: Sequence[Record]) -> None:
    try:
        async with change.series():
            await change.confirmed()
            await _steps(change, plan, records)
    except StepFailed as error:
        if error.status not in LEFT:
            raise
        await _one_by_one(change, plan)


async def _steps(change: Change, plan: Plan, records: Sequence[Record]) -> None:
    """All of the end, as steps of a series."""
    for record in records:
        await change.put(record)
    if leaving(plan) or (plan.verb == "prune" and plan.clears_spare):
        async with change.phase(Phase.PRUNE):
            await prune(change, plan)
    removed = dict(change.removed)
    if plan.verb != "prune":
        # As if all of them went: where one stays, this is not taken.
        removed |= {name: plan.retention.remove[name] for name in leaving(plan)}
    await _record(change, plan, removed)


async def _one_by_one(change: Change, plan: Plan) -> None:
    """Remove what can be, where not all of it could; then what comes after that."""
    async with change.series():
        async with change.phase(Phase.PRUNE):
            await remove(change, plan, leaving(plan))
        await _record(change, plan, change.removed)


async def _record(change: Change, plan: Plan, removed: Mapping[str, str]) -> None:
    async with change.phase(Phase.RECORD):
        await change.audit(
            f"{plan.verb}.done",
            release=plan.name,
            previous=plan.previous,
            files=change.files,
            bytes=change.size,
            removed=dict(removed),
        )
        change.was_last_word()
        await change.lock.forget([layout.INTENT])
        await change.lock.flush()
    await change.lock.let_go()
    change.all_done()
