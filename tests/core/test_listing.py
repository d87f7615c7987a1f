"""How a release looks on the server, read and held against what must be there."""

from __future__ import annotations

import pytest

from opsnb.core import listing
from opsnb.core.manifest import Entry, Kind, Manifest
from tests.core import worlds
from tests.core.case import lines, tree


def read(*texts: str) -> dict[bytes, listing.Seen]:
    return listing.read(lines(texts))


def test_files_directories_and_links_are_read_from_the_servers_lines() -> None:
    seen = listing.read(
        b"f 4755 5 1.5 2.5 7 a b\nc\0d 2755 0 1 2 3 d\0"
        b"l 777 6 1 2 3 x/ y z/d/l\0p 600 0 1 2 3 pipe\0"
    )
    assert seen[b"a b\nc"].entry == Entry(b"a b\nc", Kind.FILE, 0o4755, 5)
    assert seen[b"d"].entry == Entry(b"d", Kind.DIR, 0o755)
    assert seen[b"d/l"].entry == Entry(b"d/l", Kind.LINK, target=b"x/ y z")
    assert seen[b"pipe"].odd == "p"
    assert not seen[b"d"].odd


@pytest.mark.parametrize(
    "line",
    [
        b"f 644 1 1 1 1 ../a\0",
        b"f 644 1 1 1 1 /etc/passwd\0",
        b"f 644 1 1 1\0",
        b"f 9 1 1 1 1 a\0",
        b"f 644 x 1 1 1 a\0",
        b"l 777 99 1 1 1 t/a\0",
        b"\xff 644 1 1 1 1 a\0",
    ],
)
def test_a_line_of_another_form_or_a_path_outside_the_tree_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        listing.read(line)


MANIFEST = tree(["a: one", "d/", "l -> a", "run: go @755"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"f 644 3 1.5 2.5 7:1 a", True),
        (b"f 0644 03 1.5 2.5 7:1 a", True),
        (b"f 755 3 1.5 2.5 7:1 a", False),
        (b"f 644 4 1.5 2.5 7:1 a", False),
        (b"d 644 3 1.5 2.5 7:1 a", False),
        (b"p 644 3 1.5 2.5 7:1 a", False),
        (b"d 755 0 1.5 2.5 7:1 d", True),
        (b"d 2755 0 1.5 2.5 7:1 d", True),
        (b"d 700 0 1.5 2.5 7:1 d", False),
        (b"f 755 0 1.5 2.5 7:1 d", False),
        (b"l 777 1 1.5 2.5 7:1 a/l", True),
        (b"l 777 1 1.5 2.5 7:1 b/l", False),
        (b"f 644 3 1.5 2.5 7:1 l", False),
    ],
)
def test_only_what_is_as_it_must_be_is_given_by_its_entry(line: bytes, expected: bool) -> None:
    """However it is found out: most lines are the expected one to the letter."""
    found = listing.against(line + b"\0", MANIFEST.entries)
    ((path, seen),) = found.items()
    if expected:
        assert seen is MANIFEST.entries[path]
    else:
        assert isinstance(seen, listing.Seen)
        assert seen.line == line


def wrong(
    *texts: str, links: tuple[bytes, ...] = (), allowed: frozenset[bytes] | None = None
) -> tuple[str, ...]:
    return listing.wrong(read(*texts), MANIFEST, links, allowed)


def test_a_release_as_it_must_be_has_no_faults() -> None:
    assert wrong("a: one", "d/", "l -> a", "run: go @755", allowed=frozenset()) == ()


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (["d/", "l -> a", "run: go @755"], "a is missing"),
        (["a/", "d/", "l -> a", "run: go @755"], "a is of another kind"),
        (["a: seven", "d/", "l -> a", "run: go @755"], "a has 5 bytes and should have 3"),
        (["a: one", "d/", "l -> b", "run: go @755"], "l leads to b"),
        (["a: one", "d/", "l -> a", "run: go"], "run has mode 644 and should have 755"),
        (["a: one", "d/ @700", "l -> a", "run: go @755"], "d has mode 700 and should have 755"),
        (["a: one", "d/", "l -> a", "run: go @755", "x\n: y"], "x\\x0a is there and should not be"),
    ],
)
def test_every_fault_is_found_and_named(texts: list[str], fault: str) -> None:
    assert wrong(*texts, allowed=frozenset()) == (fault,)


def test_a_fifo_where_a_file_must_be_is_a_fault() -> None:
    seen = {**read("d/", "l -> a", "run: go @755"), **listing.read(b"p 644 3 1 1 1 a\0")}
    assert listing.wrong(seen, MANIFEST, (), None) == ("a is of another kind",)


def test_links_into_shared_must_be_there_and_bring_the_directories_above_them() -> None:
    whole = ["a: one", "d/", "l -> a", "run: go @755"]
    links = (b"up/loads",)
    made = "up/loads -> ../../../shared/up/loads"
    assert wrong(*whole, "up/", made, links=links, allowed=frozenset()) == ()
    assert wrong(*whole, "up/", links=links, allowed=frozenset()) == ("up/loads is missing",)


def test_more_is_a_fault_only_where_nothing_more_is_allowed() -> None:
    whole = ["a: one", "d/", "l -> a", "run: go @755", "more: 1"]
    assert wrong(*whole, allowed=None) == ()
    assert wrong(*whole, allowed=frozenset([b"more"])) == ()
    assert len(wrong(*whole, allowed=frozenset())) == 1


def test_at_most_twenty_faults_are_told() -> None:
    many = Manifest(worlds.file(f"f{number:02}") for number in range(30))
    assert len(listing.wrong({}, many, (), None)) == 20


def test_what_a_release_holds_beyond_or_unlike_its_manifest_is_remembered() -> None:
    texts = ["a: one", "d/", "l -> other", "run: go @755", "extra: 1", "up -> ../../shared/up"]
    kept = listing.beyond(read(*texts), MANIFEST, [b"up"])
    assert set(listing.read(kept)) == {b"l", b"extra"}
    assert listing.beyond({}, MANIFEST, []) == b""


def test_a_base_tells_what_was_written_changed_and_touched() -> None:
    made = listing.base(
        "20260325120000",
        "/srv/shop",
        MANIFEST,
        carried=lines(["old: o", "note: n"]),
        links=[b"up/loads"],
        now=lines(["a: one", "run: go @700", "new: n", "abs -> /srv/shop/shared/x"]),
        gone=lines(["note: n", "d/"]),
        digests={b"a": worlds.file("a", "one").sha256, b"run": worlds.file("run", "go").sha256},
    )
    assert made.carried == {b"old", b"new"}
    assert made.links == {b"up/loads", b"abs"}
    assert made.altered == {b"run", b"d"}
    assert made.drifted == {b"run", b"new", b"note", b"abs", b"d"}
    assert b"d" not in made.found
    assert made.found[b"a"] == MANIFEST[b"a"]
