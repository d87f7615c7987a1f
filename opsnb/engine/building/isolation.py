"""How far a build can reach on this machine.

Rule 1: what it cannot be kept from is said: in the plan, and in the log.
Rule 2: isolated, it writes to its own copy alone, sees no other process, and nothing of the user's
        home but its programs: no keys, no tokens, no agent's socket.
Rule 3: no value of the environment stands in the arguments of a program.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from opsnb.core.secrets import Secrets
from opsnb.core.settings.build import BuildSettings
from opsnb.engine import cache, process
from opsnb.errors import ConfigError, OpsnbError

PROBE = 20.0  # seconds
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = (
    *("--die-with-parent", "--unshare-user-try", "--unshare-pid", "--unshare-ipc"),
    *("--unshare-uts", "--unshare-cgroup-try", "--cap-drop", "ALL"),
)
LITERAL = frozenset(("PATH", "HOME", "TMPDIR"))  # a container has its own, or is told which
# What others may write to: an isolated build finds its own.
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - named to be hidden
# Whole tool chains in a home, by the directory that holds them.
CHAINS = frozenset((".pyenv", ".rbenv", ".nodenv", ".asdf", ".volta", ".bun", ".deno", ".sdkman"))


@dataclass(frozen=True)
class Room:
    """Where a build happens.

    Attributes:
        space: The directory that it may write to.
        home: Its own home in it.
        temporary: Its own temporary directory in it.
    """

    space: Path
    home: Path
    temporary: Path


@dataclass(frozen=True)
class Isolation:
    """How a build's commands are run.

    Attributes:
        how: ``bubblewrap``, ``podman``, ``docker`` or nothing.
        said: The same in words.
        program: The program that isolates.
        image: The container's image.
        network: Whether the network can be reached.
        readable: Paths in the user's home that can be read.
        name: What a container is called.
    """

    how: str
    said: str
    program: str = ""
    image: str = ""
    network: bool = True
    readable: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: f"opsnb-{secrets.token_hex(8)}")

    def argv(
        self, command: str, room: Room, directory: Path, environment: Mapping[str, str]
    ) -> list[str]:
        """A line for ``/bin/sh`` as a program and its arguments.

        Args:
            command: The line.
            room: Where the build happens.
            directory: Where in it the line runs.
            environment: The variables that it finds; their names alone are used.
        """
        shell = ["/bin/sh", "-c", command]
        if self.how == "bubblewrap":
            return [*self._wrapped(room, directory), *shell]
        if self.image:
            return [*self._contained(room, directory, environment), *shell]
        return shell

    def environment(self, given: Secrets) -> Secrets:
        """What the program finds in its environment: for a container, what its client needs, too.

        Args:
            given: What the commands are to find.
        """
        if not self.image:
            return given
        over = {name: value for name, value in given.items() if name not in LITERAL}
        return Secrets({**os.environ, **over})

    def ending(self) -> list[str]:
        """What ends a container for which nobody waits any more; empty where there is none."""
        return [self.program, "rm", "--force", self.name] if self.image else []

    def _wrapped(self, room: Room, directory: Path) -> list[str]:
        hidden = _hidden()
        argv = [self.program, *NAMESPACES, "--ro-bind", "/", "/", "--dev", "/dev"]
        argv += ["--proc", "/proc"]
        for place in hidden:
            argv += ["--tmpfs", place]
        for place in _seen(hidden, self.readable):
            argv += ["--ro-bind", place, place]
        if not _in(room.space, TEMPORARY[0]):
            argv += ["--bind", str(room.temporary), TEMPORARY[0]]
        argv += ["--bind", str(room.space), str(room.space)]
        argv += [] if self.network else ["--unshare-net"]
        return [*argv, "--chdir", str(directory), "--"]

    def _contained(self, room: Room, directory: Path, environment: Mapping[str, str]) -> list[str]:
        argv = [self.program, "run", "--rm", "--init", "--name", self.name]
        argv += ["--volume", f"{room.space}:{room.space}", "--workdir", str(directory)]
        argv += ["--security-opt", "no-new-privileges", "--cap-drop", "ALL"]
        if self.how == "podman":
            argv += ["--userns", "keep-id"] if os.getuid() else []
        else:
            argv += ["--user", f"{os.getuid()}:{os.getgid()}"]
        argv += [] if self.network else ["--network", "none"]
        argv += ["--env", f"HOME={room.home}", "--env", f"TMPDIR={room.temporary}"]
        # By name alone: the value goes over in this process's environment, past every `ps`.
        for name in environment:
            argv += ["--env", name] if name not in LITERAL else []
        return [*argv, "--", self.image]


def _hidden() -> list[str]:
    """What an isolated build finds empty: homes, our cache, sockets, what others have left."""
    ours = (_home(), str(cache.folder()), "/root", "/home")
    homes = {os.path.realpath(place) for place in ours if place}
    found = [place for place in (*sorted(homes), "/run", *TEMPORARY) if place != "/"]
    return [place for place in found if Path(place).is_dir() and os.path.realpath(place) == place]


def _home() -> str:
    try:
        return str(Path("~").expanduser())
    except RuntimeError:
        return ""


def _in(path: Path, above: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(above)


def _seen(hidden: Sequence[str], readable: Iterable[str]) -> list[str]:
    """What in hidden places is needed all the same: programs, and how names are resolved."""
    wanted = [os.path.realpath("/etc/resolv.conf")]
    for entry in os.environ.get("PATH", "").split(":"):
        if entry.startswith("/"):
            wanted += [entry, _chain(entry)]
    with suppress(RuntimeError):
        wanted += [str(Path(path).expanduser().absolute()) for path in readable]
    below = [path for path in wanted if any(_in(Path(path), place) for place in hidden)]
    bare = {*hidden, _home()}
    return [path for path in dict.fromkeys(below) if Path(path).exists() and path not in bare]


def _chain(entry: str) -> str:
    """What belongs to a directory of programs: the tool chain around it, as far as it is one.

    ``~/.nvm/versions/node/v22.1.0/bin`` needs what is beside it. ``~/.local/bin`` is only itself:
    what is beside that may be a keyring.
    """
    path, home = Path(entry), Path(_home() or "/")
    for above in path.parents:
        if above.name in CHAINS:
            return str(above)
    deep = path.is_relative_to(home) and len(path.relative_to(home).parts) > 2
    apart = not path.is_relative_to(home) and len(path.parts) > 3
    return str(path.parent) if path.name == "bin" and (deep or apart) else entry


async def isolation(settings: BuildSettings) -> Isolation:
    """How a build is isolated on this machine.

    Args:
        settings: What is configured.

    Raises:
        ConfigError: Not as it is configured.
    """
    network = settings.network
    if settings.container:
        return _container(settings)
    why = 'isolation = "none"' if settings.isolation == "none" else await why_not()
    if not why:
        said = "isolated by bubblewrap" + ("" if network else ", without network")
        program = shutil.which("bwrap") or "bwrap"
        return Isolation("bubblewrap", said, program, "", network, settings.readable)
    if settings.isolation == "required" or not network:
        key = 'isolation = "required"' if network else "network = false"
        raise ConfigError(
            f"{key} cannot be had: {why}",
            "Install bubblewrap (Debian: bubblewrap), or name the image of a `container`.",
        )
    return Isolation("", f"not isolated: {why}")


def _container(settings: BuildSettings) -> Isolation:
    for how in ("podman", "docker"):
        if program := shutil.which(how):
            said = f"in a container of {settings.container}, by {how}"
            said += "" if settings.network else ", without network"
            return Isolation(how, said, program, settings.container, settings.network)
    raise ConfigError(
        "`container` needs podman or docker, and neither is installed",
        "Install one of them, or take `container` out of opsnb.toml.",
    )


async def why_not() -> str:
    """Why bubblewrap cannot isolate on this machine; empty when it can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed"
    argv = [program, *NAMESPACES, "--unshare-net", "--ro-bind", "/", "/", "--dev", "/dev"]
    argv += ["--proc", "/proc", "--tmpfs", TEMPORARY[0], "--", "/bin/sh", "-c", ":"]
    try:
        status = await process.run(
            argv, Path("/"), {"PATH": PATH}, PROBE, lambda _: None, alone=True
        )
    except OpsnbError:
        status = -1
    return "" if status == 0 else "bubblewrap may not make namespaces on this machine"
