"""Everything that the lesson needs, inside this process: SSH, a web server, a site in versions."""

from __future__ import annotations

from pathlib import Path

from opsnb.embedded.site import seed_shared, site_path
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.embedded.web import WebServer


class Demo:
    """An SSH server and a web server in front of its ``current``.

    Attributes:
        sshd: The SSH server.
        web: The web server.
    """

    def __init__(self) -> None:
        self.sshd = EmbeddedServer()
        self.web: WebServer | None = None

    def start(self) -> Demo:
        """Start both; ``shared/`` gets its first content, as on a site that has visitors."""
        self.sshd.start()
        seed_shared(self.sshd.deploy_to)
        self.web = WebServer(self.sshd.deploy_to / "current")
        self.web.start()
        return self

    def stop(self) -> None:
        """Stop both and remove the temporary directory."""
        if self.web is not None:
            self.web.stop()
        self.sshd.stop()

    @property
    def ssh_config(self) -> Path:
        """An ssh_config file that knows the server's key and the client's."""
        return self.sshd.ssh_config

    @property
    def web_url(self) -> str:
        """Where a browser sees the live release."""
        return "" if self.web is None else self.web.url

    @property
    def config(self) -> str:
        """An ``opsnb.toml`` for the server: named ``demo``, with a health check."""
        return f"""\
[project]
name = "harbour"

[environments.demo]
color = "blue"
confirm = "click"

[servers.demo]
url = "{self.sshd.url}"
environment = "demo"

[[servers.demo.health]]
url = "{self.web_url.rstrip("/")}/health.txt"
contains = "ok"
retries = 1
delay = 0.2
"""

    @staticmethod
    def site(version: str) -> Path:
        """The folder of a version of the site: ``v1``, ``v2`` or ``v3`` (which is broken)."""
        return site_path(version)
