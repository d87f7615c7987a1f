"""The console: pick a server, look, plan, deploy, roll back, in one panel.

Rule 1: ``desk.py`` knows what can be done and does it; it knows no widget.
Rule 2: ``pictures.py`` says what is to be seen, as plain data; the front end only draws it.
Rule 3: every gate (read-only, plan, confirmation) stands in the desk; a disabled button is a help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsnb.errors import ConfigError
from opsnb.notebook.mode import face
from opsnb.project import Project
from opsnb.server import Server

if TYPE_CHECKING:
    from opsnb.notebook.console.panel import Console


@dataclass(frozen=True, slots=True)
class Still:
    """The console where nothing can be clicked: what stands on the server.

    Attributes:
        server: The server.
    """

    server: Server

    def __repr__(self) -> str:
        return f"<Console of {self.server.name}, without a front end>"


def console(project: Project | Server, server: str = "") -> Console | Still:
    """The panel of a project, as a cell's last line.

    It begins read-only: nothing can be changed until it is unlocked, and then what the server's
    environment asks for must be confirmed. Every click shows the line of Python that it ran.

    Args:
        project: The project.
        server: The server to begin with; the first that is configured when not given.

    Returns:
        The widget; where there is no front end for one, a picture of the server.

    Raises:
        ConfigError: The project has no server, or none of that name.
    """
    if isinstance(project, Server):
        raise ConfigError(
            "a console is for a project, not for one server",
            f"opsnb.console(project, {project.name!r}) begins with that one.",
        )
    names = list(project.config.servers)
    if not names:
        raise ConfigError("the project has no server", "Add [servers.NAME] to opsnb.toml.")
    if server and server not in names:
        raise ConfigError(f"no server is called {server!r}", f"Known servers: {', '.join(names)}.")
    picked = server or names[0]
    if face() != "widget":
        return Still(project.server(picked))
    from opsnb.notebook.console.panel import Console  # noqa: PLC0415 - widgets when they are wanted

    return Console(project, picked)
