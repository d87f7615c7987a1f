"""The tar stream of an upload, taken apart here: who has SFTP only can run no tar.

It reads what :mod:`opsnb.remote.tar` writes, and refuses everything else.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from opsnb.core.manifest import Kind, check_path
from opsnb.errors import StepFailed
from opsnb.remote.pack import Packer
from opsnb.remote.tar import BLOCK

PIECE = 1 << 20
LONGEST = 1 << 16  # bytes of a name
_KINDS = {b"0": Kind.FILE, b"2": Kind.LINK, b"5": Kind.DIR}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a stream.

    Attributes:
        path: Its path inside the tree.
        kind: What it is.
        mode: Its permission bits.
        mtime: When it was changed last, in seconds since the epoch.
        size: Bytes of content that follow.
        target: Where a link leads to.
    """

    path: bytes
    kind: Kind
    mode: int
    mtime: int
    size: int
    target: bytes


class Bytes:
    """A stream that is read by length, unpacked on the way.

    Args:
        stream: The pieces.
        how: How they are compressed.

    Raises:
        StepFailed: That compression is not known here.
    """

    def __init__(self, stream: AsyncIterable[bytes], how: Packer) -> None:
        if how == "zstd":
            raise StepFailed("an upload by SFTP is not compressed with zstd", 1)
        self._stream = aiter(stream)
        self._open = zlib.decompressobj(31) if how == "gzip" else None
        self._ready = bytearray()

    async def take(self, length: int) -> bytes:
        """Exactly so many bytes.

        Raises:
            StepFailed: The stream ends before.
        """
        while len(self._ready) < length:
            if not await self._more():
                raise StepFailed("the upload is cut short", 1)
        taken = bytes(self._ready[:length])
        del self._ready[:length]
        return taken

    async def line(self) -> bytes:
        """Bytes up to a line break, without it."""
        while (end := self._ready.find(b"\n")) < 0:
            if len(self._ready) > LONGEST or not await self._more():
                raise StepFailed("the upload is cut short", 1)
        return (await self.take(end + 1))[:-1]

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        """So many bytes, piece by piece."""
        while length:
            piece = await self.take(min(length, PIECE))
            length -= len(piece)
            yield piece

    async def drain(self) -> None:
        """Read what is left, and forget it."""
        while await self._more():
            self._ready.clear()

    async def _more(self) -> bool:
        piece = await anext(self._stream, None)
        if piece is None:
            return False
        try:
            self._ready += self._open.decompress(piece) if self._open else piece
        except zlib.error as error:
            raise StepFailed("the upload is not what was sent", 1) from error
        return True


async def members(stream: Bytes) -> AsyncIterator[Member]:
    """The entries of a tar stream; the content of each is to be taken before the next is asked for.

    Raises:
        StepFailed: It is no such stream.
    """
    long: dict[bytes, bytes] = {}
    while (block := await stream.take(BLOCK)) != b"\0" * BLOCK:
        kind, size = block[156:157], _number(block[124:136])
        if sum(block[:148] + b" " * 8 + block[156:]) != _number(block[148:156]):
            raise StepFailed("the upload is no tar stream", 1)
        if kind in (b"K", b"L"):
            if size > LONGEST:
                raise StepFailed("the upload names something too long", 1)
            text = await stream.take(size + -size % BLOCK)
            long[kind] = text[: size - 1]
            continue
        yield _member(block, kind, size, long)
        long.clear()
        await stream.take(-size % BLOCK)


def _member(block: bytes, kind: bytes, size: int, long: dict[bytes, bytes]) -> Member:
    if kind not in _KINDS:
        raise StepFailed("the upload holds what opsnb does not send", 1)
    path = long.get(b"L", block[:100].rstrip(b"\0")).removesuffix(b"/")
    target = long.get(b"K", block[157:257].rstrip(b"\0"))
    try:
        check_path(path)
    except ValueError as error:
        raise StepFailed(f"refused: {error}", 1) from error
    mode, mtime = _number(block[100:108]), _number(block[136:148])
    return Member(path, _KINDS[kind], mode, mtime, size, target)


def _number(field: bytes) -> int:
    """Octal, or GNU's base 256."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError as error:
        raise StepFailed("the upload is no tar stream", 1) from error
