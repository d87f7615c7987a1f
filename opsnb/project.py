"""A project: what ``opsnb.toml`` says, and the servers it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opsnb.core.text import safe
from opsnb.core.unchecked import tables, way
from opsnb.errors import ConfigError
from opsnb.server import Server

if TYPE_CHECKING:
    from opsnb.core.address import Way
    from opsnb.core.config import Config, Environment, Settings
    from opsnb.embedded.demo import Demo
    from opsnb.job import Job
    from opsnb.server import PromotePlan


class Project:
    """A project and its servers.

    Args:
        config: What is configured.
        ssh_config: The ssh_config file to read; None for the user's own.
        folder: What a relative ``source`` is relative to.
        read_only: Whether every change is refused: for looking only.
    """

    def __init__(
        self,
        config: Config,
        ssh_config: str | os.PathLike[str] | None = None,
        folder: Path | None = None,
        read_only: bool = False,
    ) -> None:
        self.config = config
        self._read_only = read_only
        self._ssh_config = ssh_config
        self._folder = folder or Path()
        self._servers: dict[str, Server] = {}

    @property
    def name(self) -> str:
        """What it is called."""
        return self.config.project.name

    @property
    def servers(self) -> Mapping[str, Server]:
        """Every configured server, by name."""
        return {name: self.server(name) for name in self.config.servers}

    def server(self, name: str) -> Server:
        """A server by its configured name, or by its address.

        Args:
            name: A name in ``opsnb.toml``, or ``ssh://user@host[:port]/path``.

        Raises:
            ConfigError: There is no such server.
        """
        if name not in self._servers:
            self._servers[name] = self._made(name)
        return self._servers[name]

    def _made(self, name: str) -> Server:
        if "://" in name and name not in self.config.servers:
            settings: Any = _located(self.config.project, self._folder)
            return Server(name, settings=settings, ssh_config=self._ssh_config, **self._about)
        settings = _located(self.config.settings(name), self._folder)
        table = self.config.servers[name]
        return Server(
            table.url,
            name=name,
            settings=settings,
            environment=self.config.environment(name),
            environment_name=table.environment,
            ssh_config=self._ssh_config,
            once_at=self._once_at(name),
            **self._about,
        )

    def _once_at(self, name: str) -> str:
        """The server that runs what runs once in a server's environment; empty for itself."""
        servers = self.config.servers
        environment = servers[name].environment
        first = next((n for n, t in servers.items() if t.environment == environment), name)
        return first if environment and first != name else ""

    def environment_servers(self, environment: str) -> tuple[Server, ...]:
        """The servers of an environment, in the order of the configuration.

        Args:
            environment: Its name.

        Raises:
            ConfigError: There is no such environment.
        """
        known = self.config.environments
        if environment not in known:
            raise ConfigError(
                f"no environment is called {safe(environment)!r}",
                f"Known environments: {', '.join(known) or 'none is defined'}.",
            )
        tables = self.config.servers.items()
        return tuple(self.server(n) for n, table in tables if table.environment == environment)

    def servers_of(self, name: str) -> tuple[Server, ...]:
        """The servers that a name means: a server's the one, an environment's all of its.

        Args:
            name: A server's name or address, or an environment's name.

        Raises:
            ConfigError: There is neither.
        """
        if name in self.config.servers or "://" in name:
            return (self.server(name),)
        if name not in self.config.environments:
            known = ", ".join([*self.config.servers, *self.config.environments]) or "none"
            raise ConfigError(
                f"no server and no environment is called {safe(name)!r}", f"There are: {known}."
            )
        return self.environment_servers(name)

    def one_server(self, name: str) -> Server:
        """The one server that a name means: a server's, or that of an environment with just one.

        Args:
            name: A server's name or address, or an environment's name.

        Raises:
            ConfigError: There is no such name, or the environment has none or several.
        """
        found = self.servers_of(name)
        if len(found) != 1:
            names = ", ".join(server.name for server in found) or "none"
            raise ConfigError(
                f"environment {safe(name)} has not just one server", f"It has: {names}. Name one."
            )
        return found[0]

    def plan_promote(
        self, from_: str, to: str, *, keep: int | None = None, force: bool = False
    ) -> PromotePlan:
        """What a promote would do; the arguments are those of :meth:`promote`."""
        origin = self.one_server(from_)
        return self.one_server(to).plan_promote(origin, keep=keep, force=force)

    def promote(
        self,
        from_: str,
        to: str,
        *,
        keep: int | None = None,
        force: bool = False,
        outside_window: str = "",
    ) -> Job:
        """Deploy to one server exactly the release that another one runs.

        Args:
            from_: The server it comes from, or an environment that has just one.
            to: The server it goes to, likewise.
            keep: How many good releases stay; as configured when not given.
            force: Make a release even if it changes nothing.
            outside_window: Why it is made outside of the hours for it.

        Returns:
            The running change; see :meth:`opsnb.Server.promote`.
        """
        origin = self.one_server(from_)
        why = outside_window
        return self.one_server(to).promote(origin, keep=keep, force=force, outside_window=why)

    @property
    def _about(self) -> Any:
        return {
            "project": self.name,
            "folder": self._folder,
            "read_only": self._read_only,
        }

    @property
    def sources(self) -> tuple[Path, ...]:
        """Folders that can be released, as far as the project knows any."""
        configured = [self.server(name).settings.source for name in self.config.servers]
        return tuple(dict.fromkeys(Path(source) for source in configured if source))

    def environment(self, name: str) -> Environment:
        """The environment a server belongs to."""
        return self.server(name).environment

    def close(self) -> None:
        """Close every connection."""
        for server in self._servers.values():
            server.close()

    def __repr__(self) -> str:
        return f"<Project {self.name}: {', '.join(self.config.servers) or 'no servers'}>"


