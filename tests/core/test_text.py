"""What is shown can neither move a cursor nor reorder the text around it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.text import age, plural, safe, size

# From the Unicode Character Database: Bidi_Control, and what breaks lines.
BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
BREAKS = set("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
HOSTILE = [*map(chr, BIDI), *BREAKS, "\x1b[2J", "\x9b31m", "\ud800", "\ufeff", "\u200b", "\\", "é"]


def unsafe(char: str) -> bool:
    category = unicodedata.category(char)
    return category in ("Cc", "Cs", "Zl", "Zp") or ord(char) in BIDI


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=5)).map("".join))
def test_what_comes_out_holds_no_control_no_direction_mark_and_no_line_break(text: str) -> None:
    assert not [char for char in safe(text) if unsafe(char)]
    assert len(safe(text).splitlines()) <= 1


def test_every_single_character_comes_out_safe() -> None:
    for code in range(0x110000):
        shown = safe(chr(code))
        assert not any(unsafe(char) for char in shown), hex(code)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary())
def test_any_bytes_come_out_safe_and_can_be_written_as_utf8(raw: bytes) -> None:
    assert not [char for char in safe(raw) if unsafe(char)]
    safe(raw).encode("utf-8")


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("plain é 漢字 🎉", "plain é 漢字 🎉"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        (b"caf\xe9", "caf\\xe9"),
        ("a\u202eb", "a\\u202eb"),
        ("two\nlines", "two\\x0alines"),
        ("\udcff", "\\udcff"),
        ("", ""),
    ],
)
def test_only_what_is_unsafe_is_written_as_an_escape(given_: str | bytes, shown: str) -> None:
    assert safe(given_) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (812_000, "812 kB"),
        (12e6, "12.0 MB"),
        (1.5e9, "1.5 GB"),
        (2.5e12, "2.5 TB"),
        (-5000, "-5 kB"),
    ],
)
def test_sizes_are_in_decimal_units(count: float, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (180, "3 min"),
        (5 * 3600, "5 h"),
        (86400 * 3, "3 d"),
        (1e15, "long ago"),
    ],
)
def test_an_age_is_told_in_its_one_largest_unit_that_reads_well(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_one_is_singular_and_everything_else_plural() -> None:
    assert plural(1, "file") == "1 file"
    assert plural(0, "file") == "0 files"
    assert plural(1204, "entry", "entries") == "1,204 entries"
