"""A project: what ``opsnb.toml`` says, and the servers it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opsnb.core.config import Config, Environment, Settings, parse
from opsnb.core.settings.source import is_path
from opsnb.errors import ConfigError
from opsnb.server import Server

if TYPE_CHECKING:
    from opsnb.core.settings.hooks import Hook
    from opsnb.embedded.demo import Demo


class Project:
    """A project and its servers.

    Args:
        config: What is configured.
        ssh_config: The ssh_config file to read; None for the user's own.
        folder: What a relative ``source`` is relative to.
    """

    def __init__(
        self,
        config: Config,
        ssh_config: str | os.PathLike[str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.config = config
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
            settings: Any = self._placed(self.config.project)
            return Server(name, settings=settings, ssh_config=self._ssh_config)
        settings = self._placed(self.config.settings(name))
        table = self.config.servers[name]
        return Server(
            table.url,
            name=name,
            settings=settings,
            environment=self.config.environment(name),
            environment_name=table.environment,
            ssh_config=self._ssh_config,
            folder=self._folder,
            once_at=self._once_at(name),
        )

    def _placed(self, settings: Settings) -> Settings:
        """The same, with paths that are relative to the configuration made absolute."""
        changed: dict[str, object] = {}
        if settings.source:
            changed["source"] = str(self._folder / settings.source)
        if is_path(settings.git):
            changed["git"] = str(self._folder.absolute() / Path(settings.git).expanduser())
        for name, value in settings:
            if isinstance(value, tuple) and any(getattr(item, "file", "") for item in value):
                changed[name] = tuple(map(self._placed_hook, value))
        return settings.model_copy(update=changed)

    def _placed_hook(self, hook: Hook) -> Hook:
        file = str(self._folder.absolute() / hook.file) if hook.file else ""
        return hook.model_copy(update={"file": file})

    def _once_at(self, name: str) -> str:
        """The server that runs what runs once in a server's environment; empty for itself."""
        servers = self.config.servers
        environment = servers[name].environment
        first = next((n for n, t in servers.items() if t.environment == environment), name)
        return first if environment and first != name else ""

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


def load(
    path: str | os.PathLike[str] = "opsnb.toml",
    ssh_config: str | os.PathLike[str] | None = None,
) -> Project:
    """Read a configuration file.

    Args:
        path: The file.
        ssh_config: The ssh_config file to read; None for the user's own.

    Raises:
        ConfigError: It cannot be read, or a key in it is wrong; file, line and key are named.
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
    return Project(parse(text, str(file)), ssh_config, file.parent)


class DemoProject(Project):
    """A project whose one server, ``demo``, runs inside this process.

    Attributes:
        site: The site in its three versions: ``site("v1")`` is a folder to deploy.
        web_url: Where a browser sees the live release.
    """

    def __init__(self, embedded: Demo) -> None:
        self._embedded = embedded
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
