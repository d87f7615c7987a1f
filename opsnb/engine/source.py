"""The folder to release: what it holds, and its content as a tar stream.

Rule 1: nothing is opened that ``lstat`` does not call a regular file (a FIFO would block for ever).
Rule 2: content is hashed when the plan is made; what was sent is hashed again on the server, so a
file that changes in between is found out.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from opsnb.core.manifest import Entry, Kind, Manifest
from opsnb.core.text import safe
from opsnb.errors import SourceError
from opsnb.remote import tar

IGNORE_FILE = ".deployignore"
ALWAYS = (".git", f"/{IGNORE_FILE}")
CHUNK = 1 << 20
# What a rule matches, and whether it keeps that out.
_Rule = tuple[re.Pattern[str], bool]


@dataclass(frozen=True)
class Source:
    """A folder as it was scanned.

    Attributes:
        root: The folder, absolute.
        manifest: What it holds.
        mtimes: Modification times of its paths, seconds since the epoch.
        excluded: How many paths the rules kept out (a directory counts once).
        extra: Content that is not in the folder, by path (``REVISION``).
    """

    root: Path
    manifest: Manifest
    mtimes: Mapping[bytes, int] = field(default_factory=dict)
    excluded: int = 0
    extra: Mapping[bytes, bytes] = field(default_factory=dict)


def scan(root: Path, exclude: Sequence[str] = ()) -> Source:
    """Read a folder: names, kinds, modes and the SHA-256 of every file.

    Args:
        root: The folder.
        exclude: Gitignore rules; those of its ``.deployignore`` come after them.

    Raises:
        SourceError: It is no folder, is empty, cannot be read, or holds something that is neither
            file, directory nor link.
    """
    try:
        root = root.expanduser().absolute()
        if not root.is_dir():
            raise SourceError(f"the source {safe(str(root))} is not a folder", "Build it first?")
        scanned = _Scan(os.fsencode(root), _rules(root, exclude))
        scanned.walk(b"")
    except OSError as error:
        name = safe(os.fsencode(error.filename or root))
        raise SourceError(f"cannot read {name}: {error.strerror}") from error
    except RuntimeError as error:
        raise SourceError(f"the source {safe(str(root))} is nobody's home: {error}") from error
    if scanned.odd:
        raise SourceError(
            "the source holds what cannot be released: " + ", ".join(scanned.odd[:20]),
            "Only files, directories and links can be; `exclude` or .deployignore keep others out.",
        )
    if not scanned.entries:
        raise SourceError(
            f"the source {safe(str(root))} is empty", "Did the build write to another place?"
        )
    return Source(root, Manifest(scanned.entries), scanned.mtimes, scanned.excluded)


def _rules(root: Path, exclude: Sequence[str]) -> list[_Rule]:
    listed = root / IGNORE_FILE
    own = listed.read_text("utf-8", "surrogateescape").splitlines() if listed.is_file() else []
    try:
        # To git, dir/**/ is every directory inside dir; pathspec takes it for dir/ itself.
        lines = [re.sub(r"(?<=/\*\*)/\s*$", "/*/", rule) for rule in (*ALWAYS, *exclude, *own)]
        patterns = [GitIgnoreSpecPattern(line) for line in lines]
    except ValueError as error:
        raise SourceError(f"a rule of `exclude` or {IGNORE_FILE} is wrong: {error}") from error
    # The last rule that matches decides.
    return [(p.regex, p.include) for p in reversed(patterns) if p.regex and p.include is not None]


def _ignored(rules: Sequence[_Rule], path: str, is_dir: bool) -> bool:
    """Whether git would ignore a path none of whose directories it ignores."""
    # No rule can name a line break, and to a regular expression it would be the end.
    path = path.replace("\n", "\x01")
    return next((ignores for regex, ignores in rules if _matches(regex, path, is_dir)), False)


def _matches(regex: re.Pattern[str], path: str, is_dir: bool) -> bool:
    """Whether a rule matches the path itself; its one named group has matched a directory's end."""
    found = regex.search(path)
    if found and not found.lastgroup:
        return True
    if not is_dir:
        return False
    below = regex.search(path + "/")
    ends_here = below is not None and below.end() == len(path) + 1
    return bool(below and below.lastgroup) and (ends_here or regex.fullmatch("/") is not None)


