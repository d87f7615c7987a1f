"""A command that runs on the server within a change, and what it says line by line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from opsnb.core import layout
from opsnb.core.events import Log
from opsnb.core.output import Output, Said
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.errors import StepTimedOut

SAID_LINES = 100_000  # that a command of a change says as it says them
SAID_LAST = 200  # of what it says beyond that
Stream = Literal["hook", "check"]


async def command(
    change: Change,
    line: str,
    name: str,
    env: Mapping[str, str],
    timeout: float,
    stream: Stream,
) -> int:
    """Run a command in a release's directory, and say what it says.

    Args:
        change: The change it belongs to.
        line: A line for ``/bin/sh``.
        name: The release.
        env: Its environment, beside the login's own and the secrets.
        timeout: Seconds until it is ended and has failed.
        stream: Whose words these are.

    Returns:
        Its exit status.

    Raises:
        StepTimedOut: It did not end in time, and was ended.
    """
    lines = _Lines(change, stream)
    directory = layout.release(name)
    given = change.secrets.beside(env)
    try:
        status = await change.lock.hook(directory, line, given, timeout, lines.feed)
    except StepTimedOut as error:
        raise StepTimedOut(f"{safe(line)} did not end within {timeout:g} s: ended") from error
    finally:
        lines.flush()
    return status


class _Lines:
    """Output cut into lines, each said as it is whole; of very much the last lines at the end.

    All commands of a change together say so much at once and no more: a program that talks for
    ever fills neither the log's disk nor anybody's memory, and is ended by its own deadline.
    """

    def __init__(self, change: Change, stream: Stream) -> None:
        self._change = change
        self._stream = stream
        self._masker = change.masker()
        self._output = Output(SAID_LINES, change.room, SAID_LAST)

    def feed(self, data: bytes) -> None:
        self._say(self._output.feed("out", self._masker.feed(data)))
        self._change.room = self._output.room

    def flush(self) -> None:
        self._say(self._output.feed("out", self._masker.end()))
        self._say(self._output.end())

    def _say(self, lines: Iterable[Said]) -> None:
        actor = self._change.actor
        for said in lines:
            stream = "opsnb" if said.stream == "opsnb" else self._stream
            actor.emit(Log(actor.server, actor.at(), said.text, stream))
