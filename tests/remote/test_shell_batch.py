"""Calls that are sent together: one after the other, each only if it may, and no reply is lost."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsnb.errors import Disconnected, SourceError, StepTimedOut
from opsnb.remote.shell import FRAME, SHORT, Call, Data, Pipes, Reply, Shell
from tests.remote.conftest import Place

MEGABYTE = 1 << 20
SECONDS = 60.0


def script(text: str, payload: Any = None, *, regardless: bool = False, **more: Any) -> Call:
    """A call of what the agent's own shell makes of a text."""
    return Call("eval", (text,), payload, regardless=regardless, **more)


@pytest.fixture
async def shell(remote: Any) -> AsyncIterator[Shell]:
    made = await remote.spare_shell()
    yield made
    await made.close()


def statuses(replies: list[Reply]) -> list[int]:
    return [reply.status for reply in replies]


async def test_each_call_is_taken_if_the_one_before_it_went_well(shell: Shell) -> None:
    replies = await shell.batch([script("echo 1"), script("echo 2; exit 7"), script("echo 3")])
    assert statuses(replies) == [0, 7, 98]
    assert [reply.out for reply in replies] == [b"1\n", b"2\n", b""]


async def test_what_is_not_taken_is_no_reason_to_take_the_next(shell: Shell) -> None:
    calls = [script("false"), script("true"), script("true"), script("echo 4", regardless=True)]
    replies = await shell.batch([*calls, script("echo 5")])
    assert statuses(replies) == [1, 98, 98, 0, 0]
    assert [reply.out for reply in replies[3:]] == [b"4\n", b"5\n"]


async def test_the_last_call_of_one_batch_says_nothing_about_the_next(shell: Shell) -> None:
    """The first call of a batch is taken in any case, as every call on its own is."""
    assert (await shell.call("false")).status == 1
    assert (await shell.call("true")).status == 0
    assert statuses(await shell.batch([script("false", regardless=True), script("true")])) == [
        1,
        98,
    ]
    assert (await shell.call("true")).status == 0


async def test_each_reply_is_told_before_the_next_call_has_ended(
    shell: Shell, place: Place, where: Path
) -> None:
    """The second call ends only when the first one's reply has been told."""
    go = where.parent / f"{where.name}-go"
    told: list[tuple[int, bytes]] = []

    def answered(number: int, reply: Reply) -> None:
        told.append((number, reply.out))
        if number == 0:
            go.write_text("")
            place.own(go)

    wait = f"while [ ! -e '{go}' ]; do sleep 0.05; done; echo two"
    await shell.batch([script("echo one"), script(wait, timeout=20)], answered)
    assert told == [(0, b"one\n"), (1, b"two\n")]


async def test_each_call_hears_its_own_output_alone(shell: Shell) -> None:
    heard: list[list[bytes]] = [[], [], []]
    texts = ["echo one", "printf 'two\\n\\ntwo'", "echo three"]
    calls = [script(text, on_output=into.append) for text, into in zip(texts, heard, strict=True)]
    await shell.batch(calls)
    assert [b"".join(into) for into in heard] == [b"one\n", b"two\n\ntwo", b"three\n"]


async def test_an_argument_that_a_line_cannot_carry_is_refused_before_anything_is_sent(
    shell: Shell,
) -> None:
    with pytest.raises(ValueError, match="line break"):
        await shell.batch([script("echo sent"), script("echo\nnot")])
    assert (await shell.call("echo", "usable")).out == b"usable\n"


# --- payloads --------------------------------------------------------------------------------


