"""Large files that are sent as what differs.

Rule 1: nothing here is ever needed: without the chunks of the old file the new one is sent whole.
Rule 2: nothing here is believed: the server hashes the file that was put together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opsnb.core import chunks
from opsnb.core.chunks import Chunk, Literal, Take
from opsnb.core.manifest import Entry, Kind
from opsnb.engine import cache
from opsnb.engine.cutting import LARGE, digested
from opsnb.engine.source import Source, changed, opened
from opsnb.errors import SourceError

PIECE = 1 << 20


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
        _, digest, made = digested(handle, entry.size)
    except OSError:
        return ()
    finally:
        os.close(handle)
    return made if digest == entry.sha256 else ()


def payload(source: Source, patch: Patch, sent: Callable[[int, int], None]) -> Iterator[bytes]:
    """What the server's ``patch`` reads: each step on a line, after a ``put`` its bytes.

    Args:
        source: Where the content is.
        patch: How the file is made.
        sent: Told files and bytes of content as they go out.

    Raises:
        SourceError: The file is not as it was scanned.
    """
    sent(1, 0)
    for take in patch.takes:
        yield b"take %d %d %d\n" % (take.offset, take.at, take.length)
    entry = source.manifest[patch.path]
    try:
        handle = opened(os.fsencode(source.root) + b"/" + patch.path)
    except OSError as error:
        raise changed(entry, str(error.strerror)) from error
    try:
        for literal in patch.literals:
            yield b"put %d %d\n" % (literal.offset, literal.length)
            for at in range(0, literal.length, PIECE):
                piece = os.pread(handle, min(PIECE, literal.length - at), literal.offset + at)
                if len(piece) < min(PIECE, literal.length - at):
                    raise changed(entry, "it became shorter")
                sent(0, len(piece))
                yield piece
    except OSError as error:
        raise changed(entry, str(error.strerror)) from error
    finally:
        os.close(handle)
    yield b"end\n"