class _Scan:
    """One walk through a folder."""

    def __init__(self, root: bytes, rules: Sequence[_Rule]) -> None:
        self.root = root
        self.rules = rules
        self.entries: list[Entry] = []
        self.mtimes: dict[bytes, int] = {}
        self.odd: list[str] = []
        self.excluded = 0

    def walk(self, directory: bytes) -> None:
        here = os.path.join(self.root, directory) if directory else self.root  # noqa: PTH118 - bytes
        with os.scandir(here) as found:
            listed = sorted(found, key=lambda item: item.name)
        for item in listed:
            path = directory + b"/" + item.name if directory else item.name
            is_dir = item.is_dir(follow_symlinks=False)
            if _ignored(self.rules, os.fsdecode(path), is_dir):
                self.excluded += 1
                continue
            self._add(path, item)
            if is_dir:
                self.walk(path)

    def _add(self, path: bytes, item: os.DirEntry[bytes]) -> None:
        status = item.stat(follow_symlinks=False)
        self.mtimes[path] = int(status.st_mtime)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            self.entries.append(Entry(path, Kind.DIR, mode & 0o777))
        elif stat.S_ISLNK(status.st_mode):
            self.entries.append(Entry(path, Kind.LINK, target=os.readlink(item.path)))  # noqa: PTH115 - bytes
        elif stat.S_ISREG(status.st_mode):
            size, digest = _digest(item.path)
            self.entries.append(Entry(path, Kind.FILE, mode, size, digest))
        else:
            self.odd.append(f"{safe(path)} ({_kind(status.st_mode)})")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _open(path: bytes) -> int:
    """A regular file, opened without following a link or waiting for a FIFO's writer."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise SourceError(f"{safe(path)} changed its kind while it was read")
    return handle


def _digest(path: bytes) -> tuple[int, str]:
    """Size and SHA-256 of a file, from one reading."""
    digest, size = hashlib.sha256(), 0
    handle = _open(path)
    try:
        while chunk := os.read(handle, CHUNK):
            digest.update(chunk)
            size += len(chunk)
    finally:
        os.close(handle)
    return size, digest.hexdigest()


def pieces(
    source: Source,
    entries: Mapping[bytes, Entry],
    paths: Sequence[bytes],
    sent: Callable[[int, int], None],
) -> Iterator[bytes]:
    """A tar stream of some paths, piece by piece.

    Args:
        source: Where their content is.
        entries: What they are, by path.
        paths: The paths, in the order to send them.
        sent: Told files and bytes of content as they go out: ``(1, 0)`` for a file begun,
            ``(0, n)`` for n bytes.

    Raises:
        SourceError: A file is not as it was scanned.
    """
    for path in paths:
        entry = entries[path]
        # A directory stays open to its owner until it is filled; its own mode comes at the end.
        open_ = replace(entry, mode=entry.mode | 0o700) if entry.kind is Kind.DIR else entry
        yield tar.header(open_, source.mtimes.get(path, 0))
        if entry.kind is Kind.FILE:
            sent(1, 0)
            for piece in _content(source, entry):
                sent(0, len(piece))
                yield piece
            yield tar.padding(entry.size)
    yield from tar.trailer()


def _content(source: Source, entry: Entry) -> Iterator[bytes]:
    if entry.path in source.extra:
        yield source.extra[entry.path]
        return
    changed = f"{safe(entry.path)} changed while it was sent"
    left = entry.size
    try:
        handle = _open(os.path.join(os.fsencode(source.root), entry.path))  # noqa: PTH118 - bytes
    except OSError as error:
        raise SourceError(f"{changed}: {error.strerror}", "Plan and deploy again.") from error
    try:
        while left:
            piece = os.read(handle, min(left, CHUNK))
            if not piece:
                raise SourceError(f"{changed}: it became shorter", "Plan and deploy again.")
            left -= len(piece)
            yield piece
    finally:
        os.close(handle)


async def stream(made: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces gathered to about a megabyte each, read in a thread so that the loop stays free."""
    while batch := await asyncio.to_thread(_batch, made):
        yield batch


def _batch(made: Iterator[bytes]) -> bytes:
    gathered: list[bytes] = []
    size = 0
    for piece in made:
        gathered.append(piece)
        size += len(piece)
        if size >= CHUNK:
            break
    return b"".join(gathered)
