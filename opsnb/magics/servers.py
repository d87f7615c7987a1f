"""Which server a cell means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opsnb.core.text import safe
from opsnb.errors import ConfigError
from opsnb.project import Project, load
from opsnb.server import Server

DEFAULT = Path("opsnb.toml")


class Servers:
    """Finds servers by what a cell calls them, and keeps their connections between cells."""

    def __init__(self) -> None:
        self._project: Project | None = None
        self._stamp: tuple[Path, int, int] | None = None
        self._addressed: dict[str, Server] = {}

    def find(self, name: str, variables: Mapping[str, Any]) -> Server:
        """A server.

        Args:
            name: A variable that is a server; or a server's name in the variable ``project``, or in
                ``./opsnb.toml``; or an address.
            variables: The variables of the notebook.

        Raises:
            ConfigError: There is no such server, or the configuration is wrong.
        """
        value, project = variables.get(name), variables.get("project")
        if isinstance(value, Server):
            return value
        if isinstance(project, Project) and name in project.config.servers:
            return project.server(name)
        if not DEFAULT.exists():
            return self._address(name)
        return self._configured().server(name)

    def _configured(self) -> Project:
        found = DEFAULT.stat()
        stamp = DEFAULT.resolve(), found.st_mtime_ns, found.st_size
        if self._project is None or self._stamp != stamp:
            project = load(DEFAULT)
            self.close()
            self._project, self._stamp = project, stamp
        return self._project

    def _address(self, name: str) -> Server:
        if "://" not in name:
            raise ConfigError(
                f"no server is called {safe(name)}",
                "It is no variable with a server, none of the variable `project`, and there is "
                "no ./opsnb.toml.",
            )
        return self._addressed.setdefault(name, Server(name))

    def close(self) -> None:
        """Close the connections that were made here."""
        if self._project is not None:
            self._project.close()
        for server in self._addressed.values():
            server.close()
        self._project = None
        self._addressed = {}
