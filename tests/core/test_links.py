"""Which paths of a release lead into ``shared/`` (the rules are in the cases; here their edges)."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.links import decide, link_target
from opsnb.core.listing import leads_to_shared
from opsnb.core.manifest import Entry, Kind
from tests.core import worlds

PATHS = st.lists(st.sampled_from([b"a", b"b c", b"\xff"]), min_size=1, max_size=4).map(b"/".join)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(PATHS)
def test_a_link_leads_from_its_place_in_a_release_to_the_same_path_in_shared(path: bytes) -> None:
    at = b"/srv/shop/releases/20260325140000/" + path
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(at), link_target(path)))
    assert reached == b"/srv/shop/shared/" + path
    assert leads_to_shared(Entry(path, Kind.LINK, target=link_target(path)), "/srv/shop")


@pytest.mark.parametrize(
    ("path", "target", "into"),
    [
        ("a", "../../shared/a", True),
        ("a", "../../shared", True),
        ("a", "/srv/shop/shared/x", True),
        ("a", "/srv/shop/shared", True),
        ("d/a", "../../../shared/x", True),
        ("a", "./../.././shared/x", True),
        ("a", "../../shared2/x", False),
        ("a", "/srv/shop/shared2", False),
        ("a", "../shared/x", False),
        ("d/a", "../../shared/x", False),
        ("a", "shared/x", False),
        ("a", "../../shared/../current", False),
        ("a", "", False),
    ],
)
def test_a_link_into_shared_is_known_by_where_it_leads(path: str, target: str, into: bool) -> None:
    assert leads_to_shared(worlds.link(path, target), "/srv/shop") is into


def test_what_is_no_link_never_leads_into_shared() -> None:
    assert not leads_to_shared(worlds.file("shared"), "/srv/shop")


def test_directories_of_shared_are_asked_for_only_where_both_sides_have_them() -> None:
    tree = worlds.tree(worlds.file("both/a"), worlds.file("mine/a"))
    asked = decide(tree, {b"": {b"both": "d", b"theirs": "d"}})
    assert asked.unlisted == (b"both",)


def test_a_symbolic_link_of_shared_is_linked_like_anything_else() -> None:
    assert decide({}, {b"": {b"uploads": "l"}}).links == (b"uploads",)


def test_for_listed_paths_only_their_parents_are_asked_for() -> None:
    asked = decide({}, {}, ["a/b", "c"], ["a/d"])
    assert asked.unlisted == (b"", b"a")


def test_a_listed_path_is_blocked_by_a_file_or_a_link_above_it() -> None:
    for above in (worlds.file("a"), worlds.link("a", "b")):
        assert decide({b"a": above}, {b"a": {}}, ["a/b"]).blocked == (b"a/b",)
