"""Planning a deploy: every decision about what will change is made here.

Rule 1: a plan is a function of what was seen, of the configuration and of the time it is given.
Rule 2: nothing here can touch a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from urllib.parse import quote_from_bytes

from opsnb.core import keepassets, layout
from opsnb.core.caches import refuse_caches
from opsnb.core.checks import armed, cautions, refuse_checks
from opsnb.core.config import Settings
from opsnb.core.hooks import Due, at, deploy_hooks
from opsnb.core.keepassets import Assets
from opsnb.core.links import Linking, Listing, decide
from opsnb.core.listing import Base
from opsnb.core.manifest import Entry, Kind, Manifest, compare, parents, topmost
from opsnb.core.origin import Commit
from opsnb.core.plan import Build, Plan, Unlisted, Wish
from opsnb.core.refusal import refuse, refuse_commands
from opsnb.core.release import Current, CurrentKind, Record, Release, Site, State, order
from opsnb.core.retention import over_budget, retain, unseen
from opsnb.core.room import Need, make_room
from opsnb.core.spare import Spare, plain, reuse
from opsnb.core.text import plural, safe
from opsnb.errors import NotReady


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
    refuse_commands(site, settings)
    refuse_checks(site, settings)
    refuse_caches(settings)
    assets = keepassets.decide(base, site.live, _source(wish), settings, now)
    source = assets.beside(_source(wish))
    carried = _carried(base, source, settings.base)
    tree = {**_standing(base, carried), **source.entries}
    linking = decide(tree, shared, settings.linked_dirs, settings.linked_files)
    if linking.unlisted:
        return Unlisted(linking.unlisted)
    _refuse_links(linking)
    linked, seeded = frozenset(linking.links), frozenset(linking.seed)
    moved = frozenset(path for path in carried if _below(path, seeded))
    carried = frozenset(path for path in carried if not _below(path, linked))
    name = layout.next_name(now, site.names)
    first = not any(release.complete for release in site.releases)
    built = bool(wish.origin.isolation)
    hooks = deploy_hooks(settings, built=built, first=first, once_at=wish.once_at)
    build = _build(base, source, settings, linking, carried, moved, hooks)
    record = _record(site, wish, build, name, now, keepassets.digest(assets.left))
    after = _with_live(site, record)
    live_tree = {} if base is None else base.manifest.entries
    entries = {**source.entries, **build.manifest.entries}
    sent = sum(entries[path].size for path in build.send)
    plan = Plan(
        verb="deploy",
        name=name,
        previous=site.current.name,
        state_id=site.state_id,
        build=build,
        record=record,
        difference=compare(live_tree, build.manifest.entries),
        send_bytes=sent,
        carried=tuple(sorted(carried)),
        overwritten=_overwritten(base, build),
        hooks=hooks,
        opcache=settings.opcache,
        purge=settings.purge,
        health=settings.health,
        watchdog=armed(site, settings),
        retention=retain(after, settings.rules, now),
        keep_releases=settings.keep_releases,
        rules=settings.rules,
        assets=assets,
        origin=wish.origin,
        nothing=not wish.force and _nothing(site, base, wish, build, linking, carried, assets),
    )
    need = _needs(base, plan)
    plan = make_room(site, plan, need, settings.rules)
    tight = not need.fits(site)
    plan = replace(
        plan,
        aside=_aside(site, plan, settings, need.bytes),
        clears_spare=site.spare is not None and (tight or not _recycles(settings, build)),
        needs=(need.bytes, need.inodes),
        unseen=unseen(site, plan.retention, settings.rules),
    )
    return replace(plan, warnings=_warnings(site, base, source, plan, linking, settings))


def _source(wish: Wish) -> Manifest:
    """What a release is made of: the source and, where it has none itself, its ``REVISION``."""
    if not wish.revision or layout.REVISION in wish.source:
        return wish.source
    return Manifest([*wish.source.values(), revision_entry(wish.revision)])


def _carried(base: Base | None, source: Manifest, kind: str) -> frozenset[bytes]:
    """What of the live release's own content stays: not where the source has something."""
    if base is None or kind == "clean":
        return frozenset()
    return frozenset(
        path
        for path in base.carried
        if path not in source and not _under_file(path, source) and not layout.is_one_shot(path)
    )


def _standing(base: Base | None, carried: frozenset[bytes]) -> dict[bytes, Entry]:
    """What is carried, with the directories above it, which the source may have no more."""
    if base is None:
        return {}
    above = {up for path in carried for up in parents(path)}
    return {path: base.found[path] for path in carried | above}


