"""What a runbook's cells use: a server to work on, gates, and a proof from a visitor's side.

Rule 1: a real server is changed only when its name stands in ``confirm``; the embedded one needs
        nothing, for nobody is hurt.
Rule 2: a gate that does not hold raises, so that "Run all" and a headless run stop there.
Rule 3: what a gate saw is said in the notebook: it is part of the record.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from opsnb.core.text import safe
from opsnb.errors import ConfigError, GateClosed, NotConfirmed
from opsnb.project import DemoProject, Project, demo, load
from opsnb.runbooks import scenes
from opsnb.server import Server

READ = 1 << 20
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visitor got.

    Attributes:
        url: What was asked for.
        status: The HTTP status; 0 when there was no answer.
        seconds: How long it took.
        text: The beginning of the answer, at most 1 MiB, or what went wrong.
    """

    url: str
    status: int
    seconds: float
    text: str

    @property
    def ok(self) -> bool:
        """Whether the page came."""
        return 200 <= self.status < 300

    def __repr__(self) -> str:
        what = f"HTTP {self.status}" if self.status else safe(self.text)
        return f"<Visit {safe(self.url)}: {what} in {self.seconds * 1000:.0f} ms>"


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
        self.url = url
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

    def gate(self, what: str, ok: object, hint: str = "") -> None:
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
        url = self.url.rstrip("/") + path
        began = time.monotonic()
        status, text = _fetch(url)
        return Visit(url, status, time.monotonic() - began, text)

    def healthy(self) -> bool:
        """Whether visitors are served well: the health page where there is one, else the front.

        A server whose visitors nobody knows counts as healthy, and that is said.
        """
        if not self.url:
            _say("!", "not asked: it is not known where visitors come in")
            return True
        if not self.demo:
            return self.visit().ok
        said = self.visit("/health.txt")
        return said.ok and "ok" in said.text

    def close(self) -> None:
        """Close the connection; the embedded server stops."""
        self.project.close()


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
        url: Where visitors of a real server come in; that of its first health check when not given.
        scene: What the embedded server looks like: ``empty``, ``live``, ``broken``, ``full``,
            ``held``, ``foreign``.

    Raises:
        ConfigError: There is no such server, or no such scene.
    """
    if not server:
        project = demo()
        scenes.lay_out(scene, project)
        return Runbook(project, project.server("demo"), confirm, project.web_url)
    found = _project(server, config, ssh_config)
    picked = found.server(server)
    checked = next((check.url for check in picked.settings.health if check.url), "")
    return Runbook(found, picked, confirm, url or _root(checked))


def _project(server: str, config: str, ssh_config: str) -> Project:
    if "://" in server and not Path(config).exists():
        from opsnb.core.config import parse  # noqa: PLC0415 - only without a configuration

        return Project(parse(""), ssh_config or None)
    return load(config, ssh_config or None)


def _root(url: str) -> str:
    """A site's front page, from one of its pages."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.split('/')[0]}" if mark else ""


def _fetch(url: str) -> tuple[int, str]:
    try:
        # The user's own site, at the address that the user gave.
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310
            return answer.status, answer.read(READ).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(READ).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return 0, str(getattr(error, "reason", error))


def _say(sign: str, text: str) -> None:
    sys.stdout.write(f"{sign} {datetime.now(UTC):%H:%M:%S} {safe(text)}\n")
    sys.stdout.flush()
