"""FastCGI: what is sent is as it is specified; what comes back may come in any pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsnb.core.fastcgi import END, LIMIT, STDERR, STDOUT, Answer, record, request

WHOLE = (
    record(STDERR, b"a complaint")
    + record(STDOUT, b"Status: 200\r\n\r\n")
    + record(STDOUT, b"said")
    + record(STDOUT)
    + record(END, bytes(8))
)


def test_a_request_is_begun_told_and_ended_byte_by_byte() -> None:
    assert request({"A": "b", "LONG": "x" * 200}) == (
        b"\x01\x01\x00\x01\x00\x08\x00\x00" + b"\x00\x01\x00\x00\x00\x00\x00\x00"
        b"\x01\x04\x00\x01\x00\xd5\x00\x00"
        + b"\x01\x01Ab"
        + b"\x04\x80\x00\x00\xc8LONG"
        + b"x" * 200
        + b"\x01\x04\x00\x01\x00\x00\x00\x00"
        + b"\x01\x05\x00\x01\x00\x00\x00\x00"
    )


def test_what_is_longer_than_a_record_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a record"):
        request({"A": "x" * 65536})


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_an_answer_may_be_cut_anywhere(places: list[int]) -> None:
    cuts = [0, *sorted(places), len(WHOLE)]
    answer = Answer()
    for start, end in pairwise(cuts):
        answer.feed(WHOLE[start:end])
    assert (answer.out, answer.complaints) == (b"Status: 200\r\n\r\nsaid", b"a complaint")
    assert answer.ended


def test_padding_and_what_comes_after_the_end_are_nothing() -> None:
    answer = Answer()
    answer.feed(b"\x01\x06\x00\x01\x00\x02\x03\x00ab\0\0\0" + record(END, bytes(8)) + b"junk" * 9)
    assert (answer.out, answer.ended) == (b"ab", True)


def test_what_speaks_otherwise_or_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="does not speak FastCGI"):
        Answer().feed(b"HTTP/1.1 400 Bad Request\r\n")
    endless = record(STDOUT, b"x" * 65535) * (LIMIT // 65535 + 2)
    with pytest.raises(ValueError, match="too long"):
        Answer().feed(endless)
