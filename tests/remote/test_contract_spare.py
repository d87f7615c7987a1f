"""The contract of the release that is kept aside, for every kind of remote."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import listing
from opsnb.core.manifest import Entry, Kind
from opsnb.errors import StepFailed
from opsnb.remote import tar
from opsnb.remote.base import Finish
from tests.faults.guarantees import snapshot
from tests.remote.conftest import Place
from tests.remote.test_contract import NONE, ONE, TWO, record
from tests.support.site import NASTY, everything

THREE = "20260101000002"
FILES = {b"a": b"one", b"d/b": b"two", b"d/new\nline": b"three", b"gone": b"x"}


async def stream(files: dict[bytes, bytes], mode: int = 0o644, at: int = 9) -> AsyncIterator[bytes]:
    """A tar stream with a directory ``d`` and files."""
    yield tar.header(Entry(b"d", Kind.DIR, 0o755), 1)
    for path, content in sorted(files.items()):
        yield tar.header(Entry(path, Kind.FILE, mode, len(content)), at)
        yield content + tar.padding(len(content))
    for end in tar.trailer():
        yield end


async def made(held: Any, name: str, seq: int, files: dict[bytes, bytes]) -> None:
    """A finished release with a link into shared/."""
    await held.begin(name, record(name, seq))
    await held.unpack(name, stream(files))
    await held.link(name, [b"up"])
    await held.store(f".opsnb/manifests/{name}", b"what it holds")
    await held.finish(name)


async def two_made(held: Any) -> None:
    await made(held, ONE, 1, FILES)
    await made(held, TWO, 2, {**FILES, b"d/b": b"other", b"more": b"m"})
    await held.publish(TWO, b"")


async def aside_of(remote: Any) -> Any:
    """What is kept aside, as a glance tells."""
    return (await remote.glance()).aside


async def test_a_release_that_was_retired_comes_back_as_the_new_one(
    remote: Any, held: Any, where: Path
) -> None:
    await two_made(held)
    before = snapshot(where / "releases" / ONE)
    assert await held.retire(ONE)
    site = await remote.look()
    assert (site.spare.name, site.find(ONE)) == (ONE, None)
    assert await remote.spare_manifest() == b"what it holds"
    assert snapshot(where / ".opsnb" / "spare" / "tree") == before
    assert not list((where / ".opsnb").glob(f"*/{ONE}*")), "nothing else is known of it"
    await held.begin(THREE, record(THREE, 3))
    await held.recycle(THREE)
    assert snapshot(where / "releases" / THREE) == before, "to the inode"
    assert (await remote.look()).spare is None
    assert not (where / ".opsnb" / "spare").exists()
    finish = await held.finish_like(THREE, TWO)
    assert finish.altered == b""
    here, there = listing.apart(finish.unlike)
    assert set(here) == {b"d/b", b"up"}, "its link was made at another time"
    assert there == {b"d/b", b"up", b"more"}
    assert not [p for p in (where / ".opsnb").glob("tmp.*") if "spare" in p.name]


async def test_what_was_retired_already_stays_aside(held: Any, where: Path) -> None:
    """What could not all be removed is asked for again."""
    await two_made(held)
    assert await held.retire(ONE)
    assert await held.retire(ONE)
    assert (where / ".opsnb" / "spare" / "tree" / "a").exists()


async def test_a_glance_tells_what_is_aside_and_how_it_differs_from_what_is_live(
    remote: Any, held: Any
) -> None:
    await two_made(held)
    await held.retire(ONE)
    aside = await aside_of(remote)
    assert aside.record.strip() == record(ONE, 1).strip()
    here, there = listing.apart(aside.unlike)
    assert here.keys() | there == {b"d/b", b"up", b"more"}


@pytest.mark.parametrize(
    "what", ["nothing", "no record", "no stats", "no tree", "a link", "live", "live's stats"]
)
async def test_what_is_not_whole_is_not_told(
    remote: Any, held: Any, where: Path, what: str
) -> None:
    await two_made(held)
    spare = where / ".opsnb" / "spare"
    if what != "nothing":
        await held.retire(ONE)
    if what == "no record":
        (spare / "record").unlink()
    elif what == "no stats":
        (spare / "stats").unlink()
    elif what in ("no tree", "a link"):
        (spare / "tree").rename(spare / "other")
    if what == "a link":
        (spare / "tree").symlink_to("other")
    elif what == "live's stats":
        (where / ".opsnb" / "stats" / TWO).unlink()
    elif what == "live":
        (where / "current").unlink()
    assert await aside_of(remote) is None


async def test_a_tree_that_is_a_link_never_becomes_a_release(
    held: Any, where: Path, place: Place
) -> None:
    await two_made(held)
    await held.retire(ONE)
    tree = where / ".opsnb" / "spare" / "tree"
    tree.rename(where / "elsewhere")
    tree.symlink_to("../../elsewhere")
    before = snapshot(where / "elsewhere")
    await held.begin(THREE, record(THREE, 3))
    with pytest.raises(StepFailed):
        await held.recycle(THREE)
    assert snapshot(where / "elsewhere") == before
    assert not (where / "releases" / THREE).is_symlink()


@pytest.mark.parametrize("what", ["file", "directory"])
async def test_a_link_that_was_not_there_is_not_followed(
    held: Any, where: Path, place: Place, what: str
) -> None:
    """Else what is dropped or sent next would be dropped from, or written, where it leads."""
    await two_made(held)
    await held.retire(ONE)
    canary = where / "canary"
    canary.mkdir()
    (canary / "b").write_text("precious")
    tree = where / ".opsnb" / "spare" / "tree"
    if what == "directory":
        (tree / "d").rename(where / "aside")
        (tree / "d").symlink_to("../../canary")
    else:
        (tree / "a").unlink()
        (tree / "a").symlink_to("../../canary/b")
    before = snapshot(canary)
    await held.begin(THREE, record(THREE, 3))
    with pytest.raises(StepFailed) as refused:
        await in_one_series(held)
    assert refused.value.status == 90
    assert snapshot(canary) == before


async def in_one_series(held: Any) -> None:
    async with held.series():
        await held.recycle(THREE, [b"d", b"a"])
        await held.drop(THREE, [b"d/b", b"a"])
        await held.unpack(THREE, stream({b"d/b": b"theirs"}))


async def test_links_that_were_there_are_no_hindrance(held: Any, where: Path) -> None:
    await made(held, ONE, 1, FILES)
    await held.link(ONE, [*NASTY])
    await held.finish(ONE)
    await made(held, TWO, 2, FILES)
    await held.publish(TWO, b"")
    await held.retire(ONE)
    await held.begin(THREE, record(THREE, 3))
    await held.recycle(THREE)
    assert os.readlink(os.fsencode(where / "releases" / THREE) + b"/" + NASTY[0])


# --- what somebody else did ------------------------------------------------------------------


def rewrite(path: Path) -> None:
    """The same size and the same time: only the inode tells."""
    status = path.stat()
    path.write_bytes(b"X" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def new_directory(path: Path) -> None:
    """Of the owner of all the rest: one of somebody else's is never used."""
    new, status = path.parent / "new", path.stat()
    new.mkdir()
    os.chown(new, status.st_uid, status.st_gid)


