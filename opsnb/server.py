"""A server, as users hold it. Questions block and answer; changes return a :class:`Job`."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from opsnb.core.config import Address, Environment, Settings
from opsnb.core.text import safe
from opsnb.errors import ConfigError, HeldBack, Interrupted, NoSuchRelease, ReadOnly
from opsnb.loop import LOOP

if TYPE_CHECKING:
    import pandas as pd

    from opsnb.core.adopt_plan import AdoptPlan, Verb
    from opsnb.core.adoption import Request
    from opsnb.core.audit import Fault
    from opsnb.core.doctor import Finding
    from opsnb.core.events import Event
    from opsnb.core.gates import Gates
    from opsnb.core.intended import Intended
    from opsnb.core.listing import Base
    from opsnb.core.manifest import Manifest
    from opsnb.core.origin import Past
    from opsnb.core.output import Said
    from opsnb.core.plan import Plan, Wish
    from opsnb.core.readonly import Guard
    from opsnb.core.release import Release, Site
    from opsnb.core.rows import Row
    from opsnb.core.secrets import Secrets
    from opsnb.core.usage import Usage
    from opsnb.core.webserver import Files
    from opsnb.engine.asked import Asked, Reading
    from opsnb.engine.change import Change
    from opsnb.engine.configfiles import About
    from opsnb.engine.promote import Origin
    from opsnb.engine.run import CommandResult
    from opsnb.engine.source import Memory, Source
    from opsnb.job import Job, Ran
    from opsnb.notices import Notifier
    from opsnb.remote.base import Remote
    from opsnb.remote.posix import PosixRemote
    from opsnb.remote.sftp.remote import SftpRemote

T = TypeVar("T")
Until = datetime | timedelta | str | None
REMEMBERED = 20  # jobs that have ended


@dataclass(frozen=True)
class DeployPlan:
    """A deploy that can be looked at and then carried out: ``server.deploy(plan)``.

    Attributes:
        server: The server's name.
        plan: Everything it will do.
        wish: What was asked for.
        source: Where its content is.
    """

    server: str
    plan: Plan
    wish: Wish
    source: Source

    @property
    def nothing(self) -> bool:
        """Whether the live release already is what was asked for."""
        return self.plan.nothing

    def __str__(self) -> str:
        from opsnb.core.facts import plan_text  # noqa: PLC0415 - import opsnb stays quick

        return plan_text(self.plan, self.server)

    def __repr__(self) -> str:
        difference = self.plan.difference
        return (
            f"<DeployPlan {self.plan.name} for {self.server}: +{len(difference.added)} "
            f"~{len(difference.changed)} -{len(difference.removed)}>"
        )


@dataclass(frozen=True, repr=False)
class PromotePlan(DeployPlan):
    """A promote that can be looked at and then carried out: ``server.promote(plan)``.

    Attributes:
        origin: The server it comes from.
        release: The release that this one runs.
    """

    origin: Server
    release: str

    def __str__(self) -> str:
        return f"promote {safe(self.release)} from {safe(self.origin.name)}\n{super().__str__()}"


class Server:
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

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        settings: Settings | None = None,
        environment: Environment | None = None,
        environment_name: str = "",
        ssh_config: str | os.PathLike[str] | None = None,
        project: str = "",
        folder: Path | None = None,
        once_at: str = "",
        read_only: bool = False,
    ) -> None:
        try:
            self._address = Address.parse(url)
        except ValueError as error:
            # Without what stands before the @: it may hold a password.
            shown = safe(url.rpartition("@")[2])
            raise ConfigError(f"{shown!r} is no server's address: {_first(error)}") from None
        self.url = url
        self.name = name or self._address.host or "local"
        self.settings = settings or Settings.model_validate({})
        self.environment = environment or Environment.model_validate({})
        self.environment_name = environment_name
        self._project, self._folder = project, folder or Path()
        self.jobs: list[Job] = []
        self._once_at = once_at
        self._read_only = read_only
        self._ssh_config = Path(ssh_config).expanduser() if ssh_config is not None else None
        self._remote_: PosixRemote | SftpRemote | None = None
        self._begun: Future[object] | None = None
        self._memory: Memory | None = None
        self._made: object = None

    @property
    def deploy_to(self) -> str:
        """The deployment path."""
        return self._address.path

    def __repr__(self) -> str:
        return f"<Server {self.name}: {self.url}>"

    # --- gates ---------------------------------------------------------------------------------

    @property
    def read_only(self) -> str:
        """Why every change is refused here; empty when none is for that."""
        if os.environ.get("OPSNB_READ_ONLY", "") not in ("", "0"):
            return "--read-only was given, or OPSNB_READ_ONLY is set"
        if self._read_only:
            return "it was opened to be looked at only"
        return "`read_only` in opsnb.toml says so" if self.settings.read_only else ""

    def writable(self, verb: str = "a change") -> None:
        """Refuse a change where everything is read-only. Nothing is asked of the server.

        Args:
            verb: The change, for the message.

        Raises:
            ReadOnly: Here it is, and why.
        """
        if why := self.read_only:
            raise ReadOnly(f"{safe(self.name)} is read-only: {verb} was refused", f"{why}.")

    def permitted(self, verb: str, outside_window: str = "") -> None:
        """Refuse at once what would be held back anyway. Nothing is asked of the server.

        Args:
            verb: The change.
            outside_window: Why it is made outside of the hours for it.

        Raises:
            ReadOnly: Nothing may be changed from here.
            HeldBack: A freeze, or the time of day, is configured to hold it back.
        """
        self.writable(verb)
        if refusal := self._gates(outside_window).refusal(verb, _now()):
            raise HeldBack(refusal.message, refusal.hint)

    def refused(self, verb: str) -> str:
        """Why a change would be refused at once, in words; empty when it would not."""
        refusal = self._gates().refusal(verb, _now())
        return refusal.message if refusal else ""

    def held_back(self) -> tuple[str, ...]:
        """What is configured and holds a deploy back now, in words; the server is not asked."""
        refusal = self._gates().refusal("deploy", _now())
        said = (f"read-only: {self.read_only}" if self.read_only else "",)
        return (*filter(None, said), *([refusal.message] if refusal else []))

    def _gates(self, outside_window: str = "") -> Gates:
        from opsnb.core.gates import Gates  # noqa: PLC0415 - import opsnb stays quick

        return Gates(self.name, self.settings, _line(outside_window, "a reason"))

    def _gated(self, plan: Plan, verb: str = "") -> Plan:
        """The plan, with what would hold it back among its warnings."""
        from dataclasses import replace  # noqa: PLC0415 - as above

        from opsnb.core.gates import warnings  # noqa: PLC0415 - as above

        said = warnings([self._gates().refusal(verb or plan.verb, _now())])
        return replace(plan, warnings=(*plan.warnings, *said)) if said else plan

    # --- the connection ------------------------------------------------------------------------

    def _remote(self) -> PosixRemote | SftpRemote:
        if self._remote_ is None:
            self._remote_ = self._make_remote()
        return self._remote_

    def _make_remote(self) -> PosixRemote | SftpRemote:
        settings, address = self.settings, self._address
        if address.scheme == "file":
            from opsnb.remote.local import local_remote  # noqa: PLC0415 - import opsnb stays quick

            return local_remote(address.path, settings.step_timeout, settings.connect_timeout)
        if address.scheme == "sftp":
            from opsnb.remote.sftp.remote import sftp_remote  # noqa: PLC0415 - as above

            return sftp_remote(
                address, self._ssh_config, settings.step_timeout, settings.connect_timeout
            )
        from opsnb.remote.ssh import ssh_remote  # noqa: PLC0415 - import opsnb stays quick

        return ssh_remote(
            address, self._ssh_config, settings.step_timeout, settings.connect_timeout
        )

    def _ask(self, question: Callable[[Remote], Coroutine[Any, Any, T]]) -> T:
        remote = self._remote()

        async def connected() -> T:
            await self._connected()
            return await question(remote)

        return LOOP.run(connected())

    def connect(self) -> None:
        """Begin to connect, and return at once: the first question then waits the less.

        What goes wrong is told to that question, or ends that change. To this machine there is
        nothing to connect.
        """
        if self._begun is None and self._address.scheme != "file":
            self._begun = LOOP.submit(self._remote().connect())

    async def _connected(self) -> None:
        """Wait for the connection that was begun; whoever comes first is told what went wrong."""
        begun, self._begun = self._begun, None
        if begun is not None:
            await asyncio.wrap_future(begun)

    def close(self) -> None:
        """Close the connection; the next question makes a new one."""
        begun, self._begun, self._made = self._begun, None, None
        if begun is not None:
            begun.cancel()
        remote, self._remote_ = self._remote_, None
        if remote is not None:
            LOOP.run(remote.close())

    # --- questions -----------------------------------------------------------------------------

    def look(self) -> Site:
        """Everything about the site, in one round trip.

        Raises:
            ConnectError: The server cannot be reached.
        """
        return self._ask(lambda remote: remote.look())

    def releases(self) -> pd.DataFrame:
        """The releases, the newest first; see :func:`opsnb.tables.releases` for the columns."""
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted

        return tables.releases(self.look(), _now(), self.settings.rules)

    def usage(self) -> pd.DataFrame:
        """What each release takes on the disk; see :func:`opsnb.tables.usage` for the columns."""
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted

        return tables.usage(*self.measure())

    def measure(self) -> tuple[Site, list[Usage]]:
        """A look, and what each release, the one kept aside, and ``shared/`` take on the disk.

        Both in one round trip, as plain records.

        Raises:
            ConnectError: The server cannot be reached.
        """
        return self._ask(lambda remote: remote.usage())

    def diff(self, a: str, b: str) -> pd.DataFrame:
        """How release ``b`` differs from ``a``; see :func:`opsnb.tables.diff` for the columns.

        Args:
            a: The one release's name.
            b: The other's.

        Raises:
            NoSuchRelease: One of them has no manifest.
        """
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted
        from opsnb.core.manifest import compare  # noqa: PLC0415 - import opsnb stays quick

        old, new = self.manifests(a, b)
        return tables.diff(old, new, compare(old, new))

    def manifests(self, a: str, b: str) -> tuple[Manifest, Manifest]:
        """The manifests of two releases.

        Raises:
            NoSuchRelease: One of them has none.
        """
        site = self.look()
        old, new = (_recorded(site, name) for name in (a, b))
        before = self._ask(lambda remote: _manifest(remote, old, None))
        return before, self._ask(lambda remote: _manifest(remote, new, before))

    def commits(self, a: str, b: str, on_output: Callable[[str], object] = lambda _: None) -> Past:
        """The commits between two releases, in the configured git repository.

        Args:
            a: The one release's name.
            b: The other's.
            on_output: Is told each line of a fetch as it comes.

        Raises:
            ConfigError: No repository is configured.
            NoSuchRelease: One of them is not of a commit.
            SourceError: The repository cannot be fetched, or lacks the commit of ``b``.
        """
        from opsnb.core.origin import commit_of  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.engine.git.past import between  # noqa: PLC0415 - as above

        settings = self.settings
        if not settings.git:
            raise ConfigError("no repository is configured", "Set `git` in opsnb.toml.")
        site = self.look()
        old, new = (_recorded(site, name).record for name in (a, b))
        before, after = (record.revision if record else "" for record in (old, new))
        for name, revision in ((a, before), (b, after)):
            if not commit_of(revision):
                raise NoSuchRelease(f"{safe(name)} is not known to be of a commit")
        return LOOP.follow(lambda tell: between(settings, before, after, tell), on_output)

    def log(self) -> pd.DataFrame:
        """The audit log, oldest first; see :func:`opsnb.tables.log` for the columns."""
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted
        from opsnb.core import audit  # noqa: PLC0415 - import opsnb stays quick

        return tables.log(audit.read(self.audit_log()))

    def audit_log(self) -> bytes:
        """The audit log as it stands on the server; see :mod:`opsnb.core.audit`."""
        return self._ask(lambda remote: remote.audit())

    def verify_log(self) -> list[Fault]:
        """Where the audit log has been tampered with; empty when it holds."""
        from opsnb.core import audit  # noqa: PLC0415 - import opsnb stays quick

        return audit.verify(self.audit_log())

    def drift(self, site: Site | None = None) -> tuple[str, ...] | None:
        """What has come, gone or changed in the live release since it was finished, by path.

        Args:
            site: What a look told; looks anew when not given.

        Returns:
            Paths, safe to show; None when that cannot be known: no release is live, or another
            tool made it.
        """
        seen = site or self.look()
        if seen.live is None or seen.live.record is None or seen.live.record.adopted:
            return None
        base = self._ask(lambda remote: _live(remote, seen))
        return tuple(safe(path) for path in sorted(base.drifted)) if base else None

    def findings(self) -> list[Finding]:
        """Whether this server can take atomic releases, point by point.

        The web server's configuration is looked at, too, as far as the login may read it.
        """
        from opsnb.core import doctor, gates, webserver  # noqa: PLC0415 - import opsnb stays quick

        files = self._ask(lambda remote: _web_files(remote, self.settings.web_config))
        after = [hook.text for hook in self.settings.after_publish]
        after += ["opcache"] if self.settings.opcache else []
        found = [*doctor.examine(self.look()), *webserver.examine(files, after)]
        return [*found, *gates.examine(self._gates(), self.read_only, _now())]

    def check(self) -> pd.DataFrame:
        """The same as a table; see :func:`opsnb.tables.check` for the columns."""
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted

        return tables.check(self.findings())

    # --- plans ---------------------------------------------------------------------------------

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
        plan = self._ask(lambda remote: _planned(remote, wish))
        return DeployPlan(self.name, self._gated(plan), wish, scanned)

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
            by=who(),
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
        plan = plan_rollback(site, self.settings, to, why, self._once_at)
        if not files or plan.nothing:
            return plan
        return self._ask(lambda remote: _with_files(remote, site, plan))

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

        return hold(self.look(), why, who(), self._moment(until))

    def plan_unhold(self, *, force: bool = False) -> Intended:
        """What :meth:`unhold` would do; reads only."""
        from opsnb.core.intended import unhold  # noqa: PLC0415 - import opsnb stays quick

        return unhold(self.look(), who(), force=force)

    def plan_freeze(self, why: str, until: Until = None) -> Intended:
        """What :meth:`freeze` would do; reads only."""
        from opsnb.core.intended import hold  # noqa: PLC0415 - import opsnb stays quick

        return hold(self.look(), why, who(), self._moment(until), freeze=True)

    def plan_unfreeze(self, *, force: bool = False) -> Intended:
        """What :meth:`unfreeze` would do; reads only."""
        from opsnb.core.intended import unhold  # noqa: PLC0415 - import opsnb stays quick

        return unhold(self.look(), who(), force=force, freeze=True)

    def plan_prune(self, keep: int | None = None) -> Plan:
        """What a prune would remove; reads only. The argument is that of :meth:`prune`."""
        from opsnb.core.plan_rollback import plan_prune  # noqa: PLC0415 - import opsnb stays quick

        rules = self._keeping(keep).rules
        sizes = bool(rules.bytes)
        site = self._ask(lambda remote: remote.state(users=rules.in_use, sizes=sizes))
        return self._gated(plan_prune(site, rules, _now()))

    # --- commands ------------------------------------------------------------------------------

    @property
    def guard(self) -> Guard:
        """What it takes for :meth:`run` to run what may change this server."""
        from opsnb.core.readonly import Guard  # noqa: PLC0415 - import opsnb stays quick

        type_name = self.environment.confirm == "type-name"
        return Guard(self.name, self.environment_name, type_name, read_only=self.read_only)

    def run(
        self,
        command: str,
        *,
        directory: str = "",
        change: bool | str = False,
        timeout: float = 300,
        on_output: Callable[[Said], object] = lambda _: None,
    ) -> CommandResult:
        """Run a script with ``/bin/sh`` on the server, whatever the login shell is, and wait.

        It runs on a session of its own, so it keeps no question waiting, and under no lock: it is
        for looking. What it starts ends with it. An interrupt (Ctrl-C) ends it on the server.

        Whether it only reads is told from its text, by a list of commands. That is a guard
        against slips and no sandbox: the command can do whatever the login may do.

        Args:
            command: The script.
            directory: Where below ``deploy_to``; ``.`` is ``deploy_to`` itself. When not given:
                ``current``, or ``deploy_to`` where nothing is live.
            change: Whether it may change the server; where the environment asks for the server's
                name to be typed, that name.
            timeout: Seconds until it is ended and has failed.
            on_output: Is told each line as it comes. Of very many, those in the middle are left
                out, and how many is said.

        Returns:
            How it ended. An exit status other than 0 is no error.

        Raises:
            ConfigError: It may change the server, and ``change`` does not say so.
            NoSuchRelease: There is no such directory.
            StepTimedOut: It did not end in time, and was ended.
            Disconnected: The connection was lost: whether it had ended is unknown.
            Interrupted: It was interrupted, and ended.
        """
        from opsnb.engine import run  # noqa: PLC0415 - import opsnb stays quick

        self.guard.permit(command, change)
        if not 0 < timeout <= 86400:
            raise ConfigError("a timeout is more than 0 and at most 86400 seconds")
        order = run.Command(command, run.place(directory), timeout)
        remote = self._remote()

        async def connected(tell: Callable[[Said], None]) -> CommandResult:
            await self._connected()
            return await run.run_command(remote, order, tell)

        try:
            return LOOP.follow(connected, on_output)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted: the command on {safe(self.name)} was ended") from None

    # --- changes -------------------------------------------------------------------------------

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
            # At once, so that it is read while the connection is made.
            asked = self._asked(what, revision, ref, keep, force)
            begun = Reading(asked, self._keep_made)
            LOOP.submit(begun.begin())
            order = Order(begun, makes=asked.makes)
            return self._change("deploy", DeployWork(order), secrets, outside_window, reading=begun)
        return self._change("deploy", DeployWork(order), secrets, outside_window)

    def plan_promote(
        self, from_: Server, *, keep: int | None = None, force: bool = False
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
        plan = self._gated(self._ask(lambda remote: _planned(remote, found.wish)), "promote")
        return PromotePlan(self.name, plan, found.wish, found.source, from_, found.release)

    def _origin(self, from_: Server, keep: int | None, force: bool) -> Origin:
        from opsnb.engine.promote import Origin  # noqa: PLC0415 - import opsnb stays quick

        if from_.url == self.url:
            raise ConfigError(f"{safe(self.name)} cannot be promoted to itself")
        return Origin(
            server=from_.name,
            remote=from_._remote(),
            connected=from_._connected,
            settings=self._keeping(keep),
            by=who(),
            host=platform.node(),
            force=force,
            once_at=self._once_at,
            about=self._about(),
        )

    def promote(
        self,
        from_: Server | PromotePlan,
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

    def _secrets(self) -> Secrets:
        """What hooks are given of the operator's environment, and nobody is shown."""
        from opsnb.core.secrets import chosen  # noqa: PLC0415 - import opsnb stays quick

        return chosen(self.settings.secrets, os.environ)

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

    def plan_adopt(
        self, *, shared: Sequence[str] = (), undo: bool = False, finish: bool = False
    ) -> AdoptPlan:
        """What :meth:`adopt` would do; reads only. The arguments are its own."""
        from opsnb.engine.adopt import plan_adopt  # noqa: PLC0415 - import opsnb stays quick

        request = self._adoption(shared, undo=undo, finish=finish)
        return self._ask(lambda remote: plan_adopt(remote, request, _now()))

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
        """Freeze the server: no deploy, no promote and no prune until :meth:`unfreeze`.

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

    def _moment(self, until: Until) -> datetime | None:
        from opsnb.core import moments, windows  # noqa: PLC0415 - import opsnb stays quick

        now = _now()
        if isinstance(until, str):
            where = windows.zone(self.settings.timezone)
            return moments.until(until, where, now) if until else None
        if isinstance(until, timedelta):
            return moments.coming(now + until, now)
        return moments.coming(until.astimezone(UTC), now) if until else None

    def _change(
        self,
        verb: str,
        work: Callable[[Change], Coroutine[Any, Any, None]],
        secrets: Secrets | None = None,
        outside_window: str = "",
        called: str = "",
        reading: Reading | None = None,
    ) -> Job:
        from opsnb.core.secrets import Secrets  # noqa: PLC0415 - as above
        from opsnb.engine.change import Actor, Change  # noqa: PLC0415 - import opsnb stays quick
        from opsnb.job import Job  # noqa: PLC0415 - as above

        self.writable(verb)
        remote, hidden, gates = self._remote(), secrets or Secrets(), self._gates(outside_window)
        hush, by = self._hush(), safe(f"{who()}@{platform.node()}")

        async def connected(change: Change) -> None:
            try:
                await self._connected()
                await work(change)
            finally:
                if reading is not None:
                    await reading.end()

        async def run(emit: Callable[[Event], None]) -> Ran:
            host, environment = platform.node(), self.environment_name
            actor = Actor(self.name, who(), host, emit, _now, environment)
            wait, told = self.settings.lock_wait, called or verb
            change = Change(remote, actor, verb, wait, hidden, hush, told, gates)
            change.folder = self._folder
            return await change.run(connected)

        job = Job(called or verb, self.name, run, by, self._notifier(called or verb, by))
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

        by = safe(f"{who()}@{platform.node()}")
        where = (self.name, self.environment_name, by)
        return tested(self.settings.notices, where, os.environ)


async def _live(remote: Remote, site: Site) -> Base | None:
    from opsnb.engine.look import look_at_live  # noqa: PLC0415 - import opsnb stays quick

    return await look_at_live(remote, site)


async def _takes(remote: Remote) -> None:
    from opsnb.core.refusal import refuse  # noqa: PLC0415 - import opsnb stays quick

    refuse((await remote.glance()).site)


async def _planned(remote: Remote, wish: Wish) -> Plan:
    from opsnb.engine.look import grounds, plan_for  # noqa: PLC0415 - import opsnb stays quick

    on = await grounds(remote, await remote.glance(), wish.source)
    return await plan_for(remote, on, wish, _now(), thorough=True)


async def _with_files(remote: Remote, site: Site, plan: Plan) -> Plan:
    from opsnb.engine.look import with_files  # noqa: PLC0415 - import opsnb stays quick

    return await with_files(remote, site, plan)


def _recorded(site: Site, name: str) -> Release:
    """A release that has a record."""
    release = site.find(name)
    if release is None or release.record is None:
        known = ", ".join(r.name for r in site.releases if r.record) or "none"
        raise NoSuchRelease(f"{safe(name)} is no release with a manifest", f"There are: {known}.")
    return release


async def _manifest(remote: Remote, release: Release, like: Manifest | None) -> Manifest:
    from opsnb.engine.look import manifest_of  # noqa: PLC0415 - import opsnb stays quick

    return await manifest_of(remote, release, like)


async def _web_files(remote: Remote, named: str) -> Files:
    from opsnb.engine.webserver import web_files  # noqa: PLC0415 - import opsnb stays quick

    return await web_files(remote, named)


def _now() -> datetime:
    return datetime.now(UTC)


def who() -> str:
    """The user, for locks and records: ``OPSNB_USER`` where it is set, else the login."""
    try:
        return os.environ.get("OPSNB_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _revision(text: str) -> str:
    return _line(text, "a revision")


def _line(text: str, what: str) -> str:
    # A byte of a command line that is no UTF-8 has come as half of a character.
    odd = any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in text)
    if odd or len(text) > 200:
        raise ConfigError(f"{what} is one line of at most 200 characters, as UTF-8")
    return text


def _ref(text: str) -> str:
    from opsnb.core.settings.source import reference  # noqa: PLC0415 - import opsnb stays quick

    try:
        return reference(text)
    except ValueError as error:
        raise ConfigError(f"{safe(text)!r}: {error}") from None


def _first(error: ValueError) -> str:
    errors: Any = getattr(error, "errors", None)
    said = errors()[0]["msg"] if errors else str(error)
    return safe(said)
