"""What can be asked of a server. Nothing here changes it; ``run`` may when it is told so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opsnb.core.text import safe
from opsnb.errors import ConfigError, Interrupted, NoSuchRelease
from opsnb.loop import LOOP
from opsnb.server import here
from opsnb.server.link import Link

if TYPE_CHECKING:
    import pandas as pd

    from opsnb.core.audit import Fault
    from opsnb.core.doctor import Finding
    from opsnb.core.listing import Base
    from opsnb.core.manifest import Manifest
    from opsnb.core.origin import Past
    from opsnb.core.output import Said
    from opsnb.core.readonly import Guard
    from opsnb.core.release import Release, Site
    from opsnb.core.usage import Usage
    from opsnb.core.webserver import Files
    from opsnb.engine.run import CommandResult
    from opsnb.remote.base import Remote


class Questions(Link):
    """A server that can be asked."""

    def look(self) -> Site:
        """Everything about the site, in one round trip.

        Raises:
            ConnectError: The server cannot be reached.
        """
        return self._ask(lambda remote: remote.look())

    def releases(self) -> pd.DataFrame:
        """The releases, the newest first; see :func:`opsnb.tables.releases` for the columns."""
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted

        return tables.releases(self.look(), here.now(), self.settings.rules)

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
        return [*found, *gates.examine(self._gates(), self.read_only, here.now())]

    def check(self) -> pd.DataFrame:
        """The same as a table; see :func:`opsnb.tables.check` for the columns."""
        from opsnb import tables  # noqa: PLC0415 - pandas only when a table is wanted

        return tables.check(self.findings())

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


async def _live(remote: Remote, site: Site) -> Base | None:
    from opsnb.engine.look import look_at_live  # noqa: PLC0415 - import opsnb stays quick

    return await look_at_live(remote, site)


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