MEDDLING = {
    "rewritten": rewrite,
    "another mode": lambda path: path.chmod(0o600),
    "a second name": lambda path: os.link(path, path.parent / "second"),
    "a second name elsewhere": lambda path: os.link(path, path.parents[4] / "second"),
    "removed": lambda path: path.unlink(),
    "touched": os.utime,
    "something new": lambda path: (path.parent / "new").write_text("x"),
    "a new directory": new_directory,
}


@pytest.mark.parametrize("how", MEDDLING)
async def test_whatever_was_done_to_it_is_told_when_it_is_finished(
    held: Any, where: Path, how: str
) -> None:
    await two_made(held)
    await held.retire(ONE)
    MEDDLING[how](where / ".opsnb" / "spare" / "tree" / "d" / "b")
    await held.begin(THREE, record(THREE, 3))
    await held.recycle(THREE)
    await held.drop(THREE, [b"gone"])
    altered = listing.named((await held.finish_like(THREE, TWO)).altered)
    assert b"gone" in altered, "what we did is told as well"
    new = {"a second name", "something new", "a new directory"}
    named = {b"d/second" if how == "a second name" else b"d/new"} if how in new else {b"d/b"}
    assert named <= altered
    assert altered <= named | {b"gone", b"d/b"}


async def reused(held: Any) -> Finish | None:
    """Made of the first, without one of its files; what is told where another should be."""
    await held.begin(THREE, record(THREE, 3))
    await held.recycle(THREE)
    await held.drop(THREE, [b"gone"])
    gist = listing.gist_of_change([Entry(b"gone", Kind.FILE, 0o644, 1)], [])
    finish: Finish | None = await held.finish_reused(THREE, TWO, gist)
    return finish


