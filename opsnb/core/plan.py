"""Every decision about what will change is made here.

Rule 1: a plan is a function of what was seen, of the configuration and of the time it is given.
Rule 2: nothing here can touch a server.
Rule 3: a refusal comes before anything is made, and says what stands in the way.
Rule 4: a plan is carried out exactly, or not at all: ``state_id`` says what it rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote_from_bytes

from opsnb.core import layout
from opsnb.core.config import Health, Hook, Settings
from opsnb.core.links import Linking, Listing, decide
from opsnb.core.listing import Base
from opsnb.core.manifest import Difference, Entry, Kind, Manifest, compare, parents
from opsnb.core.release import (
    Current,
    CurrentKind,
    Intent,
    Record,
    Release,
    Site,
    State,
    order,
    rollback_targets,
)
from opsnb.core.retention import Retention, retain
from opsnb.core.text import plural, safe, size
from opsnb.errors import NoSuchRelease, NotReady

Verb = Literal["deploy", "rollback", "prune"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks a deploy for.

    Attributes:
        source: What the source holds.
        label: Where the source is, for the record.
        settings: What is configured for the server.
        revision: What the source was; empty when not known.
        by: Who asks.
        host: The machine they ask from.
        force: Whether to make a release that changes nothing.
    """

    source: Manifest
    label: str
    settings: Settings
    revision: str = ""
    by: str = ""
    host: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Build:
    """How a new release comes to be.

    Attributes:
        base: The release to copy; empty to begin with nothing.
        hardlink: Whether unchanged files share their inode with it.
        drop: Paths to remove from the copy, links into ``shared/`` among them.
        send: Paths to send from the source, in the order of their names.
        modes: Paths whose mode is to be set, with the mode.
        make: Directories to make in ``shared/``.
        seed: Directories to move from the release to ``shared/``, once.
        links: Paths to link into ``shared/``.
        manifest: What the release holds of its source.
        carried: What it holds besides, from the release it copies; None when that may be anything.
        before: Hooks before the switch.
    """

    base: str
    hardlink: bool
    drop: tuple[bytes, ...]
    send: tuple[bytes, ...]
    modes: tuple[tuple[bytes, int], ...]
    make: tuple[bytes, ...]
    seed: tuple[bytes, ...]
    links: tuple[bytes, ...]
    manifest: Manifest
    carried: frozenset[bytes] | None
    before: tuple[Hook, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a change will do.

    Attributes:
        verb: What kind of change.
        name: The release that will be live; for a prune, the one that is.
        previous: The release that is live now; empty when none is.
        state_id: What the plan rests on (:attr:`Site.state_id`).
        build: How a new release is made; None for a rollback or a prune.
        record: The new release's record when it is finished; None likewise.
        difference: What visitors' files lose and gain against the live release.
        send_bytes: Bytes of content to send.
        carried: Paths that the application wrote in the live release and that stay.
        overwritten: Paths changed on the server that the source's version replaces.
        after: Hooks after the switch.
        health: What must answer after the switch.
        retention: What is pruned, and what stays, with reasons.
        keep_releases: How many good releases the retention keeps.
        marks_bad: The release that a rollback leaves and marks bad; empty for none, as when it
            goes forward again.
        why: The reason given.
        nothing: Whether there is nothing to do.
        warnings: What the user should know before saying yes.
    """

    verb: Verb
    name: str
    previous: str
    state_id: str
    build: Build | None = None
    record: Record | None = None
    difference: Difference = Difference()
    send_bytes: int = 0
    carried: tuple[bytes, ...] = ()
    overwritten: tuple[bytes, ...] = ()
    after: tuple[Hook, ...] = ()
    health: tuple[Health, ...] = ()
    retention: Retention = field(default_factory=lambda: Retention({}, {}))
    keep_releases: int = 0
    marks_bad: str = ""
    why: str = ""
    nothing: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def meaning(self) -> tuple[object, ...]:
        """What makes two plans the same plan, whatever second they were made in."""
        build = self.build
        steps = (
            (build.base, build.drop, build.send, build.modes, build.make, build.seed, build.links)
            if build
            else (self.name,)
        )
        return (self.verb, self.previous, self.state_id, steps, tuple(self.retention.remove))


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A deploy cannot be planned yet: directories of ``shared/`` must be listed first."""

    paths: tuple[bytes, ...]


def refuse(site: Site) -> None:
    """Refuse a site that cannot take an atomic release as it stands.

    Raises:
        NotReady: With everything that is in the way, and what to do about it.
    """
    if site.missing:
        raise NotReady(
            f"the server lacks what an atomic release needs: {', '.join(site.missing)}",
            "`opsnb check` says more; install what is missing, then try again.",
        )
    _refuse_current(site)
    _refuse_odd(site)
    if site.in_the_way:
        shown = list(site.in_the_way[:20])
        more = len(site.in_the_way) - len(shown)
        names = ", ".join(shown) + (f" and {more} more" if more else "")
        made_by = f" (laid out by {site.made_by})" if site.made_by else ""
        hint = (
            "`opsnb adopt` takes the releases over without touching them."
            if site.made_by
            else "Nothing was touched. Give an empty or a new path, or move these away."
        )
        raise NotReady(f"{site.deploy_to} holds something else{made_by}: {names}", hint)
    if not site.writable:
        raise NotReady(
            f"{safe(site.user)} may not write to {site.deploy_to}",
            "Give that user the directory, or connect as the one who owns it.",
        )


def _refuse_odd(site: Site) -> None:
    """``releases`` and ``.opsnb`` must be directories of their own: a link could lead anywhere."""
    for name, kind in site.entries.items():
        if name in (b"releases", b".opsnb") and kind != "d":
            path = f"{site.deploy_to}/{name.decode()}"
            raise NotReady(f"{path} is not a directory of its own", "Move it away, or back.")


def _refuse_current(site: Site) -> None:
    current = f"{site.deploy_to}/current"
    match site.current.kind:
        case CurrentKind.DIRECTORY:
            raise NotReady(
                f"{current} is a real directory, which no rename can replace atomically",
                "Move it into releases/ under a name such as 20260101000000, point a link "
                "current at it, and run `opsnb adopt`.",
            )
        case CurrentKind.FILE:
            raise NotReady(f"{current} is a file, not a link", "Move it away, then try again.")
        case CurrentKind.ELSEWHERE:
            raise NotReady(
                f"{current} leads to {safe(site.current.target)}, which is not in releases/",
                "Point it at a release, or move it away, then try again.",
            )
        case CurrentKind.DANGLING if not site.ours:
            raise NotReady(
                f"{current} leads to {safe(site.current.target)}, which does not exist",
                "Remove the link, then try again.",
            )


def plan_deploy(
    site: Site,
    base: Base | None,
    shared: Mapping[bytes, Listing],
    wish: Wish,
    now: datetime,
) -> Plan | Unlisted:
    """Plan a deploy.

    Args:
        site: What a look at the server told.
        base: The live release as it truly is; None when none is live.
        shared: Listings of directories of ``shared/`` (see :func:`opsnb.core.links.decide`).
        wish: What is asked for.
        now: The present time, aware.

    Returns:
        The plan, or which directories of ``shared/`` must be listed before it can be made.

    Raises:
        NotReady: The site cannot take the release as it stands.
    """
    refuse(site)
    settings = wish.settings
    carried = _carried(base, wish)
    tree = dict(wish.source) | {path: base.found[path] for path in carried if base}
    linking = decide(tree, shared, settings.linked_dirs, settings.linked_files)
    if linking.unlisted:
        return Unlisted(linking.unlisted)
    _refuse_links(linking)
    carried = frozenset(path for path in carried if not _below(path, linking.links))
    name = layout.next_name(now, site.names)
    build = _build(site, base, wish, linking, carried)
    record = _record(site, wish, build, name, now)
    after = _with_live(site, record)
    live_tree = {} if base is None else dict(base.manifest)
    sent = sum(wish.source[path].size for path in build.send if path in wish.source)
    plan = Plan(
        verb="deploy",
        name=name,
        previous=site.current.name,
        state_id=site.state_id,
        build=build,
        record=record,
        difference=compare(live_tree, build.manifest),
        send_bytes=sent,
        carried=tuple(sorted(carried)),
        overwritten=_overwritten(base, build),
        after=settings.after_publish,
        health=settings.health,
        retention=retain(after, settings.keep_releases),
        keep_releases=settings.keep_releases,
        nothing=not wish.force and _nothing(site, base, wish, build, linking, carried),
    )
    _refuse_space(site, base, plan)
    return replace(plan, warnings=_warnings(site, base, plan, linking, wish))


def _carried(base: Base | None, wish: Wish) -> frozenset[bytes]:
    """What of the live release's own content stays: not where the source has something."""
    if base is None or wish.settings.base == "clean":
        return frozenset()
    return frozenset(
        path
        for path in base.carried
        if path not in wish.source and not _under_file(path, wish.source)
    )


def _under_file(path: bytes, tree: Mapping[bytes, Entry]) -> bool:
    return any(up in tree and tree[up].kind is not Kind.DIR for up in parents(path))


def _below(path: bytes, tops: Iterable[bytes]) -> bool:
    """Whether a path is one of ``tops`` or lies below one."""
    tops = set(tops)
    return path in tops or any(up in tops for up in parents(path))


def _refuse_links(linking: Linking) -> None:
    if linking.missing:
        names = ", ".join(safe(path) for path in linking.missing)
        raise NotReady(
            f"linked_files names files that shared/ lacks: {names}",
            "Put them into shared/ on the server, then deploy again. No release was made.",
        )
    if linking.blocked:
        names = ", ".join(safe(path) for path in linking.blocked)
        raise NotReady(f"these cannot be linked, since the source has a file above them: {names}")


def _build(
    site: Site, base: Base | None, wish: Wish, linking: Linking, carried: frozenset[bytes]
) -> Build:
    settings = wish.settings
    hardlink = settings.copy_mode == "hardlink"
    manifest = _manifest(wish, linking)
    target = dict(manifest) | {
        path: entry for path, entry in wish.source.items() if _below(path, linking.seed)
    }
    found = {} if base is None else base.found
    send, modes = _to_send(found, target, hardlink)
    drop = [] if base is None else _to_drop(base, target, carried, linking)
    strict = settings.base == "clean" and not settings.before_publish
    return Build(
        base="" if base is None else base.name,
        hardlink=hardlink,
        drop=tuple(drop),
        send=tuple(send),
        modes=tuple(modes),
        make=linking.make,
        seed=linking.seed,
        links=linking.links,
        manifest=manifest,
        carried=frozenset() if strict else None,
        before=settings.before_publish,
    )


def _manifest(wish: Wish, linking: Linking) -> Manifest:
    kept = [entry for path, entry in wish.source.items() if path not in linking.hidden]
    if wish.revision and layout.REVISION not in wish.source:
        kept.append(revision_entry(wish.revision))
    return Manifest(kept)


def revision_entry(revision: str) -> Entry:
    """The ``REVISION`` file of a release."""
    import hashlib  # noqa: PLC0415 - only here, and only when a revision is known

    text = layout.revision_text(revision)
    digest = hashlib.sha256(text).hexdigest()
    return Entry(layout.REVISION, Kind.FILE, 0o644, len(text), digest)


def _to_send(
    found: Mapping[bytes, Entry], target: Mapping[bytes, Entry], hardlink: bool
) -> tuple[list[bytes], list[tuple[bytes, int]]]:
    send: list[bytes] = []
    modes: list[tuple[bytes, int]] = []
    for path, entry in sorted(target.items()):
        before = found.get(path)
        shares_inode = hardlink and entry.kind is Kind.FILE
        if before is None or not entry.same_content(before):
            send.append(path)
        elif entry.mode != before.mode and shares_inode:
            send.append(path)
        elif entry.mode != before.mode:
            modes.append((path, entry.mode))
    return send, modes


def _to_drop(
    base: Base, target: Mapping[bytes, Entry], carried: frozenset[bytes], linking: Linking
) -> list[bytes]:
    """What the copy must lose, the topmost paths only."""
    needed = {up for path in carried for up in parents(path)} | carried
    gone: list[bytes] = []
    for path in sorted(base.found):
        if gone and _below(path, gone[-1:]):
            continue
        entry, wanted = base.found[path], target.get(path)
        if path in base.links:
            gone.append(path)
        elif _below(path, linking.links) and not _below(path, linking.seed):
            gone.append(path)
        elif wanted is None and path not in needed:
            gone.append(path)
        elif wanted is not None and wanted.kind is not entry.kind:
            gone.append(path)
    return gone


def _record(site: Site, wish: Wish, build: Build, name: str, now: datetime) -> Record:
    return Record(
        name=name,
        seq=site.counter + 1,
        state=State.UNFINISHED,
        at=stamp(now),
        by=wish.by,
        host=wish.host,
        revision=wish.revision,
        source=wish.label,
        previous=site.current.name,
        files=build.manifest.files,
        size=build.manifest.size,
        manifest=build.manifest.id,
        links=tuple(quote_from_bytes(path) for path in build.links),
    )


def stamp(now: datetime) -> str:
    """A time as records write it: UTC, ISO 8601, to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_live(site: Site, record: Record) -> Site:
    """The site after that release has been published and confirmed."""
    others = [replace(release, live=False) for release in site.releases]
    new = Release(record.name, record.good(), live=True)
    current = Current(CurrentKind.RELEASE, name=record.name)
    return replace(site, releases=order([*others, new]), current=current)


def _overwritten(base: Base | None, build: Build) -> tuple[bytes, ...]:
    if base is None:
        return ()
    sent = set(build.send)
    return tuple(sorted(path for path in base.altered & base.drifted if path in sent))


def _nothing(
    site: Site,
    base: Base | None,
    wish: Wish,
    build: Build,
    linking: Linking,
    carried: frozenset[bytes],
) -> bool:
    """Whether the live release already is what is asked for; a new revision alone is no change."""
    if base is None or site.live is None or site.live.state is State.BAD:
        return False
    here = {path: entry for path, entry in build.manifest.items() if path != layout.REVISION}
    there = {path: entry for path, entry in base.manifest.items() if path != layout.REVISION}
    if layout.REVISION in wish.source:
        here[layout.REVISION] = wish.source[layout.REVISION]
        there |= {path: e for path, e in base.manifest.items() if path == layout.REVISION}
    drifted = base.drifted - carried
    links_same = frozenset(build.links) == base.links
    return here == there and not drifted and links_same and not (linking.make or linking.seed)


def _refuse_space(site: Site, base: Base | None, plan: Plan) -> None:
    if plan.build is None or not site.exists or plan.nothing:
        return
    copied = [] if base is None else list(base.found.values())
    shares = plan.build.hardlink
    need = plan.send_bytes + (0 if shares else sum(entry.size for entry in copied))
    inodes = len(plan.build.send) + (0 if shares else len(copied))
    if need > site.free_bytes:
        raise NotReady(
            f"not enough room: the release needs {size(need)}, {size(site.free_bytes)} are free",
            "`opsnb usage` shows what takes the room, `opsnb prune` gives it back.",
        )
    if site.free_inodes and inodes > site.free_inodes:
        raise NotReady(
            f"not enough inodes: the release needs {inodes:,}, {site.free_inodes:,} are free",
            "`opsnb usage` shows what takes the room, `opsnb prune` gives it back.",
        )


def _warnings(
    site: Site, base: Base | None, plan: Plan, linking: Linking, wish: Wish
) -> tuple[str, ...]:
    said = list(linking.warnings)
    if site.current.kind is CurrentKind.DANGLING:
        said.append(f"current leads to {safe(site.current.target)}, which does not exist")
    if plan.overwritten:
        count = plural(len(plan.overwritten), "file")
        named = ", ".join(safe(path) for path in plan.overwritten[:3])
        said.append(f"{count} changed on the server will be replaced by the source's: {named}")
    if base is not None and wish.settings.base == "previous":
        lost = [path for path in base.carried if path in wish.source]
        said += [f"{safe(path)}, written on the server, gives way to the source's" for path in lost]
    if site.hold:
        said.append(f"held by {site.hold}")
    if not plan.health:
        said.append("no health check is configured: the switch will be taken as good")
    said += [f"record {safe(name)} cannot be read" for name in site.broken]
    return tuple(said)


def plan_rollback(site: Site, settings: Settings, to: str = "", why: str = "") -> Plan:
    """Plan a rollback, or a roll forward to a release that a rollback left.

    Args:
        site: What a look at the server told.
        settings: What is configured for the server.
        to: The release to publish; empty for the good one before the live one.
        why: The reason, for the record.

    Raises:
        NotReady: The site cannot switch as it stands.
        NoSuchRelease: There is no such release, or it cannot be trusted.
    """
    if site.missing:
        refuse(site)
    _refuse_current(site)
    target = _chosen(site, to) if to else _previous(site)
    live = site.live
    back = live is not None and live.record is not None and target.seq < live.seq
    left = live.name if live and back else ""
    return Plan(
        verb="rollback",
        name=target.name,
        previous=site.current.name,
        state_id=site.state_id,
        after=settings.after_publish,
        health=settings.health,
        marks_bad=left,
        why=why,
        nothing=target.live,
        warnings=_rollback_warnings(site, target),
    )


def _previous(site: Site) -> Release:
    targets = rollback_targets(site)
    if targets:
        return targets[0]
    others = ", ".join(f"{safe(r.name)} ({r.state})" for r in site.releases if not r.live)
    hint = f"There are: {others}." if others else "There is no other release."
    if site.releases and not site.ours:
        hint += " `opsnb adopt` gives the releases of another tool their records."
    raise NoSuchRelease("no good release before the live one: nothing was changed", hint)


def _chosen(site: Site, name: str) -> Release:
    release = site.find(name)
    if release is None or not release.present:
        known = ", ".join(safe(r.name) for r in site.releases if r.present) or "none"
        raise NoSuchRelease(f"no release is called {safe(name)}", f"There are: {known}.")
    if release.record is None:
        raise NoSuchRelease(
            f"{safe(name)} has no record: nobody knows whether it is complete",
            "`opsnb adopt` takes the releases of another tool over.",
        )
    if not release.complete or not release.real:
        raise NoSuchRelease(f"{safe(name)} is {release.state}: it was never completed")
    verdict = release.record.verdict
    if release.state is State.BAD and verdict and not verdict.left:
        raise NoSuchRelease(
            f"{safe(name)} failed its checks: {safe(verdict.why)}",
            "Deploy a mended version instead; a rollback only goes where visitors have been.",
        )
    return release


def _rollback_warnings(site: Site, target: Release) -> tuple[str, ...]:
    said = []
    verdict = target.record.verdict if target.record else None
    if verdict:
        said.append(f"{target.name} was left by {safe(verdict.by)}: {safe(verdict.why)}")
    if target.state is State.UNCONFIRMED:
        said.append(f"{target.name} was never confirmed to work")
    if site.hold:
        said.append(f"held by {site.hold}")
    return tuple(said)


def plan_prune(site: Site, keep_releases: int) -> Plan:
    """Plan the removal of old releases.

    Args:
        site: What a look at the server told.
        keep_releases: How many good releases stay, the live one included.

    Raises:
        NotReady: opsnb has never been here, so nothing is its own to remove.
    """
    if not site.ours:
        raise NotReady(
            f"opsnb has no records at {site.deploy_to}: it removes only what it knows",
            "`opsnb adopt` takes the releases of another tool over.",
        )
    retention = retain(site, keep_releases)
    name = site.current.name
    return Plan(
        verb="prune",
        name=name,
        previous=name,
        state_id=site.state_id,
        retention=retention,
        keep_releases=keep_releases,
        nothing=not retention.remove,
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a dead change left, and what to do about it.

    Attributes:
        records: Records to write, each settling a release.
        discard: Unfinished releases to remove.
        forget: Records of releases that are not there any more.
        settled: Whether the switch that was begun had happened; None when none was begun.
    """

    records: tuple[Record, ...] = ()
    discard: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    settled: bool | None = None


def plan_recovery(site: Site, now: datetime) -> Recovery:
    """Decide how to clear what a dead change left; call it only while holding the lock.

    Args:
        site: What was seen under the lock.
        now: The present time, aware.
    """
    unfinished = [
        release.name
        for release in site.releases
        if release.state is State.UNFINISHED and not release.live and release.present
    ]
    forget = [release.name for release in site.releases if release.record and not release.present]
    intent = site.intent
    if intent is None:
        return Recovery(discard=tuple(unfinished), forget=tuple(forget))
    happened = site.current.name == intent.name
    never_live = site.find(intent.name)
    if intent.verb == "deploy" and not happened and never_live and not never_live.live:
        unfinished = sorted({*unfinished, intent.name})
    return Recovery(
        tuple(_settle(site, intent, now)) if happened else (),
        tuple(unfinished),
        tuple(forget),
        happened,
    )


def _settle(site: Site, intent: Intent, now: datetime) -> Iterable[Record]:
    """After a rollback that happened, its verdicts; a deployed release stays unconfirmed."""
    if intent.verb != "rollback":
        return
    target, left = site.find(intent.name), site.find(intent.previous)
    if target and target.record:
        yield target.record.good()
    if left and left.record and target and target.seq < left.seq:
        yield left.record.bad(intent.by, stamp(now), intent.why or "rolled back", left=True)
