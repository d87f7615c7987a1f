"""Rollback and prune: the changes that build nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from opsnb.core.config import Settings
from opsnb.core.events import Outcome, Phase
from opsnb.core.hooks import at
from opsnb.core.layout import stamp
from opsnb.core.plan import Plan
from opsnb.core.plan_rollback import plan_prune, plan_rollback
from opsnb.core.release import Record, Site
from opsnb.core.retention import Rules
from opsnb.core.settings.files import SecretVar
from opsnb.core.text import safe
from opsnb.engine.caches import prepare_caches
from opsnb.engine.change import Change
from opsnb.engine.ending import End, check_before, finish, publish
from opsnb.engine.holding import informed
from opsnb.engine.hooks import environment, prepare, run_hooks
from opsnb.engine.secretvars import resolve
from opsnb.errors import ConfigError, NotAsSeen, StalePlan

PATIENCE = 3  # seconds that a rollback waits for what is to be masked


def _agreed(plan: Plan, agreed: Plan | None, server: str) -> Plan:
    if agreed and plan.meaning != agreed.meaning:
        raise StalePlan(
            f"{server} is no longer as the plan saw it: nothing was changed",
            "Look again, then repeat the command.",
        )
    return plan


class RollbackWork:
    """A rollback, or a roll forward, for :meth:`Change.run`.

    Args:
        settings: What is configured for the server.
        to: The release to publish; empty for the good one before the live one.
        why: The reason, for the record.
        agreed: The plan that was agreed to; None when whatever is right may be done.
        once_at: The server that runs the hooks that run once in its environment; empty for this.
    """

    def __init__(
        self,
        settings: Settings,
        to: str = "",
        why: str = "",
        agreed: Plan | None = None,
        once_at: str = "",
    ) -> None:
        self._settings, self._to, self._why, self._plan = settings, to, why, agreed
        self._once_at = once_at

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        seen = await change.look(fingerprint=True)
        first = self._planned(seen)
        await self._hide(change, first)
        try:
            site = await change.take("rollback", seen=None if first.nothing else seen)
            await self._carry_out(change, first, site)
        except NotAsSeen as error:
            await change.not_as_seen(error)
            change.revision = ""
            await self._carry_out(change, first, await change.take("rollback"))

    async def _carry_out(self, change: Change, first: Plan, site: Site) -> None:
        """Plan what is right on a site whose lock is ours, or asked for, and do it."""
        if change.put_back_first:
            # What was to be left is left already: from there one would go back too far.
            self._to, self._plan = first.name, None
        made = self._planned(site)
        plan = _agreed(made, self._plan, change.actor.server)
        change.planned(plan)
        if plan.nothing:
            change.outcome = Outcome.NOTHING
            return
        target, left = site.find(plan.name), site.find(plan.marks_bad)
        change.revision = target.record.revision if target and target.record else ""
        assert target and target.record  # noqa: S101, PT018 - a rollback's plan has a recorded one
        env = environment(change, change.remote.deploy_to, target.record.revision)
        await prepare(change, plan.hooks, env)
        prepare_caches(change, plan)
        if at(plan.hooks, "before_rollback"):
            async with change.phase(Phase.HOOKS):
                await run_hooks(change, plan.hooks, "before_rollback", plan.name, env)
        if any(check.is_asked("before") for check in plan.health):
            await change.lock.settle()  # it may be asked from here
            async with change.phase(Phase.CHECK):
                await check_before(change, plan, env)
        good = target.record.good()

        def records() -> list[Record]:
            return [good, self._bad(change, left.record)] if left and left.record else [good]

        await publish(change, plan, End(target.record, records), env, why=self._why)

    async def _hide(self, change: Change, plan: Plan) -> None:
        """Mask the secrets of configuration files: what hooks and checks run may tell them.

        A rollback does not wait long for one that cannot be had.
        """
        asks = any(check.command for check in plan.health) or any(one.command for one in plan.purge)
        if plan.nothing or not self._settings.files or not (asks or plan.hooks):
            return

        async def hide(name: str, origin: SecretVar) -> None:
            try:
                async with asyncio.timeout(PATIENCE):
                    change.hide(await resolve({name: origin}, change.folder, change.log))
            except (ConfigError, TimeoutError) as error:
                why = str(error) or f"the secret {name} was not had in {PATIENCE} s"
                change.warn(f"not masked, should a hook tell it: {why}")

        await asyncio.gather(*(hide(*one) for one in self._settings.secret_vars.items()))

    def _planned(self, site: Site) -> Plan:
        return plan_rollback(site, self._settings, self._to, self._why, self._once_at)

    def _bad(self, change: Change, left: Record) -> Record:
        actor = change.actor
        why = self._why or f"rolled back to {change.release}"
        change.log(f"{safe(left.name)} is marked bad: {safe(why)}")
        return left.bad(actor.by, stamp(actor.now()), why, left=True)


class PruneWork:
    """A prune, for :meth:`Change.run`.

    Args:
        rules: What is to stay.
        agreed: The plan that was agreed to; None when whatever is right may be done.
    """

    def __init__(self, rules: Rules, agreed: Plan | None = None) -> None:
        self._rules, self._plan = rules, agreed

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        rules, now = self._rules, change.actor.now
        plan_prune(await change.look(), rules, now())
        site = await informed(change.remote, await change.take("prune"), rules, users=True)
        plan = _agreed(plan_prune(site, rules, now()), self._plan, change.actor.server)
        if self._plan:
            plan = replace(plan, retention=plan.retention.within(self._plan.retention))
        change.planned(plan)
        if plan.nothing:
            change.outcome = Outcome.NOTHING
            return
        await finish(change, plan)
