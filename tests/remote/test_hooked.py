"""A hook's words end at its mark, however they are cut, and what comes after is nobody's."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from opsnb.remote.hooked import Heard

WORDS = st.lists(st.sampled_from([b"a", b"\n", b"\x01", b"\0", b"12 ", b"\xff"]), max_size=12)


@given(WORDS, WORDS, st.lists(st.integers(0, 80), max_size=8))
def test_what_it_says_arrives_whole_and_no_more(
    before: list[bytes], after: list[bytes], places: list[int]
) -> None:
    said: list[bytes] = []
    heard = Heard(said.append)
    whole = b"".join(before) + b"\x01" + heard.mark + b" 92\n" + b"".join(after)
    cuts = [0, *sorted(min(place, len(whole)) for place in places), len(whole)]
    for start, end in pairwise(cuts):
        heard.feed(whole[start:end])
    assert b"".join(said) == b"".join(before)
    assert heard.status == 92


def test_a_line_is_told_when_it_is_there() -> None:
    said: list[bytes] = []
    heard = Heard(said.append)
    for piece in (b"ready? ", b"a\n", b"\x01", b"x"):
        heard.feed(piece)
    assert said == [b"ready? ", b"a\n", b"\x01x"]
    assert heard.status is None


def test_what_looks_like_a_mark_is_none() -> None:
    said: list[bytes] = []
    heard = Heard(said.append)
    heard.feed(b"\x01" + b"0" * 32 + b" 0\n" + b"\x01" + heard.mark + b" x\n")
    heard.feed(b"")
    assert heard.status is None
    assert b"".join(said).endswith(heard.mark + b" x\n")
