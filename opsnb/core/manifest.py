"""What a tree holds, and how two trees differ.

Rule 1: paths are bytes, relative, ``/``-separated and never hold ``.`` or ``..`` as a part.
Rule 2: content is known by its SHA-256, never by a time.
Rule 3: a manifest has one text, so its SHA-256 is its identity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import (
    Collection,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from urllib.parse import quote_from_bytes, unquote_to_bytes

from opsnb.core.numbers import number, octal

HEADER = "opsnb-manifest 1"
# Everything that prints stays; space, percent and what is not ASCII is written %XX.
_PLAIN = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Kind(StrEnum):
    """What a path is."""

    FILE = "f"
    DIR = "d"
    LINK = "l"


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree.

    Attributes:
        path: Relative path, as bytes.
        kind: File, directory or symbolic link.
        mode: Permission bits: ``0o7777`` for a file, ``0o777`` for a directory, 0 for a link.
        size: Bytes of content; 0 for what is not a file.
        sha256: Hexadecimal digest of a file's content; empty when unknown or not a file.
        target: Where a link points.
    """

    path: bytes
    kind: Kind
    mode: int = 0
    size: int = 0
    sha256: str = ""
    target: bytes = b""

    def same_content(self, other: Entry) -> bool:
        """Whether both hold the same, whatever their modes."""
        return (
            self.kind is other.kind
            and self.sha256 == other.sha256
            and self.size == other.size
            and self.target == other.target
        )


class Manifest(Mapping[bytes, Entry]):
    """A tree's entries by path, in the order of their paths.

    Args:
        entries: The tree's entries, in any order; a path may stand only once.
        like: A manifest that has many of the very same entries: their text is taken from it.

    Raises:
        ValueError: A path stands twice, or is not a path inside the tree.
    """

    def __init__(self, entries: Iterable[Entry] = (), like: Manifest | None = None) -> None:
        listed = sorted(entries, key=attrgetter("path"))
        self._entries = {entry.path: entry for entry in listed}
        if len(self._entries) != len(listed):
            raise ValueError("a path stands twice in the manifest")
        check_paths(self._entries)
        self._text: bytes | None = None
        # Only one that has a text, and only until this one has: else each would keep all before it.
        self._like = like if like is not None and like._text is not None else None

    def __getitem__(self, path: bytes) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # What Mapping would do entry by entry, at the speed of a dict.

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def keys(self) -> KeysView[bytes]:
        """The paths, in order."""
        return self._entries.keys()

    def values(self) -> ValuesView[Entry]:
        """The entries, in the order of their paths."""
        return self._entries.values()

    def items(self) -> ItemsView[bytes, Entry]:
        """Paths and entries, in order."""
        return self._entries.items()

    @property
    def entries(self) -> Mapping[bytes, Entry]:
        """The entries by path, for who is to look at every one of them."""
        return self._entries

    def __repr__(self) -> str:
        return f"Manifest({self.files} files, {self.size} bytes)"

    @cached_property
    def files(self) -> int:
        """How many regular files."""
        return len([entry for entry in self._entries.values() if entry.kind is Kind.FILE])

    @cached_property
    def size(self) -> int:
        """Bytes of content in all files together."""
        return sum([entry.size for entry in self._entries.values()])

    @cached_property
    def id(self) -> str:
        """SHA-256 of the manifest's text, hexadecimal."""
        return hashlib.sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """The manifest's one text: a header and a line for each entry.

        Raises:
            ValueError: It is not :attr:`whole`.
        """
        if self._text is None:
            lines = [HEADER, *self._lines(), ""]
            self._text = "\n".join(lines).encode("ascii")
            self._like = None
        return self._text

    def _lines(self) -> Iterable[str]:
        like = self._like
        if like is None:
            return map(_line, self._entries.values())
        told = dict(zip(like._entries, like._told(), strict=True))
        same = like._entries.get
        entries = self._entries.items()
        return [told[path] if same(path) is entry else _line(entry) for path, entry in entries]

    def _told(self) -> list[str]:
        return self.encode().decode("ascii").split("\n")[1:-1]

    @classmethod
    def decode(cls, text: bytes, like: Manifest | None = None) -> Manifest:
        """Read a manifest's text.

        Args:
            text: What :meth:`encode` gave.
            like: A manifest with much the same entries, which are shared and not read again.

        Raises:
            ValueError: It is not a manifest's text.
        """
        if like is not None and like.encode() == text:
            return like
        header, *lines = text.decode("ascii").split("\n")
        if header != HEADER or not lines or lines.pop():
            raise ValueError("not a manifest, or cut short")
        known = like.lines() if like is not None else {}
        made = cls(known.get(line) or _entry(line) for line in lines)
        made._text = text if len(made) == len(lines) else None
        return made

    def lines(self) -> dict[str, Entry]:
        """Its entries by the lines that tell of them."""
        return dict(zip(self._told(), self._entries.values(), strict=True))


