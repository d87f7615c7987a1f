"""One command of one SSH channel: the process, its three pipes, and its end.

Rule 1: a command leads its own process group, and the group never outlives the channel.
Rule 2: every pump waits for its reader (drain), so memory stays bounded in both directions.
Rule 3: the end of a command is the exit of its leader *and* the end of its output, as with
        OpenSSH; who still holds the command's standard input open does not matter.
Rule 4: a client that went away is an ordinary end, not an error.

A signal from the client travels behind the input it sent before, as asyncssh's streams do it:
it arrives at once unless the command leaves more input unread than its pipe can hold.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import asyncssh

Client = asyncssh.SSHServerProcess[bytes]

CHUNK = 65_536  # bytes read from a pipe or a channel at a time
CANNOT_START = 126  # what shells answer when a command cannot be executed


class _Protocol(SubprocessStreamProtocol):
    """asyncio's own protocol, which also says when the leader is gone.

    ``Process.wait`` ends only when every pipe is closed as well; a watcher left behind by a
    command keeps the pipe of standard input open, so that is too late.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(limit=CHUNK, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


@dataclass(frozen=True)
class _Child:
    """A running command."""

    transport: asyncio.SubprocessTransport
    exited: asyncio.Event
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    @classmethod
    async def start(cls, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> _Child:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(  # all three are pipes by default
            _Protocol, *argv, cwd=cwd, env=dict(env), start_new_session=True
        )
        return cls(
            transport,
            protocol.exited,
            cast(asyncio.StreamWriter, protocol.stdin),
            cast(asyncio.StreamReader, protocol.stdout),
            cast(asyncio.StreamReader, protocol.stderr),
        )

    def signal(self, number: signal.Signals) -> None:
        """Signal every process of the group that still runs."""
        # PermissionError: how macOS says that only zombies are left
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.transport.get_pid(), number)

    async def end(self) -> None:
        """Kill what is left of the group, and reap the leader."""
        self.signal(signal.SIGKILL)
        await self.exited.wait()
        self.transport.close()


async def serve(client: Client, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    """Run one command for one channel, until it ends or the channel closes.

    Args:
        client: The channel, with binary streams.
        argv: The program and its arguments.
        cwd: The directory it starts in.
        env: Its whole environment.
    """
    try:
        child = await _Child.start(argv, cwd, env)
    except (OSError, ValueError) as error:
        client.stderr.write(f"{argv[0]}: {error}\n".encode())
        client.exit(CANNOT_START)
        return
    try:
        await _until_over(client, child)
    finally:
        await child.end()


async def _until_over(client: Client, child: _Child) -> None:
    """Pump until the command has ended and said so, or until the channel has closed."""
    feed = asyncio.create_task(_feed(client, child))
    drain = asyncio.create_task(_drain(client, child))
    closed = asyncio.create_task(client.channel.wait_closed())
    tasks = (feed, drain, closed)
    try:
        await asyncio.wait((drain, closed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _feed(client: Client, child: _Child) -> None:
    """Pass the client's input on, and its end. What a command does not read is dropped."""
    while data := await _next_input(client, child):
        if child.stdin.is_closing():
            continue
        child.stdin.write(data)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has closed its input
            await child.stdin.drain()
    child.stdin.close()


async def _next_input(client: Client, child: _Child) -> bytes:
    """The client's next bytes, or none at the end; its signals go to the group."""
    while True:
        try:
            return await client.stdin.read(CHUNK)
        except asyncssh.SignalReceived as received:
            number = getattr(signal, f"SIG{received.signal}", None)
            if isinstance(number, signal.Signals):
                child.signal(number)
        except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
            continue  # there is no terminal
        except asyncssh.DisconnectError:
            return b""


async def _drain(client: Client, child: _Child) -> None:
    """Pass the command's output on, and then how it ended."""
    await asyncio.gather(_pump(child.stdout, client.stdout), _pump(child.stderr, client.stderr))
    await child.exited.wait()
    status = cast(int, child.transport.get_returncode())
    if status < 0:
        client.exit_with_signal(_signal_name(-status))
    else:
        client.exit(status)


async def _pump(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Copy until the source ends or the client is gone."""
    while data := await source.read(CHUNK):
        try:
            sink.write(data)
            await sink.drain()
        except (BrokenPipeError, asyncssh.DisconnectError):
            return


def _signal_name(number: int) -> str:
    """The name SSH uses for a signal (``KILL``), or one that says which number it had."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return f"{number}@opsnb"
