"""Compression of what is sent: when, and that what arrives is what was sent."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.manifest import Entry, Kind
from opsnb.engine import sending
from opsnb.engine.sending import stream
from opsnb.errors import RemoteError, StepFailed
from opsnb.remote import tar
from opsnb.remote.pack import FAR, Packer, Packing, packer
from tests.remote.test_contract import ONE, record
from tests.support.sshd import require

BOTH = frozenset({"zstd", "gzip"})
HOWS: list[Packer] = ["", "zstd", "gzip"]


@pytest.mark.parametrize(
    ("known", "round_trip", "how"),
    [
        (BOTH, FAR, "zstd"),
        (BOTH, 0.2, "zstd"),
        (frozenset({"gzip"}), 0.2, "gzip"),
        (frozenset(), 0.2, ""),
        (frozenset({"xz"}), 0.2, ""),
        (BOTH, FAR * 0.99, ""),
        (BOTH, 0.0, ""),
        (BOTH, None, ""),
    ],
)
def test_only_on_a_far_line_and_only_what_the_server_can_unpack(
    known: frozenset[str], round_trip: float | None, how: str
) -> None:
    assert packer(known, round_trip) == how


def unpacked(how: Packer, packed: bytes) -> bytes:
    if how == "zstd":
        whole = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        return whole.read()
    return gzip.decompress(packed) if how else packed


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=8), st.sampled_from(HOWS))
def test_what_was_packed_piece_by_piece_is_unpacked_as_a_whole(
    pieces: list[bytes], how: Packer
) -> None:
    packing = Packing(how)
    packed = b"".join([*map(packing.pack, pieces), packing.rest()])
    assert unpacked(how, packed) == b"".join(pieces)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.binary(max_size=3000), max_size=12), st.sampled_from(HOWS))
def test_so_is_what_was_packed_with_more_and_more_pains(
    pieces: list[bytes | None], how: Packer
) -> None:
    packing = Packing(how)
    told = [packing.harder() if piece is None else packing.pack(piece) for piece in pieces]
    assert unpacked(how, b"".join([*told, packing.rest()])) == b"".join(filter(None, pieces))


@pytest.mark.parametrize("how", ["zstd", "gzip"])
def test_the_servers_own_program_unpacks_it_and_it_is_smaller(how: Packer) -> None:
    text = b"".join(b"<p>line %d of a page</p>\n" % number for number in range(50_000))
    packing = Packing(how)
    packed = packing.pack(text[:700_000]) + packing.harder() + packing.pack(text[700_000:])
    packed += packing.rest()
    done = subprocess.run([require(how), "-d", "-c"], input=packed, capture_output=True, check=True)
    assert done.stdout == text
    assert len(packed) < len(text) / 4


def test_another_compression_is_refused() -> None:
    with pytest.raises(RemoteError, match="lz4"):
        Packing("lz4")  # type: ignore[arg-type]  # what a caller may not say


# --- on its way ------------------------------------------------------------------------------


def content() -> bytes:
    """Half a text, half what no compressor makes smaller."""
    return b"a line of a page\n" * 100_000 + random.Random(7).randbytes(1_500_000)


def pieces(text: bytes) -> Iterator[bytes]:
    yield tar.header(Entry(b"file", Kind.FILE, 0o640, len(text)), 1_700_000_000)
    yield text + tar.padding(len(text))
    yield from tar.trailer()


@pytest.mark.parametrize("how", HOWS)
async def test_a_packed_stream_arrives_as_it_was_sent(remote: Any, held: Any, how: Packer) -> None:
    require(how or "tar")
    assert how in (await remote.look()).packers | {""}
    text = content()
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream(pieces(text), how), how)
    other = stream(pieces(text), "")
    await held.begin("20260101000009", record("20260101000009", 2))
    await held.unpack("20260101000009", other)
    digests = [await remote.hashes(name, [b"file"]) for name in (ONE, "20260101000009")]
    assert digests[0] == digests[1]


async def taken(how: Packer, seconds: float) -> bytes:
    """Python's own library as a packed stream, of which each part takes so long to be sent."""
    told, files = [], sorted(Path(os.__file__).parent.glob("[a-z]*/[a-z]*.py"))
    async for piece in stream((file.read_bytes() for file in files), how):
        told.append(piece)
        await asyncio.sleep(seconds)
    return b"".join(told)


@pytest.mark.parametrize("how", ["zstd", "gzip"])
async def test_what_waits_for_the_line_is_packed_with_more_pains(
    how: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SLOWER", 2)
    at_once, slowly = await taken(how, 0), await taken(how, 0.1)
    assert len(slowly) < 0.98 * len(at_once)
    assert unpacked(how, slowly) == unpacked(how, at_once)


async def spoilt(how: Packer) -> AsyncIterator[bytes]:
    """A packed stream with something else in its middle."""
    async for piece in stream(pieces(content()), how):
        yield piece[: len(piece) // 2] + os.urandom(100) + piece[len(piece) // 2 :]


async def cut(how: Packer) -> AsyncIterator[bytes]:
    async for piece in stream(pieces(content()), how):
        yield piece[: len(piece) // 2]
        return


@pytest.mark.parametrize("how", ["zstd", "gzip"])
@pytest.mark.parametrize("bad", [spoilt, cut])
async def test_a_stream_that_was_spoilt_on_its_way_fails_the_step(
    held: Any, how: Packer, bad: Any
) -> None:
    require(how)
    await held.begin(ONE, record(ONE, 1))
    with pytest.raises(StepFailed):
        await held.unpack(ONE, bad(how), how)
    await held.unpack(ONE, stream(pieces(b"usable"), how), how)


async def test_a_server_says_how_far_it_is(place: Any, remote: Any) -> None:
    """A folder is no distance; over SSH the system tells once there is a connection."""
    await remote.look()
    told = remote.round_trip
    assert told is not None
    assert told == 0.0 if place.kind == "folder" else 0 < told < 5