class Pieces:
    """Pieces without end, and how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1
            yield b"x" * MEGABYTE


def megabytes(count: int) -> list[bytes]:
    return [bytes([number % 251]) * MEGABYTE for number in range(count)]


async def test_every_payload_arrives_where_it_belongs(shell: Shell) -> None:
    sizes = [0, 1, 3, 0, 5]
    calls = [script("sha256sum", megabytes(size)) for size in sizes]
    replies = await shell.batch(calls)
    wanted = [hashlib.sha256(b"".join(megabytes(size))).hexdigest().encode() for size in sizes]
    assert [reply.out.split()[0] for reply in replies] == wanted


SIZES = [size + more for size in (SHORT, FRAME, 2 * FRAME, MEGABYTE) for more in (-1, 0, 1)]


@pytest.mark.parametrize("sizes", [SIZES, SIZES[::-1], [1] * 3000, [5 * MEGABYTE + 3, 1, 0, 7]])
async def test_a_payload_in_pieces_of_any_size_arrives_as_it_is(
    shell: Shell, sizes: list[int]
) -> None:
    """What is long is sent as it is given, cut where a frame ends; what is short is gathered."""
    pieces = [random.Random(place).randbytes(size) for place, size in enumerate(sizes)]
    calls = [script("sha256sum", pieces), script("sha256sum", [b"after"])]
    told = [reply.out.split()[0].decode() for reply in await shell.batch(calls)]
    assert told == [hashlib.sha256(sent).hexdigest() for sent in (b"".join(pieces), b"after")]


@pytest.mark.parametrize("way", ["skipped", "failed"])
async def test_a_payload_that_nobody_wants_any_more_ends_soon(shell: Shell, way: str) -> None:
    """It has no end of its own: it ends since the agent says so."""
    pieces = Pieces()
    calls = [script("false"), script("cat", pieces)]
    if way == "failed":
        calls = [script("head -c 3000000 >/dev/null; exit 5", pieces), script("true")]
    async with asyncio.timeout(SECONDS):
        replies = await shell.batch(calls)
    assert statuses(replies) == ([1, 98] if way == "skipped" else [5, 98])
    assert 0 < pieces.taken < 1000
    assert (await shell.call("echo", "usable")).out == b"usable\n"


@pytest.mark.parametrize("first", ["exit 5", "head -c 1000000 >/dev/null; exit 5"])
async def test_what_ends_one_payload_does_not_cut_a_later_one(shell: Shell, first: str) -> None:
    pieces = megabytes(6)
    calls = [
        script(first, megabytes(4)),
        script("cat >/dev/null", megabytes(2)),
        script("sha256sum", pieces, regardless=True),
        script("wc -c", pieces),
    ]
    replies = await shell.batch(calls)
    assert statuses(replies) == [5, 98, 0, 0]
    assert replies[2].out.split()[0].decode() == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert int(replies[3].out) == 6 * MEGABYTE


async def test_a_call_that_reads_nothing_of_its_payload_leaves_nothing_for_the_next(
    shell: Shell,
) -> None:
    payload = [b"\nexit 1\ntouch pwned\n" * 20_000]
    replies = await shell.batch([script("true", payload), script("echo next")])
    assert [(reply.status, reply.out) for reply in replies] == [(0, b""), (0, b"next\n")]


async def test_a_source_that_fails_is_what_the_batch_raises(shell: Shell) -> None:
    first = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * MEGABYTE
        await first.wait()
        raise SourceError("it became shorter")

    calls = [script("true"), script("cat >/dev/null", broken()), script("true")]
    with pytest.raises(SourceError, match="shorter"):
        await shell.batch(calls, lambda _number, _reply: first.set())
    assert shell.broken, "nobody knows how far it had read"


# --- ending in the middle --------------------------------------------------------------------


async def test_a_cancellation_in_the_middle_closes_the_shell(shell: Shell) -> None:
    told: list[int] = []
    begun = asyncio.Event()

    def answered(number: int, _reply: Reply) -> None:
        told.append(number)
        begun.set()

    calls = [script("true"), script("sleep 30"), script("true")]
    running = asyncio.create_task(shell.batch(calls, answered))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert told == [0]
    assert shell.broken
    with pytest.raises(Disconnected):
        await shell.call("true")


async def test_a_cancellation_while_a_payload_goes_out_closes_the_shell(shell: Shell) -> None:
    running = asyncio.create_task(shell.batch([script("sleep 30", Pieces()), script("true")]))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert shell.broken


async def test_the_time_of_a_call_begins_when_the_one_before_it_has_ended(shell: Shell) -> None:
    calls = [script("sleep 0.6", timeout=5), script("sleep 0.2", timeout=0.5)]
    assert statuses(await shell.batch(calls)) == [0, 0]
    with pytest.raises(StepTimedOut, match="eval"):
        await shell.batch([script("true"), script("sleep 30", timeout=0.3), script("true")])
    assert shell.broken


# --- what comes back, and in how many pieces it goes out -------------------------------------


class Watched:
    """Real pipes; what goes out is counted, and replies come only after all errors.

    Args:
        real: The pipes.
        errors: Bytes of errors that must have come before any output is given.
    """

    def __init__(self, real: Any, errors: int = 0) -> None:
        self._real, self._errors, self.writes = real, errors, 0

    async def write(self, data: Data) -> None:
        self.writes += 1
        await self._real.write(data)

    async def read_out(self) -> bytes:
        out: bytes = await self._real.read_out()
        while self._errors > 0:  # noqa: ASYNC110 - no other way to be told
            await asyncio.sleep(0.01)
        return out

    async def read_err(self) -> bytes:
        err: bytes = await self._real.read_err()
        if b"x" in err:
            self._errors -= err.count(b"x")
        return err

    async def close(self) -> None:
        self._errors = 0
        await self._real.close()


async def opened(pipes: Any, site: Path) -> Shell:
    shell = Shell(pipes, str(site))
    await shell.open(SECONDS)
    return shell


@pytest.fixture
async def dialled(remote: Any) -> Any:
    return await remote._dial("")


async def test_the_errors_of_a_later_call_lose_no_earlier_reply(dialled: Any, where: Path) -> None:
    """Three replies, each with more than is ever kept, before the first one is read."""
    watched = Watched(dialled)
    shell = await opened(watched, where)
    watched._errors = 600_000
    shout = "head -c 300000 /dev/zero | tr '\\0' x >&2; echo last >&2"
    replies = await shell.batch(
        [script("echo one; echo first >&2"), script(f"{shout}; echo two"), script(shout)]
    )
    assert [reply.out for reply in replies] == [b"one\n", b"two\n", b""]
    assert statuses(replies) == [0, 0, 0]
    assert replies[0].complaint == "first"
    for reply in replies[1:]:
        assert reply.err.endswith(b"xlast\n")
        assert len(reply.err) < 500_000
    await shell.close()


async def test_small_calls_go_out_in_one_piece(dialled: Any, where: Path) -> None:
    watched = Watched(dialled)
    shell = await opened(watched, where)
    before = watched.writes
    calls = [script("cat", [b"some", b"thing"]), *(script("true") for _ in range(20))]
    assert statuses(await shell.batch(calls)) == [0] * 21
    assert watched.writes == before + 1
    await shell.close()


class Endless:
    """Pipes whose end is never read, as when a process that was left holds them."""

    def __init__(self, real: Pipes) -> None:
        self._real = real
        self.write, self.close = real.write, real.close

    async def read_out(self) -> bytes:
        return await self._real.read_out() or await asyncio.Future[bytes]()

    async def read_err(self) -> bytes:
        return await self._real.read_err() or await asyncio.Future[bytes]()


async def test_whoever_waits_for_a_reply_is_told_at_once_that_the_shell_was_closed(
    dialled: Any, where: Path
) -> None:
    shell = await opened(Endless(dialled), where)
    running = asyncio.create_task(shell.call("eval", "sleep 60", timeout=60))
    await asyncio.sleep(0.1)
    await shell.close()
    with pytest.raises(Disconnected):
        await asyncio.wait_for(running, 20)


class LateErrors:
    """Pipes whose complaints come a while after all output."""

    def __init__(self, real: Pipes) -> None:
        self._real = real
        self.write, self.close, self.read_out = real.write, real.close, real.read_out

    async def read_err(self) -> bytes:
        data = await self._real.read_err()
        await asyncio.sleep(0.3)
        return data


async def test_who_listened_to_a_call_hears_nothing_of_the_next(dialled: Any, where: Path) -> None:
    """The output of the next may be here while the end of the complaints is still awaited."""
    shell, heard = await opened(LateErrors(dialled), where), list[bytes]()
    calls = [script("echo one", on_output=heard.append), script("echo two")]
    replies = await shell.batch(calls)
    assert (b"".join(heard), replies[1].out) == (b"one\n", b"two\n")
    await shell.close()
