"""On a slow line what is long is compressed; what is told and written is the same."""

from __future__ import annotations

import gzip
import hashlib
import random
from typing import Any

import pytest
import zstandard

from opsnb.core import layout, listing
from opsnb.errors import RemoteError, StepFailed
from opsnb.remote.pack import FAR, Packer, Packing, unpacked
from opsnb.remote.posix import PosixRemote
from opsnb.remote.shell import Call
from tests.remote.test_contract import NONE, ONE, record
from tests.remote.test_contract_spare import FILES, stream
from tests.support.sshd import require

PACKED: list[Packer] = ["zstd", "gzip"]
TEXT = b"a line of a manifest\n" * 20_000


@pytest.fixture(params=PACKED)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Packer:
    """A slow line, and a server that knows one compression."""
    found: Packer = request.param
    require(found)
    monkeypatch.setattr(PosixRemote, "round_trip", property(lambda _: FAR))
    monkeypatch.setattr(PosixRemote, "packing", property(lambda _: found))
    return found


async def built(held: Any) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream(FILES))


async def test_a_listing_is_what_it_is_without(held: Any, how: Packer, remote: Any) -> None:
    await built(held)
    told = await held.finish(ONE)
    assert listing.read(told).keys() == {b"d", *FILES}
    plain = await remote.ask("stats", ONE)
    assert told == plain.out
    assert (await held.finish_like(ONE, ONE)).unlike == b""
    assert (await remote.changes(ONE)).now == b""
    with pytest.raises(StepFailed) as failed:
        await held.finish(NONE)
    assert failed.value.status == 97


async def test_what_comes_after_a_failure_is_not_taken(held: Any, how: Packer) -> None:
    """The status is that of the function, not that of what compresses."""
    shell = held._shell
    calls = [Call("finish", (NONE, ""), packed=how), Call("forget", ("none",), regardless=False)]
    assert [reply.status for reply in await shell.batch(calls)] == [97, 98]


async def test_a_long_file_is_written_as_it_is(remote: Any, held: Any, how: Packer) -> None:
    path = layout.manifest(ONE)
    for text in (TEXT, b"short\n", TEXT + random.Random(3).randbytes(300_000)):
        await held.store(path, text)
        assert await remote.manifest(ONE) == text


async def test_a_long_file_that_is_spoilt_on_its_way_is_not_written(
    remote: Any, held: Any, how: Packer
) -> None:
    path = layout.manifest(ONE)
    await held.store(path, b"as it was\n")
    packing = Packing(how)
    whole = packing.pack(TEXT) + packing.rest()
    inside, digest = path.removeprefix(".opsnb/"), hashlib.sha256(TEXT).hexdigest()
    for spoilt in (whole[: len(whole) * 3 // 4], whole[: len(whole) // 2], b"", b"no such thing"):
        reply = await held._shell.call("store_packed", inside, how, digest, payload=[spoilt])
        assert reply.status != 0
        assert await remote.manifest(ONE) == b"as it was\n"


async def test_a_server_that_cannot_pack_is_asked_for_it_as_it_is(remote: Any) -> None:
    """The control: before the first look nobody knows, and nothing is compressed."""
    assert remote.packing == ""
    await remote.look()
    assert remote.packing == ("" if remote.round_trip < FAR else "zstd")


def made(how: Packer, text: bytes) -> bytes:
    return zstandard.compress(text) if how == "zstd" else gzip.compress(text)


@pytest.mark.parametrize("how", PACKED)
def test_only_a_whole_answer_within_its_limit_is_unpacked(how: Packer) -> None:
    whole = made(how, TEXT + b".")
    assert unpacked(how, whole, len(TEXT)) == TEXT
    assert unpacked(how, made(how, b"."), 0) == b""
    for bad in (b"", whole[:-20], whole[: len(whole) // 2], b"no such thing", made(how, TEXT)):
        with pytest.raises(RemoteError, match=r"cut short|cannot be unpacked"):
            unpacked(how, bad, len(TEXT))
    # A few bytes that stand for very many: no more is unpacked than is allowed.
    with pytest.raises(RemoteError, match="larger than 100,000 bytes"):
        unpacked(how, made(how, bytes(1 << 28)), 100_000)
