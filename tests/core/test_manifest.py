"""A manifest has one text, whatever bytes its paths are made of."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.manifest import (
    HEADER,
    Entry,
    Kind,
    Manifest,
    check_path,
    compare,
    edits,
    parents,
)
from tests.core import worlds

QUICK = settings(max_examples=100, deadline=None, derandomize=True)
PART = (
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"\n"))
    .filter(lambda part: part not in (b".", b".."))
)
PATHS = st.lists(PART, min_size=1, max_size=4).map(b"/".join)
TARGETS = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b" "))
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
MODES = st.integers(0, 0o7777)


def any_entry(path: bytes) -> st.SearchStrategy[Entry]:
    return st.one_of(
        st.builds(Entry, st.just(path), st.just(Kind.FILE), MODES, st.integers(0, 2**50), DIGESTS),
        st.builds(Entry, st.just(path), st.just(Kind.DIR), st.integers(0, 0o777)),
        TARGETS.map(lambda target: Entry(path, Kind.LINK, target=target)),
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    paths = draw(st.lists(PATHS, unique=True, max_size=6))
    return Manifest([draw(any_entry(path)) for path in paths])


@QUICK
@given(manifests())
def test_reading_what_was_written_gives_the_same_manifest(manifest: Manifest) -> None:
    again = Manifest.decode(manifest.encode())
    assert dict(again) == dict(manifest)
    assert again.encode() == manifest.encode()
    assert again.id == manifest.id == hashlib.sha256(manifest.encode()).hexdigest()


@QUICK
@given(manifests())
def test_a_manifests_text_is_printable_ascii_with_a_line_for_each_path(manifest: Manifest) -> None:
    lines = manifest.encode().decode("ascii").split("\n")
    assert lines[0] == HEADER
    assert len(lines) == len(manifest) + 2
    assert all(line.isprintable() for line in lines)


@QUICK
@given(st.lists(PATHS, unique=True, min_size=1, max_size=6), st.randoms())
def test_the_order_of_the_entries_does_not_change_the_identity(
    paths: list[bytes], dice: random.Random
) -> None:
    entries = [Entry(path, Kind.DIR, 0o755) for path in paths]
    first = Manifest(entries)
    dice.shuffle(entries)
    assert Manifest(entries).id == first.id
    assert list(first) == sorted(paths)


@QUICK
@given(manifests().filter(bool), st.data())
def test_a_text_that_was_cut_short_is_not_read_as_another_manifest(
    manifest: Manifest, data: st.DataObject
) -> None:
    text = manifest.encode()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    try:
        shorter = Manifest.decode(cut)
    except ValueError:
        return
    # Whole lines may be missing: the identity tells.
    assert cut.endswith(b"\n")
    assert shorter.id != manifest.id


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        HEADER.encode(),
        b"something else\n",
        f"{HEADER}\nf 644 1 short a\n".encode(),
        f"{HEADER}\nx 644 1 - a\n".encode(),
        f"{HEADER}\nf 999 1 {'0' * 64} a\n".encode(),
        f"{HEADER}\nd 755 0 -\n".encode(),
        f"{HEADER}\nd 755 0 - a b\n".encode(),
        f"{HEADER}\nd 755 0 - ../a\n".encode(),
        f"{HEADER}\nd 755 0 - %2fa\n".encode(),
        f"{HEADER}\nd 755 0 - a%00\n".encode(),
        f"{HEADER}\nd 755 0 - a\nd 755 0 - a\n".encode(),
        f"{HEADER}\nd 755 0 - \xe9\n".encode(),
        f"{HEADER}\n\n".encode(),
    ],
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Manifest.decode(text)


@pytest.mark.parametrize(
    "path", [b"", b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"a/./b", b"a\0b"]
)
def test_a_path_that_is_not_inside_the_tree_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="not a path inside a tree"):
        check_path(path)
    with pytest.raises(ValueError, match="not a path inside a tree"):
        Manifest([Entry(path, Kind.DIR)])


def test_a_path_may_stand_only_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Manifest([worlds.file("a"), worlds.folder("a")])


def test_the_directories_above_a_path_come_nearest_first() -> None:
    assert list(parents(b"a/b/c")) == [b"a/b", b"a"]
    assert list(parents(b"a")) == []


def test_files_and_bytes_are_counted_without_directories_and_links() -> None:
    tree = worlds.tree(worlds.file("d/a", "12"), worlds.file("b", "345"), worlds.link("l", "b"))
    assert (tree.files, tree.size, len(tree)) == (2, 5, 4)
    assert repr(tree) == "Manifest(2 files, 5 bytes)"


def test_trees_are_compared_by_content_and_by_mode_apart() -> None:
    old = worlds.tree(
        worlds.file("same", "1"),
        worlds.file("content", "1"),
        worlds.file("mode", "1"),
        worlds.file("kind", ""),
        worlds.link("target", "a"),
        worlds.file("gone", "1"),
    )
    new = worlds.tree(
        worlds.file("same", "1"),
        worlds.file("content", "2"),
        worlds.file("mode", "1", 0o755),
        worlds.folder("kind"),
        worlds.link("target", "b"),
        worlds.file("more", "1"),
    )
    difference = compare(old, new)
    assert difference.added == (b"more",)
    assert difference.changed == (b"content", b"kind", b"target")
    assert difference.modes == (b"mode",)
    assert difference.removed == (b"gone",)
    assert difference.unchanged == 1
    assert difference
    assert not compare(old, old)


@QUICK
@given(manifests(), manifests())
def test_every_path_of_both_trees_is_in_exactly_one_class(old: Manifest, new: Manifest) -> None:
    found = compare(old, new)
    listed = [*found.added, *found.changed, *found.modes, *found.removed]
    assert len(listed) == len(set(listed))
    assert len(listed) + found.unchanged == len(set(old) | set(new))


def edited(text: bytes, told: bytes) -> bytes:
    """A text after its edits, as the agent makes them."""
    gone: set[int] = set()
    more: dict[int, list[bytes]] = {}
    for line in told.splitlines():
        sign, at, *rest = line.split(b" ", 2)
        if sign == b"-":
            gone.add(int(at))
        else:
            more.setdefault(int(at), []).extend(rest)
    lines = text.splitlines()
    made: list[bytes] = []
    for number in range(1, len(lines) + 2):
        made += more.get(number, [])
        made += [line for line in lines[number - 1 : number] if number not in gone]
    return b"".join(line + b"\n" for line in made)


NAMES = st.lists(st.sampled_from([f"{a}{b}" for a in "abcde" for b in "xyz"]), unique=True)


@QUICK
@given(NAMES, NAMES, st.integers(0, 2**15 - 1))
def test_a_manifest_becomes_another_by_its_edits(old: list[str], new: list[str], odd: int) -> None:
    before = Manifest([worlds.file(name) for name in old])
    after = Manifest(
        [worlds.file(name, "new" if odd >> place & 1 else "") for place, name in enumerate(new)]
    )
    assert edited(before.encode(), edits(before.encode(), after.encode())) == after.encode()


def test_what_stays_is_not_told_of() -> None:
    """Nor when as many paths go as come: then all between them stand one line further on."""
    many = [worlds.file(f"f{number:03}") for number in range(1, 100)]
    before, changed = Manifest(many), Manifest([*many[:50], worlds.file("f051", "x"), *many[51:]])
    moved = Manifest([worlds.file("f000"), *many[:-1]])
    assert edits(before.encode(), before.encode()) == b""
    assert len(edits(before.encode(), changed.encode()).splitlines()) == 2
    assert len(edits(before.encode(), moved.encode()).splitlines()) == 2
