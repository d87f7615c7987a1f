"""What a command says, as lines within bounds."""

from __future__ import annotations

from typing import Literal

import pytest

from opsnb.core.output import LONGEST, SHOWN_BYTES, SHOWN_LINES, TAIL, Output, Said


def lines(*pieces: bytes, stream: Literal["out", "err"] = "out") -> list[str]:
    output = Output()
    told = [said.text for piece in pieces for said in output.feed(stream, piece)]
    return told + [said.text for said in output.end()]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_the_same_however_their_bytes_come(size: int) -> None:
    data = b"one\n\ntwo\r\nthr\xc3\xa9e\nlast"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert lines(*pieces) == ["one", "", "two", "thrée", "last"]


def test_a_line_is_told_when_it_is_whole_and_the_rest_at_the_end() -> None:
    output = Output()
    assert output.feed("out", b"a") == []
    assert output.feed("err", b"b\nc") == [Said("b", "err")]
    assert output.feed("out", b"\n") == [Said("a", "out")]
    assert output.end() == [Said("c", "err")]
    assert output.end() == []


def test_what_is_written_over_and_over_is_what_stays() -> None:
    assert lines(b" 1%\r 50%\r100%\ndone\r\n") == ["100%", "done"]


def test_nothing_that_moves_a_cursor_comes_out() -> None:
    assert lines(b"\x1b[2J\xe2\x80\xae\xff\n") == ["\\x1b[2J\\u202e\\xff"]


def test_tabs_stand_where_a_terminal_has_them() -> None:
    assert lines(b"4.0K\t./x\n\ty\n") == ["4.0K    ./x", "        y"]


def test_a_line_that_does_not_end_is_broken() -> None:
    told = lines(b"x" * (LONGEST * 2), b"y" * 10 + b"\nz\n")
    assert told == ["x" * LONGEST, "x" * LONGEST, "y" * 10, "z"]
    assert lines(b"x" * (LONGEST + 1) + b"\n") == ["x" * LONGEST, "x"]


@pytest.mark.parametrize("more", [0, 1, TAIL, TAIL + 1, 10_000])
def test_of_many_lines_the_first_and_the_last_are_told(more: int) -> None:
    output = Output()
    count = SHOWN_LINES + more
    first = output.feed("out", b"".join(b"%d\n" % number for number in range(count)))
    rest = output.end()
    cut = max(0, more - TAIL)
    assert output.cut == cut
    assert [said.text for said in first] == [str(number) for number in range(SHOWN_LINES)]
    if cut:
        assert rest[0].stream == "opsnb"
        assert rest[0].text.startswith(f"… {cut:,} line")
        rest = rest[1:]
    assert [said.text for said in rest] == [
        str(number) for number in range(SHOWN_LINES + cut, count)
    ]


def test_few_lines_of_many_bytes_are_bounded_as_well() -> None:
    output = Output()
    told = [said for _ in range(1000) for said in output.feed("err", b"x" * 8000 + b"\n")]
    assert sum(len(said.text) for said in told) <= SHOWN_BYTES
    assert len(output.end()) == TAIL + 1
    assert output.cut == 1000 - len(told) - TAIL


def test_what_comes_after_a_cut_is_never_told_before_it() -> None:
    output = Output()
    output.feed("out", b"x" * 8000 + b"\n" + b"\n".join([b"y" * 8000] * 40))
    assert output.feed("out", b"\n\nshort\n") == []
    assert output.end()[-1] == Said("short", "out")