def _under_file(path: bytes, tree: Mapping[bytes, Entry]) -> bool:
    return any(up in tree and tree[up].kind is not Kind.DIR for up in parents(path))


def _below(path: bytes, tops: AbstractSet[bytes]) -> bool:
    """Whether a path is one of ``tops`` or lies below one."""
    return bool(tops) and (path in tops or any(up in tops for up in parents(path)))


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
    base: Base | None,
    source: Manifest,
    settings: Settings,
    linking: Linking,
    carried: frozenset[bytes],
    moved: frozenset[bytes],
    hooks: tuple[Due, ...],
) -> Build:
    hardlink = settings.copy_mode == "hardlink"
    manifest = source
    if linking.hidden:
        manifest = Manifest(entry for path, entry in source.items() if path not in linking.hidden)
    seeded = frozenset(linking.seed)
    seeds = {path: entry for path, entry in source.items() if _below(path, seeded)}
    target = {**manifest.entries, **seeds}
    found = {} if base is None else base.found
    send, modes = _to_send(found, target, seeds, hardlink)
    kept = {**_standing(base, carried), **manifest.entries}
    modes += _closed(kept, {path for path, _ in modes})
    drop = [] if base is None else _to_drop(base, target, carried | moved, linking)
    # A hook of this machine has no hand in the release.
    before = tuple(hook for hook in at(hooks, "before_publish") if hook.where == "server")
    strict = settings.base == "clean" and not before
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
        before=before,
    )


def may_reuse(site: Site, base: Base | None, plan: Plan, settings: Settings) -> bool:
    """Whether the release kept aside, if it is as it was, may become the new one."""
    build = plan.build
    if site.spare is None or base is None or build is None or build.seed:
        return False
    return plain(base) and _recycles(settings, build)


def _recycles(settings: Settings, build: Build) -> bool:
    """Whether releases are made of the one kept aside.

    Not where hooks write into them: nobody could tell that from what somebody else wrote.
    """
    return settings.recycle and settings.copy_mode == "copy" and not build.before


def reusing(plan: Plan, base: Base, spare: Spare) -> Plan:
    """The same release, made of the one kept aside.

    Args:
        plan: A plan that copies the live release, for which :func:`may_reuse` is true.
        base: The live release.
        spare: The release kept aside, as it was when it left.
    """
    assert plan.build  # noqa: S101 - a deploy's plan has one
    modes = [path for path, _ in plan.build.modes]
    build = plan.build
    made = reuse(spare, base, build.manifest.entries, build.send, modes, build.links)
    return replace(plan, build=replace(build, reuse=made), clears_spare=False)


def _aside(site: Site, plan: Plan, settings: Settings, needed: int) -> str:
    """The release to keep aside: the newest that leaves, while there is twice its room besides."""
    if plan.build is None or not _recycles(settings, plan.build):
        return ""
    leaving = [site.find(name) for name in plan.retention.remove if name not in plan.early]
    whole = [
        release
        for release in leaving
        if release and release.present and release.real and release.record
        if release.record.manifest and not release.record.adopted
        if release.state is not State.UNFINISHED
    ]
    newest = max(whole, key=lambda release: release.seq, default=None)
    if newest is None or newest.record is None:
        return ""
    return newest.name if site.free_bytes - needed > 2 * newest.record.size else ""


def revision_entry(revision: str) -> Entry:
    """The ``REVISION`` file of a release."""
    text = layout.revision_text(revision)
    digest = sha256(text).hexdigest()
    return Entry(layout.REVISION, Kind.FILE, 0o644, len(text), digest)


def _to_send(
    found: Mapping[bytes, Entry],
    target: Mapping[bytes, Entry],
    seeds: Mapping[bytes, Entry],
    hardlink: bool,
) -> tuple[list[bytes], list[tuple[bytes, int]]]:
    """What to send, and which modes to set at the end.

    A mode comes with the content where setting it would reach further: into the live release,
    which shares the inode, or into ``shared/``, where the path has moved by then.
    """
    send: list[bytes] = []
    modes: list[tuple[bytes, int]] = []
    known = found.get
    for path in sorted([path for path, entry in target.items() if known(path) is not entry]):
        entry, before = target[path], known(path)
        reaches_further = path in seeds or (hardlink and entry.kind is Kind.FILE)
        if before is None or not entry.same_content(before):
            send.append(path)
        elif entry.mode != before.mode and reaches_further:
            send.append(path)
        elif entry.mode != before.mode:
            modes.append((path, entry.mode))
    return send, modes


