"""Files that come from a server, and are kept here until they go on to another.

Rule 1: what comes is taken only if it is what was asked for, in that order, byte by byte: a file
that its manifest did not announce, or that is longer, ends it before it is written.
Rule 2: it is written below a folder of our own, where nothing else ever stands: no name leads out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

from opsnb.core.manifest import Entry, Kind
from opsnb.core.text import safe
from opsnb.errors import RemoteError
from opsnb.remote import tar
from opsnb.remote.tar import BLOCK

PIECE = 1 << 18
TRAILER = 1 << 16  # bytes that may follow the last file: GNU tar fills up to 10 KiB
LATEST = 1 << 33  # seconds since the epoch
Taking = Generator[int, bytes, None]


class Spool:
    """A private folder that holds a part of a tree."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="opsnb-promote-"))
        self._there: set[bytes] = set()

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        """The files among some entries that are not here yet; what is no file is made."""
        files = []
        for entry in entries:
            if entry.path in self._there:
                continue
            if entry.kind is Kind.FILE:
                files.append(entry)
            else:
                self._make(entry)
        return files

    def _make(self, entry: Entry) -> None:
        place = self.place(entry.path)
        if entry.kind is Kind.DIR:
            os.makedirs(place, 0o700, exist_ok=True)  # noqa: PTH103 - bytes
        else:
            os.symlink(entry.target, place)  # noqa: PTH211 - bytes
        self._there.add(entry.path)

    def place(self, path: bytes) -> bytes:
        """Where a path is kept; the folder above it is there."""
        place = os.fsencode(self.root) + b"/" + path
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)  # noqa: PTH103, PTH120 - bytes
        return place

    def keep(self, entry: Entry, mtime: int) -> Generator[None, bytes, None]:
        """Take a file's content, piece by piece, and at its end hold it against its digest.

        Raises:
            RemoteError: It is other content.
        """
        place, digest, left = self.place(entry.path), hashlib.sha256(), entry.size
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(place, flags, 0o600), "wb") as file:
            while left:
                piece = yield
                file.write(piece)
                digest.update(piece)
                left -= len(piece)
        if digest.hexdigest() != entry.sha256:
            raise RemoteError(f"{safe(entry.path)} has other content than its manifest says")
        os.utime(place, (mtime, mtime))
        self._there.add(entry.path)

    def remove(self) -> None:
        """Remove it and all that it holds."""
        shutil.rmtree(self.root, ignore_errors=True)


class Arrival:
    """Takes a tar stream of files, piece by piece as it comes.

    Args:
        wanted: The files, in the order in which they come.
        spool: Where they are kept.
    """

    def __init__(self, wanted: Sequence[Entry], spool: Spool) -> None:
        self._ready = bytearray()
        self._left = len(wanted)
        self._after = 0
        self._fault: RemoteError | None = None
        self._steps = self._files(wanted, spool)
        self._need = next(self._steps, 0)

    def __call__(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            RemoteError: It is not what was asked for, or cannot be kept; it stays so.
        """
        if self._fault is None:
            try:
                self._take(piece)
            except RemoteError as error:
                self._fault = error
        if self._fault is not None:
            raise self._fault

    def _take(self, piece: bytes) -> None:
        self._ready += piece
        try:
            while self._need and len(self._ready) >= self._need:
                taken = bytes(self._ready[: self._need])
                del self._ready[: self._need]
                self._need = self._next(taken)
        except OSError as error:
            raise RemoteError(f"what comes cannot be kept here: {error.strerror}") from error
        if not self._need:
            self._after += len(self._ready)
            self._ready.clear()
            if self._after > TRAILER:
                raise RemoteError("the server sends more than it was asked for")

    def _next(self, taken: bytes) -> int:
        try:
            return self._steps.send(taken)
        except StopIteration:
            return 0

    def end(self) -> None:
        """Nothing more will come.

        Raises:
            RemoteError: Something is missing, or was wrong: what came with the last piece may not
                have been heard.
        """
        if self._fault is not None:
            raise self._fault
        if self._need:
            raise RemoteError(f"what the server sent is cut short: {self._left} files are missing")

    def _files(self, wanted: Sequence[Entry], spool: Spool) -> Taking:
        for entry in wanted:
            mtime = yield from _announced(entry)
            yield from _content(entry, mtime, spool)
            self._left -= 1


def _announced(entry: Entry) -> Generator[int, bytes, int]:
    """Read what announces a file, which must be the one that is wanted; when it was changed."""
    block, name = (yield BLOCK), b""
    if block[156:157] == b"L":
        length = _number(block[124:136])
        if length != len(entry.path) + 1:
            raise _other(entry)
        name = (yield length + -length % BLOCK)[: length - 1]
        block = yield BLOCK
    name = name or block[:100].rstrip(b"\0")
    plain = block[156:157] in (b"0", b"\0")
    if name != entry.path or not plain or _number(block[124:136]) != entry.size:
        raise _other(entry)
    return min(max(0, _number(block[136:148])), LATEST)


def _content(entry: Entry, mtime: int, spool: Spool) -> Taking:
    keeping, left = spool.keep(entry, mtime), entry.size
    if next(keeping, 0) is None:
        while left:
            piece = yield min(left, PIECE)
            left -= len(piece)
            try:
                keeping.send(piece)
            except StopIteration:
                break
    if padding := -entry.size % BLOCK:
        yield padding


def _number(field: bytes) -> int:
    try:
        return tar.read_number(field)
    except ValueError as error:
        raise RemoteError("what the server sends is no tar stream") from error


def _other(entry: Entry) -> RemoteError:
    return RemoteError(
        f"the server sends something else in place of {safe(entry.path)}",
        "Was it changed there meanwhile? Look, and promote again.",
    )
