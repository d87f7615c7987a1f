"""What a runbook's cells use: a server to work on, gates, and a proof from a visitor's side.

Rule 1: a real server is changed only when its name stands in ``confirm``; the embedded one needs
        nothing, for nobody is hurt.
Rule 2: a gate that does not hold raises, so that "Run all" and a headless run stop there.
Rule 3: what a gate saw is said in the notebook: it is part of the record.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from opsnb.core.settings.health import Health
from opsnb.core.settings.web import RELEASE
from opsnb.core.text import safe
from opsnb.errors import ConfigError, GateClosed, NotConfirmed
from opsnb.project import DemoProject, Project, demo, load
from opsnb.runbooks import scenes, visits
from opsnb.runbooks.visits import Visit
from opsnb.server import Server


class Runbook:
    """One run of a runbook on one server; made by :func:`runbook`.

    Attributes:
        project: The project.
        server: The server.
        demo: Whether it is the embedded server.
        url: Where visitors come in; empty when that is not known.
    """

    def __init__(self, project: Project, server: Server, confirm: str, url: str) -> None:
        self.project = project
        self.server = server
        self.demo = isinstance(project, DemoProject)
        checks = [check for check in server.settings.health if _is_asked_from_here(check)]
        self.url = url or visits.root(checks[0].url if checks else "")
        # A front page that nobody named is a guess, and a guess proves nothing.
        front = [Health.model_validate({"url": url})] if url else []
        self._questions = [*front, *checks]
        self._confirm = confirm

    def __repr__(self) -> str:
        where = "the embedded server" if self.demo else self.server.url
        return f"<Runbook on {self.server.name}: {where}>"

    def folder(self, version: str = "v2") -> Path:
        """A source to release: of the embedded site a version, else the configured source.

        Args:
            version: ``v1``, ``v2`` or ``v3`` (which is broken) of the embedded site.

        Raises:
            ConfigError: No source is configured for the server.
        """
        if isinstance(self.project, DemoProject):
            return self.project.site(version)
        if not self.server.settings.source:
            raise ConfigError(
                "no source is configured", "Give the `source` parameter, or set it in opsnb.toml."
            )
        return Path(self.server.settings.source)

    def act(self) -> None:
        """Go on to what changes the server, if that was confirmed.

        Raises:
            NotConfirmed: It was not; nothing was changed.
        """
        name = self.server.name
        if not self.demo and self._confirm != name:
            raise NotConfirmed(
                f"stopped before the first change: {safe(name)} was not confirmed",
                f"Read what stands above; then set confirm = {name!r} and run again.",
            )
        _say("✓", f"confirmed: {safe(name)} may be changed from here on")

    def gate(self, what: str, ok: object, hint: str) -> None:
        """Go on only if something holds.

        Args:
            what: What must hold, as a statement.
            ok: Whether it does.
            hint: What to do when it does not.

        Raises:
            GateClosed: It does not.
        """
        if not ok:
            _say("✕", what)
            raise GateClosed(f"it does not hold that {safe(what)}", hint)
        _say("✓", what)

    def visit(self, path: str = "/") -> Visit:
        """Ask for a page as a visitor does.

        Args:
            path: The page, beginning with a slash.

        Raises:
            ConfigError: Nobody said where visitors come in.
        """
        if not self.url:
            raise ConfigError(
                "it is not known where visitors come in",
                "Give the `url` parameter, or configure a health check with a url.",
            )
        return visits.visit(self.url.rstrip("/") + path)

    def healthy(self) -> bool | None:
        """Ask what the health checks ask, and for the front page where one was named, each once.

        Every answer is said. What is asked otherwise than over HTTP, from the server, before the
        switch alone or with a secret is left to deploys and rollbacks.

        Returns:
            Whether every answer was good; None when there was nothing to ask.
        """
        if not self._questions:
            _say("?", "not known whether visitors are served: give `url`, or configure a check")
            return None
        # All are asked, whatever the first one says: the second may tell why.
        answers = [self._is_well(check) for check in self._questions]
        return all(answers)

    def prove(self, hint: str) -> None:
        """Go on only if visitors are served, or if nobody knows where to ask: that is said.

        Args:
            hint: What to do when they are not.

        Raises:
            GateClosed: They are not served as they should be.
        """
        well = self.healthy()
        if well is not None:
            self.gate("visitors are served", well, hint)

    def _is_well(self, check: Health) -> bool:
        named = RELEASE in check.model_dump_json()
        live = self.server.look().current.name if named else ""
        got = visits.ask(check, live, check.timeout)
        wrong = visits.fault(check, got, live)
        _say("✕" if wrong else "✓", f"{got.url} {wrong or f'is well: {got.answer}'}")
        return not wrong

    def close(self) -> None:
        """Close the connection; the embedded server stops."""
        self.project.close()


def _is_asked_from_here(check: Health) -> bool:
    here = bool(check.url) and check.from_ == "local"
    return here and check.is_asked("after") and not check.secrets


def runbook(
    server: str = "",
    config: str = "opsnb.toml",
    *,
    ssh_config: str = "",
    confirm: str = "",
    url: str = "",
    scene: str = "live",
) -> Runbook:
    """Open what a runbook works on.

    Args:
        server: A name in the configuration, or ``ssh://user@host/path``; empty for a server inside
            this process, laid out as the scene says.
        config: The configuration file.
        ssh_config: The ssh_config file; the user's own when not given.
        confirm: The server's name, to allow changes to a real one.
        url: Where visitors of a real server come in. When not given, its health checks alone tell
            whether they are served.
        scene: What the embedded server looks like: ``empty``, ``live``, ``broken``, ``full``,
            ``held``, ``foreign``.

    Raises:
        ConfigError: There is no such server or scene, or parameters contradict each other.
    """
    if url and not url.lower().startswith(("http://", "https://")):
        raise ConfigError(f"{safe(url)!r} is no site's address", "It begins with https://.")
    if not server:
        _refuse_names(confirm, url)
        return _embedded(scene)
    found = _project(server, config, ssh_config)
    return Runbook(found, found.server(server), confirm, url)


def _refuse_names(confirm: str, url: str) -> None:
    """Whoever confirms a server and forgets to name it must not take the demo's success for its."""
    for name, value in (("confirm", confirm), ("url", url)):
        if value:
            raise ConfigError(
                f"`{name}` is {safe(value)!r}, but no server is named",
                "Set `server`, too: when it is empty, a server inside this process is used.",
            )


def _embedded(scene: str) -> Runbook:
    project = demo()
    try:
        scenes.lay_out(scene, project)
    except BaseException:
        project.close()
        raise
    return Runbook(project, project.server("demo"), "", project.web_url)


def _project(server: str, config: str, ssh_config: str) -> Project:
    if "://" in server and not Path(config).exists():
        from opsnb.core.config import parse  # noqa: PLC0415 - only without a configuration

        return Project(parse(""), ssh_config or None)
    return load(config, ssh_config or None)


def _say(sign: str, text: str) -> None:
    sys.stdout.write(f"{sign} {datetime.now(UTC):%H:%M:%S} {safe(text)}\n")
    sys.stdout.flush()
