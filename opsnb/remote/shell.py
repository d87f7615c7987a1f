"""One long-lived ``/bin/sh`` on a server, and calls to it.

Rule 1: the server takes calls in the order they were sent, one at a time but for pairs that are
marked as such; a call costs one round trip, and calls that are sent together cost one between them.
Rule 2: a call that is cut off (deadline, cancellation, lost connection) ends the shell for good,
since nobody knows how far it had read.
Rule 3: what comes back is bytes within a limit, ended by a word that nobody on the server can know.
Rule 4: a plain shell is told nothing before it has said that it is ready, since it reads further
than its script goes. One that was given a line to read it with (``READER``) reads just that: calls
follow at once.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from opsnb.core.text import safe
from opsnb.errors import Disconnected, NotReady, RemoteError, StepTimedOut
from opsnb.remote import agent
from opsnb.remote.pack import Packer, unpacked

Data = bytes | bytearray | memoryview
T = TypeVar("T")

FRAME = 256 * 1024
SHORT = 16 * 1024  # bytes that are copied rather than sent on their own
MOST = 8 * 1024 * 1024  # of a frame on a fast line: each costs the server a program
HASTE = 0.1  # seconds in which a frame is gone for the next one to be larger
SKIPPED = 98
TREE_LIMIT = 256 * 1024 * 1024  # bytes that list a tree: two million paths
REPLY_LIMIT = 64 * 1024 * 1024  # of any other answer
ERROR_LIMIT = 64 * 1024
ERRORS_LIMIT = 8 * 1024 * 1024  # of the complaints of calls that were sent together
_OF_TREES = frozenset(
    ("live", "aside", "changes", "manifest", "spare_manifest", "hashes", "stats", "finish", "audit")
)


class Pipes(Protocol):
    """The three streams of a program on the server."""

    async def write(self, data: Data) -> None:
        """Send bytes, and wait until they need not be kept. Raises Disconnected."""

    async def read_out(self) -> bytes:
        """The next bytes of its output; empty at the end."""

    async def read_err(self) -> bytes:
        """The next bytes of its errors; empty at the end."""

    async def close(self) -> None:
        """Close all three and stop waiting for the program. Never raises."""


# What tar says last, after what matters.
_IDLE = {b"tar: Exiting with failure status due to previous errors"}


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
        """The first and the last line of the complaints, safe to show."""
        lines = [line for line in self.err.splitlines() if line.strip() and line not in _IDLE]
        told = dict.fromkeys(safe(line[:300]) for line in (*lines[:1], *lines[-1:]))
        return " … ".join(told)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the agent's functions.

    Attributes:
        name: The function.
        args: Its arguments; none may hold a line break or NUL.
        payload: What it reads, in pieces of any size.
        timeout: Seconds until it has failed, counted from the end of the call before it.
        on_output: Told each piece of output as it comes.
        regardless: Whether it runs even if the call before it, sent with it, has failed.
        packed: How what it prints is compressed on its way; empty for not at all.
        beside: Whether it runs at the same time as the call before it, if that is run. That one has
            no payload, and neither changes the shell itself.
    """

    name: str
    args: tuple[str | bytes, ...] = ()
    payload: AsyncIterable[bytes] | Iterable[bytes] | None = None
    timeout: float = 60
    on_output: Callable[[bytes], None] | None = None
    regardless: bool = True
    packed: Packer = ""
    beside: bool = False

    @property
    def limit(self) -> int:
        """Bytes that its answer may have."""
        return TREE_LIMIT if self.name in _OF_TREES else REPLY_LIMIT

    def line(self) -> bytes:
        """The call as the agent reads it."""
        how = [b"packed", self.packed.encode()] if self.packed else []
        line = b" ".join([*how, self.name.encode(), *(quote(arg) for arg in self.args)])
        if_well = b"" if self.regardless else b"& "
        if_well = b"= " if self.beside else if_well
        return if_well + (b"< " if self.payload is not None else b"") + line + b"\n"


