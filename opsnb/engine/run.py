"""A command of the user's: run on a server, told of line by line, ended by its deadline.

It takes no lock and writes no log: whether it may be run was decided before (core/readonly.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from opsnb.core.output import Output, Said
from opsnb.remote.base import Remote, Stream


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        status: Its exit status; 128 and more: ended by a signal.
        seconds: How long it took, with what the connection took.
        directory: Where below ``deploy_to`` it ran; ``.`` is ``deploy_to`` itself.
        cut: How many lines were left out of the middle of what it said.
        out: What it said on its standard output, within bounds, safe to show.
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
    text = partial(_text, lines)
    return CommandResult(
        status=ended.status,
        seconds=time.monotonic() - began,
        directory=ended.directory,
        cut=output.cut,
        out=text("out"),
        err=text("err"),
    )


def _text(lines: list[Said], stream: str) -> str:
    return "\n".join(said.text for said in lines if said.stream == stream)
