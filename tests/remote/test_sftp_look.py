"""What a look by SFTP makes of an answer that does not come, and of a user that nobody named."""

from __future__ import annotations

from typing import Any

import pytest

from opsnb.errors import Disconnected, StepFailed
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