async def test_one_that_differs_just_as_it_should_is_not_told_of(held: Any, where: Path) -> None:
    await two_made(held)
    await held.retire(ONE)
    assert await reused(held) is None
    listed = (where / ".opsnb" / "stats" / THREE).read_bytes()
    assert listing.read(listed).keys() == {b"a", b"d", b"d/b", b"d/new\nline", b"up"}
    assert not list((where / ".opsnb").glob("tmp.*"))


def leads_to_x(tree: Path) -> None:
    (tree / "up").unlink()
    (tree / "up").symlink_to("x")


def no_directory(tree: Path) -> None:
    (tree / "d").rename(tree.parents[2] / "d")
    (tree / "d").write_text("")


OTHERWISE: dict[str, Callable[[Path], object]] = {
    "a link leads elsewhere": leads_to_x,
    "a link went": lambda tree: (tree / "up").unlink(),
    "a link became a file": lambda tree: os.replace(tree / "a", tree / "up"),
    "a directory has another mode": lambda tree: (tree / "d").chmod(0o750),
    "a directory became a file": no_directory,
    "a pipe": lambda tree: os.mkfifo(tree / "pipe"),
    "what was to go has another name": lambda tree: (tree / "gone").rename(tree / "gone2"),
}


@pytest.mark.parametrize("how", [*MEDDLING, *OTHERWISE])
async def test_one_that_differs_otherwise_is_told_of_as_ever(
    held: Any, where: Path, how: str
) -> None:
    await two_made(held)
    await held.retire(ONE)
    tree = where / ".opsnb" / "spare" / "tree"
    if how in MEDDLING:
        MEDDLING[how](tree / "d" / "b")
    else:
        OTHERWISE[how](tree)
    finish = await reused(held)
    assert finish is not None
    assert b"gone" in listing.named(finish.altered)
    assert listing.apart(finish.unlike)
    assert not list((where / ".opsnb").glob("tmp.*"))


@pytest.mark.parametrize("comes", ["from the source", "from the live release"])
@pytest.mark.parametrize("kind", ["file", "link"])
async def test_what_comes_takes_the_place_of_a_file_and_is_never_written_into_it(
    held: Any, where: Path, comes: str, kind: str
) -> None:
    await two_made(held)
    await held.retire(ONE)
    there, other = where / ".opsnb" / "spare" / "tree" / "d" / "b", where / "other"
    other.write_text("of somebody")
    there.unlink()
    (os.link if kind == "file" else os.symlink)(other, there)
    await held.begin(THREE, record(THREE, 3))
    if kind == "link":
        with pytest.raises(StepFailed) as failed:
            await held.recycle(THREE, [b"d", b"d/b"])
        assert failed.value.status == 90, "it is not even begun"
    else:
        await held.recycle(THREE, [b"d", b"d/b"])
    if comes == "from the source":
        await held.unpack(THREE, stream({b"d/b": b"new"}))
    else:
        await held.bring(TWO, THREE, [b"d/b"])
    assert other.read_text() == "of somebody"
    made = where / "releases" / THREE / "d" / "b"
    assert not made.is_symlink()
    assert made.read_text() == ("new" if comes == "from the source" else "other")


