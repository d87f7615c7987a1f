"""Chunks: how one list becomes another, and the text of them."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsnb.core import chunks
from opsnb.core.chunks import Chunk, Copy, Literal, Take

PIECES = st.lists(st.integers(0, 6), max_size=40)


def piece(number: int) -> bytes:
    """Content of a length of its own."""
    return bytes([number]) * (number * 7 + 1)


def listed(numbers: list[int]) -> tuple[bytes, tuple[Chunk, ...]]:
    """A file, and its chunks."""
    pieces = [piece(number) for number in numbers]
    told = tuple((len(p), hashlib.sha256(p).digest()[: chunks.DIGEST]) for p in pieces)
    return b"".join(pieces), told


@given(PIECES, PIECES)
def test_the_difference_makes_the_new_file_from_the_old(was: list[int], now: list[int]) -> None:
    (old, before), (new, after) = listed(was), listed(now)
    made = b""
    for op in chunks.difference(before, after):
        source = old if isinstance(op, Copy) else new
        made += source[op.offset : op.offset + op.length]
    assert made == new


@given(PIECES, PIECES)
def test_so_do_the_steps(was: list[int], now: list[int]) -> None:
    (old, before), (new, after) = listed(was), listed(now)
    takes, literals = chunks.steps(chunks.difference(before, after), len(old))
    made = bytearray(len(new))
    for take in takes:
        made[take.at : take.at + take.length] = old[take.offset : take.offset + take.length]
    for literal in literals:
        made[literal.offset : literal.offset + literal.length] = new[
            literal.offset : literal.offset + literal.length
        ]
    assert bytes(made) == new


def test_what_the_old_file_has_is_not_sent() -> None:
    _, before = listed([1, 2, 3, 4, 5])
    _, after = listed([1, 2, 6, 4, 5])
    assert chunks.difference(before, after) == (Copy(0, 23), Literal(23, 43), Copy(45, 65))


def test_an_edit_in_the_middle_is_one_take_of_all_and_what_goes_over_it() -> None:
    _, before = listed([1, 2, 3] * 40 + [4, 5])
    _, after = listed([1, 2, 3] * 20 + [0] + [1, 2, 3] * 20 + [4, 5])
    size = sum(length for length, _ in before)
    takes, literals = chunks.steps(chunks.difference(before, after), size)
    assert len(takes) == 2
    assert len(literals) == 1
    same = chunks.steps(chunks.difference(before, before), size)
    assert same == ((Take(0, 0, size),), ())


def test_it_is_worth_it_for_little_and_not_for_much() -> None:
    size = 300 << 20
    little = (Copy(0, size - 4096), Literal(size - 4096, 4096))
    assert chunks.worth(little, size)
    assert not chunks.worth((Literal(0, size),), size)
    assert not chunks.worth(little, 4200)
    scattered = tuple(
        op for at in range(0, 5000 * 9, 9) for op in (Literal(at, 1), Copy((at * 31) % size, 8))
    )
    assert not chunks.worth(scattered, size)


@pytest.mark.parametrize(("size", "length"), [(1, 1 << 12), (1 << 29, 1 << 12), (1 << 33, 1 << 16)])
def test_the_larger_the_file_the_larger_its_chunks(size: int, length: int) -> None:
    assert chunks.average(size) == length


@given(st.lists(PIECES, max_size=3))
def test_the_text_gives_the_chunks_again(files: list[list[int]]) -> None:
    told = {hashlib.sha256(listed(f)[0]).hexdigest(): listed(f)[1] for f in files}
    assert chunks.decode(chunks.encode(told)) == told


def test_no_other_text_is_read() -> None:
    """Bytes changed at random give an error, or a text of its own: never another exception."""
    text = chunks.encode({"a" * 64: listed([1, 2, 3])[1], "b" * 64: listed([4])[1]})
    chance = random.Random(3)
    torn = [text[:end] for end in range(len(text))]
    for _ in range(2000):
        changed = bytearray(text)
        changed[chance.randrange(len(text))] = chance.randrange(256)
        torn.append(bytes(changed))
    refused = 0
    for told in torn:
        try:
            assert chunks.encode(chunks.decode(told)) == told
        except ValueError:
            refused += 1
    assert refused > len(text)
