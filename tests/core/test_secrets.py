"""A secret is masked however it is written and wherever the output is cut; all else stays."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.secrets import LEAST, Masker, Secrets, chosen
from opsnb.errors import ConfigError

QUICK = settings(max_examples=150, deadline=None, derandomize=True)
VALUE = "s3cr3t/To+ken %&'\"\\é end"
VALUES = [
    VALUE,
    "hunter2hunter2",
    "aaaaaaaaab",
    "ghp_0123456789abcdefABCDEF",
    "%25%25%25%2525",
    "p@ss\tw\x1b[0mrd",
    "line one of a key\nline two of a key\n",
    "$(touch x)`id`",
    "\\" * 20 + "x",
    "пароль-пароль",
]


def forms(value: str) -> dict[str, bytes]:
    """A value as programs write it."""
    raw = value.encode()
    return {
        "plain": raw,
        "url": quote(value).encode(),
        "url, all": quote(value, safe="").encode(),
        "form": quote_plus(value).encode(),
        "url, small": b"".join(
            (b"%%%02x" % byte) if not chr(byte).isalnum() else bytes([byte]) for byte in raw
        ),
        "json": json.dumps(value).encode(),
        "json, utf-8": json.dumps(value, ensure_ascii=False).encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "dump": raw.hex(" ").encode(),
        "base64": base64.b64encode(raw),
        "base64, url": base64.urlsafe_b64encode(raw),
        "base64, behind a user": base64.b64encode(b"u:" + raw),
        "base64, behind another": base64.b64encode(b"me:" + raw + b"\n"),
        "base64, in lines": base64.encodebytes(b"u:" + raw * 6),
        "quoted otherwise": raw.replace(b"'", b"'\"'\"'"),
        "quoted": b"'" + raw.replace(b"'", b"'\\''") + b"'",
    }


def through(masker: Masker, data: bytes, *cuts: int) -> bytes:
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    return b"".join(masker.feed(piece) for piece in pieces) + masker.end()


def traces(value: str, told: bytes) -> list[str]:
    """The forms of which a piece of twelve bytes can still be read."""
    found = []
    for name, form in forms(value).items():
        longest = min(12, len(form))
        pieces = {form[at : at + longest] for at in range(len(form) - longest + 1)}
        if any(piece in told for piece in pieces):
            found.append(name)
    return found


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("form", forms(VALUE))
def test_a_secret_is_masked_in_every_form_wherever_it_is_cut(value: str, form: str) -> None:
    masker = Secrets({"TOKEN": value}).masker()
    data = b"before " + forms(value)[form] + b" after\n"
    whole = through(masker, data)
    assert whole.startswith(b"before ")
    assert whole.endswith(b" after\n")
    assert b"***" in whole
    assert traces(value, whole) == []
    for size in (1, 2, 3, 5, 16):
        assert through(masker, data, *range(size, len(data), size)) == whole
    for cut in range(len(data)):
        assert through(masker, data, cut) == whole


def test_the_control_a_secret_that_is_masked_piece_by_piece_is_read() -> None:
    data = VALUE.encode()
    naive = b"".join(part.replace(data, b"***") for part in (data[:9], data[9:]))
    assert traces(VALUE, naive) != []
    assert traces(VALUE, base64.b64encode(data).replace(data, b"***")) != []


@QUICK
@given(
    st.lists(st.sampled_from(VALUES[:4]), min_size=1, max_size=3, unique=True),
    st.lists(st.one_of(st.sampled_from([0, 1, 2, 3]), st.binary(max_size=9)), max_size=6),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_several_secrets_among_anything_are_all_masked(
    values: list[str], parts: list[int | bytes], cuts: list[int]
) -> None:
    masker = Secrets(dict(zip("abc", values, strict=False))).masker()
    raw = [
        part if isinstance(part, bytes) else values[part % len(values)].encode() for part in parts
    ]
    data = b" ".join(raw)
    told = through(masker, data, *(min(cut, len(data)) for cut in cuts))
    assert told == masker.feed(data) + masker.end()
    assert not any(value.encode() in told for value in values)


@QUICK
@given(st.binary(max_size=60), st.integers(0, 60))
def test_what_is_no_secret_stays_as_it_is(data: bytes, cut: int) -> None:
    masker = Secrets({"TOKEN": "hunter2hunter2"}).masker()
    assert through(masker, data, min(cut, len(data))) == data


def test_a_key_of_many_lines_among_much_output_takes_no_time_to_speak_of() -> None:
    """A pattern that can match in two ways would take for ever here."""
    key = "\n".join(f"line {number:09}" for number in range(1, 40))
    masker = Secrets({"KEY": key, "DIGITS": "0" * 40 + "x"}).masker()
    told = masker.feed(b"30" * 200_000 + key.encode() + b"0" * 39 + b"1") + masker.end()
    assert told == b"30" * 200_000 + b"***" + b"0" * 39 + b"1"


def test_a_line_without_a_secret_is_told_at_once() -> None:
    masker = Secrets({"TOKEN": VALUE}).masker()
    assert masker.feed(b"building\n") == b"building\n"
    assert masker.feed(b"as far as s3cr") == b"as far as "
    assert masker.feed(b"et\n") == b"s3cret\n"


def test_a_secret_that_begins_another_is_masked_with_it() -> None:
    masker = Secrets({"A": "abcdef", "B": "abcdefghij"}).masker()
    assert through(masker, b"<abcdefghij> <abcdef>", 7, 9) == b"<***> <***>"


def test_a_text_that_was_made_fit_to_be_shown_is_masked() -> None:
    masker = Secrets({"TOKEN": "a\x1bb\u202ecdefgh"}).masker()
    assert masker.text("x a\\x1bb\\u202ecdefgh x") == "x *** x"
    assert masker.text("\ud800 nothing") == "\ud800 nothing"


def test_nothing_shows_a_value() -> None:
    made = Secrets({"TOKEN": VALUE})
    both = made.beside({"OTHER": VALUE})
    for thing in (made, both, made.masker(), [made], {"x": both}):
        assert "s3cr3t" not in f"{thing!r} {thing}"
    assert repr(both) == "<Secrets TOKEN, OTHER>"
    assert both["OTHER"] == made["TOKEN"] == VALUE


def test_what_is_not_set_or_too_short_to_be_masked_is_refused_by_its_name() -> None:
    assert dict(chosen(["A"], {"A": "x" * LEAST})) == {"A": "x" * LEAST}
    for value in ({}, {"A": ""}, {"A": "x" * (LEAST - 1)}):
        with pytest.raises(ConfigError, match="the secret A") as refused:
            chosen(["A"], value)
        assert "xxx" not in str(refused.value)