async def test_a_directory_that_became_a_file_is_told_too(held: Any, where: Path) -> None:
    await two_made(held)
    await held.retire(ONE)
    tree = where / ".opsnb" / "spare" / "tree"
    (tree / "d").rename(where / "aside")
    (tree / "d").write_text("")
    await held.begin(THREE, record(THREE, 3))
    await held.recycle(THREE)
    altered = listing.named((await held.finish_like(THREE, TWO)).altered)
    assert altered == {b"d", b"d/b", b"d/new\nline"}


# --- bringing --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NASTY)
async def test_any_legal_name_is_brought_with_its_content_mode_and_time(
    held: Any, where: Path, place: Place, name: bytes
) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({name: b"here", b"d/" + name: b"below", b"d/other": b"no"}))
    await held.link(ONE, [b"l" + name[:200]])
    root = os.fsencode(where / "releases" / ONE)
    os.utime(root + b"/" + name, ns=(7, 1_234_567_890_123_456_789))
    os.chmod(root + b"/" + name, 0o4750)
    before = snapshot(where / "releases" / ONE)
    await held.begin(TWO, record(TWO, 2))
    await held.bring(ONE, TWO, [b"d", b"d/" + name, name])
    await held.bring(ONE, TWO, [b"l" + name[:200]], "links")
    assert snapshot(where / "releases" / ONE) == before
    brought = everything(where / "releases" / TWO)
    whole = everything(where / "releases" / ONE)
    assert brought == {path: e for path, e in whole.items() if path != b"d/other"}
    there = os.fsencode(where / "releases" / TWO) + b"/" + name
    assert os.stat(there).st_mtime_ns == 1_234_567_890_123_456_789
    assert os.stat(there).st_ino != os.stat(root + b"/" + name).st_ino
    digest = hashlib.sha256(b"here").hexdigest()
    await held.verify(TWO, {name: digest})


async def test_a_directory_that_was_brought_is_open_to_its_owner_until_its_mode_is_set(
    held: Any, where: Path
) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"d/b": b"1"}))
    await held.modes(ONE, [(b"d", 0o500)])
    await held.begin(TWO, record(TWO, 2))
    await held.bring(ONE, TWO, [b"d", b"d/b"])
    await held.unpack(TWO, stream({b"d/c": b"2"}))
    await held.modes(TWO, [(b"d", 0o500)])
    assert everything(where / "releases" / TWO)[b"d"].mode == 0o500


async def test_what_is_not_there_is_missed_by_the_check_that_follows(held: Any) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"a": b"1"}))
    await held.begin(TWO, record(TWO, 2))
    await held.bring(ONE, TWO, [b"a", b"nothing"])
    digest = hashlib.sha256(b"1").hexdigest()
    await held.verify(TWO, {b"a": digest})
    with pytest.raises(StepFailed):
        await held.verify(TWO, {b"a": digest, b"nothing": digest})


# --- keeping aside ---------------------------------------------------------------------------


async def test_the_live_release_is_never_retired(held: Any, where: Path) -> None:
    await two_made(held)
    before = snapshot(where / "releases")
    with pytest.raises(StepFailed) as refused:
        await held.retire(TWO)
    assert refused.value.status == 95
    assert snapshot(where / "releases") == before


@pytest.mark.parametrize("what", ["no record", "a link to one", "a link to the live one"])
async def test_what_is_no_release_of_ours_is_never_retired(
    remote: Any, held: Any, where: Path, place: Place, what: str
) -> None:
    await two_made(held)
    for known in ("manifests", "stats"):
        await held.store(f".opsnb/{known}/{NONE}", b"")
    if what == "no record":
        (where / "releases" / NONE).mkdir()
        (where / "releases" / NONE / "file").write_text("somebody else's")
        place.own(where / "releases" / NONE)
    else:
        await held.store(f".opsnb/records/{NONE}.json", record(NONE, 9))
        (where / "releases" / NONE).symlink_to(TWO if what.endswith("live one") else ONE)
    before = snapshot(where / "releases")
    if what == "a link to the live one":
        with pytest.raises(StepFailed):
            await held.retire(NONE)
    else:
        await held.retire(NONE)
    assert snapshot(where / "releases") == before
    assert (await remote.look()).spare is None


