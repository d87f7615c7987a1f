"""Which paths of a release lead into ``shared/``.

Rule 1: with nothing listed, what ``shared/`` holds appears in the release at the same path.
Rule 2: where the release has that path too, opsnb goes deeper; a file on both sides stays the
release's, with a warning that names it.
Rule 3: what is listed is linked, whatever the source has there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opsnb.core.manifest import Entry, Kind, parents
from opsnb.core.text import safe

# What one directory of shared/ holds: name by name, the letter of its kind (find's %y).
Listing = Mapping[bytes, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in ``shared/`` where configuration files belong.

    Attributes:
        found: The files that are there, by path.
        odd: Why a path can hold none of ours, by path.
        written: What was last placed there.
    """

    found: Mapping[bytes, Entry] = field(default_factory=dict)
    odd: Mapping[bytes, str] = field(default_factory=dict)
    written: Mapping[bytes, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Linking:
    """What to link, and what must happen first.

    Attributes:
        links: Paths in the release that become links, in order.
        make: Listed directories that ``shared/`` lacks and that are to be made, empty.
        seed: Listed directories that ``shared/`` lacks and that the release fills, once.
        missing: Listed files that ``shared/`` lacks.
        hidden: Source paths that a listed link hides.
        warnings: What the user should know.
        blocked: Listed paths that cannot be linked, since a part of their path is no directory.
        unlisted: Directories of ``shared/`` whose listing is needed to decide; empty when decided.
    """

    links: tuple[bytes, ...] = ()
    make: tuple[bytes, ...] = ()
    seed: tuple[bytes, ...] = ()
    missing: tuple[bytes, ...] = ()
    hidden: frozenset[bytes] = frozenset()
    warnings: tuple[str, ...] = ()
    blocked: tuple[bytes, ...] = ()
    unlisted: tuple[bytes, ...] = ()


def link_target(path: bytes) -> bytes:
    """The relative text of the link at ``path`` in a release: up to ``deploy_to``, into shared."""
    return b"../" * (path.count(b"/") + 2) + b"shared/" + path


def decide(
    tree: Mapping[bytes, Entry],
    shared: Mapping[bytes, Listing],
    listed_dirs: Iterable[str] = (),
    listed_files: Iterable[str] = (),
) -> Linking:
    """Decide the links of a release.

    Args:
        tree: What the release will hold without links.
        shared: What is known of ``shared/``: for a directory's path (``b""`` is ``shared/``
            itself) its listing. A directory that is not there has an empty listing.
        listed_dirs: ``linked_dirs`` of the configuration.
        listed_files: ``linked_files`` of the configuration.
    """
    dirs, files = _encode(listed_dirs), _encode(listed_files)
    if not dirs and not files:
        return _found(tree, shared)
    return _listed(tree, shared, dirs, files)


def _encode(paths: Iterable[str]) -> list[bytes]:
    return [path.encode() for path in paths]


def _found(tree: Mapping[bytes, Entry], shared: Mapping[bytes, Listing]) -> Linking:
    links: list[bytes] = []
    warnings: list[str] = []
    unlisted: list[bytes] = []
    todo = [b""]
    while todo:
        directory = todo.pop()
        if directory not in shared:
            unlisted.append(directory)
            continue
        for name, kind in shared[directory].items():
            path = directory + b"/" + name if directory else name
            inside = tree.get(path)
            if inside is None:
                links.append(path)
            elif inside.kind is Kind.DIR and kind == "d":
                todo.append(path)
            else:
                warnings.append(
                    f"{safe(path)} is in the source and in shared/: the source's is used"
                )
    return Linking(tuple(sorted(links)), warnings=tuple(warnings), unlisted=tuple(unlisted))


def _listed(
    tree: Mapping[bytes, Entry],
    shared: Mapping[bytes, Listing],
    dirs: list[bytes],
    files: list[bytes],
) -> Linking:
    unlisted = sorted({_parent(path) for path in dirs + files} - set(shared))
    if unlisted:
        return Linking(unlisted=tuple(unlisted))
    warnings: list[str] = []
    make, seed, hidden = [], [], set()
    for path in dirs:
        inside = [other for other in tree if other == path or other.startswith(path + b"/")]
        hidden.update(inside)
        if _there(path, shared):
            filled = len([other for other in inside if tree[other].kind is not Kind.DIR])
            if filled:
                warnings.append(
                    f"{safe(path)}: {filled} of the source's paths are hidden by shared/"
                )
        elif any(other != path for other in inside):
            seed.append(path)
        else:
            make.append(path)
    for path in files:
        if path in tree:
            hidden.add(path)
            warnings.append(f"{safe(path)} of the source is hidden by shared/")
    blocked = [path for path in dirs + files for up in parents(path) if _not_dir(tree.get(up))]
    return Linking(
        tuple(sorted(dirs + files)),
        tuple(sorted(make)),
        tuple(sorted(seed)),
        tuple(path for path in files if not _there(path, shared)),
        frozenset(hidden),
        tuple(warnings),
        tuple(blocked),
    )


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _there(path: bytes, shared: Mapping[bytes, Listing]) -> bool:
    return path.rpartition(b"/")[2] in shared.get(_parent(path), {})


def _not_dir(entry: Entry | None) -> bool:
    return entry is not None and entry.kind is not Kind.DIR
