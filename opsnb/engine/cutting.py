"""A large file read once: its SHA-256, and where its content cuts it.

Three threads share the work; all that is long in it leaves Python free for the others. Only some
windows of the file are in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from opsnb.core import chunks
from opsnb.core.chunks import Chunk
from opsnb.engine import cache

LARGE = 8 << 20  # bytes of a file that is worth the trouble
WINDOW = 16 << 20  # bytes; many chunks' lengths
MOST = 8  # times the average, that a chunk is long at most


def digested(handle: int, size: int) -> tuple[int, str, tuple[Chunk, ...]]:
    """Read a file, and remember its chunks.

    Args:
        handle: The file, open at its beginning.
        size: How long it is thought to be, in bytes.

    Returns:
        How long it is, its SHA-256 in hexadecimal, its chunks.
    """
    whole = hashlib.sha256()
    made: list[Chunk] = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        before: tuple[Future[None], Future[list[Chunk]]] | None = None
        for window, ends in _windows(handle, chunks.average(size)):
            now = one.submit(whole.update, window), other.submit(_hashed, window, ends)
            if before:
                before[0].result()
                made += before[1].result()
            before = now
        if before:
            before[0].result()
            made += before[1].result()
    digest, found = whole.hexdigest(), tuple(made)
    cache.keep_chunks(digest, found)
    return sum(length for length, _ in found), digest, found


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
