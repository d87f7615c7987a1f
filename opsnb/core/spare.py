"""The release that is kept aside, and how the next one is made of it.

Making a release of the one that left last costs what differs between the two; a copy of the live
release costs all of it, and the flush of all of it to the disk.

Rule 1: only a tree that is wholly known is used: it and the live release hold nothing beyond their
manifests and links, and neither has changed since it was finished. Of the live one that is known
before. Of the other it is known when it is finished: where it is not as it was, but for what was
done to it, it is thrown away and the live release is copied.
Rule 2: what is kept is what is the same in content, mode, size and time; all else comes from the
live release or from the source, as it would in a copy.
Rule 3: nothing is ever written into a file that is kept, nor is its mode set: whoever has given it
a second name meanwhile keeps what they have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from opsnb.core.listing import Base, gist_of_change, linked
from opsnb.core.manifest import Entry, Kind, Manifest, parents, topmost
from opsnb.core.release import Record


@dataclass(frozen=True, slots=True)
class Spare:
    """A release that is kept aside.

    Attributes:
        record: What is known of it.
        manifest: What its source was.
        unlike: Paths whose kind, mode, size or time differs between it and the live release.
    """

    record: Record
    manifest: Manifest
    unlike: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Reuse:
    """How a release is made of the one kept aside.

    Attributes:
        drop: Paths to remove from it, the topmost only; not what a file takes the place of.
        bring: Paths to copy from the live release, directories before what is in them.
        gist: What :func:`opsnb.core.listing.gist_of_change` gives when all of it is done.
    """

    drop: tuple[bytes, ...]
    bring: tuple[bytes, ...]
    gist: str = ""


def plain(base: Base) -> bool:
    """Whether a release holds its source and its links, and nothing has changed in it since."""
    return not (base.carried or base.drifted or base.altered)


def reuse(
    spare: Spare,
    base: Base,
    target: Mapping[bytes, Entry],
    send: Collection[bytes],
    modes: Collection[bytes],
    into_shared: Collection[bytes],
) -> Reuse:
    """Decide what the tree kept aside loses, and what it takes from the live release.

    Args:
        spare: The release kept aside.
        base: The live release.
        target: What the new release holds of its source.
        send: Paths that come from the source.
        modes: Paths whose mode is set in the end.
        into_shared: Paths that are linked into ``shared/`` in the end.
    """
    sent, given = set(send), {path for path in modes if not _is_dir(target, path)}
    was, live = spare.manifest.entries, base.manifest.entries
    here, there = was.get, live.get
    # Of nearly all paths all three have the very same entry: this line is what they cost.
    stays = {
        path
        for path, entry in target.items()
        if entry is here(path) is there(path) or _same(here(path), there(path), entry)
    }
    stays -= sent | given | spare.unlike | base.links
    rest = sorted(target.keys() - stays)
    dirs = {path for path in rest if _is_dir(target, path) and _is_dir(was, path)}
    kept = stays | dirs
    links = {unquote_to_bytes(text) for text in spare.record.links}
    gone = (spare.manifest.keys() | links | _above(links)) - kept
    # What comes as a file replaces one by itself: it is unlinked, never written into.
    gone -= {path for path in gone - links if _is_file(target, path) and _is_file(was, path)}
    altered = stays.intersection(modes)  # directories
    left = [was[path] for path in was.keys() - stays | altered] + [*linked(links).values()]
    came = [target[path] for path in {*rest, *altered}] + [*linked(into_shared).values()]
    return Reuse(
        tuple(topmost(gone)),
        tuple(path for path in rest if path not in sent),
        gist_of_change(left, came),
    )


def meddled(build: Reuse, written: Iterable[bytes], altered: Collection[bytes]) -> list[bytes]:
    """Paths of a tree that was kept aside which somebody else has changed meanwhile.

    Args:
        build: What was taken from it, and brought to it.
        written: Whatever else opsnb made in it.
        altered: The paths that are not as they were when it was kept aside.
    """
    gone, ours = set(build.drop), {*build.drop, *build.bring, *written}
    return sorted(
        path for path in altered if path not in ours and not any(up in gone for up in parents(path))
    )


def _same(here: Entry | None, live: Entry | None, entry: Entry) -> bool:
    """Whether the manifest of the tree kept aside has a path as a copy of the live one would."""
    if here is None or live is None:
        return False
    if here.mode != live.mode or entry.kind is not here.kind:
        return False
    return here is entry or here.same_content(entry)


def _is_file(tree: Mapping[bytes, Entry], path: bytes) -> bool:
    return path in tree and tree[path].kind is Kind.FILE


def _is_dir(tree: Mapping[bytes, Entry], path: bytes) -> bool:
    return path in tree and tree[path].kind is Kind.DIR


def _above(paths: Collection[bytes]) -> set[bytes]:
    return {up for path in paths for up in parents(path)}
