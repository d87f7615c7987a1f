"""The contract of steps that are sent together, of what is verified and of what is edited."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import listing
from opsnb.core.manifest import Manifest, edits
from opsnb.core.marks import Holder
from opsnb.errors import LockLost, StepFailed
from opsnb.remote.posix import PosixRemote
from tests.core import worlds
from tests.faults.guarantees import snapshot
from tests.remote.conftest import Place
from tests.remote.test_contract import (
    NONE,
    ONE,
    TWO,
    everything_but_signs_of_life,
    record,
    stream,
    watch_stopped,
)
from tests.support.site import NASTY

# --- what is listed -------------------------------------------------------------------------


async def test_a_release_that_looks_as_it_should_is_not_listed(remote: Any, held: Any) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"file": b"x", b"sub/new\nline": b"y" * 9, b"-rf": b""}))
    await held.link(ONE, [b"conf"])
    listed = await held.finish(ONE)
    entries = [seen.entry for seen in listing.read(listed).values()]
    told = await held.finish_as(ONE, listing.gist(entries))
    assert told == (None if isinstance(remote, PosixRemote) else listed)
    assert (await remote.changes(ONE)).now == b""
    for at in range(len(entries)):
        fewer = entries[:at] + entries[at + 1 :]
        assert await held.finish_as(ONE, listing.gist(fewer)) == listed
    larger = [replace(entry, size=entry.size + 1) for entry in entries]
    modes = [replace(entry, mode=entry.mode ^ 1) for entry in entries if entry.mode]
    elsewhere = [replace(entry, target=b"x") for entry in entries if entry.target]
    for others in (larger, modes, elsewhere):
        assert await held.finish_as(ONE, listing.gist(others)) == listed


# --- series ----------------------------------------------------------------------------------


async def test_a_series_takes_its_steps_in_order_and_tells_of_each_when_it_is_done(
    remote: Any, held: Any, where: Path
) -> None:
    told: list[str] = []
    async with held.series():
        held.then(lambda: told.append("before any step"))
        assert told == ["before any step"]
        await held.begin(ONE, record(ONE, 1))
        held.then(lambda: told.append("begun"))
        await held.unpack(ONE, stream({b"file": b"x" * 700_000}))
        await held.link(ONE, [b"up"])
        held.then(lambda: told.append("linked"))
        assert told == ["before any step"]
        seen = listing.read(await held.finish(ONE))
        assert told == ["before any step", "begun", "linked"], "an answer waits for all before it"
        assert set(seen) == {b"file", b"up"}
        await held.publish(ONE, b"")
        held.then(lambda: told.append("published"))
    assert told[-1] == "published"
    assert (await remote.look()).current.name == ONE


async def some(held: Any, told: list[str], *, bad: str) -> None:
    """Steps of which one fails, in one series."""

    async def big() -> AsyncIterator[bytes]:
        async for piece in stream({b"file": b"x" * 3_000_000}):
            yield piece

    async with held.series():
        await held.begin(ONE, record(ONE, 1))
        held.then(lambda: told.append("begun"))
        await held.unpack(NONE if bad == "unpack" else ONE, big())
        held.then(lambda: told.append("unpacked"))
        await held.modes(NONE if bad == "modes" else ONE, [(b"file", 0o600)])
        held.then(lambda: told.append("modes"))
        await held.unpack(ONE, stream({b"more": b"y" * 3_000_000}))
        await held.store(".opsnb/hold.json", b"{}")
        await held.publish(ONE, b"")
        held.then(lambda: told.append("published"))


@pytest.mark.parametrize(("bad", "done"), [("unpack", ["begun"]), ("modes", ["begun", "unpacked"])])
async def test_a_step_that_fails_stops_all_after_it_and_only_what_was_done_is_told(
    remote: Any, held: Any, where: Path, bad: str, done: list[str]
) -> None:
    """What those steps were to read is swallowed: the shell takes the next one all the same."""
    told: list[str] = []
    with pytest.raises(StepFailed) as failed:
        await some(held, told, bad=bad)
    assert failed.value.status not in (0, 98), "the one that failed is named, not one after it"
    assert told == done
    assert not held.broken
    assert not (where / "releases" / ONE / "more").exists()
    assert not (where / ".opsnb" / "hold.json").exists()
    assert (await remote.look()).current.name == ""
    await held.unpack(ONE, stream({b"file": b"z"}))
    await held.publish(ONE, b"")
    assert (where / "current" / "file").read_bytes() == b"z"


async def test_a_step_that_fails_before_a_question_is_what_the_question_raises(held: Any) -> None:
    await held.begin(ONE, record(ONE, 1))
    told: list[str] = []

    async def steps() -> None:
        async with held.series():
            await held.drop(NONE, [b"x"])
            held.then(lambda: told.append("dropped"))
            await held.discard([ONE])
            told.append("discarded")

    with pytest.raises(StepFailed):
        await steps()
    assert told == []


async def test_what_waits_when_its_maker_fails_is_never_sent(held: Any, where: Path) -> None:
    async def steps() -> None:
        async with held.series():
            await held.store(".opsnb/hold.json", b"{}")
            raise KeyError("its maker's own")

    with pytest.raises(KeyError):
        await steps()
    await held.begin(ONE, record(ONE, 1))
    assert not (where / ".opsnb" / "hold.json").exists()
    assert (where / "releases" / ONE).is_dir()


async def test_a_failing_step_is_known_at_once_outside_a_series(held: Any) -> None:
    with pytest.raises(StepFailed):
        await held.drop(NONE, [b"x"])
    told: list[str] = []
    held.then(lambda: told.append("at once"))
    assert told == ["at once"]


async def test_the_lock_is_given_back_as_the_last_step_and_taken_again(
    remote: Any, held: Any
) -> None:
    async with held.series():
        await held.begin(ONE, record(ONE, 1))
        await held.let_go()
    assert (await remote.look()).holder is None
    again = await remote.lock("tester", "here", "now", "again")
    await held.release()
    assert (await remote.look()).holder.token == again.token, "not given back twice"
    await again.release()


async def test_a_lock_that_was_not_given_back_since_a_step_failed_is_still_ours(
    remote: Any, held: Any
) -> None:
    async def steps() -> None:
        async with held.series():
            await held.drop(NONE, [b"x"])
            await held.let_go()

    with pytest.raises(StepFailed):
        await steps()
    assert (await remote.look()).holder.token == held.token
    await held.release()
    assert (await remote.look()).holder is None


async def test_a_robbed_holder_does_nothing_in_a_series_and_takes_nothing_with_it(
    remote: Any, held: Any, place: Place, where: Path
) -> None:
    await held.begin(ONE, record(ONE, 1))
    with watch_stopped(held._pid):
        thief = place.remote(where)
        seen = (await thief.look()).holder
        await thief.break_lock(Holder("", "", "", "", token=seen.token, pid=0))
        new = await thief.lock("thief", "there", "now", "robbery")
        before = everything_but_signs_of_life(where)
        told: list[str] = []
        with pytest.raises(LockLost):
            await some(held, told, bad="")
        assert told == []
        await held.let_go()
        assert everything_but_signs_of_life(where) == before
        assert (await thief.look()).holder.token == new.token
        await new.release()
        await thief.close()


# --- verifying -------------------------------------------------------------------------------


def digests(files: dict[bytes, bytes]) -> dict[bytes, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


NAMED = {name: b"content of " + name for name in NASTY}
MANY = {b"file%d" % number: b"%d" % number for number in range(401)}
LINE = {name: content for name, content in NAMED.items() if not {*b"\n\\"} & {*name}}
WAYS = {
    "few": (NAMED, {}),
    "many": ({**LINE, **MANY}, {}),
    "many with line breaks": ({**NAMED, **MANY}, {}),
    "large": ({**NAMED, b"big": b"0123456789abcdef" * 600_000}, {"large": True}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_content_is_verified_whatever_the_names(held: Any, where: Path, way: str) -> None:
    files, how = WAYS[way]
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream(files))
    right = digests(files)
    one, other = list(files)[:2]
    await held.verify(ONE, right, **how)
    wrong = {
        "another digest": {**right, one: right[other]},
        "two that are swapped": {**right, one: right[other], other: right[one]},
        "a file that is not there": {**right, b"nothing": right[one]},
    }
    for what, told in wrong.items():
        with pytest.raises(StepFailed) as failed:
            await held.verify(ONE, told, **how)
        assert failed.value.status == 99, what
    left = sorted((where / ".opsnb").glob("tmp.*"))
    assert left == []


# What is hashed while it comes, and what is hashed after it has come.
COMING = {"few": NAMED, "many": {**LINE, **MANY}, "many with line breaks": {**NAMED, **MANY}}


@pytest.mark.parametrize("way", COMING)
async def test_what_is_verified_as_it_comes_is_there_as_it_was_sent(
    held: Any, where: Path, way: str
) -> None:
    files = COMING[way]
    await held.begin(ONE, record(ONE, 1))
    await held.unpack_verified(ONE, stream(files), digests(files))
    for path, content in files.items():
        assert (where / "releases" / ONE / os.fsdecode(path)).read_bytes() == content
    # And in the place of what was there, through no link.
    other = where / "other"
    other.write_text("of somebody")
    for path in list(files)[:3]:
        place = where / "releases" / ONE / os.fsdecode(path)
        place.unlink()
        place.symlink_to(other)
    await held.unpack_verified(ONE, stream(files), digests(files))
    assert other.read_text() == "of somebody"
    await held.verify(ONE, digests(files))


@pytest.mark.parametrize("way", COMING)
@pytest.mark.parametrize("what", ["another digest", "one too many"])
async def test_what_comes_otherwise_than_planned_fails_the_step(
    held: Any, where: Path, way: str, what: str
) -> None:
    files = COMING[way]
    told = digests(files)
    one, other = list(files)[:2]
    if what == "another digest":
        told[one], told[other] = told[other], told[one]
    else:
        told[b"nothing"] = told[one]
    await held.begin(ONE, record(ONE, 1))
    with pytest.raises(StepFailed) as failed:
        await held.unpack_verified(ONE, stream(files), told)
    assert failed.value.status == 99
    assert sorted((where / ".opsnb").glob("tmp.*")) == []


async def test_what_comes_and_was_not_planned_is_found_where_all_that_comes_is_hashed(
    held: Any,
) -> None:
    await held.begin(ONE, record(ONE, 1))
    with pytest.raises(StepFailed) as failed:
        await held.unpack_verified(ONE, stream({**MANY, b"more": b"m"}), digests(MANY))
    assert failed.value.status == 99


@pytest.mark.parametrize("files", [NAMED, MANY], ids=["few", "many"])
async def test_a_stream_that_ends_too_soon_fails_and_leaves_nothing_behind(
    held: Any, where: Path, files: dict[bytes, bytes]
) -> None:
    """What is missing is no more than the filling of the last block."""

    async def cut() -> AsyncIterator[bytes]:
        whole = b"".join([piece async for piece in stream(files)])
        yield whole.rstrip(b"\0")

    await held.begin(ONE, record(ONE, 1))
    with pytest.raises(StepFailed):
        await held.unpack_verified(ONE, cut(), digests(files))
    assert sorted((where / ".opsnb").glob("tmp.*")) == []


@pytest.mark.parametrize("way", WAYS)
async def test_content_that_changed_on_the_server_is_found_out(
    held: Any, where: Path, way: str
) -> None:
    files, how = WAYS[way]
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream(files))
    await held.hook(f"releases/{ONE}", "printf C | dd of=-rf conv=notrunc", {}, 9, print)
    with pytest.raises(StepFailed) as failed:
        await held.verify(ONE, digests(files), **how)
    assert failed.value.status == 99
    with pytest.raises(StepFailed):
        await held.verify(NONE, digests(files), **how)


# --- editing ---------------------------------------------------------------------------------

OLD = worlds.tree(*(worlds.file(f"d/f{number}", "x") for number in range(20)))
NEW = Manifest(
    [
        *(entry for path, entry in OLD.items() if path not in (b"d/f0", b"d/f19", b"d/f7")),
        worlds.file("a first", "1"),
        worlds.file("d/f5 & \\1 $(x) % ' \"", "2"),
        worlds.file("d/f7", "3"),
        worlds.file("z/last", "4"),
        worlds.folder("z"),
    ]
)
PLACE = f".opsnb/manifests/{TWO}"
BASE = f".opsnb/manifests/{ONE}"


@pytest.mark.parametrize(
    ("old", "new"),
    [(OLD, NEW), (NEW, OLD), (Manifest(), NEW), (OLD, Manifest())],
    ids=["there", "and back", "from nothing", "to nothing"],
)
async def test_a_manifest_is_made_of_another_by_its_differences(
    remote: Any, held: Any, where: Path, old: Manifest, new: Manifest
) -> None:
    await held.store(BASE, old.encode())
    await held.edit(PLACE, BASE, edits(old.encode(), new.encode()), new.id)
    assert await remote.manifest(TWO) == new.encode()
    assert await remote.manifest(ONE) == old.encode()


@pytest.mark.parametrize("what", ["another", "cut short", "gone", "a digest of something else"])
async def test_a_base_that_is_not_what_it_was_taken_for_is_status_90(
    held: Any, where: Path, what: str
) -> None:
    text = {"another": NEW.encode(), "cut short": OLD.encode()[:-9]}.get(what, OLD.encode())
    if what != "gone":
        await held.store(BASE, text)
    before = snapshot(where / ".opsnb" / "manifests")
    told, digest = edits(OLD.encode(), NEW.encode()), NEW.id
    with pytest.raises(StepFailed) as failed:
        await held.edit(PLACE, BASE, told, OLD.id if what.startswith("a digest") else digest)
    assert failed.value.status == 90
    assert snapshot(where / ".opsnb" / "manifests") == before