def _closed(tree: Mapping[bytes, Entry], known: set[bytes]) -> list[tuple[bytes, int]]:
    """Directories that their owner may not write to: opened while they are filled, closed again."""
    return [
        (path, entry.mode)
        for path, entry in tree.items()
        if entry.kind is Kind.DIR and entry.mode & 0o700 != 0o700 and path not in known
    ]


def _to_drop(
    base: Base, target: Mapping[bytes, Entry], stays: frozenset[bytes], linking: Linking
) -> list[bytes]:
    """What the copy must lose, the topmost paths only."""
    needed = {up for path in stays for up in parents(path)} | stays
    linked, seeded = frozenset(linking.links), frozenset(linking.seed)
    gone: list[bytes] = []
    want, found = target.get, base.found
    for path in sorted([path for path, e in found.items() if linked or want(path) is not e]):
        entry, wanted = found[path], want(path)
        # What is below a path comes right after it but for names like it: a, a-b, a/c.
        if gone and _below(path, frozenset(gone[-1:])):
            continue
        hidden = _below(path, linked) and not _below(path, seeded)
        other = wanted is not None and wanted.kind is not entry.kind
        if hidden or other or (wanted is None and path not in needed):
            gone.append(path)
    return topmost(gone)


def _record(site: Site, wish: Wish, build: Build, name: str, now: datetime, assets: str) -> Record:
    # Not of a commit that the revision given by hand does not name.
    found = wish.origin.commit
    commit = found if found and found.id == wish.revision else Commit("")
    return Record(
        name=name,
        seq=site.counter + 1,
        state=State.UNFINISHED,
        at=layout.stamp(now),
        by=wish.by,
        host=wish.host,
        revision=wish.revision,
        source=wish.label,
        author=commit.author,
        subject=commit.subject,
        committed=commit.at,
        previous=site.current.name,
        files=build.manifest.files,
        size=build.manifest.size,
        manifest=build.manifest.id,
        links=tuple(quote_from_bytes(path) for path in build.links),
        assets=assets,
    )


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
    assets: Assets,
) -> bool:
    """Whether the live release already is what is asked for.

    A new revision alone is no change, and neither is it that the time of an old asset is over. What
    was never confirmed is made anew: whoever made it live was cut off before its checks had ended.
    """
    if base is None or site.live is None or site.live.state in (State.BAD, State.UNCONFIRMED):
        return False
    here, there = dict(build.manifest.entries), dict(base.manifest.entries)
    for tree in (here, there):
        tree.pop(layout.REVISION, None)
    if layout.REVISION in wish.source:
        here[layout.REVISION] = wish.source[layout.REVISION]
        there |= {path: e for path, e in base.manifest.items() if path == layout.REVISION}
    for path in assets.gone:
        there.pop(path, None)
    drifted = base.drifted - carried
    links_same = frozenset(build.links) == base.links
    return here == there and not drifted and links_same and not (linking.make or linking.seed)


def _needs(base: Base | None, plan: Plan) -> Need:
    """Bytes and inodes that the new release takes."""
    build = plan.build
    if build is None or plan.nothing:
        return Need(0, 0)
    copied = list(base.found.values()) if base and not build.hardlink else []
    size_ = plan.send_bytes + sum(entry.size for entry in copied)
    return Need(size_, len(build.send) + len(copied))


def _warnings(
    site: Site,
    base: Base | None,
    source: Manifest,
    plan: Plan,
    linking: Linking,
    settings: Settings,
) -> tuple[str, ...]:
    said = list(linking.warnings)
    if site.current.kind is CurrentKind.DANGLING:
        said.append(f"current leads to {safe(site.current.target)}, which does not exist")
    if plan.overwritten:
        count = plural(len(plan.overwritten), "file")
        named = ", ".join(safe(path) for path in plan.overwritten[:3])
        said.append(f"{count} changed on the server will be replaced by the source's: {named}")
    if base is not None and settings.base == "previous":
        lost = sorted(path for path in base.carried if path in source)
        said += [f"{safe(path)}, written on the server, gives way to the source's" for path in lost]
    said += keepassets.warnings(plan.assets)
    if site.hold:
        said.append(site.hold.words)
    if site.live and site.live.state is State.UNCONFIRMED and not site.holder:
        name = site.live.name
        said.append(f"{name} is live, unconfirmed: the change that made it live never ended")
    said += cautions(site, settings)
    if not plan.health:
        said.append("no health check is configured: the switch will be taken as good")
    said += [f"record {safe(name)} cannot be read" for name in site.unread]
    said += over_budget(plan.retention, settings.rules)
    return tuple(said)
