"""A plan's steps make what the plan promises, whatever the trees (a property)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.links import link_target
from opsnb.core.listing import Base, leads_to_shared
from opsnb.core.manifest import Entry, Kind, Manifest, parents
from opsnb.core.plan import Plan
from opsnb.core.plan_deploy import revision_entry
from opsnb.errors import NotReady
from tests.core import worlds

NAMES = st.sampled_from([b"a", b"b", b"c", b"-d", b"e\nf", b"\xff", b"uploads", b"REVISION"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
TEXTS = st.sampled_from(["", "one", "two"])
MODES = st.sampled_from([0o644, 0o755, 0o555, 0o400])
Tree = dict[bytes, Entry]


@st.composite
def entries(draw: st.DrawFn) -> Tree:
    """A tree: every path has real directories above it."""
    made: Tree = {}
    for path in draw(st.lists(PATHS, max_size=8)):
        if any(up in made and made[up].kind is not Kind.DIR for up in parents(path)):
            continue
        if path in made:
            continue
        kind = draw(st.sampled_from(["f", "f", "d", "l"]))
        if kind == "f":
            text, mode = draw(TEXTS), draw(MODES)
            entry = worlds.file("x", text, mode)
            made[path] = Entry(path, Kind.FILE, mode, entry.size, entry.sha256)
        elif kind == "d":
            made[path] = Entry(path, Kind.DIR, draw(MODES) | 0o111)
        else:
            made[path] = Entry(
                path, Kind.LINK, target=draw(st.sampled_from([b"a", b"../x", b"../../shared/x"]))
            )
        for up in parents(path):
            made.setdefault(up, Entry(up, Kind.DIR, draw(MODES) | 0o111))
    return made


@st.composite
def lives(draw: st.DrawFn) -> Base:
    """A live release in which the application has written, changed, removed and linked."""
    manifest = Manifest(draw(entries()).values())
    found = dict(manifest)
    for path in draw(st.sets(st.sampled_from(sorted(found)), max_size=2) if found else st.just([])):
        found = {p: e for p, e in found.items() if p != path and not p.startswith(path + b"/")}
    for path, entry in draw(entries()).items():
        blocked = any(up in found and found[up].kind is not Kind.DIR for up in parents(path))
        below = any(other.startswith(path + b"/") for other in found)
        if blocked or (below and entry.kind is not Kind.DIR):
            continue
        for up in parents(path):
            found.setdefault(up, Entry(up, Kind.DIR, 0o755))
        # What the server's find tells has no digest, but where it was asked for.
        known = entry.sha256 if draw(st.booleans()) else ""
        found[path] = replace(entry, sha256=known)
    for path in draw(st.lists(PATHS, max_size=2)):
        free = path not in found and not any(other.startswith(path + b"/") for other in found)
        if free and all(up not in found or found[up].kind is Kind.DIR for up in parents(path)):
            for up in parents(path):
                found.setdefault(up, Entry(up, Kind.DIR, 0o755))
            found[path] = Entry(path, Kind.LINK, target=link_target(path))
    into = frozenset(
        path
        for path, entry in found.items()
        if manifest.get(path) != entry and leads_to_shared(entry, "/srv/shop")
    )
    above = {up for path in into for up in parents(path)}
    changed = frozenset(path for path in manifest if found.get(path) != manifest[path])
    return Base(
        "20260325120000",
        manifest,
        found,
        into,
        frozenset(path for path in found if path not in manifest) - into - above,
        changed,
        changed,
    )


@st.composite
def shareds(draw: st.DrawFn) -> dict[str, dict[str, str]]:
    """What shared/ holds, three levels deep."""
    names = st.sampled_from(["a", "b", "c", "REVISION", "uploads"])
    held = st.dictionaries(names, st.sampled_from("fd"), max_size=3)
    listing = {"": draw(held)}
    for depth in range(2):
        for up, inside in list(listing.items()):
            if up.count("/") + bool(up) != depth:
                continue
            for name, kind in inside.items():
                if kind == "d":
                    listing[f"{up}/{name}" if up else name] = draw(held)
    return listing


CONFIGS = st.fixed_dictionaries(
    {
        "base": st.sampled_from(["previous", "previous", "clean"]),
        "copy": st.sampled_from(["copy", "hardlink"]),
        "linked_dirs": st.sampled_from([[], [], ["uploads"], ["a/uploads"], ["uploads", "a/b"]]),
    }
)
WORLDS = given(
    source=entries(),
    live=st.none() | lives(),
    shared=shareds(),
    said=CONFIGS,
    revision=st.sampled_from(["", "", "abc"]),
)
MANY = settings(max_examples=300, deadline=None, derandomize=True)


def plan_of(
    source: Tree,
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
    revision: str,
) -> Plan | None:
    """The plan; None where it is refused, since a listed directory lies below a file."""
    manifest, config = Manifest(source.values()), worlds.settings(**said)
    try:
        return worlds.deploy(
            manifest, live, shared=shared, config=config, force=True, revision=revision
        )
    except NotReady as error:
        if "cannot be linked" not in error.message:
            raise
        return None


@MANY
@WORLDS
def test_the_steps_make_the_manifest_the_links_and_what_is_carried(
    source: Tree,
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
    revision: str,
) -> None:
    plan = plan_of(source, live, shared, said, revision)
    if plan is None:
        return
    assert plan.build is not None
    made, moved = worlds.carry_out(plan, live, Manifest(source.values()))
    links = {p: Entry(p, Kind.LINK, target=link_target(p)) for p in plan.build.links}
    assert live is not None or not plan.carried
    carried = {path: live.found[path] for path in plan.carried} if live else {}
    assert not set(plan.build.manifest) & (set(carried) | set(links))
    promised = dict(plan.build.manifest) | carried | links
    above = {up for path in (*links, *carried) for up in parents(path)}
    for path, entry in promised.items():
        assert made.get(path) == entry, path
    for path in made:
        assert path in promised or path in above, f"{path!r} was never promised"
    for path in {up for one in carried for up in parents(one)} - set(promised):
        assert live is not None
        assert made[path] == live.found[path], f"{path!r} is not closed again"
    if said["base"] == "clean":
        assert not plan.carried
    for path, entry in source.items():
        if any(path == top or path.startswith(top + b"/") for top in plan.build.seed):
            assert moved[path].same_content(entry), f"{path!r} is not seeded"


@MANY
@WORLDS
def test_no_step_in_a_copy_goes_through_a_link_and_the_copy_is_held_to_that(
    source: Tree,
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
    revision: str,
) -> None:
    plan = plan_of(source, live, shared, said, revision)
    if plan is None or live is None:
        return
    build = plan.build
    assert build is not None
    for path in build.through:
        assert path not in live.found or live.found[path].kind is not Kind.LINK, path
    done = {*build.drop, *build.send, *build.links, *build.seed, *(p for p, _ in build.modes)}
    for path in {up for one in done for up in parents(one)} | {p for p, _ in build.modes}:
        gone = any(place in build.drop for place in (path, *parents(path)))
        assert path in build.through or gone, f"{path!r} is gone through unseen"


@MANY
@WORLDS
def test_nothing_of_the_source_and_nothing_that_was_written_is_lost_without_a_word(
    source: Tree,
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
    revision: str,
) -> None:
    plan = plan_of(source, live, shared, said, revision)
    if plan is None:
        return
    assert plan.build is not None
    manifest, links = plan.build.manifest, set(plan.build.links)
    whole = dict(source)
    if revision and b"REVISION" not in source:
        whole[b"REVISION"] = revision_entry(revision)
    for path, entry in whole.items():
        hidden = path in links or any(up in links for up in parents(path))
        assert manifest.get(path) == entry or hidden, path
    assert set(manifest) <= set(whole)
    if live is None or said["base"] == "clean":
        return
    _, moved = worlds.carry_out(plan, live, Manifest(source.values()))
    seeds = set(plan.build.seed)
    for path in live.carried:
        ups = [path, *parents(path)]
        if any(up in seeds for up in ups) and not any(
            up in whole and (up == path or whole[up].kind is not Kind.DIR) for up in ups
        ):
            assert moved[path] == worlds.opened(live.found[path]), f"{path!r} is not seeded"
            continue
        replaced = any(up in whole and (up == path or whole[up].kind is not Kind.DIR) for up in ups)
        assert path in plan.carried or replaced or links & set(ups), f"{path!r} is lost"


@MANY
@WORLDS
def test_nothing_that_stays_as_it_is_is_dropped_and_nothing_is_dropped_twice(
    source: Tree,
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
    revision: str,
) -> None:
    plan = plan_of(source, live, shared, said, revision)
    if plan is None or live is None:
        return
    assert plan.build is not None
    drop = set(plan.build.drop)
    assert drop <= set(live.found)
    stays = set(plan.carried) | (set(plan.build.manifest) - set(plan.build.send))
    for path in stays:
        assert path not in drop
        assert not drop & set(parents(path)), path
    for path in drop:
        assert not drop & set(parents(path)), f"{path!r} goes with what is above it"


@MANY
@WORLDS
def test_with_hard_links_no_file_of_the_live_release_is_ever_given_another_mode(
    source: Tree,
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
    revision: str,
) -> None:
    plan = plan_of(source, live, shared, {**said, "copy": "hardlink"}, revision)
    if plan is None:
        return
    assert plan.build is not None
    for path, _ in plan.build.modes:
        if live is not None and path not in plan.build.send:
            assert live.found[path].kind is Kind.DIR, path


def test_the_control_steps_that_forget_a_path_are_found_out() -> None:
    live = worlds.base(worlds.tree(worlds.file("a", "1"), worlds.file("gone", "1")))
    plan = worlds.deploy(worlds.tree(worlds.file("a", "2")), live)
    assert plan.build is not None
    idle = replace(plan, build=replace(plan.build, drop=(), send=()))
    made, _ = worlds.carry_out(idle, live, plan.build.manifest)
    assert b"gone" in made
    assert made[b"a"] != plan.build.manifest[b"a"]


def test_the_control_writing_through_a_link_is_found_out() -> None:
    live = worlds.base(worlds.tree(worlds.file("a", "1")), links=["d"])
    plan = worlds.deploy(worlds.tree(worlds.file("d/f", "2")), live)
    assert plan.build is not None
    careless = replace(plan, build=replace(plan.build, drop=()))
    with pytest.raises(AssertionError, match=r"another kind|go through"):
        worlds.carry_out(careless, live, plan.build.manifest)
