"""A release made of the one kept aside is what a copy of the live one would be (a property)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opsnb.core.config import Settings
from opsnb.core.facts import plan_text
from opsnb.core.links import link_target
from opsnb.core.listing import Base
from opsnb.core.manifest import Entry, Kind, Manifest, parents
from opsnb.core.plan import Build, Plan
from opsnb.core.plan_deploy import may_reuse, reusing
from opsnb.core.plan_rollback import plan_prune
from opsnb.core.release import Record, Site, State
from opsnb.core.retention import Rules
from opsnb.core.spare import Reuse, Spare, meddled, plain
from tests.core import worlds
from tests.core.test_plan_steps import MODES, PATHS, TEXTS, Tree, entries

MANY = settings(max_examples=200, deadline=None, derandomize=True)
LIVE, ASIDE = "20260325120000", "20260325100000"


@dataclass(frozen=True)
class Thing:
    """One path on the disk, as far as anybody could tell two of them apart.

    Attributes:
        entry: What it is.
        time: When its content was written, 0 for a directory.
        fresh: Whether its inode was made for the new release.
    """

    entry: Entry
    time: int
    fresh: bool = False


Disk = dict[bytes, Thing]


@dataclass(frozen=True)
class World:
    """A release kept aside, the live one, and what is to be released."""

    aside: Manifest
    aside_links: tuple[bytes, ...]
    aside_times: dict[bytes, int]
    live: Manifest
    live_links: tuple[bytes, ...]
    live_times: dict[bytes, int]
    target: Manifest
    shared: dict[str, str]

    @property
    def base(self) -> Base:
        made = worlds.base(self.live, links=[path.decode() for path in self.live_links], name=LIVE)
        return replace(made, found={p: thing.entry for p, thing in self.disk(aside=False).items()})

    @property
    def record(self) -> Record:
        links = tuple(path.decode() for path in self.aside_links)
        return Record(ASIDE, 1, State.GOOD, manifest=self.aside.id, links=links)

    @property
    def site(self) -> Site:
        return worlds.site(worlds.release(LIVE, 2, live=True), spare=self.record)

    def disk(self, aside: bool) -> Disk:
        """One of the two releases as it is on the disk."""
        tree = self.aside if aside else self.live
        times = self.aside_times if aside else self.live_times
        links = self.aside_links if aside else self.live_links
        made = {path: Thing(entry, _time(entry, times)) for path, entry in tree.items()}
        for path in links:
            made[path] = Thing(Entry(path, Kind.LINK, target=link_target(path)), 9 - aside)
            for up in parents(path):
                made.setdefault(up, Thing(Entry(up, Kind.DIR, 0o755), 0))
        return made

    @property
    def spare(self) -> Spare:
        return Spare(self.record, self.aside, unlike(self.disk(aside=True), self.disk(aside=False)))


def _time(entry: Entry, times: dict[bytes, int]) -> int:
    return 0 if entry.kind is Kind.DIR else times.get(entry.path, 1)


def unlike(one: Disk, other: Disk) -> frozenset[bytes]:
    """The paths in which two trees differ to ``stat``, which sees no content."""
    seen = [{path: _looks(thing) for path, thing in tree.items()} for tree in (one, other)]
    return frozenset(
        path for path in one.keys() | other.keys() if seen[0].get(path) != seen[1].get(path)
    )


def _looks(thing: Thing) -> tuple[object, ...]:
    entry = thing.entry
    return entry.kind, entry.mode, entry.size, entry.target, thing.time


@st.composite
def variants(draw: st.DrawFn, pool: Tree) -> Tree:
    """A tree much like another: something gone, something new, something changed."""
    made = dict(pool)
    for path in draw(st.sets(st.sampled_from(sorted(pool)), max_size=2) if pool else st.just([])):
        made = {p: e for p, e in made.items() if p != path and not p.startswith(path + b"/")}
    for path in sorted(made):
        if draw(st.integers(0, 3)):
            continue
        entry = made[path]
        if entry.kind is Kind.FILE:
            text, mode = draw(TEXTS), draw(MODES)
            made[path] = replace(worlds.file("x", text, mode), path=path)
        elif entry.kind is Kind.DIR:
            made[path] = replace(entry, mode=draw(MODES) | 0o111)
    for path, entry in draw(entries()).items():
        ups = list(parents(path))
        blocked = any(up in made and made[up].kind is not Kind.DIR for up in ups)
        if path not in made and not blocked and all(up in made for up in ups):
            made[path] = entry
    return made


@st.composite
def linked(draw: st.DrawFn, tree: Tree) -> tuple[bytes, ...]:
    """Paths that a tree leaves free for links into shared/."""
    taken = dict(tree)
    chosen: list[bytes] = []
    for path in draw(st.lists(PATHS, max_size=2)):
        below = any(other.startswith(path + b"/") for other in taken)
        blocked = any(up in taken and taken[up].kind is not Kind.DIR for up in parents(path))
        ascii_ = path.isascii() and b"\n" not in path
        if path not in taken and not below and not blocked and ascii_:
            taken[path] = Entry(path, Kind.LINK)
            chosen.append(path)
            for up in parents(path):
                taken.setdefault(up, Entry(up, Kind.DIR, 0o755))
    return tuple(sorted(chosen))


@st.composite
def all_worlds(draw: st.DrawFn) -> World:
    pool = draw(entries())
    live = draw(variants(pool))
    trees = [draw(variants(pool)), live, draw(variants(live))]
    times = st.dictionaries(st.sampled_from(sorted(pool) or [b"x"]), st.integers(1, 2))
    return World(
        Manifest(trees[0].values()),
        draw(linked(trees[0])),
        draw(times),
        Manifest(trees[1].values()),
        draw(linked(trees[1])),
        draw(times),
        Manifest(trees[2].values()),
        draw(st.dictionaries(st.sampled_from(["up", "c", "uploads"]), st.just("d"), max_size=2)),
    )


def planned(world: World, **said: object) -> tuple[Plan, Settings]:
    config = worlds.settings(**said)
    shared = {"": world.shared} | {name: {} for name in world.shared}
    plan = worlds.deploy(
        world.target, world.base, on=world.site, shared=shared, config=config, force=True
    )
    return plan, config


def of_the_one_aside(world: World) -> Plan:
    """A plan that makes a release of the one kept aside, where that may be."""
    plan, config = planned(world)
    assume(may_reuse(world.site, world.base, plan, config))
    made = reusing(plan, world.base, world.spare)
    assert made.build
    assert made.build.reuse
    return made


def carried_out(world: World, plan: Plan) -> Disk:
    """The same, whatever of it is new."""
    return {path: replace(thing, fresh=True) for path, thing in built(world, plan).items()}


def built(world: World, plan: Plan) -> Disk:
    """What a plan makes of the live release or of the one kept aside, as the server would."""
    build = plan.build
    assert build is not None
    live = world.disk(aside=False)
    made = filled(build.reuse, world, live) if build.reuse else copied(build, live)
    for path in build.send:
        put(made, Thing(build.manifest[path], 5, fresh=True))
    for path in build.links:
        assert path not in made, f"links {path!r}, which is there"
        for up in parents(path):
            made.setdefault(up, Thing(Entry(up, Kind.DIR, 0o755), 0, fresh=True))
            assert made[up].entry.kind is Kind.DIR
        made[path] = Thing(Entry(path, Kind.LINK, target=link_target(path)), 7, fresh=True)
    for path, mode in build.modes:
        old = made[path]
        assert old.entry.kind is not Kind.LINK, f"chmod of {path!r} follows a link"
        assert old.fresh or old.entry.kind is Kind.DIR, f"{path!r} may have a second name"
        made[path] = replace(old, entry=replace(old.entry, mode=mode))
    return made


def copied(build: Build, live: Disk) -> Disk:
    return dropped(opened(live, fresh=True), build.drop)


def filled(reuse: Reuse, world: World, live: Disk) -> Disk:
    """The release kept aside, without what it loses and with what it takes."""
    made = dropped(opened(world.disk(aside=True), fresh=False), reuse.drop)
    for path in reuse.bring:
        put(made, replace(live[path], fresh=True))
    return made


def opened(tree: Disk, *, fresh: bool) -> Disk:
    return {
        path: replace(thing, entry=worlds.opened(thing.entry), fresh=fresh)
        for path, thing in tree.items()
    }


def dropped(tree: Disk, drop: tuple[bytes, ...]) -> Disk:
    for top in drop:
        assert top in tree, f"drops {top!r}, which is not there"
        ups = [tree[up].entry.kind for up in parents(top)]
        assert all(kind is Kind.DIR for kind in ups), f"drops {top!r} through a link"
        tree = {p: t for p, t in tree.items() if p != top and not p.startswith(top + b"/")}
    return tree


def put(made: Disk, thing: Thing) -> None:
    """As tar does it: into real directories only, never through a link."""
    entry = thing.entry
    for up in parents(entry.path):
        assert made[up].entry.kind is Kind.DIR, f"{entry.path!r} would go through {up!r}"
    there = made.get(entry.path)
    assert there is None or there.entry.kind is entry.kind, f"{entry.path!r} is of another kind"
    time = 0 if entry.kind is Kind.DIR else thing.time
    made[entry.path] = Thing(worlds.opened(entry), time, thing.fresh)


@MANY
@given(all_worlds())
def test_what_is_made_of_the_release_kept_aside_is_what_a_copy_of_the_live_one_gives(
    world: World,
) -> None:
    reused = of_the_one_aside(world)
    assert carried_out(world, reused) == carried_out(world, planned(world)[0])


def line(thing: Thing) -> bytes:
    """How ``find`` tells of it, but for times and inode."""
    entry, letter = thing.entry, thing.entry.kind.value.encode()
    if entry.kind is Kind.LINK:
        return b"l 0 %d %s/%s" % (len(entry.target), entry.target, entry.path)
    return b"%s %o %d %s" % (letter, entry.mode, entry.size, entry.path)


@MANY
@given(all_worlds())
def test_how_it_differs_from_what_it_was_made_of_is_foretold(world: World) -> None:
    reused = of_the_one_aside(world)
    assert reused.build
    assert reused.build.reuse
    was, now = world.disk(aside=True), built(world, reused)
    # One with directories that no source had is not kept aside; of such that come nothing is known.
    assume(was.keys() <= world.aside.keys() | set(world.aside_links))
    assume(now.keys() <= world.target.keys() | set(reused.build.links))
    dirs = {
        path
        for path in was.keys() & now.keys()
        if was[path].entry.kind is now[path].entry.kind is Kind.DIR
        if was[path].entry.mode == now[path].entry.mode
    }
    same = dirs | {path for path, thing in now.items() if not thing.fresh and path in was}
    same -= {path for path in same - dirs if was[path].entry.kind is Kind.DIR}
    lines = [line(thing) for path, thing in now.items() if path not in same]
    lines += [b"\t" + line(thing) for path, thing in was.items() if path not in same]
    told = b"".join(one + b"\0" for one in sorted(lines))
    assert reused.build.reuse.gist == hashlib.sha256(told).hexdigest()


@MANY
@given(all_worlds())
def test_only_what_differs_is_brought_and_only_what_goes_or_comes_is_dropped(world: World) -> None:
    plan, config = planned(world)
    assume(may_reuse(world.site, world.base, plan, config))
    reused = reusing(plan, world.base, world.spare)
    assert reused.build
    assert reused.build.reuse
    here, live = world.disk(aside=True), world.disk(aside=False)
    modes = {path for path, _ in reused.build.modes}
    for path in reused.build.reuse.bring:
        same = path in world.aside and here[path] == live[path]
        assert not same or path in modes, f"{path!r} is there already"
    for path in reused.build.reuse.drop:
        below = [p for p in world.target if p.startswith(path + b"/") and p in here]
        kept = [p for p in below if here[p] == live.get(p) and p not in plan.build.send]  # type: ignore[union-attr]
        assert not kept, f"{path!r} goes with {kept}"


@MANY
@given(all_worlds())
def test_no_step_in_what_was_aside_goes_where_nobody_has_looked_and_no_link_of_its_own_is_odd(
    world: World,
) -> None:
    build = of_the_one_aside(world).build
    assert build
    assert build.reuse
    here, modes = world.disk(aside=True), {path for path, _ in build.modes}
    for path in build.through:
        assert path not in here or here[path].entry.kind is not Kind.LINK, path
    done = {*build.reuse.drop, *build.reuse.bring, *build.send, *build.links, *modes}
    for path in {up for one in done for up in parents(one)} | modes:
        gone = any(place in build.reuse.drop for place in (path, *parents(path)))
        assert path in build.through or gone, f"{path!r} is gone through unseen"


FILE = worlds.file("a", "1")
ALONE = Manifest([FILE])


def small(aside: Manifest = ALONE, **more: object) -> World:
    said: dict[str, object] = {
        "aside_links": (),
        "aside_times": {},
        "live": worlds.tree(FILE, worlds.file("d/b", "2")),
        "live_links": (),
        "live_times": {},
        "target": worlds.tree(FILE, worlds.file("d/b", "2"), worlds.file("c", "3")),
        "shared": {},
        **more,
    }
    return World(aside=aside, **said)  # type: ignore[arg-type]


def reused(world: World) -> Plan:
    return reusing(planned(world)[0], world.base, world.spare)


def test_the_control_forgetting_to_bring_or_to_drop_is_found_out() -> None:
    world = small(aside=worlds.tree(FILE, worlds.file("gone", "x")))
    plan = reused(world)
    assert plan.build
    assert plan.build.reuse
    assert (plan.build.reuse.drop, plan.build.reuse.bring) == ((b"gone",), (b"d", b"d/b"))
    for careless in (Reuse((), plan.build.reuse.bring), Reuse(plan.build.reuse.drop, ())):
        made = replace(plan, build=replace(plan.build, reuse=careless))
        assert carried_out(world, made) != carried_out(world, planned(world)[0])


def test_what_a_file_takes_the_place_of_is_dropped_where_it_is_none() -> None:
    """Of a file nothing needs to go before: what comes takes its place by itself."""
    build = reused(small(aside=worlds.tree(worlds.link("a", "d/b")))).build
    assert build
    assert build.reuse
    assert build.reuse.drop == (b"a",)


def test_other_content_of_the_same_size_and_time_is_brought() -> None:
    build = reused(small(aside=worlds.tree(worlds.file("a", "2")))).build
    assert build
    assert build.reuse
    assert (build.reuse.drop, build.reuse.bring) == ((), (b"a", b"d", b"d/b"))


def test_another_time_is_reason_enough_to_bring_a_file() -> None:
    build = reused(small(aside_times={b"a": 2})).build
    assert build
    assert build.reuse
    assert (build.reuse.drop, build.reuse.bring) == ((), (b"a", b"d", b"d/b"))


def test_a_file_whose_mode_is_set_is_brought_first_since_somebody_may_have_linked_it() -> None:
    runs = replace(FILE, mode=0o755)
    build = reused(small(target=worlds.tree(runs, worlds.file("d/b", "2")))).build
    assert build
    assert build.modes == ((b"a", 0o755),)
    assert build.reuse
    assert (build.reuse.drop, build.reuse.bring) == ((), (b"a", b"d", b"d/b"))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, ""),
        ({"recycle": False}, "switched off"),
        ({"copy": "hardlink"}, "hard links"),
        ({"before_publish": ["make"]}, "nobody could tell what a hook wrote from what was there"),
        ({"linked_dirs": ["d"]}, "d moves into shared/"),
    ],
)
def test_when_the_release_kept_aside_may_be_used(said: dict[str, object], why: str) -> None:
    world = small()
    plan, config = planned(world, **said)
    assert may_reuse(world.site, world.base, plan, config) is not bool(why)
    assert not may_reuse(replace(world.site, spare=None), world.base, plan, config)
    assert not may_reuse(world.site, None, plan, config)


@pytest.mark.parametrize("what", ["carried", "drifted", "altered"])
def test_a_live_release_with_anything_unknown_in_it_is_copied(what: str) -> None:
    world = small()
    plan, config = planned(world)
    unknown = frozenset([b"x"])
    base = {
        "carried": replace(world.base, carried=unknown),
        "drifted": replace(world.base, drifted=unknown),
        "altered": replace(world.base, altered=unknown),
    }[what]
    assert plain(world.base)
    assert not plain(base)
    assert not may_reuse(world.site, base, plan, config)


# --- what somebody else did to it ------------------------------------------------------------

BUILD = Reuse(drop=(b"old", b"dir"), bring=(b"new/file",))
WRITTEN = [b"sub/sent", b"sub/mode"]


@pytest.mark.parametrize(
    "path", [b"old", b"dir/below", b"new/file", b"sub/sent", b"sub/mode"], ids=repr
)
def test_what_was_dropped_brought_or_written_is_nobody_elses_doing(path: bytes) -> None:
    assert meddled(BUILD, WRITTEN, {path}) == []


@pytest.mark.parametrize(
    "path",
    [b"else", b"sub/other", b"sub", b"new", b"new/other", b"new/file/deep", b"older"],
    ids=repr,
)
def test_anything_else_that_is_not_as_it_was_is(path: bytes) -> None:
    """Also next to what was written: in the same directory, or the directory itself."""
    assert meddled(BUILD, WRITTEN, {path, b"old"}) == [path]


# --- what is kept aside ----------------------------------------------------------------------


def site_of(count: int, **more: object) -> Site:
    """Good releases, each of a thousand bytes, the newest live."""
    made = [
        worlds.release(f"2026032512000{n}", n, live=n == count, size=1000, manifest="0" * 64)
        for n in range(1, count + 1)
    ]
    return worlds.site(*made, **more)


def deployed(on: Site, **said: object) -> Plan:
    tree = worlds.tree(FILE)
    name = on.current.name
    config = worlds.settings(**said)
    return worlds.deploy(tree, worlds.base(worlds.tree(), name=name), on=on, config=config)


def test_the_newest_release_that_leaves_is_kept_aside() -> None:
    plan = deployed(site_of(5))
    assert list(plan.retention.remove) == ["20260325120001", "20260325120002", "20260325120003"]
    assert plan.aside == "20260325120003"
    assert deployed(site_of(2)).aside == ""


@pytest.mark.parametrize(
    "said", [{"recycle": False}, {"copy": "hardlink"}, {"before_publish": ["make"]}]
)
def test_nothing_is_kept_aside_where_nothing_could_be_made_of_it(said: dict[str, object]) -> None:
    assert deployed(site_of(5), **said).aside == ""


def test_nothing_is_kept_aside_where_the_disk_has_not_twice_its_room() -> None:
    assert deployed(site_of(5, free_bytes=2000)).aside == ""
    assert deployed(site_of(5, free_bytes=2010)).aside == "20260325120003"


@pytest.mark.parametrize(
    "theirs", [lambda made: replace(made, adopted=True), lambda made: replace(made, manifest="")]
)
def test_a_release_that_opsnb_did_not_make_is_not_kept_aside(
    theirs: Callable[[Record], Record],
) -> None:
    on = site_of(5)
    known = [replace(r, record=theirs(r.record)) for r in on.releases if r.record]
    assert deployed(replace(on, releases=tuple(known))).aside == ""


KEPT = Record(ASIDE, 1, State.GOOD, size=50, files=1)


def test_what_is_aside_is_cleared_when_its_room_is_needed() -> None:
    roomy, tight = site_of(2, spare=KEPT), site_of(2, spare=KEPT, free_bytes=0)
    assert not deployed(roomy).clears_spare
    assert deployed(tight).clears_spare
    assert not deployed(site_of(2)).clears_spare


def test_a_prune_clears_what_is_aside_also_when_nothing_else_goes() -> None:
    plan = plan_prune(site_of(2, spare=KEPT), Rules(3), worlds.NOW)
    assert (plan.nothing, plan.clears_spare, plan.retention.remove) == (False, True, {})
    assert "the release kept aside" in plan_text(plan, "web1")
    idle = plan_prune(site_of(2), Rules(3), worlds.NOW)
    assert (idle.nothing, idle.clears_spare) == (True, False)


def test_a_plan_says_that_what_is_aside_is_cleared() -> None:
    assert "the release kept aside" in plan_text(deployed(site_of(2, spare=KEPT, free_bytes=0)), "")
    assert "the release kept aside" not in plan_text(deployed(site_of(2, spare=KEPT)), "")


@pytest.mark.parametrize(
    "said", [{"recycle": False}, {"copy": "hardlink"}, {"before_publish": ["make"]}]
)
def test_what_is_aside_is_cleared_when_nothing_can_be_made_of_it_any_more(
    said: dict[str, object],
) -> None:
    assert deployed(site_of(2, spare=KEPT), **said).clears_spare
    assert not deployed(site_of(2), **said).clears_spare
