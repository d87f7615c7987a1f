"""A command of the user's on a server, from its beginning to its end.

Rule 1: nothing of it stays: at its end, by its deadline and when nobody listens any more, the
server ends the whole process group (``run.sh``).
Rule 2: what it says lies between two marks that nobody on the server can know, so neither a login
shell's greeting nor what it left running is taken for its own.
Rule 3: nothing it says is kept here: it is handed on as it comes.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files

from opsnb.core.text import safe
from opsnb.errors import Disconnected, NoSuchRelease, NotReady, RemoteError, StepTimedOut
from opsnb.remote.base import Exit, OnOutput, Stream
from opsnb.remote.shell import Pipes

NO_DIRECTORY = 97
MARKS = 2
SLACK = 5  # seconds after the deadline until the server itself ends the command
LEAVE = 1.0  # seconds for what it left running to be gone
LAST_WORDS = 2.0  # seconds to hear what a login said that runs nothing
STOP = 4.0  # seconds for a command to be gone that was told to stop: it is killed after 2


class Command:
    """A command that runs in a shell of its own.

    Args:
        pipes: The streams of ``exec /bin/sh -s``.
        on_output: Is told what it says, as it comes. Must not raise.
    """

    def __init__(self, pipes: Pipes, on_output: OnOutput) -> None:
        self._pipes = pipes
        self._nonce = secrets.token_hex(16).encode()
        self._news = asyncio.Event()
        self._lost = False
        self._out = _Marked(self._nonce, "out", on_output)
        self._err = _Marked(self._nonce, "err", on_output)
        self._readers = [
            asyncio.create_task(self._pump(pipes.read_out, self._out)),
            asyncio.create_task(self._pump(pipes.read_err, self._err)),
        ]

    async def run(
        self, script: str, deploy_to: str, directory: str, timeout: float, start_timeout: float
    ) -> Exit:
        """Run it, and wait until it has ended.

        Args:
            script: What ``/bin/sh`` runs.
            deploy_to: The deployment path.
            directory: Where below it; empty for ``current``, or for ``deploy_to`` without one.
            timeout: Seconds until it is ended and has failed.
            start_timeout: Seconds until the shell has failed to start.

        Raises:
            NotReady: There is no ``/bin/sh`` that can run it, or no deployment path.
            NoSuchRelease: There is no such directory.
            StepTimedOut: It did not end in time; its process group was ended.
            Disconnected: Its session ended before it did, or it was to be ended and nobody said
                that it is gone.
        """
        try:
            where = await self._begin(script, deploy_to, directory, timeout, start_timeout)
            if where == NO_DIRECTORY:
                raise _nowhere(deploy_to, directory)
            async with asyncio.timeout(timeout):
                status = await self._mark(1)
            await self._gone(LEAVE)
            return Exit(status, directory or ("." if where else "current"))
        except TimeoutError as error:
            late = f"the command did not end within {timeout:g} s"
            await self._stop(late)
            raise StepTimedOut(f"{late}, and was ended") from error
        except asyncio.CancelledError:
            await self._stop("the command was to be ended")
            raise
        finally:
            await self._close()

    async def _begin(
        self, script: str, deploy_to: str, directory: str, timeout: float, start_timeout: float
    ) -> int:
        given = {
            "nonce": self._nonce,
            "root": _bytes(deploy_to),
            "where": _bytes(directory),
            "seconds": b"%d" % (math.ceil(timeout) + SLACK),
            "script": _bytes(script),
        }
        lines = [f"opsnb_{name}=".encode() + _quoted(value) for name, value in given.items()]
        text = b"\n".join(lines) + b"\n" + files("opsnb.remote").joinpath("run.sh").read_bytes()
        try:
            async with asyncio.timeout(start_timeout):
                await self._pipes.write(text)
                return await self._mark(0)
        except TimeoutError as error:
            raise StepTimedOut("the server's shell did not answer") from error
        except Disconnected as error:
            # It may have closed before it was heard: what it said is still to be read.
            with suppress(Disconnected, TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._mark(0)
            noise = safe(self._err.noise)
            raise NotReady(
                f"the server ran no /bin/sh for us: {noise or 'it closed the session'}",
                "Does the account have a login shell, and may it run commands?",
            ) from error

    async def _mark(self, number: int) -> int:
        """What a mark says, once both streams have come to it."""
        streams = (self._out, self._err)
        while not all(len(stream.marks) > number for stream in streams):
            if any(stream.over and len(stream.marks) <= number for stream in streams):
                raise Disconnected(
                    "the command's session ended without its exit status: it was killed, or the "
                    "connection was lost",
                )
            await self._hear()
        return self._out.marks[number]

    async def _hear(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _gone(self, seconds: float) -> bool:
        """Wait until nothing of it is left that could speak; False when something is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (self._out.over and self._err.over):
                    await self._hear()
        return self._out.over and self._err.over

    async def _stop(self, why: str) -> None:
        """Have the server end it, and wait until that has happened."""
        with suppress(RemoteError, TimeoutError):
            async with asyncio.timeout(STOP):
                await self._pipes.write(b"\n")
        if self._lost or not await self._gone(STOP):
            raise Disconnected(
                f"{why}, and the server did not say that all it has started is gone",
                "It ends when its session does, at its deadline at the latest; what has left its "
                "process group (setsid) does not.",
            )

    async def _pump(self, read: Callable[[], Awaitable[bytes]], stream: _Marked) -> None:
        try:
            while data := await read():
                stream.feed(data)
                self._news.set()
        except Disconnected:
            self._lost = True
        finally:
            stream.over = True
            self._news.set()

    async def _close(self) -> None:
        await self._pipes.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


