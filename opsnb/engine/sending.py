"""What is sent of a source: its content as a tar stream, in chunks, at the pace of the line."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from opsnb.core.manifest import Entry, Kind
from opsnb.engine.source import CHUNK, Source, begun_again, changed
from opsnb.remote import tar
from opsnb.remote.pack import Packer, Packing

PATIENCE = 8  # chunks
SLOWER = 8  # times as slow as reading and packing is a line that is worth more pains


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
    root = os.fsencode(source.root)
    for path in paths:
        entry, place = entries[path], root + b"/" + path
        if path in source.extra:
            yield tar.header(entry, int(time.time()))
            sent(entry.kind is Kind.FILE, entry.size)
            yield source.extra[path] + tar.padding(entry.size)
        elif entry.kind is Kind.FILE and entry.size < CHUNK:
            yield _small(place, entry)
            sent(1, entry.size)
        elif entry.kind is Kind.FILE:
            content = _file(place, entry)
            yield next(content)
            sent(1, 0)
            for piece in content:
                sent(0, len(piece))
                yield piece
            yield tar.padding(entry.size)
        else:
            yield _header(place, entry)
    yield from tar.trailer()


def modified(source: Source, path: bytes) -> int:
    """When a file of a folder was changed last, in whole seconds since the epoch.

    Raises:
        SourceError: It is not there any more.
    """
    try:
        return int(os.lstat(os.fsencode(source.root) + b"/" + path).st_mtime)
    except OSError as error:
        raise changed(source.manifest[path], str(error.strerror)) from error


def _header(place: bytes, entry: Entry) -> bytes:
    """The header of a directory or a link."""
    try:
        mtime = int(os.lstat(place).st_mtime)
    except OSError as error:
        raise changed(entry, str(error.strerror)) from error
    # A directory stays open to its owner until it is filled; its own mode comes at the end.
    open_ = replace(entry, mode=entry.mode | 0o700) if entry.kind is Kind.DIR else entry
    return tar.header(open_, mtime)


def _small(place: bytes, entry: Entry) -> bytes:
    """All of a small file at once: of ten thousand, every step counts."""
    size = entry.size
    handle, status = begun_again(place, entry)
    try:
        content = os.read(handle, size)
        while len(content) < size:
            more = os.read(handle, size - len(content))
            if not more:
                raise changed(entry, "it became shorter")
            content += more
    except OSError as error:
        raise changed(entry, str(error.strerror)) from error
    finally:
        os.close(handle)
    return tar.header(entry, int(status.st_mtime)) + content + tar.padding(size)


def _file(place: bytes, entry: Entry) -> Iterator[bytes]:
    """A file's header and content."""
    left = entry.size
    handle, status = begun_again(place, entry)
    try:
        yield tar.header(entry, int(status.st_mtime))
        while left:
            piece = os.read(handle, min(left, CHUNK))
            if not piece:
                raise changed(entry, "it became shorter")
            left -= len(piece)
            yield piece
    except OSError as error:
        raise changed(entry, str(error.strerror)) from error
    finally:
        os.close(handle)


async def stream(made: Iterator[bytes], how: Packer = "") -> AsyncIterator[bytes]:
    """Pieces gathered to about a megabyte each, read in a thread so that the loop stays free.

    Args:
        made: The pieces.
        how: How to compress them; empty for not at all.
    """
    packing = Packing(how)
    pace = _Pace()

    def next_batch() -> tuple[bytes, bool]:
        with pace.works():
            batch = _batch(made)
            if not batch:
                return packing.rest(), False
            begun = packing.harder() if pace.is_held_up() else b""
            return begun + packing.pack(batch), True

    reading = _begin(next_batch)
    try:
        more = True
        while more:
            batch, more = await reading
            if more:
                # Read and packed while the one before it is sent.
                reading = _begin(next_batch)
            if batch:
                yield batch
    finally:
        reading.cancel()


class _Pace:
    """How much of the time that chunks take is work, and how much is waiting for the line."""

    def __init__(self) -> None:
        self._ended = time.monotonic()
        self._work = 0.0
        self._took: list[float] = []

    @contextmanager
    def works(self) -> Iterator[None]:
        """While a chunk is read and packed."""
        began = time.monotonic()
        yield
        now = time.monotonic()
        self._work += now - began
        self._took.append(now - self._ended)
        self._ended = now

    def is_held_up(self) -> bool:
        """Whether the last chunks took several times as long as the work; then it begins anew."""
        if len(self._took) < PATIENCE:
            return False
        # The longest does not count: the line may have waited for the server once.
        slower = sum(self._took) - max(self._took) > SLOWER * self._work
        self._work, self._took = 0.0, []
        return slower


def _begin(read: Callable[[], tuple[bytes, bool]]) -> asyncio.Task[tuple[bytes, bool]]:
    task = asyncio.create_task(asyncio.to_thread(read))
    # What nobody waits for any more may fail unheard.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def _batch(made: Iterator[bytes]) -> bytes:
    gathered: list[bytes] = []
    size = 0
    for piece in made:
        gathered.append(piece)
        size += len(piece)
        if size >= CHUNK:
            break
    return b"".join(gathered)
