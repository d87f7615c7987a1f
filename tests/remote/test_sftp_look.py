"""What SFTP makes of an answer that does not come, of a user whom nobody named, of what is left."""

from __future__ import annotations

from typing import Any

import pytest

from opsnb.errors import Disconnected, StepFailed
from opsnb.remote.sftp.lock import give_back
from opsnb.remote.sftp.look import UNNAMED, _may_write
from opsnb.remote.sftp.remote import _listing
from opsnb.remote.sftp.wire import Item


class Answers:
    """A session in which every look at something ends in an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def stat(self, _: bytes) -> None:
        raise self._error


async def test_a_session_that_is_lost_is_not_an_empty_directory() -> None:
    """Else a deploy would go on without its links into that directory."""
    lost: Any = Answers(Disconnected("the line was cut"))
    with pytest.raises(Disconnected):
        await _listing(lost, b"config")


async def test_below_what_is_no_directory_there_is_nothing() -> None:
    below: Any = Answers(StepFailed("cannot look at shared/file/x: Failure", 1))
    assert await _listing(below, b"file/x") == {}


@pytest.mark.parametrize(
    ("user", "uid", "mode", "may"),
    [
        ("root", 0, 0o755, True),
        ("deploy", 0, 0o755, False),
        ("deploy", 0, 0o775, True),
        ("deploy", 1000, 0o755, True),
        (UNNAMED, 0, 0o755, True),
    ],
)
def test_what_cannot_be_known_of_a_user_is_left_to_the_lock(
    user: str, uid: int, mode: int, may: bool
) -> None:
    assert _may_write(Item("d", mode, 4096, 0, uid), user) is may


class Leaving:
    """A session that tells what is removed, and who is to be left in there."""

    def __init__(self) -> None:
        self.removed: list[tuple[bytes, int | None]] = []

    async def rename(self, old: bytes, new: bytes) -> None:
        del old, new

    async def lstat(self, _: bytes) -> Item:
        return Item("d", 0o755, 4096, 0, 41234)

    async def rmtree(self, path: bytes, owner: int | None = None) -> None:
        self.removed.append((path, owner))


async def test_others_are_shut_out_of_what_a_holder_leaves_before_it_is_removed() -> None:
    """A release may be among it: where one into which others write could not all be removed."""
    wire: Any = Leaving()
    await give_back(wire, b".opsnb/held/mine")
    assert wire.removed == [(b".opsnb/trash/mine", 41234)]