@pytest.mark.parametrize("what", ["carried", "a second name", "no stats", "no manifest"])
async def test_what_is_not_wholly_known_goes_and_is_not_kept(
    remote: Any, held: Any, where: Path, what: str
) -> None:
    await two_made(held)
    if what == "carried":
        await held.store(f".opsnb/carried/{ONE}", b"f 644 1 1 1 1 x\0")
    elif what == "a second name":
        await held.hook(f"releases/{ONE}", "ln a second && rm second && ln a b", {}, 9, print)
        await held.finish(ONE)
    elif what == "no stats":
        await held.forget([f".opsnb/stats/{ONE}"])
    else:
        await held.forget([f".opsnb/manifests/{ONE}"])
    assert await held.retire(ONE)
    site = await remote.look()
    assert (site.spare, site.find(ONE), site.debris) == (None, None, 0)
    assert not (where / ".opsnb" / "spare").exists()
    assert not (where / "releases" / ONE).exists()


async def test_the_one_that_left_last_takes_the_place_of_the_one_before(
    remote: Any, held: Any, where: Path
) -> None:
    await two_made(held)
    await made(held, THREE, 3, FILES)
    await held.publish(THREE, f"releases/{TWO}".encode())
    for name in (ONE, TWO):
        assert await held.retire(name)
        assert (await remote.look()).spare.name == name
    assert not any((where / ".opsnb" / "trash").iterdir())


async def test_a_record_that_outlived_its_directory_is_forgotten(remote: Any, held: Any) -> None:
    await two_made(held)
    await held.store(f".opsnb/records/{NONE}.json", record(NONE, 9))
    assert await held.retire(NONE)
    site = await remote.look()
    assert (site.find(NONE), site.spare) == (None, None)


async def test_it_is_cleared_whatever_modes_its_directories_have(
    remote: Any, held: Any, where: Path
) -> None:
    await made(held, ONE, 1, FILES)
    await held.modes(ONE, [(b"d", 0o500)])
    await held.finish(ONE)
    await made(held, TWO, 2, FILES)
    await held.publish(TWO, b"")
    assert await held.retire(ONE)
    assert (await remote.look()).spare is not None
    assert await held.clear_spare()
    assert (await remote.look()).spare is None
    assert not (where / ".opsnb" / "spare").exists()
    assert await held.clear_spare(), "and again, when there is none"


async def test_clearing_it_follows_no_link(held: Any, where: Path, place: Place) -> None:
    await two_made(held)
    await held.retire(ONE)
    canary = where.parent / f"{where.name}-canary"
    canary.mkdir()
    (canary / "file").write_text("alive")
    (where / ".opsnb" / "spare" / "tree" / "out").symlink_to(canary)
    place.own(canary)
    before = snapshot(canary)
    assert await held.clear_spare()
    assert snapshot(canary) == before


# --- being told how two releases differ ------------------------------------------------------


@pytest.mark.parametrize("name", NASTY)
async def test_a_finished_release_is_told_by_how_it_differs(held: Any, name: bytes) -> None:
    same, other, time = b"same " + name[:200], b"other " + name[:200], b"time " + name[:200]
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({same: b"1", other: b"22", time: b"1", name: b"1"}))
    await held.finish(ONE)
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=False)
    await held.drop(TWO, [name])
    await held.unpack(TWO, stream({other: b"2"}))
    await held.unpack(TWO, stream({time: b"1"}, at=8))
    finish = await held.finish_like(TWO, ONE)
    here, there = listing.apart(finish.unlike)
    assert finish.altered == b"", "only of one that was kept aside"
    assert {path: seen.entry.size for path, seen in here.items()} == {other: 1, time: 1}
    assert there == {other, time, name}


async def test_a_release_whose_listing_is_gone_is_listed_again(held: Any, where: Path) -> None:
    """Else what the new release lacks would be taken for what both have."""
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"a": b"1", b"b": b"1"}))
    await held.finish(ONE)
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=False)
    await held.drop(TWO, [b"b"])
    (where / ".opsnb" / "stats" / ONE).unlink()
    here, there = listing.apart((await held.finish_like(TWO, ONE)).unlike)
    assert (here, there) == ({}, frozenset({b"b"}))
