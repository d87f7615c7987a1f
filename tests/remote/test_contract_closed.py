"""A release that is being built is closed to others, for every kind of remote that has a shell.

What is done in it goes by paths. Nobody else may be able to put a link where a path leads through.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from opsnb.errors import StepFailed
from tests.faults.guarantees import snapshot
from tests.remote.test_contract import ONE, TWO, record
from tests.remote.test_contract_spare import FILES, THREE, aside_of, made, stream, two_made
from tests.support.site import everything
from tests.support.sshd import absent

FOUR = "20260101000003"
ANOTHER = 54321  # a user who is not the one that deploys


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("like", [0o755, 0o2775, 0o711])
async def test_a_release_is_closed_until_it_is_opened_as_the_one_it_was_made_of(
    held: Any, where: Path, like: int
) -> None:
    await made(held, ONE, 1, FILES)
    new = where / "releases" / TWO
    (where / "releases" / ONE).chmod(like)
    await held.begin(TWO, record(TWO, 2))
    assert mode(new) == 0o700
    await held.copy(ONE, TWO, hardlink=False)
    await held.drop(TWO, [b"gone", b"up"])
    await held.unpack(TWO, stream({b"d/b": b"new"}))
    await held.modes(TWO, [(b"a", 0o600)])
    await held.link(TWO, [b"up"])
    assert mode(new) == 0o700
    await held.open_up(TWO, ONE)
    assert mode(new) == like
    assert new.stat().st_gid == (where / "releases" / ONE).stat().st_gid


async def test_one_made_of_the_release_kept_aside_is_closed_as_well(held: Any, where: Path) -> None:
    await two_made(held)
    await held.retire(ONE)
    await held.begin(THREE, record(THREE, 3))
    await held.recycle(THREE)
    assert mode(where / "releases" / THREE) == 0o700
    await held.open_up(THREE, TWO)
    assert mode(where / "releases" / THREE) == mode(where / "releases" / TWO)


@pytest.mark.parametrize("hardlink", [False, True])
async def test_a_link_that_was_copied_where_a_directory_was_fails_the_copy(
    held: Any, where: Path, hardlink: bool
) -> None:
    """Links elsewhere are no hindrance."""
    await made(held, ONE, 1, FILES)
    old = where / "releases" / ONE
    (old / "d").rename(where / "aside")
    (old / "d").symlink_to(where / "aside")
    os.chown(old / "d", old.stat().st_uid, old.stat().st_gid, follow_symlinks=False)
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=hardlink, through=[b"other"])
    await held.discard([TWO])
    await held.begin(TWO, record(TWO, 2))
    before = snapshot(where / "aside")
    with pytest.raises(StepFailed, match="link where a directory was"):
        await in_one_series(held, hardlink)
    assert snapshot(where / "aside") == before


async def in_one_series(held: Any, hardlink: bool) -> None:
    async with held.series():
        await held.copy(ONE, TWO, hardlink=hardlink, through=[b"x", b"d", b"e\nf"])
        await held.drop(TWO, [b"d/b"])
        await held.unpack(TWO, stream({b"d/b": b"theirs"}))


async def test_directories_that_nobody_may_go_through_are_closed_from_below(
    held: Any, where: Path
) -> None:
    """Once the one above is closed, nobody but root reaches the one below."""
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"d/e/f": b"x", b"d/e/g/h": b"y"}))
    wanted = {b"d": 0o000, b"d/e": 0o600, b"d/e/g": 0o000, b"d/e/f": 0o640}
    await held.modes(ONE, list(wanted.items()))
    seen = everything(where / "releases" / ONE)
    assert {path: seen[path].mode for path in wanted} == wanted


async def test_a_link_is_brought_only_where_one_is_meant(held: Any, where: Path) -> None:
    """Else what is sent next would be written where it leads."""
    await made(held, ONE, 1, FILES)
    (where / "releases" / ONE / "l").symlink_to("../../elsewhere")
    (where / "elsewhere").mkdir()
    (where / "elsewhere" / "b").write_text("precious")
    before = snapshot(where / "elsewhere")
    await held.begin(TWO, record(TWO, 2))
    await held.bring(ONE, TWO, [b"l", b"a"])
    new = where / "releases" / TWO
    assert (new / "l").is_dir()
    assert not (new / "l").is_symlink()
    await held.bring(ONE, TWO, [b"l"], "links")
    assert os.readlink(new / "l") == "../../elsewhere"
    assert snapshot(where / "elsewhere") == before


@pytest.mark.parametrize("open_", [0o775, 0o757, 0o2770])
async def test_a_tree_in_which_others_may_write_is_never_kept_aside(
    held: Any, where: Path, open_: int
) -> None:
    """Whoever is in one of its directories then stays there, wherever the tree is moved to."""
    await two_made(held)
    (where / "releases" / ONE / "d").chmod(open_)
    await held.finish(ONE)
    assert await held.retire(ONE)
    assert not (where / ".opsnb" / "spare").exists()


@pytest.mark.parametrize("open_", [0o775, 0o757])
async def test_nor_is_one_told_of_that_was_opened_since(
    remote: Any, held: Any, where: Path, open_: int
) -> None:
    await two_made(held)
    await held.retire(ONE)
    assert await aside_of(remote)
    (where / ".opsnb" / "spare" / "tree" / "d").chmod(open_)
    assert await aside_of(remote) is None


async def test_nor_is_one_told_of_whose_directory_is_anothers(
    remote: Any, held: Any, where: Path
) -> None:
    if os.geteuid() != 0:
        absent("only root can give a directory away")
    await two_made(held)
    await held.retire(ONE)
    os.chown(where / ".opsnb" / "spare" / "tree" / "d", ANOTHER, -1)
    assert await aside_of(remote) is None


@pytest.mark.parametrize("shut", [0o555, 0o500])
async def test_what_stands_in_a_closed_directory_is_dropped_and_written(
    held: Any, where: Path, shut: int
) -> None:
    """In a copy, and in what was kept aside: a directory is opened where that is needed, only."""
    files = {b"a": b"one", b"d/b": b"two", b"d/e/f": b"three", b"o/p": b"x"}
    for name, seq in ((ONE, 1), (TWO, 2)):
        await made(held, name, seq, files)
        await held.modes(name, [(b"d/e", shut), (b"d", shut), (b"o", shut)])
        await held.finish(name)
    await held.publish(TWO, b"")
    assert await held.retire(ONE)
    for name, seq in ((THREE, 3), (FOUR, 4)):
        await held.begin(name, record(name, seq))
        if name == THREE:
            await held.recycle(name, [b"o", b"d"])
        else:
            await held.copy(TWO, name, hardlink=False, through=[b"d", b"o"])
        await held.drop(name, [b"d/e"])
        await held.unpack(name, stream({b"o/p": b"new"}))
        new = where / "releases" / name
        assert not (new / "d" / "e").exists()
        assert (new / "o" / "p").read_bytes() == b"new"


async def test_what_others_may_write_to_is_removed_without_a_change_of_modes_below(
    held: Any, where: Path
) -> None:
    """By the time of the change a link could stand there."""
    await two_made(held)
    old = where / "releases" / ONE
    (old / "d").chmod(0o777)
    assert await held.discard([ONE])
    assert not old.exists()
    assert not list((where / ".opsnb" / "trash").iterdir())
