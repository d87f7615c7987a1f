"""A plan's steps make what the plan promises, whatever the trees (a property)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.links import link_target
from opsnb.core.listing import Base, leads_to_shared
from opsnb.core.manifest import Entry, Kind, Manifest, parents
from opsnb.errors import NotReady
from tests.core import worlds

NAMES = st.sampled_from([b"a", b"b", b"c", b"-d", b"e\nf", b"\xff", b"uploads", b"a.b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
TEXTS = st.sampled_from(["", "one", "two"])
MODES = st.sampled_from([0o644, 0o755, 0o555, 0o400])


@st.composite
def entries(draw: st.DrawFn) -> dict[bytes, Entry]:
    """A tree: every path has real directories above it."""
    made: dict[bytes, Entry] = {}
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
            made.setdefault(up, Entry(up, Kind.DIR, 0o755))
    return made


@st.composite
def lives(draw: st.DrawFn) -> Base:
    """A live release in which the application has written, changed and removed."""
    manifest = Manifest(draw(entries()).values())
    found = dict(manifest)
    for path, entry in draw(entries()).items():
        blocked = any(up in found and found[up].kind is not Kind.DIR for up in parents(path))
        below = any(other.startswith(path + b"/") for other in found)
        if blocked or (below and entry.kind is not Kind.DIR):
            continue
        # What the server's find tells has no digest.
        found[path] = Entry(path, entry.kind, entry.mode, entry.size, "", entry.target)
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
    return Base(
        "20260325120000",
        manifest,
        found,
        into,
        frozenset(path for path in found if path not in manifest) - into - above,
        frozenset(path for path in manifest if found.get(path) != manifest[path]),
        frozenset(),
    )


@st.composite
def shareds(draw: st.DrawFn) -> dict[str, dict[str, str]]:
    """What shared/ holds, two levels deep."""
    top = draw(st.dictionaries(st.sampled_from("abc"), st.sampled_from("fd"), max_size=3))
    listing = {"": top}
    for one in "abc":
        inner = draw(st.dictionaries(st.sampled_from("abc"), st.sampled_from("fd"), max_size=2))
        listing[one] = inner if top.get(one) == "d" else {}
        for two in "abc":
            listing[f"{one}/{two}"] = {}
            for three in "abc":
                listing[f"{one}/{two}/{three}"] = {}
    return listing


CONFIGS = st.fixed_dictionaries(
    {
        "base": st.sampled_from(["previous", "clean"]),
        "copy": st.sampled_from(["copy", "hardlink"]),
        "linked_dirs": st.sampled_from([[], [], ["uploads"], ["a/uploads"]]),
    }
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(source=entries(), live=st.none() | lives(), shared=shareds(), said=CONFIGS)
def test_the_steps_make_the_manifest_the_links_and_what_is_carried(
    source: dict[bytes, Entry],
    live: Base | None,
    shared: dict[str, dict[str, str]],
    said: dict[str, object],
) -> None:
    try:
        config = worlds.settings(**said)
        manifest = Manifest(source.values())
        where = {**shared, "uploads": {}, "a/uploads": {}}
        plan = worlds.deploy(manifest, live, shared=where, config=config, force=True)
    except NotReady:
        return  # a listed directory below a file of the source: refused, which is right
    assert plan.build is not None
    made = worlds.carry_out(plan, live, manifest)
    links = {p: Entry(p, Kind.LINK, target=link_target(p)) for p in plan.build.links}
    assert live is not None or not plan.carried
    carried = {path: live.found[path] for path in plan.carried} if live else {}
    promised = dict(plan.build.manifest) | carried | links
    above = {up for path in (*links, *carried) for up in parents(path)}
    for path, entry in promised.items():
        assert made.get(path) == entry, path
    for path in made:
        assert path in promised or path in above, f"{path!r} was never promised"
    if config.base == "clean":
        assert not plan.carried
