"""One long-lived ``/bin/sh`` on a server, and calls to it.

Rule 1: one call at a time; a call costs one round trip.
Rule 2: a call that is cut off (deadline, cancellation, lost connection) ends the shell for good,
since nobody knows how far it had read.
Rule 3: what comes back is bytes within a limit, ended by a word that nobody on the server can know.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Protocol

from opsnb.core.text import safe
from opsnb.errors import Disconnected, NotReady, RemoteError, StepTimedOut

FRAME = 256 * 1024
REPLY_LIMIT = 512 * 1024 * 1024
ERROR_LIMIT = 64 * 1024
START = b"exec /bin/sh -s"


class Pipes(Protocol):
    """The three streams of a program on the server."""

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until they need not be kept. Raises Disconnected."""

    async def read_out(self) -> bytes:
        """The next bytes of its output; empty at the end."""

    async def read_err(self) -> bytes:
        """The next bytes of its errors; empty at the end."""

    async def close(self) -> None:
        """Close all three and stop waiting for the program. Never raises."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call answered.

    Attributes:
        status: Exit status.
        out: What it printed.
        err: What it complained about, at most 64 KiB.
    """

    status: int
    out: bytes
    err: bytes

    @property
    def complaint(self) -> str:
        """The last line of the complaints, safe to show."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return safe(lines[-1][:500]) if lines else ""


class Shell:
    """The agent on a server, ready for calls.

    Args:
        pipes: The streams of ``exec /bin/sh -s``.
        deploy_to: The deployment path.
    """

    def __init__(self, pipes: Pipes, deploy_to: str) -> None:
        self._pipes = pipes
        self._nonce = secrets.token_hex(16).encode()
        self._deploy_to = deploy_to
        self._turn = asyncio.Lock()
        self._out = _Stream(self._nonce, REPLY_LIMIT)
        self._err = _Stream(self._nonce, None)
        self._readers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self.pid = 0
        self.broken = False

    async def open(self, timeout: float) -> None:
        """Start the agent.

        Args:
            timeout: Seconds until it has failed.

        Raises:
            NotReady: There is no ``/bin/sh`` that can run it.
            Disconnected: The connection went away.
            StepTimedOut: It did not answer.
        """
        self._readers = [
            asyncio.create_task(self._pump(self._pipes.read_out, self._out)),
            asyncio.create_task(self._pump(self._pipes.read_err, self._err)),
        ]
        head = f"N={self._nonce.decode()}\nD={shlex.quote(self._deploy_to)}\n"
        agent = files("opsnb.remote").joinpath("agent.sh").read_bytes()
        try:
            async with asyncio.timeout(timeout):
                await self._pipes.write(head.encode("utf-8", "surrogateescape") + agent)
                self.pid, _ = await self._out.reply()
                await self._err.reply()
        except TimeoutError as error:
            await self.close()
            raise StepTimedOut("the server's shell did not answer") from error
        except Disconnected as error:
            noise = safe(bytes(self._err.taken[-300:]))
            await self.close()
            raise NotReady(
                f"the server ran no /bin/sh for us: {noise or 'it closed the session'}",
                "Does the account have a login shell, and may it run commands?",
            ) from error
        except BaseException:
            await self.close()
            raise

    async def call(
        self,
        name: str,
        *args: str | bytes,
        payload: AsyncIterable[bytes] | Iterable[bytes] | None = None,
        timeout: float = 60,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """Run a function of the agent.

        Args:
            name: The function.
            args: Its arguments; none may hold a line break or NUL.
            payload: What it reads, in pieces of any size.
            timeout: Seconds until it has failed.
            on_output: Told each piece of output as it comes.

        Raises:
            StepTimedOut: It did not end in time; the shell is closed.
            Disconnected: The connection went away: whether it ran is unknown.
        """
        line = b" ".join([name.encode(), *(quote(arg) for arg in args)])
        async with self._turn:
            if self.broken:
                raise Disconnected("the connection to the server's shell is closed")
            try:
                async with asyncio.timeout(timeout):
                    return await self._talk(line, payload, on_output)
            except TimeoutError as error:
                await self.close()
                raise StepTimedOut(f"{name} did not end within {timeout:g} s") from error
            except BaseException:
                await self.close()
                raise

    async def _talk(
        self,
        line: bytes,
        payload: AsyncIterable[bytes] | Iterable[bytes] | None,
        on_output: Callable[[bytes], None] | None,
    ) -> Reply:
        self._stop.clear()
        self._out.listen(on_output)
        await self._pipes.write((b"< " if payload is not None else b"") + line + b"\n")
        if payload is not None:
            await self._send(payload)
        status, out = await self._out.reply()
        _, err = await self._err.reply()
        return Reply(status, out, err)

    async def _send(self, payload: AsyncIterable[bytes] | Iterable[bytes]) -> None:
        pending = bytearray()
        async for piece in _each(payload):
            pending += piece
            while len(pending) >= FRAME and not self._stop.is_set():
                await self._pipes.write(b"%d\n" % FRAME + bytes(pending[:FRAME]))
                del pending[:FRAME]
            if self._stop.is_set():
                await self._pipes.write(b"x\n")
                return
        tail = b"%d\n" % len(pending) + bytes(pending) if pending else b""
        await self._pipes.write(tail + b"0\n")

    async def _pump(self, read: Callable[[], object], stream: _Stream) -> None:
        try:
            while data := await read():  # type: ignore[misc]  # both pipes' readers are coroutines
                if stream.feed(data):
                    self._stop.set()
            stream.end(Disconnected("the connection to the server was lost"))
        except RemoteError as error:
            stream.end(error)

    async def close(self) -> None:
        """Close the shell; what it runs in the foreground is ended by its own watch."""
        self.broken = True
        await self._pipes.close()
        for reader in self._readers:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader


def quote(arg: str | bytes) -> bytes:
    """An argument as the agent's shell reads it.

    Raises:
        ValueError: It holds a line break or NUL, which a call's one line cannot carry.
    """
    raw = arg if isinstance(arg, bytes) else arg.encode("utf-8", "surrogateescape")
    if b"\n" in raw or b"\0" in raw:
        raise ValueError(f"a call's argument may not hold a line break or NUL: {raw!r}")
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"


async def _each(payload: AsyncIterable[bytes] | Iterable[bytes]) -> AsyncIterable[bytes]:
    if isinstance(payload, AsyncIterable):
        async for piece in payload:
            yield piece
    else:
        for piece in payload:
            yield piece


class _Stream:
    """One direction of output, cut into replies at the nonce.

    Args:
        nonce: The word that ends a reply.
        limit: Bytes a reply may have; None keeps only the last 64 KiB, without complaint.
    """

    def __init__(self, nonce: bytes, limit: int | None) -> None:
        self._nonce = nonce
        self._end = re.compile(rb"\n" + nonce + rb" (\d+)\n")
        self._notes = re.compile(rb"^" + nonce + rb" (beat|stop)\n", re.MULTILINE)
        self._stop_note = nonce + b" stop\n"
        self._keep = len(nonce) + 16
        self._limit = limit
        self.taken = bytearray()
        self._seen = 0
        self._told = 0
        self._listener: Callable[[bytes], None] | None = None
        self._error: RemoteError | None = None
        self._news = asyncio.Event()

    def listen(self, listener: Callable[[bytes], None] | None) -> None:
        """From now on tell of output; what ends a reply is left out."""
        self._listener, self._told = listener, 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the agent asks to stop sending.

        Raises:
            RemoteError: The reply is larger than allowed.
        """
        self.taken += data
        stop = False
        if self._limit is None:
            stop = self._stop_note in self.taken
            self.taken = bytearray(self._notes.sub(b"", bytes(self.taken)))
            if len(self.taken) > ERROR_LIMIT:
                del self.taken[: len(self.taken) - ERROR_LIMIT]
        elif len(self.taken) > self._limit:
            raise RemoteError(f"the server's answer is larger than {self._limit:,} bytes")
        self._tell()
        self._news.set()
        return stop

    def _tell(self) -> None:
        if self._listener is None:
            return
        match = self._end.search(self.taken, max(0, self._told - 1))
        until = match.start() if match else self._plain()
        if until > self._told:
            self._listener(bytes(self.taken[self._told : until]))
            self._told = until

    def _plain(self) -> int:
        """How far the output goes that cannot be the beginning of a reply's end."""
        line = self.taken.rfind(b"\n") + 1
        tail = bytes(self.taken[line:])
        held_back = self._nonce.startswith(tail) or tail.startswith(self._nonce)
        return line if held_back else len(self.taken)

    def end(self, error: RemoteError) -> None:
        """No more will come."""
        self._error = error
        self._news.set()

    async def reply(self) -> tuple[int, bytes]:
        """The next reply: its number and what came before it.

        Raises:
            Disconnected: The stream ended before it.
        """
        while True:
            match = self._end.search(self.taken, max(0, self._seen - self._keep))
            if match:
                # Read before cutting: a match looks into the buffer, it does not copy it.
                status, end, out = int(match[1]), match.end(), bytes(self.taken[: match.start()])
                del self.taken[:end]
                self._seen = self._told = 0
                return status, out
            self._seen = len(self.taken)
            if self._error:
                raise self._error
            self._news.clear()
            await self._news.wait()
