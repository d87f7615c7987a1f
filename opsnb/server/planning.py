"""What a change of a server would do. Nothing here changes it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opsnb.core.text import safe
from opsnb.errors import ConfigError
from opsnb.loop import LOOP
from opsnb.server import here
from opsnb.server.link import Link, one_line
from opsnb.server.plans import DeployPlan, PromotePlan
from opsnb.server.questions import Questions

if TYPE_CHECKING:
    from opsnb.core.adopt_plan import AdoptPlan, Verb
    from opsnb.core.adoption import Request
    from opsnb.core.config import Settings
    from opsnb.core.intended import Intended
    from opsnb.core.plan import Plan, Wish
    from opsnb.core.release import Site
    from opsnb.core.secrets import Secrets
    from opsnb.engine.asked import Asked
    from opsnb.engine.configfiles import About
    from opsnb.engine.promote import Origin
    from opsnb.engine.source import Memory, Source
    from opsnb.remote.base import Remote

Until = datetime | timedelta | str | None


class Planning(Questions):
    """A server whose changes can be planned."""

    _memory: Memory | None = None
    _made: object = None

    def close(self) -> None:
        """Close the connection; the next question makes a new one."""
        self._made = None
        super().close()

    def plan(
        self,
        source: str | os.PathLike[str] = "",
        *,
        revision: str = "",
        ref: str = "",
        keep: int | None = None,
        force: bool = False,
        on_output: Callable[[str], object] = lambda _: None,
    ) -> DeployPlan:
        """What a deploy would do; reads only.

        A configured repository is fetched and a configured build is run for it, on this machine.
        The plan keeps what was built, for :meth:`deploy`.

        Args:
            source: The folder to release, or to build; the configured source when not given.
            revision: What the source is; of a git repository the commit is known.
            ref: The branch, tag or commit of the configured git repository.
            keep: How many good releases stay; as configured when not given.
            force: Make a release even if it changes nothing, and build it anew.
            on_output: Is told each line of a fetch and of a build as it comes.

        Raises:
            SourceError: The source cannot be released.
            BuildFailed: The build failed.
            NotReady: The server cannot take the release as it stands.
            ConnectError: The server cannot be reached.
        """
        from opsnb.engine.asked import read  # noqa: PLC0415 - import opsnb stays quick

        asked = self._asked(source, revision, ref, keep, force)
        if asked.makes:
            # What cannot take a release is told of before it is built, and not after.
            self._ask(_takes)
        wish, scanned = LOOP.follow(lambda tell: read(asked, tell), on_output)
        self._keep_made(scanned)
        plan, site = self._ask(lambda remote: _planned(remote, wish))
        return DeployPlan(self.name, self._told(self._gated(plan), site), wish, scanned)

    def _keep_made(self, source: Source) -> None:
        """Keep what was built last: the same commit is not built again while it is there."""
        self._made = source.keeper

    def _source(self, source: str | os.PathLike[str], ref: str) -> str:
        where = os.fspath(source)
        if ref and (where or not self.settings.git):
            raise ConfigError(
                "ref is for a git repository", "Set `git` in opsnb.toml, and name no folder."
            )
        where = where or self.settings.source
        if not where and not self.settings.git:
            raise ConfigError(
                "no source is given", "Name a folder, or set `source` or `git` in opsnb.toml."
            )
        return where

    def _asked(
        self,
        source: str | os.PathLike[str],
        revision: str,
        ref: str,
        keep: int | None,
        force: bool,
    ) -> Asked:
        from opsnb.core.secrets import chosen  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.engine.asked import Asked  # noqa: PLC0415 - as above

        settings = self.settings
        return Asked(
            where=self._source(source, ref),
            settings=self._keeping(keep),
            revision=_revision(revision),
            ref=_ref(ref),
            secrets=chosen(settings.build_secrets if settings.build else (), os.environ),
            hook_secrets=chosen(settings.secrets if settings.before_build else (), os.environ),
            by=here.who(),
            host=platform.node(),
            force=force,
            once_at=self._once_at,
            memory=self._seen_before(),
            about=self._about(),
        )

    def _about(self) -> About:
        from opsnb.engine.configfiles import About  # noqa: PLC0415 - import opsnb stays quick

        names = (self.name, self.environment_name, self._project)
        return About(*names, self.deploy_to, self._folder)

    def _seen_before(self) -> Memory | None:
        """What the last scan left; None when every file is to be read again."""
        from opsnb.engine.source import Memory  # noqa: PLC0415 - import opsnb stays quick

        if self.settings.verify == "all":
            return None
        self._memory = self._memory or Memory()
        return self._memory

    def _keeping(self, keep: int | None) -> Settings:
        if keep is None:
            return self.settings
        if keep < 1:
            raise ConfigError("keep must be at least 1: the live release stays")
        return self.settings.model_copy(update={"keep_releases": keep})

    def plan_rollback(self, to: str = "", why: str = "", *, files: bool = False) -> Plan:
        """What a rollback would do; reads only.

        Args:
            to: As of :meth:`rollback`.
            why: As of :meth:`rollback`.
            files: Whether to look, too, which files visitors gain and lose.
        """
        from opsnb.core.plan_rollback import plan_rollback  # noqa: PLC0415 - import opsnb stays quick

        site = self.look()
        plan = self._told(plan_rollback(site, self.settings, to, why, self._once_at), site)
        if not files or plan.nothing:
            return self._as_text(plan)
        return self._as_text(self._ask(lambda remote: _with_files(remote, site, plan)))

    def plan_pin(self, name: str) -> Intended:
        """What :meth:`pin` would do; reads only."""
        from opsnb.core.intended import pin  # noqa: PLC0415 - import opsnb stays quick

        return pin(self.look(), name, pinned=True)

    def plan_unpin(self, name: str) -> Intended:
        """What :meth:`unpin` would do; reads only."""
        from opsnb.core.intended import pin  # noqa: PLC0415 - import opsnb stays quick

        return pin(self.look(), name, pinned=False)

    def plan_hold(self, why: str, until: Until = None) -> Intended:
        """What :meth:`hold` would do; reads only."""
        from opsnb.core.intended import hold  # noqa: PLC0415 - import opsnb stays quick

        return hold(self.look(), why, here.who(), self._moment(until))

    def plan_unhold(self, *, force: bool = False) -> Intended:
        """What :meth:`unhold` would do; reads only."""
        from opsnb.core.intended import unhold  # noqa: PLC0415 - import opsnb stays quick

        return unhold(self.look(), here.who(), force=force)

    def plan_freeze(self, why: str, until: Until = None) -> Intended:
        """What :meth:`freeze` would do; reads only."""
        from opsnb.core.intended import hold  # noqa: PLC0415 - import opsnb stays quick

        return hold(self.look(), why, here.who(), self._moment(until), freeze=True)

    def plan_unfreeze(self, *, force: bool = False) -> Intended:
        """What :meth:`unfreeze` would do; reads only."""
        from opsnb.core.intended import unhold  # noqa: PLC0415 - import opsnb stays quick

        return unhold(self.look(), here.who(), force=force, freeze=True)

    def plan_prune(self, keep: int | None = None) -> Plan:
        """What a prune would remove; reads only. The argument is that of :meth:`prune`."""
        from opsnb.core.plan_rollback import plan_prune  # noqa: PLC0415 - import opsnb stays quick

        rules = self._keeping(keep).rules
        sizes = bool(rules.bytes)
        site = self._ask(lambda remote: remote.state(users=rules.in_use, sizes=sizes))
        return self._as_text(self._told(self._gated(plan_prune(site, rules, here.now())), site))

    def _as_text(self, plan: Plan) -> Plan:
        from opsnb.server.siteplan import SitePlan  # noqa: PLC0415 - import opsnb stays quick

        return SitePlan.of(plan, self.name)

    def _told(self, plan: Plan, site: Site) -> Plan:
        """The plan, with what would make its change wait, or refuse it, as things are now."""
        said = [f"a change is running: {site.holder}"] if site.holder else []
        try:
            if plan.verb != "prune":
                self._secrets()
        except ConfigError as error:
            said.append(f"would be refused: {error.message}")
        return replace(plan, warnings=(*plan.warnings, *said)) if said else plan

    def _secrets(self) -> Secrets:
        """What hooks are given of the operator's environment, and nobody is shown."""
        from opsnb.core.secrets import chosen  # noqa: PLC0415 - import opsnb stays quick

        return chosen(self.settings.secrets, os.environ)

    def plan_promote(
        self, from_: Link, *, keep: int | None = None, force: bool = False
    ) -> PromotePlan:
        """What a promote would do; reads only, from both servers.

        Args:
            from_: The server whose live release is promoted.
            keep: How many good releases stay; as configured when not given.
            force: Make a release even if it changes nothing.

        Raises:
            NoSuchRelease: What that server runs is not good, or not what was deployed there.
            Locked: A change is running there.
            NotReady: This server cannot take the release as it stands.
            ConnectError: One of the two cannot be reached.
        """
        from opsnb.engine.promote import find  # noqa: PLC0415 - import opsnb stays quick

        found = LOOP.run(find(self._origin(from_, keep, force)))
        plan, site = self._ask(lambda remote: _planned(remote, found.wish))
        plan = self._told(self._gated(plan, "promote"), site)
        return PromotePlan(self.name, plan, found.wish, found.source, from_, found.release)

    def _origin(self, from_: Link, keep: int | None, force: bool) -> Origin:
        from opsnb.engine.promote import Origin  # noqa: PLC0415 - import opsnb stays quick

        if from_.url == self.url:
            raise ConfigError(f"{safe(self.name)} cannot be promoted to itself")
        return Origin(
            server=from_.name,
            remote=from_._remote(),
            connected=from_._connected,
            settings=self._keeping(keep),
            by=here.who(),
            host=platform.node(),
            force=force,
            once_at=self._once_at,
            about=self._about(),
        )

    def plan_adopt(
        self, *, shared: Sequence[str] = (), undo: bool = False, finish: bool = False
    ) -> AdoptPlan:
        """What :meth:`adopt` would do; reads only. The arguments are its own."""
        from opsnb.engine.adopt import plan_adopt  # noqa: PLC0415 - import opsnb stays quick

        request = self._adoption(shared, undo=undo, finish=finish)
        return self._ask(lambda remote: plan_adopt(remote, request, here.now()))

    def _adoption(self, shared: Sequence[str], *, undo: bool, finish: bool) -> Request:
        from opsnb.core.adoption import Request  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.core.settings.table import inside  # noqa: PLC0415 - as above

        if undo + finish + bool(shared) > 1:
            raise ConfigError("undo, finish and shared exclude each other")
        try:
            paths = tuple(os.fsencode(inside(path)) for path in shared)
        except ValueError as error:
            raise ConfigError(safe(str(error))) from None
        verb: Verb = "undo" if undo else "finish" if finish else "adopt"
        return Request(verb, paths, self.settings.web_config)

    def _moment(self, until: Until) -> datetime | None:
        from opsnb.core import moments, windows  # noqa: PLC0415 - import opsnb stays quick

        now = here.now()
        if isinstance(until, str):
            where = windows.zone(self.settings.timezone)
            return moments.until(until, where, now) if until else None
        if isinstance(until, timedelta):
            return moments.coming(now + until, now)
        return moments.coming(until.astimezone(UTC), now) if until else None


async def _takes(remote: Remote) -> None:
    from opsnb.core.refusal import refuse  # noqa: PLC0415 - import opsnb stays quick

    refuse((await remote.glance()).site)


async def _planned(remote: Remote, wish: Wish) -> tuple[Plan, Site]:
    from opsnb.engine.look import grounds, plan_for  # noqa: PLC0415 - import opsnb stays quick

    on = await grounds(remote, await remote.glance(), wish.source)
    return await plan_for(remote, on, wish, here.now(), thorough=True), on.site


async def _with_files(remote: Remote, site: Site, plan: Plan) -> Plan:
    from opsnb.engine.look import with_files  # noqa: PLC0415 - import opsnb stays quick

    return await with_files(remote, site, plan)


def _revision(text: str) -> str:
    return one_line(text, "a revision")


def _ref(text: str) -> str:
    from opsnb.core.settings.source import reference  # noqa: PLC0415 - import opsnb stays quick

    try:
        return reference(text)
    except ValueError as error:
        raise ConfigError(f"{safe(text)!r}: {error}") from None