def _located(settings: Settings, folder: Path) -> Settings:
    """Settings whose files are found from wherever one is."""
    from opsnb.core.settings.source import is_path  # noqa: PLC0415 - loaded with the settings

    changed: dict[str, object] = {}
    if settings.source:
        changed["source"] = str(folder / settings.source)
    if is_path(settings.git):
        changed["git"] = str(folder.absolute() / Path(settings.git).expanduser())
    for name, value in settings:
        if isinstance(value, tuple):
            changed[name] = tuple(_found_from(item, folder.absolute()) for item in value)
    return settings.model_copy(update=changed)


def _found_from(item: object, folder: Path) -> object:
    """A hook or a configuration file whose own files are found from wherever one is."""
    from opsnb.core.settings.table import Table  # noqa: PLC0415 - as above

    if not isinstance(item, Table):
        return item
    keys = [key for key in ("file", "template", "copied") if getattr(item, key, "")]
    return item.model_copy(update={key: str(folder / getattr(item, key)) for key in keys})


class Unchecked:
    """A configuration that was read, and that is not checked yet.

    Args:
        text: TOML.
        file: Where it stands.

    Raises:
        ConfigError: It is not TOML.
    """

    def __init__(self, text: str = "", file: Path = Path("opsnb.toml")) -> None:
        self._text, self._file = text, file
        self._said = tables(text, str(file))

    def way(self, name: str, *, changes: bool = False) -> Way | None:
        """How a server is reached, if that can be told already; see :mod:`opsnb.core.unchecked`."""
        return way(self._said, name, changes=changes)

    def project(
        self, ssh_config: str | os.PathLike[str] | None = None, read_only: bool = False
    ) -> Project:
        """Check it. The arguments are those of :func:`load`.

        Raises:
            ConfigError: A key in it is wrong; file, line and key are named.
        """
        from opsnb.core.config import checked  # noqa: PLC0415 - the validator is slow to load

        config = checked(self._said, self._text, str(self._file))
        return Project(config, ssh_config, self._file.parent, read_only)


def read(path: str | os.PathLike[str]) -> Unchecked:
    """Read a configuration file, and do not check it yet.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read.
    """
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            f"cannot read {file}: {said}",
            "`opsnb config > opsnb.toml` writes one with every key and its default.",
        ) from error
    return Unchecked(text, file)


def load(
    path: str | os.PathLike[str] = "opsnb.toml",
    ssh_config: str | os.PathLike[str] | None = None,
    read_only: bool = False,
) -> Project:
    """Read a configuration file.

    Args:
        path: The file.
        ssh_config: The ssh_config file to read; None for the user's own.
        read_only: Whether every change of its servers is refused: for looking only.

    Raises:
        ConfigError: It cannot be read, or a key in it is wrong; file, line and key are named.
    """
    return read(path).project(ssh_config, read_only)


class DemoProject(Project):
    """A project whose one server, ``demo``, runs inside this process.

    Attributes:
        site: The site in its three versions: ``site("v1")`` is a folder to deploy.
        web_url: Where a browser sees the live release.
    """

    def __init__(self, embedded: Demo) -> None:
        self._embedded = embedded
        from opsnb.core.config import parse  # noqa: PLC0415 - as above

        super().__init__(parse(embedded.config, "the demo"), embedded.ssh_config)
        self.site = embedded.site
        self.web_url = embedded.web_url

    @property
    def sources(self) -> tuple[Path, ...]:
        """The site in its three versions."""
        return tuple(self.site(version) for version in ("v1", "v2", "v3"))

    @property
    def embedded(self) -> Demo:
        """The servers inside this process."""
        return self._embedded

    def close(self) -> None:
        """Close the connection, stop the servers and remove their temporary directory."""
        super().close()
        self._embedded.stop()

    def __enter__(self) -> DemoProject:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def demo() -> DemoProject:
    """A project to learn with: an SSH server, a web server and a small site, inside this process.

    Nothing is installed and nothing leaves this machine. Commands run as you, in a temporary
    directory: it is no sandbox.
    """
    from opsnb.embedded.demo import Demo  # noqa: PLC0415 - asyncssh only when it is needed

    return DemoProject(Demo().start())
