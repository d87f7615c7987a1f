"""What the verbs have in common: the server they speak to, and the options they share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from opsnb.project import Project, Unchecked
    from opsnb.server import Server
    from opsnb.server.opening import Opening

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT = "opsnb.toml"
PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


@dataclass
class Setup:
    """The options before the verb.

    Attributes:
        config: The configuration file; None for ``./opsnb.toml``.
        ssh_config: The ssh_config file; None for the user's own.
    """

    config: Path | None = None
    ssh_config: Path | None = None

    def server(self, name: str, changes: str = "", *, connect: bool = True) -> Server:
        """A server by its name or its address; its connection is begun already.

        That is begun first of all: it takes as long as it takes to load what checks the
        configuration, and to check it. The server is closed when the command ends.

        Args:
            name: A name in ``opsnb.toml``, or ``ssh://…``, or ``file:///…``.
            changes: The change that is asked for; empty for a question.
            connect: Whether to begin to connect.

        Raises:
            ConfigError: There is no such server, the configuration is wrong, or it is a change and
                everything is read-only.
        """
        unchecked = self._read(name)
        opening = self._open(unchecked, name, changes) if connect else None
        with _without_plugins():
            server = self._checked(unchecked).server(name)
        if changes:
            server.writable(changes)
        if connect:
            server.connect(opening)
        return server

    def project(self, name: str = "") -> Project:
        """The project, whose connections are closed when the command ends.

        Args:
            name: The server that is asked for; an address needs no configuration.

        Raises:
            ConfigError: The configuration is wrong.
        """
        return self._checked(self._read(name))

    def _read(self, name: str) -> Unchecked:
        from opsnb.project import Unchecked, read  # noqa: PLC0415 - `--help` needs none

        if self.config is None and "://" in name and not Path(DEFAULT).exists():
            return Unchecked()
        return read(self.config or DEFAULT)

    def _open(self, unchecked: Unchecked, name: str, changes: str) -> Opening | None:
        """Begin to connect, if it is known where to and nothing forbids it."""
        from opsnb.server.here import only_looks  # noqa: PLC0415 - as above
        from opsnb.server.opening import Opening  # noqa: PLC0415 - as above

        way = unchecked.way(name, changes=bool(changes))
        if way is None or (changes and only_looks()):
            return None
        opening = Opening(way, self.ssh_config)
        click.get_current_context().call_on_close(opening.close)
        return opening

    def _checked(self, unchecked: Unchecked) -> Project:
        project = unchecked.project(self.ssh_config)
        click.get_current_context().call_on_close(project.close)
        return project


@contextlib.contextmanager
def _without_plugins() -> Iterator[None]:
    """Have pydantic look for no plugins: it would read what every installed package offers.

    What a command starts must not be told so, and in a notebook it is not ours to say.
    """
    before = os.environ.get(PLUGINS)
    os.environ[PLUGINS] = "__all__"
    try:
        yield
    finally:
        os.environ.pop(PLUGINS)
        if before is not None:
            os.environ[PLUGINS] = before


with_setup = click.make_pass_decorator(Setup, ensure=True)
server_argument = click.argument("server", metavar="SERVER")
source_argument = click.argument("source", metavar="[SOURCE]", required=False, default="")
json_option = click.option("as_json", "--json", is_flag=True, help="Answer in JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen, and stop.")
keep_option = click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many good releases stay, the live one included; as configured when not given.",
)

outside_option = click.option(
    "--outside-window",
    default="",
    metavar="WHY",
    help="Deploy outside of the hours for it all the same; the reason is recorded.",
)


def wish_options(command: Command) -> Command:
    """The options that say what is to be released."""
    revision = click.option(
        "--revision", default="", metavar="R", help="What the source is, for instance a commit."
    )
    ref = click.option(
        "--ref",
        default="",
        metavar="REF",
        help="The branch, tag or commit of the configured git repository.",
    )
    force = click.option("--force", is_flag=True, help="Make a release even if it changes nothing.")
    return revision(ref(keep_option(force(command))))
