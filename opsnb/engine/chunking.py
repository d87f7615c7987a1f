"""Large files cut into chunks, and the ones that are sent as what differs.

Rule 1: nothing here is ever needed: without the chunks of the old file the new one is sent whole.
Rule 2: nothing here is believed: the server hashes the file that was put together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from opsnb.core import chunks
from opsnb.core.chunks import Chunk, Literal, Take
from opsnb.core.manifest import Entry, Kind
from opsnb.engine import cache
from opsnb.engine.source import Source, opened
from opsnb.errors import SourceError

LARGE = 8 << 20  # bytes of a file that is worth the trouble
PIECE = 1 << 20
WINDOW = 16 << 20  # bytes in memory; some chunks' lengths
MOST = 8  # times the average, that a chunk is long at most


@dataclass(frozen=True, slots=True)
class Patch:
    """How a file is made of the one that stands at its place in the live release.

    Attributes:
        path: The file.
        takes: What is taken from the old one.
        literals: What is sent, and goes over that.
    """

    path: bytes
    takes: tuple[Take, ...]
    literals: tuple[Literal, ...]

    @property
    def size(self) -> int:
        """Bytes of content that are sent."""
        return sum(literal.length for literal in self.literals)


def patches(
    source: Source, sent: Sequence[bytes], old: Mapping[bytes, Entry]
) -> dict[bytes, Patch]:
    """The files that are better sent as what differs.

    Args:
        source: Where their content is.
        sent: The paths that are to be sent.
        old: What the live release holds, by path.

    Returns:
        How each is made, by its path.
    """
    made: dict[bytes, Patch] = {}
    for path in sent:
        entry, before = source.manifest.get(path), old.get(path)
        if entry is None or before is None or b"\n" in path or path in source.extra:
            continue
        if not (_large(entry) and _large(before)):
            continue
        known = cache.chunks(before.sha256)
        if known and (patch := _patch(source, entry, before, known)):
            made[path] = patch
    return made


def _patch(source: Source, entry: Entry, before: Entry, known: Sequence[Chunk]) -> Patch | None:
    now = cut(source, entry)
    ops = chunks.difference(known, now) if now else ()
    if not ops or not chunks.worth(ops, entry.size):
        return None
    return Patch(entry.path, *chunks.steps(ops, before.size))


def remember(source: Source, sent: Sequence[bytes]) -> None:
    """Cut the large files that were sent, so that the next change of them need not be whole."""
    for path in sent:
        entry = source.manifest.get(path)
        if entry is not None and _large(entry) and path not in source.extra:
            cut(source, entry)


def _large(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and entry.size >= LARGE


def cut(source: Source, entry: Entry) -> tuple[Chunk, ...]:
    """A file's chunks, from the cache or from reading it; none when it cannot be read.

    Args:
        source: Where it is.
        entry: What it was when it was scanned.
    """
    known = cache.chunks(entry.sha256)
    if known:
        return known
    try:
        handle = opened(os.fsencode(source.root) + b"/" + entry.path)
    except (OSError, SourceError):
        return ()
    try:
        made = tuple(_cut(handle, chunks.average(entry.size)))
    finally:
        os.close(handle)
    if sum(length for length, _ in made) != entry.size:
        return ()
    cache.keep_chunks(entry.sha256, made)
    return made


def _cut(handle: int, average: int) -> Iterator[Chunk]:
    """Cut a file, a window of it in memory at a time, and hash one while the next is cut."""
    with ThreadPoolExecutor(1) as hashing:
        before: Future[list[Chunk]] | None = None
        for window, ends in _windows(handle, average):
            now = hashing.submit(_hashed, window, ends)
            if before:
                yield from before.result()
            before = now
        if before:
            yield from before.result()


def _windows(handle: int, average: int) -> Iterator[tuple[memoryview, list[int]]]:
    """Parts of a file, and where the chunks in each end."""
    from fastcdc.fastcdc_cy import fastcdc_cy  # noqa: PLC0415 - only where a file is large

    rest, more = b"", True
    while more:
        read = os.read(handle, WINDOW)
        more, content = bool(read), memoryview(rest + read)
        ends: list[int] = []
        for chunk in fastcdc_cy(content, avg_size=average):
            # One that might go on behind the window is cut with the next.
            if more and chunk.offset + MOST * average > len(content):
                break
            ends.append(chunk.offset + chunk.length)
        whole = ends[-1] if ends else 0
        rest = bytes(content[whole:])
        yield content[:whole], ends


def _hashed(window: memoryview, ends: Sequence[int]) -> list[Chunk]:
    begins = [0, *ends]
    return [
        (end - begin, hashlib.sha256(window[begin:end]).digest()[: chunks.DIGEST])
        for begin, end in pairwise(begins)
    ]


def payload(source: Source, patch: Patch, sent: Callable[[int, int], None]) -> Iterator[bytes]:
    """What the server's ``patch`` reads: each step on a line, after a ``put`` its bytes.

    Args:
        source: Where the content is.
        patch: How the file is made.
        sent: Told files and bytes of content as they go out.
    """
    sent(1, 0)
    for take in patch.takes:
        yield b"take %d %d %d\n" % (take.offset, take.at, take.length)
    handle = opened(os.fsencode(source.root) + b"/" + patch.path)
    try:
        for literal in patch.literals:
            yield b"put %d %d\n" % (literal.offset, literal.length)
            for at in range(0, literal.length, PIECE):
                piece = os.pread(handle, min(PIECE, literal.length - at), literal.offset + at)
                sent(0, len(piece))
                yield piece
    finally:
        os.close(handle)
    yield b"end\n"
