"""What is kept aside, as a glance's answer tells it."""

from __future__ import annotations

import pytest

from opsnb.remote.base import Aside
from opsnb.remote.replies import aside_in
from opsnb.remote.shell import Reply

TOLD = b"live\0{}\0f 644\0"
NOTHING = {
    "somebody switched in between": Reply(0, b"other" + TOLD[4:], b""),
    "nothing is live": Reply(0, b"\0{}\0f 644\0", b""),
    "it failed half way": Reply(1, TOLD, b""),
    "there is nothing": Reply(0, b"", b""),
}


def test_it_is_told_next_to_the_live_release() -> None:
    assert aside_in(Reply(0, TOLD, b""), b"live") == Aside(b"{}", b"f 644\0")


@pytest.mark.parametrize("why", NOTHING)
def test_next_to_another_release_it_is_not_used(why: str) -> None:
    assert aside_in(NOTHING[why], b"live") is None