class _Marked:
    """One stream of a command: what comes between its first mark and its second is handed on.

    Attributes:
        marks: What the marks say that have come.
        noise: The last of what came before the first.
        over: Whether no more will come.
    """

    def __init__(self, nonce: bytes, stream: Stream, on_output: OnOutput) -> None:
        self._nonce = nonce
        self._pattern = re.compile(nonce + rb" (\d{1,10})\n")
        self._begun = re.compile(nonce + rb"(?: \d{0,10})?")
        self._stream = stream
        self._on_output = on_output
        self._rest = b""
        self.marks: list[int] = []
        self.noise = b""
        self.over = False

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._rest += data
        while match := self._pattern.search(self._rest):
            self._pass(self._rest[: match.start()])
            if len(self.marks) < MARKS:
                self.marks.append(int(match[1]))
            self._rest = self._rest[match.end() :]
        kept = self._held_back()
        self._pass(self._rest[:kept])
        self._rest = self._rest[kept:]

    def _pass(self, data: bytes) -> None:
        if not self.marks:
            self.noise = (self.noise + data)[-300:]
        elif len(self.marks) == 1 and data:
            self._on_output(self._stream, data)

    def _held_back(self) -> int:
        """Where the beginning of a mark may stand that has not come whole."""
        whole = self._rest.rfind(self._nonce)
        if whole >= 0 and self._begun.fullmatch(self._rest, whole):
            return whole
        for length in range(min(len(self._nonce), len(self._rest)), 0, -1):
            if self._rest.endswith(self._nonce[:length]):
                return len(self._rest) - length
        return len(self._rest)


def _nowhere(deploy_to: str, directory: str) -> NoSuchRelease | NotReady:
    if not directory:
        return NotReady(f"{safe(deploy_to)} is not there", "A first deploy makes it.")
    return NoSuchRelease(
        f"{safe(directory)} is no directory in {safe(deploy_to)}",
        "`opsnb releases` says which releases there are.",
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _quoted(raw: bytes) -> bytes:
    """Bytes as ``/bin/sh`` reads them in a script; line breaks may be among them."""
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"
