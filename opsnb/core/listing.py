"""How a release looks on the server: what ``find`` tells, read and held against what should be.

A line is one path: ``kind mode size mtime ctime inode rest``, ended by NUL. For a link ``rest`` is
its target, ``/`` and its path, and ``size`` the length of the target; else it is the path.
``remote/agent.sh`` writes these lines (``survey``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from opsnb.core.links import link_target
from opsnb.core.manifest import Entry, Kind, Manifest, check_path, parents
from opsnb.core.numbers import number, octal
from opsnb.core.text import safe

_LETTERS = {Kind.FILE: b"f", Kind.DIR: b"d"}
# The letter of what a release did not have when it was finished, though its source had it.
_MISSING = "-"
_EACH = re.compile(rb"[^\0]+")


@dataclass(frozen=True, slots=True)
class Seen:
    """One path as the server tells it.

    Of what is just as it should be there is no such thing, but the very entry that it should be:
    see :data:`Look`.

    Attributes:
        entry: The path; ``sha256`` is empty, since ``find`` reads no content.
        line: The server's own line, to give back to it.
        odd: The letter of its kind when it is neither file, directory nor link.
    """

    entry: Entry
    line: bytes
    odd: str = ""


# What is known of one path of a release.
Look = Seen | Entry


def read(lines: bytes) -> dict[bytes, Seen]:
    """Read NUL-ended lines, by path.

    Args:
        lines: The lines.

    Raises:
        ValueError: A line is not of that form, or names a path outside the tree.
    """
    items = (_line(match[0]) for match in _EACH.finditer(lines))
    return {item.entry.path: item for item in items}


def against(lines: bytes, expected: Mapping[bytes, Entry]) -> dict[bytes, Look]:
    """Read NUL-ended lines that tell, but for a few, what is expected.

    Args:
        lines: The lines.
        expected: What should be there. What is as it should be is given by its very entry: a
            hundred thousand of them take little room so.

    Raises:
        ValueError: A line is not of that form, or names a path outside the tree.
    """
    seen: dict[bytes, Look] = {}
    for match in _EACH.finditer(lines):
        if (entry := _as_expected(match[0], expected)) is not None:
            seen[entry.path] = entry
            continue
        item = _line(match[0])
        path = item.entry.path
        wanted = expected.get(path)
        seen[path] = wanted if wanted is not None and alike(item, wanted) else item
    return seen


def _as_expected(line: bytes, wanted: Mapping[bytes, Entry]) -> Entry | None:
    """What should be there, when a line says so to the letter: most do, and need no reading."""
    kind, mode, size, _mtime, _ctime, _inode, rest = line.split(b" ", 6)
    entry = wanted.get(rest)
    if entry is None or kind != _LETTERS.get(entry.kind) or mode != b"%o" % entry.mode:
        return None
    return entry if entry.kind is Kind.DIR or size == b"%d" % entry.size else None


def gist(entries: Iterable[Entry]) -> str:
    """The SHA-256 of how a release looks that is just as it should be, hexadecimal.

    Args:
        entries: What should be in it.
    """
    lines = sorted(map(_looks, entries))
    return hashlib.sha256(b"".join(line + b"\0" for line in lines)).hexdigest()


def gist_of_change(left: Iterable[Entry], came: Iterable[Entry]) -> str:
    """The SHA-256 of how a release differs from what it was made of, hexadecimal.

    Args:
        left: What it no longer has as it was there.
        came: What came, also in the place of something that looked the same. Directories that
            look the same are neither: of them ``find`` tells nothing that changes.
    """
    was, now = (_by_shape(entries) for entries in (left, came))
    same = {line for line in was.keys() & now.keys() if was[line].kind is Kind.DIR}
    lines = [line for line in now if line not in same]
    lines += [b"\t" + line for line in was if line not in same]
    return hashlib.sha256(b"".join(line + b"\0" for line in sorted(lines))).hexdigest()


def _by_shape(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    return {_looks(entry): entry for entry in entries}


def _looks(entry: Entry) -> bytes:
    """A line without times and inode."""
    if entry.kind is Kind.LINK:
        return b"l 0 %d %s/%s" % (len(entry.target), entry.target, entry.path)
    return b"%s %o %d %s" % (_LETTERS[entry.kind], entry.mode, entry.size, entry.path)


def linked(paths: Iterable[bytes]) -> dict[bytes, Entry]:
    """Links into ``shared/``, by their paths."""
    return {path: Entry(path, Kind.LINK, target=link_target(path)) for path in paths}


def _line(line: bytes) -> Seen:
    kind, mode, size, _mtime, _ctime, _inode, rest = line.split(b" ", 6)
    letter = kind.decode("ascii")
    if letter == Kind.LINK:
        length = number(size)
        path, target = check_path(rest[length + 1 :]), rest[:length]
        return Seen(Entry(path, Kind.LINK, target=target), line)
    path = check_path(rest)
    if letter == Kind.FILE:
        return Seen(Entry(path, Kind.FILE, octal(mode), number(size)), line)
    if letter == Kind.DIR:
        return Seen(Entry(path, Kind.DIR, octal(mode) & 0o777), line)
    return Seen(Entry(path, Kind.FILE, octal(mode)), line, letter)


def apart(lines: bytes) -> tuple[dict[bytes, Seen], frozenset[bytes]]:
    """Read how one release differs from another.

    Args:
        lines: NUL-ended lines without the times of their inodes' changes and without the inodes;
            after a tab those that are true of the other alone.

    Returns:
        What is true of it alone, by path, and the paths of which the other has a line of its own.

    Raises:
        ValueError: A line is not of that form, or names a path outside the tree.
    """
    here, there = {}, set()
    for line in filter(None, lines.split(b"\0")):
        kind, mode, size, mtime, rest = line.removeprefix(b"\t").split(b" ", 4)
        seen = _line(b" ".join([kind, mode, size, mtime, b"-", b"-", rest]))
        if line.startswith(b"\t"):
            there.add(seen.entry.path)
        else:
            here[seen.entry.path] = seen
    return here, frozenset(there)


def named(lines: bytes) -> frozenset[bytes]:
    """The paths of NUL-ended lines, each with a tab before it or not.

    Raises:
        ValueError: A line is not of that form, or names a path outside the tree.
    """
    listed = (line.removeprefix(b"\t") for line in lines.split(b"\0") if line)
    return frozenset(_line(line).entry.path for line in listed)


def like(base: Base, here: Mapping[bytes, Seen], there: Collection[bytes]) -> dict[bytes, Look]:
    """A release by how it differs from another, whose every path is known.

    Args:
        base: The other, in which nothing has changed since it was finished.
        here: What is true of the release alone, by path.
        there: The paths of which the other has a line of its own.
    """
    seen: dict[bytes, Look] = dict(base.found)
    for path in there:
        seen.pop(path, None)
    seen.update(here)
    return seen


@dataclass(frozen=True, slots=True)
class Base:
    """The release that is live, as it truly is now.

    Attributes:
        name: Its name.
        manifest: What its source was.
        found: Everything in it now, by path; content that was not hashed has no digest.
        links: Its paths that lead into ``shared/``.
        carried: Paths in it that its source did not have and that are no links into ``shared/``.
        altered: Its source's paths whose content, kind or mode is no longer the source's.
        drifted: Paths that have come, gone or changed since it was finished.
        assets: Files that its source no longer had, with when they left one, in seconds since the
            epoch; see core/keepassets.py.
    """

    name: str
    manifest: Manifest
    found: Mapping[bytes, Entry]
    links: frozenset[bytes]
    carried: frozenset[bytes]
    altered: frozenset[bytes]
    drifted: frozenset[bytes]
    assets: Mapping[bytes, int] = field(default_factory=dict)


def base(
    name: str,
    deploy_to: str,
    manifest: Manifest,
    *,
    carried: bytes,
    links: Iterable[bytes],
    now: bytes,
    gone: bytes,
    digests: Mapping[bytes, str],
) -> Base:
    """Put together what a release holds now.

    Args:
        name: The release.
        deploy_to: The deployment path, to know links that name ``shared/`` absolutely.
        manifest: Its manifest.
        carried: Lines, as :func:`read` takes them, of what it held beyond or unlike its manifest
            when it was finished.
        links: Its recorded links into ``shared/``.
        now: Lines that are true now and were not when it was finished.
        gone: Lines that were true when it was finished and are not now.
        digests: SHA-256 of files of ``now``, by path, where they were asked for.

    Raises:
        ValueError: A line is not of that form, or a path lies outside the tree.
    """
    links = tuple(map(check_path, links))
    before, present, absent = read(carried), read(now), read(gone)
    found: dict[bytes, Entry] = dict(manifest.entries)
    found |= {path: seen.entry for path, seen in before.items()}
    for path in [path for path, seen in before.items() if seen.odd == _MISSING]:
        del found[path]
    found |= linked(links)
    for path in absent:
        found.pop(path, None)
    for path, seen in present.items():
        found[path] = _with_digest(seen.entry, digests.get(path, ""))
    planned, there = manifest.entries.get, found.get
    other = [path for path, entry in found.items() if planned(path) is not entry]
    # A link that the source itself has belongs to the source, wherever it leads.
    into_shared = frozenset(
        path
        for path in other
        if planned(path) != found[path] and leads_to_shared(found[path], deploy_to)
    )
    unlike = [path for path, entry in manifest.items() if there(path) is not entry]
    return Base(
        name,
        manifest,
        found,
        into_shared,
        _carried(other, manifest, into_shared),
        frozenset(path for path in unlike if there(path) != manifest[path]),
        _drifted(present, absent, manifest, found),
    )


def _with_digest(entry: Entry, sha256: str) -> Entry:
    return Entry(entry.path, entry.kind, entry.mode, entry.size, sha256, entry.target)


def _carried(
    found: Iterable[bytes], manifest: Manifest, into_shared: frozenset[bytes]
) -> frozenset[bytes]:
    """What the source did not have, but for links into shared/ and the directories above them."""
    above = {up for path in into_shared for up in parents(path)}
    return frozenset(path for path in found if path not in manifest) - into_shared - above


def _drifted(
    present: Mapping[bytes, Seen],
    absent: Mapping[bytes, Seen],
    manifest: Manifest,
    found: Mapping[bytes, Entry],
) -> frozenset[bytes]:
    """Changed paths, without those that were only touched."""
    touched = {path for path in present if path in manifest and found[path] == manifest[path]}
    return frozenset((set(present) | set(absent)) - touched)


def leads_to_shared(entry: Entry, deploy_to: str) -> bool:
    """Whether a link of a release leads into ``shared/`` of its site."""
    if entry.kind is not Kind.LINK:
        return False
    shared = deploy_to.encode("utf-8", "surrogateescape") + b"/shared"
    if entry.target.startswith(b"/"):
        return entry.target == shared or entry.target.startswith(shared + b"/")
    return _from_release(entry)[:1] == [b"shared"]


def _from_release(entry: Entry) -> list[bytes]:
    """Where a relative link of a release leads, from ``deploy_to``; the release is ``name``."""
    parts = [b"releases", b"name", *entry.path.split(b"/")[:-1]]
    for part in entry.target.split(b"/"):
        if part == b".." and parts:
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return parts


def leads_beside(entry: Entry, deploy_to: str) -> bool:
    """Whether a link of a release leads to what stands beside the releases.

    That is how tools without ``shared/`` link what outlives releases: no source has such links.
    """
    if entry.kind is not Kind.LINK:
        return False
    home = deploy_to.encode("utf-8", "surrogateescape") + b"/"
    if entry.target.startswith(b"/"):
        inside = entry.target.startswith(home)
        return inside and not entry.target.startswith(home + b"releases/")
    return _from_release(entry)[:1] != [b"releases"]


def wrong(
    seen: Mapping[bytes, Look],
    manifest: Manifest,
    links: Iterable[bytes],
    allowed: frozenset[bytes] | None,
) -> tuple[str, ...]:
    """What is wrong with a finished release.

    Args:
        seen: What the server found in it.
        manifest: What it must hold.
        links: Where it must lead into ``shared/``.
        allowed: What it may hold besides; None when anything more is allowed.

    Returns:
        A sentence for each fault, at most 20.
    """
    expected = {**manifest.entries, **linked(links)}
    look = seen.get
    other = [path for path, entry in expected.items() if look(path) is not entry]
    faults = [fault for path in other for fault in _fault(expected[path], look(path))]
    if allowed is not None and (more := seen.keys() - expected.keys() - allowed):
        more -= {up for path in expected for up in parents(path)}
        faults += [f"{safe(path)} is there and should not be" for path in sorted(more)]
    return tuple(faults[:20])


def alike(seen: Look, entry: Entry) -> bool:
    """Whether what was found is what must be, as far as ``find`` can tell."""
    return not _fault(entry, seen)


def beyond(
    seen: Mapping[bytes, Look],
    manifest: Manifest,
    links: Iterable[bytes],
    gone: Iterable[bytes] = (),
) -> bytes:
    """The lines of what a release holds beyond or unlike its manifest and its links.

    Args:
        seen: What is in it.
        manifest: What its source was, without what a hook has changed.
        links: Its links into ``shared/``.
        gone: Paths of its source that a hook has removed: each gets a line that says so.
    """
    into_shared, wanted = set(links), manifest.entries.get
    other = [(path, item) for path, item in seen.items() if wanted(path) is not item]
    lines = [
        item.line if isinstance(item, Seen) else b""
        for path, item in other
        if path not in into_shared
        if not ((entry := wanted(path)) and alike(item, entry))
    ]
    lines += [b"%s 0 0 0 0 0 %s" % (_MISSING.encode(), path) for path in sorted(gone)]
    return b"".join(line + b"\0" for line in lines)


def _fault(entry: Entry, seen: Look | None) -> list[str]:
    if seen is None:
        return [f"{safe(entry.path)} is missing"]
    is_ = seen.entry if isinstance(seen, Seen) else seen
    if (isinstance(seen, Seen) and seen.odd) or is_.kind is not entry.kind:
        return [f"{safe(entry.path)} is of another kind"]
    if is_.size != entry.size:
        return [f"{safe(entry.path)} has {is_.size} bytes and should have {entry.size}"]
    if is_.target != entry.target:
        return [f"{safe(entry.path)} leads to {safe(is_.target)}"]
    if is_.mode != entry.mode:
        return [f"{safe(entry.path)} has mode {is_.mode:o} and should have {entry.mode:o}"]
    return []