def edits(old: bytes, new: bytes) -> bytes:
    """How the text of one manifest becomes that of another, in the order of lines.

    Args:
        old: The text that is there.
        new: The text that is to be.

    Returns:
        Lines: ``- N`` for the N-th line of the old text, which goes (from 1), ``+ N TEXT`` for a
        line that comes before it.
    """
    was, lines = old.splitlines(), new.splitlines()
    if len(was) == len(lines):
        other = [place for place, line in enumerate(lines) if line != was[place]]
        if all(_path(was[place]) == _path(lines[place]) for place in other):
            told = [b"+ %d %s" % (place + 1, lines[place]) for place in other]
            told += [b"- %d" % (place + 1) for place in other]
            return b"".join(line + b"\n" for line in told)
    before = {line: number for number, line in enumerate(was, 1)}
    told, stays = [], set(lines)
    at, last = 0, -1
    for place in [place for place, line in enumerate(lines) if line not in before]:
        # A line before it that is not new itself stays.
        if place > last + 1:
            at = before[lines[place - 1]]
        told.append(b"+ %d %s" % (at + 1, lines[place]))
        last = place
    told += [b"- %d" % number for line, number in before.items() if line not in stays]
    return b"".join(line + b"\n" for line in told)


def _path(line: bytes) -> bytes:
    return line.rpartition(b" ")[2]


def check_path(path: bytes) -> bytes:
    """The path itself, when it names something inside a tree.

    Raises:
        ValueError: It is empty, absolute, or holds an empty, ``.`` or ``..`` part, or a NUL.
    """
    if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise ValueError(f"not a path inside a tree: {path!r}")
    return path


def check_name(name: bytes) -> bytes:
    """The name itself, when it is that of one thing in a directory.

    Raises:
        ValueError: It is no path inside a tree, or has more than one part.
    """
    if b"/" in name:
        raise ValueError(f"not a name: {name!r}")
    return check_path(name)


def check_paths(paths: Collection[bytes]) -> None:
    """Check all of them at once, which is what makes a hundred thousand quick.

    Raises:
        ValueError: One of them is no path inside a tree.
    """
    joined = b"/" + b"/\0/".join(paths) + b"/"
    odd = b"//" in joined or b"/./" in joined or b"/../" in joined
    if paths and (odd or joined.count(b"\0") != len(paths) - 1):
        for path in paths:
            check_path(path)


def parents(path: bytes) -> Iterator[bytes]:
    """The directories above a path, nearest first, the tree's root left out."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def topmost(paths: Iterable[bytes]) -> list[bytes]:
    """Those paths that are below no other of them, sorted."""
    among = set(paths)
    return sorted(path for path in among if not any(up in among for up in parents(path)))


_DIGEST = re.compile(r"[0-9a-f]{64}")
_ALL_PLAIN = re.compile(rb"[!-$&-~]*")


def _quoted(text: bytes) -> str:
    if _ALL_PLAIN.fullmatch(text):
        return text.decode("ascii")
    return quote_from_bytes(text, safe=_PLAIN)


def _unquoted(text: str) -> bytes:
    return unquote_to_bytes(text) if "%" in text else text.encode("ascii")


def _line(entry: Entry) -> str:
    path = _quoted(entry.path)
    if entry.kind is Kind.FILE:
        if not entry.sha256:
            raise ValueError(f"no digest of {path}")
        return f"f {entry.mode:o} {entry.size} {entry.sha256} {path}"
    if entry.kind is Kind.LINK:
        return f"l 0 0 {_quoted(entry.target)} {path}"
    return f"d {entry.mode:o} 0 - {path}"


def _entry(line: str) -> Entry:
    try:
        kind, mode, size, what, path = line.split(" ")
        entry = Entry(_unquoted(path), Kind(kind), octal(mode), number(size), what)
    except ValueError as error:
        raise ValueError(f"not a manifest's line: {line[:200]!r}") from error
    if entry.kind is Kind.FILE:
        if not _DIGEST.fullmatch(what):
            raise ValueError(f"not a digest: {what[:80]!r}")
        return entry
    if entry.kind is Kind.LINK:
        return Entry(entry.path, Kind.LINK, target=_unquoted(what))
    return Entry(entry.path, Kind.DIR, entry.mode)


@dataclass(frozen=True, slots=True)
class Difference:
    """How one tree differs from another.

    Attributes:
        added: Paths that only the new tree has.
        changed: Paths whose kind, content or target differs.
        modes: Paths that differ in nothing but their mode.
        removed: Paths that only the old tree has.
        unchanged: How many paths are the same in both.
    """

    added: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    modes: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()
    unchanged: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.modes or self.removed)


def compare(old: Mapping[bytes, Entry], new: Mapping[bytes, Entry]) -> Difference:
    """How ``new`` differs from ``old``, by content.

    Args:
        old: The tree that was.
        new: The tree that is to be.
    """
    added, changed, modes = [], [], []
    for path, entry in new.items():
        before = old.get(path)
        if before is None:
            added.append(path)
        elif entry is before:
            continue
        elif not entry.same_content(before):
            changed.append(path)
        elif entry.mode != before.mode:
            modes.append(path)
    removed = tuple(sorted(path for path in old if path not in new))
    same = len(new) - len(added) - len(changed) - len(modes)
    return Difference(tuple(added), tuple(changed), tuple(modes), removed, same)
