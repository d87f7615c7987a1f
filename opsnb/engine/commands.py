"""A command that a change runs, on the server or here, and what it says line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from opsnb.core import layout
from opsnb.core.events import Log
from opsnb.core.output import Output, Said
from opsnb.core.secrets import Masker
from opsnb.core.text import safe
from opsnb.engine import process
from opsnb.engine.change import Change
from opsnb.errors import LockLost, StepTimedOut

SAID_LINES = 100_000  # that a command of a change says as it says them
SAID_LAST = 200  # of what it says beyond that
ROOM = 16 << 20  # bytes that it says so
Stream = Literal["hook", "check"]


async def command(
    change: Change,
    line: str,
    name: str,
    env: Mapping[str, str],
    timeout: float,
    stream: Stream,
) -> int:
    """Run a command on the server, and say what it says.

    Args:
        change: The change it belongs to.
        line: A line for ``/bin/sh``.
        name: The release in whose directory it runs; empty for ``deploy_to``.
        env: Its environment, beside the login's own and the secrets.
        timeout: Seconds until it is ended and has failed.
        stream: Whose words these are.

    Returns:
        Its exit status.

    Raises:
        StepTimedOut: It did not end in time, and was ended.
    """
    lines = _of_change(change, stream)
    directory = layout.release(name) if name else "."
    given = change.secrets.beside(env)
    try:
        status = await change.lock.hook(directory, line, given, timeout, lines.feed)
    except StepTimedOut as error:
        raise StepTimedOut(f"{safe(line)} did not end within {timeout:g} s: ended") from error
    finally:
        lines.flush()
    return status


async def here(
    change: Change,
    argv: list[str],
    folder: Path,
    env: Mapping[str, str],
    timeout: float,
) -> int:
    """Run a program on this machine as a hook of a change; see :func:`command`.

    Args:
        change: The change it belongs to.
        argv: The program and its arguments.
        folder: Where it runs.
        env: All of its environment but the secrets.
        timeout: Seconds until it is ended and has failed.
    """
    lines = _of_change(change, "hook")
    try:
        return await process.run(argv, folder, change.secrets.beside(env), timeout, lines.feed)
    finally:
        lines.flush()


async def held_again(change: Change) -> None:
    """After the switch, take the lock again where it went with a command that had to be ended.

    Raises:
        LockLost: Somebody else has published something meanwhile.
        OutcomeUnknown: The server cannot be asked.
    """
    if not change.lock.broken:
        return
    ours = change.live
    site = await change.regain()
    change.live = site.current.name
    if change.live != ours:
        raise LockLost(f"somebody else has made {safe(change.live)} live meanwhile")


class Lines:
    """Output cut into lines, each said as it is whole; of very much the last lines at the end.

    Args:
        masker: What masks what must not be shown in it.
        say: Is told each line.
        room: Bytes that may be said at once.
    """

    def __init__(self, masker: Masker, say: Callable[[Said], None], room: int = ROOM) -> None:
        self._masker = masker
        self._each = say
        self._output = Output(SAID_LINES, room, SAID_LAST)

    @property
    def room(self) -> int:
        """Bytes that may still be said at once."""
        return self._output.room

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        self._say(self._output.feed("out", self._masker.feed(data)))

    def flush(self) -> None:
        """No more will come."""
        self._say(self._output.feed("out", self._masker.end()))
        self._say(self._output.end())

    def _say(self, lines: Iterable[Said]) -> None:
        for said in lines:
            self._each(said)


class _OfChange(Lines):
    """All commands of a change together say so much at once and no more.

    A program that talks for ever fills neither the log's disk nor anybody's memory, and is ended
    by its own deadline.
    """

    def __init__(self, change: Change, say: Callable[[Said], None]) -> None:
        super().__init__(change.masker(), say, change.room)
        self._change = change

    def feed(self, data: bytes) -> None:
        super().feed(data)
        self._change.room = self.room


def _of_change(change: Change, stream: Stream) -> Lines:
    actor = change.actor

    def say(said: Said) -> None:
        whose = "opsnb" if said.stream == "opsnb" else stream
        actor.emit(Log(actor.server, actor.at(), said.text, whose))

    return _OfChange(change, say)
