"""A command of the user's: run on a server, told of line by line, ended by its deadline.

It takes no lock and writes no log: whether it may be run was decided before (core/readonly.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opsnb.core.output import Output, Said
from opsnb.core.text import safe
from opsnb.errors import ConfigError
from opsnb.remote.base import Remote, Stream


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        status: Its exit status; 128 and more: ended by a signal.
        seconds: How long it took, with what the connection took.
        directory: Where below ``deploy_to`` it ran; ``.`` is ``deploy_to`` itself.
        cut: How many lines were left out of the middle of what it said.
        out: What it said on its standard output, within bounds, safe to show. Where lines were
            left out, a line says so.
        err: The same of its standard error.
    """

    status: int
    seconds: float
    directory: str
    cut: int
    out: str = field(repr=False)
    err: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run.

    Attributes:
        script: What ``/bin/sh`` runs.
        directory: Where below ``deploy_to``; empty for ``current``, or for ``deploy_to`` without.
        timeout: Seconds until it is ended and has failed.
    """

    script: str
    directory: str
    timeout: float


def place(directory: str) -> str:
    """A directory below ``deploy_to``, as it was asked for.

    Args:
        directory: ``current``, ``releases/NAME``, ``.``, or any other path below ``deploy_to``.

    Raises:
        ConfigError: It is no path below ``deploy_to``.
    """
    parts = directory.removesuffix("/").split("/")
    if directory and directory != "." and any(part in ("", ".", "..") for part in parts):
        raise ConfigError(
            f"{safe(directory)} is no directory below deploy_to",
            "Give `current`, `releases/NAME`, or `.` for deploy_to itself.",
        )
    return directory


async def run_command(
    remote: Remote, command: Command, tell: Callable[[Said], None]
) -> CommandResult:
    """Run a command and tell of its lines.

    Args:
        remote: The server.
        command: What to run.
        tell: Is told each line as it comes.
    """
    began = time.monotonic()
    output = Output()
    lines: list[Said] = []

    def say(said: Said) -> None:
        lines.append(said)
        tell(said)

    def hear(stream: Stream, data: bytes) -> None:
        for said in output.feed(stream, data):
            say(said)

    try:
        ended = await remote.run(command.script, command.directory, command.timeout, hear)
    finally:
        for said in output.end():
            say(said)
    return CommandResult(
        status=ended.status,
        seconds=time.monotonic() - began,
        directory=ended.directory,
        cut=output.cut,
        out=_text(lines, "out", "opsnb"),
        err=_text(lines, "err"),
    )


def _text(lines: list[Said], *streams: str) -> str:
    return "\n".join(said.text for said in lines if said.stream in streams)