class Shell:
    """The agent on a server, ready for calls.

    Args:
        pipes: The streams of a ``/bin/sh``.
        deploy_to: The deployment path.
        packed: Whether it was started with ``READER``; otherwise with ``-s``.

    Attributes:
        refused: Whether it ended, or said nothing in time, before it was ready, on a connection
            that goes on.
    """

    def __init__(self, pipes: Pipes, deploy_to: str, *, packed: bool = False) -> None:
        self._pipes = pipes
        self.packed = packed
        self.refused = False
        self._nonce = secrets.token_hex(16).encode()
        self._deploy_to = deploy_to
        self._turn = asyncio.Lock()
        self._out = _Stream(self._nonce)
        self._err = _Stream(self._nonce, complaints=True)
        self._readers: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[int]
        self._sent = 0
        self._stopped = 0
        self.pid = 0
        self.broken = False

    async def open(self, timeout: float) -> None:
        """Start the agent, and wait until it is ready.

        Args:
            timeout: Seconds until it has failed.

        Raises:
            NotReady: There is no ``/bin/sh`` that can run it.
            Disconnected: The connection went away.
            StepTimedOut: It did not answer.
        """
        await self.begin(timeout)
        await self.ready()

    async def begin(self, timeout: float) -> None:
        """Start the agent; the first calls wait until it is ready.

        Args:
            timeout: Seconds until it has failed.

        Raises:
            NotReady: There is no ``/bin/sh`` that can run it.
            StepTimedOut: It took nothing.
        """
        until = asyncio.get_running_loop().time() + timeout
        self._readers = [
            asyncio.create_task(self._pump(self._pipes.read_out, self._out)),
            asyncio.create_task(self._pump(self._pipes.read_err, self._err)),
        ]
        head = f"N={self._nonce.decode()}\nD={shlex.quote(self._deploy_to)}\n"
        text = agent.script(head.encode("utf-8", "surrogateescape"), packed=self.packed)
        try:
            await self._in_time(until, self._pipes.write(text))
        except NotReady:
            self.refused = True  # nobody is there to read
            raise
        self._starting = asyncio.create_task(self._in_time(until, self._greeting()))
        # Whoever waits for it meets the error; nobody need.
        self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def ready(self) -> None:
        """Wait until the agent is ready. It raises what :meth:`open` does."""
        try:
            self.pid = await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _greeting(self) -> int:
        """What an agent says first: the number of its process."""
        pid, _ = await self._out.reply()
        await self._err.reply()
        return pid

    async def _in_time(self, until: float, step: Coroutine[Any, Any, T]) -> T:
        """Take a step of the start, or close the shell and say why there is none."""
        try:
            async with asyncio.timeout_at(until):
                return await step
        except TimeoutError as error:
            self.refused = True
            await self.close()
            raise StepTimedOut("the server's shell did not answer") from error
        except Disconnected as error:
            if self.broken:  # closed from here
                raise
            noise = safe(bytes(self._err.taken[-300:]))
            self.refused = error.__cause__ is None
            await self.close()
            raise NotReady(
                "what is missing: a shell; the server ran no /bin/sh for us: "
                f"{noise or 'it closed the session'}",
                "May the account run commands? One with SFTP only is for an address that begins "
                "with sftp:// instead of ssh://.",
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
        made = Call(name, args, payload, timeout, on_output)
        return (await self.batch([made]))[0]

    async def batch(
        self, calls: Sequence[Call], answered: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        """Run functions of the agent that are sent together: one after the other, but for pairs.

        Args:
            calls: The functions.
            answered: Told each reply, with its place, as it comes.

        Returns:
            Their replies. The status of one that was not run, since the one before it had failed,
            is 98. What a pair complained about is all in the reply of the second, and may in part
            be in that of the first, whoever of them complained.

        Raises:
            StepTimedOut: One did not end in time; the shell is closed.
            Disconnected: The connection went away: which of them ran is unknown.
            NotReady: They are the first, and there is no ``/bin/sh`` that can run the agent.
        """
        lines = [call.line() for call in calls]
        for place, call in enumerate(calls):
            if call.beside:  # the agent reads of it first
                lines[place - 1 : place + 1] = lines[place] + lines[place - 1], b""
        async with self._turn:
            if self.broken:
                await self.ready()  # if it never was, that says why
                raise Disconnected("the connection to the server's shell is closed")
            if not self.packed:
                await self.ready()
            if self._starting.done() and self._out.answered():
                await self.close()
                raise RemoteError("the server answered what it was not asked")
            self._out.limit = max((call.limit for call in calls), default=REPLY_LIMIT)
            writing = asyncio.create_task(self._write(list(zip(lines, calls, strict=True))))
            writing.add_done_callback(self._written)
            try:
                await self.ready()
                replies: list[Reply] = []
                for place, call in enumerate(calls):
                    reply = await self._answer(call)
                    if call.beside:
                        reply = replace(reply, err=replies[-1].err + reply.err)
                    replies.append(reply)
                    if answered:
                        answered(place, replies[-1])
                await writing
            except BaseException:
                writing.cancel()
                await self.close()
                await asyncio.wait([writing])
                raise
            self._out.limit = REPLY_LIMIT
            return replies

    async def _answer(self, call: Call) -> Reply:
        self._out.listen(call.on_output)
        try:
            async with asyncio.timeout(call.timeout):
                status, out = await self._out.reply()
                _, err = await self._err.reply()
        except TimeoutError as error:
            raise StepTimedOut(f"{call.name} did not end within {call.timeout:g} s") from error
        return Reply(status, unpacked(call.packed, out, call.limit), err)

    async def _write(self, calls: Sequence[tuple[bytes, Call]]) -> None:
        """Send calls; small ones go out in one piece, so that they cost no more than one.

        What is long is not copied: of an upload every copy costs as much as its encryption.
        """
        ready = bytearray()
        for line, call in calls:
            self._sent += 1
            ready += line
            if call.payload is None:
                continue
            async for part in self._frames(call.payload, self._sent):
                if len(part) < SHORT:
                    ready += part
                    if len(ready) >= FRAME:
                        ready = await self._out_with(ready)
                    continue
                ready = await self._out_with(ready)
                for start in range(0, len(part), FRAME):
                    await self._pipes.write(part[start : start + FRAME])
        await self._out_with(ready)

    async def _out_with(self, ready: bytearray) -> bytearray:
        """Send what is ready, if anything is, and begin anew."""
        if ready:
            await self._pipes.write(ready)
        return bytearray()

    def _written(self, writing: asyncio.Task[None]) -> None:
        """What could not be sent gets no answer: whoever waits for one is told why.

        Where nobody has answered yet, that is told by how the shell ends, which a write may notice
        first: by itself, or with its connection.
        """
        error = None if writing.cancelled() else writing.exception()
        unheard = isinstance(error, Disconnected) and not self._starting.done()
        if error is not None and not unheard:
            self._out.end(error)

    async def _frames(
        self, payload: AsyncIterable[bytes] | Iterable[bytes], number: int
    ) -> AsyncIterable[Data]:
        """A payload as frames, cut short when the agent says that nobody reads it any more.

        Yields:
            The parts of frames: a line, and what it announces in one part or several.
        """
        pending, held, room, began = deque[memoryview](), 0, FRAME, time.monotonic()
        async for piece in _each(payload):
            pending.append(memoryview(piece))
            held += len(piece)
            while held >= room and self._stopped < number:
                yield b"%d\n" % room
                for part in _taken(pending, room):
                    yield part
                held -= room
                took, began = time.monotonic() - began, time.monotonic()
                # A frame is a sign of life, too: on a slow line it must stay small.
                room = min(MOST, room * 2) if took < HASTE else FRAME
            if self._stopped >= number:
                yield b"x\n"
                return
        if held:
            yield b"%d\n" % held
            for part in pending:
                yield part
        yield b"0\n"

    async def _pump(self, read: Callable[[], object], stream: _Stream) -> None:
        try:
            while data := await read():  # type: ignore[misc]  # both pipes' readers are coroutines
                # A call that was not made cannot have been given up.
                self._stopped = max(self._stopped, min(self._sent, stream.feed(data)))
            stream.end(Disconnected("the connection to the server was lost"))
        except RemoteError as error:
            stream.end(error)
        except asyncio.CancelledError:
            # Closed, before the end of the stream was read: whoever waits for a reply gets none.
            stream.end(Disconnected("the connection to the server's shell was closed"))
            raise

    @property
    def ended(self) -> bool:
        """Whether it can answer no more: closed here, or seen to have ended there."""
        return self.broken or any(reader.done() for reader in self._readers)

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
    return quoted(raw)


def quoted(text: str | bytes) -> bytes:
    """A text as a shell's script has it; line breaks may be in it."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"


def _taken(pending: deque[memoryview], size: int) -> Iterator[memoryview]:
    """Take so many bytes off what is pending, of which there is no less."""
    while size:
        part = pending.popleft()
        if len(part) > size:
            pending.appendleft(part[size:])
            part = part[:size]
        size -= len(part)
        yield part


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
        complaints: Whether of each reply only the last 64 KiB count.

    Attributes:
        limit: Bytes that may wait here to be read.
        taken: What waits.
    """

    def __init__(self, nonce: bytes, *, complaints: bool = False) -> None:
        self._nonce = nonce
        self._end = re.compile(rb"\n" + nonce + rb" (\d{1,10})\n")
        self._notes = re.compile(rb"^" + nonce + rb" (?:beat|stop (\d{1,10}))\n", re.MULTILINE)
        self._keep = len(nonce) + 16
        self._complaints = complaints
        self.limit = ERRORS_LIMIT if complaints else REPLY_LIMIT
        self.taken = bytearray()
        self._seen = 0
        self._told = 0
        self._listener: Callable[[bytes], None] | None = None
        self._error: BaseException | None = None
        self._news = asyncio.Event()

    def listen(self, listener: Callable[[bytes], None] | None) -> None:
        """From now on tell of output; what ends a reply is left out."""
        self._listener, self._told = listener, 0
        self._tell()

    def feed(self, data: bytes) -> int:
        """Take bytes; the last call whose payload the agent wants no more of, or 0.

        Raises:
            RemoteError: There is more than is allowed.
        """
        self.taken += data
        stop = 0
        if self._complaints:
            stop = max((int(note[1] or 0) for note in self._notes.finditer(self.taken)), default=0)
            self.taken = bytearray(self._notes.sub(b"", bytes(self.taken)))
            self._shorten()
        self._tell()
        if len(self.taken) > self.limit:
            self.taken.clear()
            raise RemoteError(f"the server's answer is larger than {self.limit:,} bytes")
        self._news.set()
        return stop

    def _shorten(self) -> None:
        """Keep the last of what is not yet a whole reply."""
        if len(self.taken) > ERROR_LIMIT:
            whole = max((match.end() for match in self._end.finditer(self.taken)), default=0)
            del self.taken[whole : max(whole, len(self.taken) - ERROR_LIMIT)]

    def _tell(self) -> None:
        if self._listener is None:
            return
        match = self._end.search(self.taken, max(0, self._told - 1))
        until = match.start() if match else self._plain()
        if until > self._told:
            self._listener(bytes(self.taken[self._told : until]))
            # What was told is not kept, but for the byte that may be the line break before the end.
            del self.taken[: until - 1]
            self._told, self._seen = 1, 0

    def _plain(self) -> int:
        """How far the output goes that cannot be the beginning of a reply's end."""
        line = self.taken.rfind(b"\n") + 1
        tail = bytes(self.taken[line:])
        held_back = self._nonce.startswith(tail) or tail.startswith(self._nonce)
        return line if held_back else len(self.taken)

    def answered(self) -> bool:
        """Whether a reply waits here."""
        return self._end.search(self.taken) is not None

    def end(self, error: BaseException) -> None:
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
                # What comes next is another call's, which may have nobody who listens.
                self._listener = None
                return status, out
            self._seen = len(self.taken)
            if self._error:
                raise self._error
            self._news.clear()
            await self._news.wait()
