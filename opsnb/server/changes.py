"""A server, as users hold it: a change returns a :class:`Job` that runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from opsnb.errors import ConfigError
from opsnb.loop import LOOP
from opsnb.server import here
from opsnb.server.link import Link
from opsnb.server.planning import Planning, Until
from opsnb.server.plans import DeployPlan, PromotePlan

if TYPE_CHECKING:
    from opsnb.core.adopt_plan import AdoptPlan
    from opsnb.core.events import Event
    from opsnb.core.plan import Plan
    from opsnb.core.rows import Row
    from opsnb.core.secrets import Secrets
    from opsnb.engine.asked import Reading
    from opsnb.engine.change import Change
    from opsnb.job import Job, Ran
    from opsnb.notices import Notifier

REMEMBERED = 20  # jobs that have ended


class Server(Planning):
    """A server: a host and a deployment path.

    Args:
        url: ``ssh://user@host[:port]/deployment/path``, the same with ``sftp`` for an account that
            has nothing else, or ``file:///path`` for this machine.
        name: What it is called; the host, when not given.
        settings: What is configured for it.
        environment: The environment it belongs to.
        environment_name: That environment's name.
        ssh_config: The ssh_config file to read; None for the user's own.
        project: The project's name, for templates of configuration files.
        folder: Where hooks of this machine and commands for secrets run; where the process runs
            when not given.
        once_at: The server that runs the hooks that run once in its environment; empty for this.
        read_only: Whether every change is refused: for looking only.

    Attributes:
        jobs: The changes that run, and the last 20 that ended, the newest last.

    Raises:
        ConfigError: The address cannot be read.
    """

    @cached_property
    def jobs(self) -> list[Job]:
        """The changes that run, and the last 20 that ended, the newest last."""
        return []

    def deploy(
        self,
        what: DeployPlan | str | os.PathLike[str] = "",
        *,
        revision: str = "",
        ref: str = "",
        keep: int | None = None,
        force: bool = False,
        outside_window: str = "",
    ) -> Job:
        """Deploy a plan exactly as it stands, or a folder, or the configured source.

        Args:
            what: A plan, or the folder to release or to build; the configured source when not
                given.
            revision: What the source is; not with a plan.
            ref: The branch, tag or commit of the configured git repository; not with a plan.
            keep: How many good releases stay; not with a plan.
            force: Make a release even if it changes nothing, built anew; not with a plan.
            outside_window: Why it is made outside of the hours for it, for the audit log.

        Returns:
            The running change.
        """
        self.writable("deploy")
        from opsnb.engine.asked import Reading, given  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.engine.deploy import DeployWork, Order  # noqa: PLC0415 - as above

        secrets = self._secrets()
        if isinstance(what, PromotePlan):
            return self.promote(what, outside_window=outside_window)
        if isinstance(what, DeployPlan):
            if what.server != self.name:
                raise ConfigError(f"that plan was made for {what.server}, not for {self.name}")
            order = Order(given(what.wish, what.source), what.plan)
        else:
            asked = self._asked(what, revision, ref, keep, force)
            begun = Reading(asked, self._keep_made)
            order = Order(begun, makes=asked.makes)
            return self._change("deploy", DeployWork(order), secrets, outside_window, reading=begun)
        return self._change("deploy", DeployWork(order), secrets, outside_window)

    def promote(
        self,
        from_: Link | PromotePlan,
        *,
        keep: int | None = None,
        force: bool = False,
        outside_window: str = "",
    ) -> Job:
        """Deploy exactly the release that another server runs: the same bytes, the same manifest.

        What this server lacks of it is read from there and verified, before this one is locked.

        Args:
            from_: The other server, or a plan of :meth:`plan_promote`.
            keep: How many good releases stay; with a server only.
            force: Make a release even if it changes nothing; with a server only.
            outside_window: Why it is made outside of the hours for it, for the audit log.

        Returns:
            The running change.
        """
        from opsnb.engine.promote import Found, PromoteWork  # noqa: PLC0415 - import opsnb stays quick

        self.writable("promote")
        if isinstance(from_, PromotePlan):
            if from_.server != self.name:
                raise ConfigError(f"that plan was made for {from_.server}, not for {self.name}")
            settings = from_.wish.settings
            origin = self._origin(from_.origin, settings.keep_releases, from_.wish.force)
            work = PromoteWork(origin, (Found(from_.release, from_.wish, from_.source), from_.plan))
        else:
            work = PromoteWork(self._origin(from_, keep, force))
        return self._change("deploy", work, self._secrets(), outside_window, called="promote")

    def rollback(self, to: str | Plan = "", why: str = "") -> Job:
        """Publish the good release before the live one, or a chosen one, as one switch.

        Args:
            to: The release's name, or a plan of :meth:`plan_rollback`; the good one before the
                live one when not given.
            why: The reason, for the record.
        """
        from opsnb.core.plan import Plan  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.engine.switch import RollbackWork  # noqa: PLC0415 - as above

        if isinstance(to, Plan):
            work = RollbackWork(self.settings, to.name, to.why, to, once_at=self._once_at)
        else:
            work = RollbackWork(self.settings, to, why, once_at=self._once_at)
        return self._change("rollback", work, self._secrets())

    def prune(self, keep: int | Plan | None = None) -> Job:
        """Remove old releases.

        Args:
            keep: How many good releases stay, or a plan of :meth:`plan_prune`; as configured when
                not given.
        """
        from opsnb.core.plan import Plan  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.engine.switch import PruneWork  # noqa: PLC0415 - as above

        if isinstance(keep, Plan):
            return self._change("prune", PruneWork(keep.rules, keep))
        return self._change("prune", PruneWork(self._keeping(keep).rules))

    def pin(self, name: str) -> Job:
        """Keep a release from ever being pruned."""
        from opsnb.engine.manage import PinWork  # noqa: PLC0415 - import opsnb stays quick

        return self._change("pin", PinWork(name, pinned=True))

    def unpin(self, name: str) -> Job:
        """Take a release's pin away."""
        from opsnb.engine.manage import PinWork  # noqa: PLC0415 - import opsnb stays quick

        return self._change("unpin", PinWork(name, pinned=False))

    def adopt(
        self,
        plan: AdoptPlan | None = None,
        *,
        shared: Sequence[str] = (),
        undo: bool = False,
        finish: bool = False,
    ) -> Job:
        """Take a site over that opsnb did not make, changing nothing of it.

        Releases of another tool get records. A site without releases is copied into a first one.

        Args:
            plan: A plan of :meth:`plan_adopt`, carried out exactly; None for whatever is right.
            shared: Paths of a site without releases that are to be in ``shared/``.
            undo: Take away again what the adoption made.
            finish: Remove the old files that were copied and have not changed since.
        """
        from opsnb.engine.adopt import AdoptWork  # noqa: PLC0415 - import opsnb stays quick

        if plan:
            undo, finish = plan.verb == "undo", plan.verb == "finish"
            shared = [os.fsdecode(path) for path in plan.shared] if plan.verb == "adopt" else ()
        request = self._adoption(shared, undo=undo, finish=finish)
        return self._change(request.verb, AdoptWork(request, plan))

    def hold(self, why: str, until: Until = None) -> Job:
        """Hold the server back: no change until :meth:`unhold`.

        Args:
            why: The reason, for everybody who is held back.
            until: When it ends by itself, by the clock of whoever meets it: a time, a length of
                time, or a text such as ``2h`` or ``2026-12-27 09:00``; None when it does not.
        """
        from opsnb.engine.manage import HoldWork  # noqa: PLC0415 - import opsnb stays quick

        return self._change("hold", HoldWork(why, until=self._moment(until)))

    def unhold(self, *, force: bool = False) -> Job:
        """Take a hold away.

        Args:
            force: Take away also what somebody else placed, and the lock of a running change,
                which then can do no more.
        """
        from opsnb.engine.manage import UnholdWork  # noqa: PLC0415 - import opsnb stays quick

        return self._change("release", UnholdWork(force=force))

    def freeze(self, why: str, until: Until = None) -> Job:
        """Freeze the server: no deploy, promote, prune or adopt until :meth:`unfreeze`.

        A rollback may pass, and so may pins. What was frozen by you before is frozen anew.

        Args:
            why: The reason, for everybody who is held back.
            until: When it ends by itself; see :meth:`hold`.
        """
        from opsnb.engine.manage import HoldWork  # noqa: PLC0415 - import opsnb stays quick

        return self._change("freeze", HoldWork(why, freeze=True, until=self._moment(until)))

    def unfreeze(self, *, force: bool = False) -> Job:
        """Take a freeze away.

        Args:
            force: Take away also what somebody else placed; see :meth:`unhold`.
        """
        from opsnb.engine.manage import UnholdWork  # noqa: PLC0415 - import opsnb stays quick

        return self._change("unfreeze", UnholdWork(force=force, freeze=True))

    def _change(
        self,
        verb: str,
        work: Callable[[Change], Coroutine[Any, Any, None]],
        secrets: Secrets | None = None,
        outside_window: str = "",
        called: str = "",
        reading: Reading | None = None,
    ) -> Job:
        from opsnb.core.secrets import Secrets  # noqa: PLC0415 - import opsnb stays quick

        self.writable(verb)
        remote, hidden, gates = self._remote(), secrets or Secrets(), self._gates(outside_window)
        hush, by = self._hush(), here.by()
        notifier = self._notifier(called or verb, by)
        if reading is not None and not gates.refusal(called or verb, here.now()):
            # At once, so that it is read while the connection is made; but not for what is refused.
            LOOP.submit(reading.begin())
        from opsnb.engine.change import Change  # noqa: PLC0415 - as above
        from opsnb.engine.telling import Actor  # noqa: PLC0415 - as above
        from opsnb.job import Job  # noqa: PLC0415 - as above

        async def connected(change: Change) -> None:
            try:
                await self._connected()
                await work(change)
            finally:
                if reading is not None:
                    await reading.end()

        async def run(emit: Callable[[Event], None]) -> Ran:
            host, environment = platform.node(), self.environment_name
            actor = Actor(self.name, here.who(), host, emit, here.now, environment, self.typed)
            wait, told = self.settings.lock_wait, called or verb
            change = Change(remote, actor, verb, wait, hidden, hush, told, gates)
            change.folder = self._folder
            try:
                return await change.run(connected)
            finally:
                if reading is not None:  # also where the change was held back before it began
                    await reading.end()

        job = Job(called or verb, self.name, run, by, notifier)
        ended = [old for old in self.jobs if old.done]
        forgotten = ended[: max(0, len(ended) - REMEMBERED)]
        self.jobs = [*(old for old in self.jobs if old not in forgotten), job]
        return job

    # --- notices -------------------------------------------------------------------------------

    def _hush(self) -> Secrets:
        """The addresses of notices, which nobody is shown."""
        from opsnb.core.secrets import Secrets  # noqa: PLC0415 - import opsnb stays quick

        if not self.settings.notices:
            return Secrets()
        from opsnb.core.notices import hidden  # noqa: PLC0415 - few servers have any

        return hidden(self.settings.notices, os.environ)

    def _notifier(self, verb: str, by: str) -> Notifier | None:
        if not self.settings.notices:
            return None
        from opsnb.core.notices import About, address, tells_of  # noqa: PLC0415 - as above
        from opsnb.notices import Notifier  # noqa: PLC0415 - as above

        if not tells_of(verb):
            return None
        listed = [(notice, address(notice, os.environ)) for notice in self.settings.notices]
        return Notifier(listed, About(self.name, self.environment_name, by))

    def notices(self) -> list[Row]:
        """Who is told of deploys, promotes and rollbacks; addresses are not in it.

        Returns:
            A row for each: its ``number``, the ``service`` that its address leads to (empty when
            nothing knows it), where the address is ``from``, what is told ``on``, and the
            ``fault``: what is wrong with it, empty when nothing is.
        """
        from opsnb.notices import described  # noqa: PLC0415 - import opsnb stays quick

        return [described(n, one, os.environ) for n, one in enumerate(self.settings.notices, 1)]

    def test_notices(self) -> list[Row]:
        """Send everybody a message that says it is a test, and wait for at most 10 s.

        Returns:
            The rows of :meth:`notices`; ``fault`` says what was not delivered, and why.
        """
        from opsnb.notices import tested  # noqa: PLC0415 - import opsnb stays quick

        by = here.by()
        where = (self.name, self.environment_name, by)
        return tested(self.settings.notices, where, os.environ)
