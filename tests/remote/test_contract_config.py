"""Configuration files in ``shared/``: the agent's own steps, on every kind of remote."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.manifest import Manifest
from opsnb.core.marks import Holder, Pending
from opsnb.errors import OpsnbError, StepFailed
from tests.core import worlds
from tests.remote.conftest import Place

NEW = b"NEW=1\n"
NAMES = [b".env", b"a b/c'd/$(touch pwned)", b"-rf/-n", b"*/`x`;\\", "ü/é".encode()]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pwned(where: Path) -> list[Path]:
    """What a name that became code would leave."""
    return list(where.rglob("pwned"))


def shared(where: Path, path: bytes) -> Path:
    return where / "shared" / os.fsdecode(path)


def looks(path: Path) -> tuple[bytes, str]:
    return path.read_bytes(), f"{stat.S_IMODE(path.stat().st_mode):o}"


async def stage(held: Any, path: bytes, before: bytes | None, mode: int = 0o640) -> None:
    """Keep what is there, and bring what is to be."""
    name = path.decode()
    was = [worlds.file(name, before.decode(), 0o604)] if before is not None else []
    after = Manifest([worlds.file(name, NEW.decode(), mode)])
    await held.config_begin()
    await held.private(".opsnb/tmp.config/new.0", NEW)
    await held.config_keep(0, path, "" if before is None else digest(before))
    pending = Pending("20260325140000", Manifest(was), after)
    await held.private(".opsnb/tmp.config/journal", pending.encode())
    await held.config_commit()


def there(place: Place, where: Path, path: bytes, content: bytes = b"old\n") -> Path:
    """A file that is there already."""
    file = shared(where, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o604)
    place.own(where / "shared")
    return file


@pytest.mark.parametrize("path", NAMES, ids=repr)
async def test_a_file_comes_and_goes_back_whatever_its_name(
    place: Place, remote: Any, held: Any, where: Path, path: bytes
) -> None:
    file = there(place, where, path)
    await stage(held, path, b"old\n")
    assert (await remote.look()).pending.release == "20260325140000"
    await held.config_place(0, path, 0o400)
    assert looks(file) == (NEW, "400")
    standing = await remote.standing([path, b"nowhere/at/all"])
    assert standing.found[path].sha256 == digest(NEW)
    assert (standing.found[path].mode, standing.odd, len(standing.found)) == (0o400, {}, 1)
    for _ in range(2):  # whoever dies in between begins again
        await held.config_back(0, path, was=True)
        assert looks(file) == (b"old\n", "604")
    await held.config_done([path])
    assert (await remote.look()).pending is None
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    assert pwned(where) == []


@pytest.mark.parametrize("path", NAMES, ids=repr)
async def test_what_was_not_there_is_gone_again(
    remote: Any, held: Any, where: Path, path: bytes
) -> None:
    await stage(held, path, None)
    await held.config_place(0, path, 0o640)
    assert looks(shared(where, path)) == (NEW, "640")
    await held.config_back(0, path, was=False)
    assert not shared(where, path).exists()
    await held.config_done([path])


async def test_what_is_gathered_may_be_read_by_nobody_else(held: Any, where: Path) -> None:
    await stage(held, b".env", None)
    pending = where / ".opsnb" / "config" / "pending"
    modes = {path.name: looks(path)[1] for path in pending.iterdir()}
    assert modes == {"new.0": "600", "journal": "600"}
    assert stat.S_IMODE(pending.stat().st_mode) == 0o700


async def test_what_has_changed_since_the_plan_is_not_replaced(
    place: Place, held: Any, where: Path
) -> None:
    file = there(place, where, b".env", b"by hand\n")
    for before in (b"old\n", None):
        with pytest.raises(StepFailed) as failed:
            await stage(held, b".env", before)
        assert failed.value.status == 99
    assert file.read_bytes() == b"by hand\n"
    assert not (where / ".opsnb" / "config" / "pending").exists()


@pytest.mark.parametrize("at", ["file", "parent", "shared"])
async def test_a_link_that_comes_in_between_is_not_followed(
    place: Place, held: Any, where: Path, at: str
) -> None:
    file = there(place, where, b"d/x")
    await stage(held, b"d/x", b"old\n")
    outside = where.parent / f"{where.name}-outside"
    (outside / "d").mkdir(parents=True)
    for name in ("x", "d/x"):
        (outside / name).write_text("precious")
    place.own(outside)
    moved = {"file": file, "parent": file.parent, "shared": where / "shared"}[at]
    moved.rename(f"{moved}.away")
    moved.symlink_to({"file": outside / "x", "parent": outside, "shared": outside}[at])
    for step in (
        lambda: held.config_place(0, b"d/x", 0o640),
        lambda: held.config_back(0, b"d/x", was=True),
        lambda: held.config_back(0, b"d/x", was=False),
    ):
        with pytest.raises(StepFailed):
            await step()
    assert {path.read_text() for path in outside.rglob("x")} == {"precious"}
    assert sorted(path.name for path in outside.rglob("*")) == ["d", "x", "x"]


async def test_what_is_odd_is_said_of_each_path(
    place: Place, remote: Any, held: Any, where: Path
) -> None:
    there(place, where, b"plain")
    top = where / "shared"
    (top / "link").symlink_to("plain")
    (top / "broken").symlink_to("nothing")
    (top / "dir").mkdir()
    os.mkfifo(top / "fifo")
    (top / "to").symlink_to("dir")
    paths = [b"link", b"broken", b"dir", b"fifo", b"to/x", b"plain/x", b"plain"]
    standing = await remote.standing(paths)
    assert set(standing.odd) == {*paths} - {b"plain"}
    assert set(standing.found) == {b"plain"}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to own files as others")
async def test_owner_and_group_stay_and_a_file_of_others_is_left_alone(
    place: Place, remote: Any, held: Any, where: Path
) -> None:
    file = there(place, where, b".env")
    os.chown(file, 12345, 23456)
    file.chmod(0o644)
    owner = (await remote.look()).user
    standing = await remote.standing([b".env"])
    if owner != "root":
        assert standing.odd == {b".env": "the file there is another user's"}
        return
    await stage(held, b".env", b"old\n")
    await held.config_place(0, b".env", 0o640)
    status = file.stat()
    assert (status.st_uid, status.st_gid, file.read_bytes()) == (12345, 23456, NEW)


async def test_a_robbed_holder_places_nothing(place: Place, held: Any, where: Path) -> None:
    file = there(place, where, b".env")
    await stage(held, b".env", b"old\n")
    thief = place.remote(where)
    seen = (await thief.look()).holder
    await thief.break_lock(Holder("", "", "", "", token=seen.token, pid=0))
    with pytest.raises(OpsnbError):
        await held.config_place(0, b".env", 0o640)
    assert file.read_bytes() == b"old\n"
    await thief.close()


async def test_a_description_that_was_lost_is_told_of_as_such(
    remote: Any, held: Any, where: Path
) -> None:
    await stage(held, b".env", None)
    (where / ".opsnb" / "config" / "pending" / "journal").write_text("{")
    assert (await remote.look()).pending == Pending("", Manifest(), Manifest())
    await held.config_done([])
    assert (await remote.look()).pending is None
