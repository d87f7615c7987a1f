"""Small worlds for planning: sites, sources and bases made of a few lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from opsnb.core.config import Settings
from opsnb.core.links import link_target
from opsnb.core.listing import Base, leads_to_shared
from opsnb.core.manifest import Entry, Kind, Manifest, parents
from opsnb.core.plan import Plan, Wish
from opsnb.core.plan_deploy import plan_deploy
from opsnb.core.release import Current, CurrentKind, Record, Release, Site, State, Verdict, order

NOW = datetime(2026, 3, 25, 14, 0, 0, tzinfo=UTC)
NAME = "20260325140000"


def file(path: str, text: str = "", mode: int = 0o644) -> Entry:
    """A file whose content is a text."""
    raw = text.encode()
    return Entry(path.encode(), Kind.FILE, mode, len(raw), hashlib.sha256(raw).hexdigest())


def folder(path: str, mode: int = 0o755) -> Entry:
    """A directory."""
    return Entry(path.encode(), Kind.DIR, mode)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path.encode(), Kind.LINK, target=target.encode())


def tree(*entries: Entry) -> Manifest:
    """A tree with the directories above each entry."""
    above = {up for entry in entries for up in parents(entry.path)}
    named = {entry.path for entry in entries}
    return Manifest([*entries, *(Entry(up, Kind.DIR, 0o755) for up in above - named)])


def release(
    name: str, seq: int, state: State = State.GOOD, *, live: bool = False, **more: object
) -> Release:
    """A release with a record."""
    record = Record(name=name, seq=seq, state=state, **more)  # type: ignore[arg-type]
    return Release(name, record, live=live)


def failed(name: str, seq: int) -> Release:
    """A release that failed its checks."""
    verdict = Verdict("ops", "2026-03-25T12:00:00Z", "no answer", left=False)
    return release(name, seq, State.BAD, verdict=verdict)


def left(name: str, seq: int) -> Release:
    """A release that a rollback left."""
    verdict = Verdict("ops", "2026-03-25T12:00:00Z", "slow", left=True)
    return release(name, seq, State.BAD, verdict=verdict)


def site(*releases: Release, **more: object) -> Site:
    """A site of ours with some releases."""
    live = next((item for item in releases if item.live), None)
    current = (
        Current(CurrentKind.RELEASE, f"releases/{live.name}".encode(), live.name)
        if live
        else Current()
    )
    given: dict[str, object] = {
        "deploy_to": "/srv/shop",
        "exists": True,
        "ours": bool(releases),
        "entries": {b"releases": "d", b"shared": "d", b".opsnb": "d"} if releases else {},
        "current": current,
        "releases": order(list(releases)),
        "counter": max((item.seq for item in releases), default=0),
        "free_bytes": 10**12,
        "free_inodes": 10**9,
        "user": "deploy",
    }
    return Site(**{**given, **more})  # type: ignore[arg-type]


def base(
    manifest: Manifest,
    extra: Iterable[Entry] = (),
    links: Iterable[str] = (),
    name: str = "20260325120000",
    drifted: Iterable[str] = (),
) -> Base:
    """A live release: what its source was, what was written into it, what it links."""
    found: dict[bytes, Entry] = dict(manifest)
    found |= {entry.path: entry for entry in extra}
    for path in (text.encode() for text in links):
        found[path] = Entry(path, Kind.LINK, target=link_target(path))
    into = frozenset(
        path
        for path, entry in found.items()
        if manifest.get(path) != entry and leads_to_shared(entry, "/srv/shop")
    )
    above = {up for path in into for up in parents(path)}
    return Base(
        name,
        manifest,
        found,
        into,
        frozenset(path for path in found if path not in manifest) - into - above,
        frozenset(path for path in manifest if found.get(path) != manifest[path]),
        frozenset(path.encode() for path in drifted) | {e.path for e in extra},
    )


def settings(**said: object) -> Settings:
    """Settings, with what is said of them."""
    return Settings.model_validate(said)


def deploy(
    source: Manifest,
    live: Base | None = None,
    *,
    on: Site | None = None,
    shared: Mapping[str, Mapping[str, str]] | None = None,
    config: Settings | None = None,
    now: datetime = NOW,
    revision: str = "",
    force: bool = False,
) -> Plan:
    """Plan a deploy in a small world; ``shared`` is a listing by directory, {} where not given."""
    where = on or (site(release(live.name, 1, live=True)) if live else site())
    known = {
        path.encode(): {name.encode(): kind for name, kind in listing.items()}
        for path, listing in (shared or {"": {}}).items()
    }
    wish = Wish(source, "dist", config or settings(), revision, "ops", "jump", force)
    asked: set[bytes] = set()
    while True:
        plan = plan_deploy(where, live, known, wish, now)
        if isinstance(plan, Plan):
            return plan
        assert not asked & set(plan.paths), "asked again for what it has been told"
        asked |= set(plan.paths)
        known |= {path: known.get(path, {}) for path in plan.paths}


def carry_out(
    plan: Plan, live: Base | None, source: Manifest
) -> tuple[dict[bytes, Entry], dict[bytes, Entry]]:
    """What a plan's steps make, step by step, as the server's tools would.

    Returns:
        What the release holds, and what has moved into ``shared/``.
    """
    build = plan.build
    assert build is not None
    made: dict[bytes, Entry] = {}
    moved: dict[bytes, Entry] = {}
    if build.base:
        assert live is not None
        # The copy opens every directory to its owner.
        made = {path: opened(entry) for path, entry in live.found.items()}
    for path in build.drop:
        assert path in made, f"drops {path!r}, which is not there"
        made = {p: e for p, e in made.items() if p != path and not p.startswith(path + b"/")}
    entries = dict(source) | dict(build.manifest)
    for path in build.send:
        _put(made, entries[path])
    for path in build.seed:
        seeded = {p for p in made if p == path or p.startswith(path + b"/")}
        assert made[path].kind is Kind.DIR, f"seeds {path!r}, which is no directory"
        moved |= {p: made.pop(p) for p in seeded}
    for path in build.links:
        assert path not in made, f"links {path!r}, which is there"
        for up in parents(path):
            made.setdefault(up, Entry(up, Kind.DIR, 0o755))
            assert made[up].kind is Kind.DIR
        made[path] = Entry(path, Kind.LINK, target=link_target(path))
    for path, mode in build.modes:
        old = made[path]
        assert all(made[up].kind is Kind.DIR for up in parents(path)), f"{path!r} through a link"
        assert old.kind is not Kind.LINK, f"chmod of {path!r} follows a link"
        made[path] = Entry(path, old.kind, mode, old.size, old.sha256, old.target)
    return made, moved


def opened(entry: Entry) -> Entry:
    """A directory as its owner may write to it; anything else as it is."""
    return replace(entry, mode=entry.mode | 0o700) if entry.kind is Kind.DIR else entry


def _put(made: dict[bytes, Entry], entry: Entry) -> None:
    """As tar does it: into real directories only, never through a link."""
    for up in parents(entry.path):
        assert made[up].kind is Kind.DIR, f"{entry.path!r} would go through {up!r}"
    there = made.get(entry.path)
    assert there is None or there.kind is entry.kind, f"{entry.path!r} is of another kind"
    made[entry.path] = opened(entry)
