"""The folder to release: what it holds.

Rule 1: nothing is opened that ``lstat`` does not call a regular file (a FIFO would block for ever).
Rule 2: content is hashed when the plan is made; what was sent is hashed again on the server, so a
file that changes in between is found out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opsnb.core.manifest import Entry, Kind, Manifest
from opsnb.core.secrets import Secrets
from opsnb.core.text import safe
from opsnb.engine import cache
from opsnb.engine.cutting import LARGE, digested
from opsnb.engine.ignore import Rules
from opsnb.engine.steady import uncollected
from opsnb.errors import SourceError

CHUNK = 1 << 20
# Without following a link, or waiting for the writer of a FIFO.
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
DIGEST = 64  # characters of a SHA-256
SETTLED = 2_000_000_000  # nanoseconds; FAT's clock is the coarsest
# Size, times of content and inode in nanoseconds, inode, device, and mode with the kind.
Looks = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Source:
    """A folder as it was scanned.

    Attributes:
        root: The folder, absolute.
        manifest: What it holds.
        excluded: How many paths the rules kept out (a directory counts once).
        extra: Content that is not in the folder, by path (``REVISION``).
        shared: Content of configuration files that belong in ``shared/``, by path.
        secrets: What stands in them and is shown nowhere.
        keeper: Whoever has it keeps the folder from being removed; None for a folder of others'.
    """

    root: Path
    manifest: Manifest
    excluded: int = 0
    extra: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    shared: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    secrets: Secrets = field(default_factory=Secrets)
    keeper: object = field(default=None, compare=False, repr=False)


@dataclass
class Memory:
    """What a scan of a folder leaves for the next one, in this process.

    Attributes:
        root: The folder.
        known: How each file looked to ``stat`` when it was hashed, with its digest, by path.
        looked: The same as ``stat`` gave it, with what the file is, for those rules; by its path
            as text, as Python decodes the names of files.
        rules: What was kept out.
        source: What was found.
    """

    root: bytes = b""
    known: dict[bytes, bytes] = field(default_factory=dict)
    looked: dict[str, tuple[Looks, Entry]] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    source: Source | None = None


def scan(root: Path, exclude: Sequence[str] = (), memory: Memory | None = None) -> Source:
    """Read a folder: names, kinds, modes and the SHA-256 of every file.

    A file that looks to ``stat`` as it did when it was last hashed (size, times of its content and
    of its inode to the nanosecond, inode, device) is not read again, as git's index has it.

    Args:
        root: The folder.
        exclude: Gitignore rules; those of its ``.deployignore`` come after them.
        memory: What the last scan left; None when every file is to be read.

    Raises:
        SourceError: It is no folder, is empty, cannot be read, or holds something that is neither
            file, directory nor link.
    """
    try:
        root = root.expanduser().absolute()
        if not root.is_dir():
            raise _no_folder(root)
        scanned = _Scan(os.fsencode(root), Rules(root, exclude), memory)
        with uncollected():
            scanned.walk(b"")
        scanned.read()
    except OSError as error:
        name = safe(os.fsencode(error.filename or root))
        raise SourceError(f"cannot read {name}: {error.strerror}") from error
    except RuntimeError as error:
        raise SourceError(f"the source {safe(str(root))} is nobody's home: {error}") from error
    if scanned.odd:
        raise SourceError(
            "the source holds what cannot be released: " + ", ".join(sorted(scanned.odd)[:20]),
            "Only files, directories and links can be; `exclude` or .deployignore keep others out.",
        )
    if not scanned.entries:
        raise SourceError(
            f"the source {safe(str(root))} is empty", "Did the build write to another place?"
        )
    with uncollected():
        return scanned.source(root)


def _no_folder(root: Path) -> SourceError:
    named = f"the source {safe(str(root))}"
    if root.exists():
        return SourceError(
            f"{named} is a file, not a folder", "A release is a folder: name the one to release."
        )
    return SourceError(f"{named} is not a folder", "It is not there. Build it first?")


class _Scan:
    """One walk through a folder."""

    def __init__(self, root: bytes, rules: Rules, memory: Memory | None) -> None:
        self.root = root
        self._unread: dict[bytes, Looks] = {}
        self._read: dict[bytes, Entry] = {}
        self.entries: list[Entry] = []
        self.odd: list[str] = []
        self.excluded = 0
        self._rules = rules
        self._memory = memory
        self._before: Mapping[bytes, Entry] = {}
        self._known: dict[bytes, bytes] = {}
        self._new: dict[bytes, bytes] = {}
        self._looked: Mapping[str, tuple[Looks, Entry]] = {}
        self._looks: dict[str, tuple[Looks, Entry]] = {}
        self._reused = 0
        # A file that changed a moment ago may change again without its times telling.
        self._settled = time.time_ns() - SETTLED
        if memory and memory.root == root and memory.source:
            self._known, self._before = memory.known, memory.source.manifest.entries
            self._looked = memory.looked if memory.rules == rules.lines else {}
        elif memory:
            self._known = cache.index(root)

    def walk(self, directory: bytes) -> None:
        """Take in a directory and everything below it.

        Args:
            directory: Its path below the root; empty for the root.
        """
        above = os.fsdecode(directory + b"/" if directory else b"")
        ignores, below = self._rules.ignores, []
        looked = self._looked.get
        # What is in an open directory is found without going through all that is above it again.
        handle = os.open(self.at(directory), DIRECTORY | (os.O_NOFOLLOW if directory else 0))
        named = above
        try:
            with os.scandir(handle) as found:
                for item in found:
                    named = above + item.name
                    looks = _looks(item.stat(follow_symlinks=False))
                    # Most files are as they were: these lines are all that they cost.
                    before = looked(named)
                    if before is not None and before[0] == looks:
                        self._again(named, before)
                        continue
                    is_dir = stat.S_ISDIR(looks[-1])
                    if ignores(named, is_dir):
                        self.excluded += 1
                        continue
                    path = os.fsencode(named)
                    self._add(named, path, looks)
                    if is_dir:
                        below.append(path)
        except OSError as error:
            # What is told of a file in an open directory is its name alone.
            if isinstance(error.filename, str):
                error.filename = self.at(os.fsencode(named))
            elif not isinstance(error.filename, bytes):
                error.filename = self.at(directory)
            raise
        finally:
            os.close(handle)
        for path in below:
            self.walk(path)

    def at(self, path: bytes) -> bytes:
        """Where something is."""
        return self.root + b"/" + path if path else self.root

    def _again(self, named: str, before: tuple[Looks, Entry]) -> None:
        """Take a file in that looks as it did."""
        entry = before[1]
        path = entry.path
        self._looks[named] = before
        self._new[path] = self._known[path]
        self.entries.append(entry)
        self._reused += 1

    def _add(self, named: str, path: bytes, looks: Looks) -> None:
        mode = looks[-1]
        if stat.S_ISREG(mode):
            entry = self._file(path, stat.S_IMODE(mode), looks)
        elif stat.S_ISDIR(mode):
            entry = Entry(path, Kind.DIR, mode & 0o777)
        elif stat.S_ISLNK(mode):
            target = os.readlink(self.at(path))  # noqa: PTH115 - bytes
            entry = Entry(path, Kind.LINK, target=target)
        else:
            self.odd.append(f"{safe(path)} ({_kind(mode)})")
            return
        before = self._before.get(path)
        if before is not None and (before is entry or before == entry):
            # The very same object: whoever compares the two trees sees it at once.
            entry = before
            self._reused += 1
        if path in self._new:
            self._looks[named] = looks, entry
        self.entries.append(entry)

    def _file(self, path: bytes, mode: int, looks: Looks) -> Entry:
        size, text = looks[0], _text(looks)
        known = self._known.get(path, b"")
        if known[DIGEST:] == text:
            self._new[path] = known
            before = self._before.get(path)
            if before is not None and before.mode == mode:
                return before
            return Entry(path, Kind.FILE, mode, size, known[:DIGEST].decode())
        self._unread[path] = looks
        return Entry(path, Kind.FILE, mode, size)

    def read(self) -> None:
        """Hash the files that do not look as they did when they were last hashed."""
        for path, looks in self._unread.items():
            size, digest = self._hashed(path, looks[0])
            entry = Entry(path, Kind.FILE, stat.S_IMODE(looks[-1]), size, digest)
            before = self._before.get(path)
            if before == entry:
                entry = before
                self._reused += 1
            if size == looks[0] and max(looks[1], looks[2]) < self._settled:
                self._new[path] = digest.encode() + _text(looks)
                self._looks[os.fsdecode(path)] = looks, entry
            self._read[path] = entry

    def _hashed(self, path: bytes, size: int) -> tuple[int, str]:
        """Size and SHA-256 of a file; a large one that was known is cut, too."""
        known = self._known.get(path, b"")[:DIGEST].decode("ascii", "replace")
        edited = size >= LARGE and cache.has_chunks(known)
        return (_digest_and_cut if edited else _digest)(self.at(path), size)

    def source(self, root: Path) -> Source:
        """What was found, and remembered for the next time."""
        memory = self._memory
        last = memory.source if memory else None
        read = self._read.get
        self.entries = [read(entry.path, entry) for entry in self.entries]
        if last and self._reused == len(self.entries) == len(last.manifest):
            manifest = last.manifest
        else:
            manifest = Manifest(self.entries, last.manifest if last else None)
        found = Source(root, manifest, self.excluded)
        if memory:
            if self._new != self._known:
                cache.keep_index(self.root, self._new)
            memory.root, memory.known, memory.source = self.root, self._new, found
            memory.looked, memory.rules = self._looks, self._rules.lines
        return found


def _looks(status: os.stat_result) -> Looks:
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
        status.st_mode,
    )


def _text(looks: Looks) -> bytes:
    """How a file looks, as a cache keeps it: the mode can change without the content."""
    return b"%d %d %d %d %d" % looks[:5]


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device"}
    return kinds.get(stat.S_IFMT(mode), "device")


def opened(path: bytes) -> int:
    """A regular file, opened."""
    return _begun(path)[0]


def _begun(path: bytes) -> tuple[int, os.stat_result]:
    """The same, and how it looks."""
    handle = os.open(path, READING)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise SourceError(f"{safe(path)} changed its kind while it was read")
    return handle, status


def begun_again(place: bytes, entry: Entry) -> tuple[int, os.stat_result]:
    """The same of a file that was scanned.

    Raises:
        SourceError: It cannot be read any more, so it changed.
    """
    try:
        return _begun(place)
    except OSError as error:
        raise changed(entry, str(error.strerror)) from error


def _digest(path: bytes, size: int) -> tuple[int, str]:
    """Size and SHA-256 of a file that seemed to have a size, from one reading."""
    digest, read, most = hashlib.sha256(), 0, min(size + 1, CHUNK)
    handle = opened(path)
    try:
        while chunk := os.read(handle, most):
            digest.update(chunk)
            read += len(chunk)
            # Less than was asked for is the end, as long as it is as large as it seemed.
            if read == size and len(chunk) < most:
                break
    finally:
        os.close(handle)
    return read, digest.hexdigest()


def _digest_and_cut(path: bytes, size: int) -> tuple[int, str]:
    """The same of a large file that has changed: what differs is wanted next."""
    handle = opened(path)
    try:
        return digested(handle, size)[:2]
    finally:
        os.close(handle)


def changed(entry: Entry, how: str) -> SourceError:
    """What to raise when a file is no longer what was scanned."""
    return SourceError(
        f"{safe(entry.path)} changed while it was sent: {how}", "Plan and deploy again."
    )
