"""Compression of what is sent, where the line is slower than the compressor.

Measured on 91 MB of small files over 25 ms each way and 100 Mbit/s: raw 8.1 s, gzip 2.7 s, zstd
2.2 s. On a fast line the server's side of it costs more than it saves.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Collection
from typing import Literal

from opsnb.core.text import safe
from opsnb.errors import RemoteError

Packer = Literal["", "zstd", "gzip"]
FAR = 0.003  # seconds to the server and back from which a line is taken for a slow one
# The first is for a line that may turn out to be faster than the compressor.
LEVELS: dict[Packer, tuple[int, ...]] = {"zstd": (3, 5, 7), "gzip": (1, 4)}


def packer(known: Collection[str], round_trip: float | None) -> Packer:
    """Which compression to use.

    Args:
        known: What the server can unpack.
        round_trip: Seconds to the server and back; None when that is not known.
    """
    if round_trip is None or round_trip < FAR:
        return ""
    if "zstd" in known:
        return "zstd"
    return "gzip" if "gzip" in known else ""


class Packing:
    """A compressor, which can be told to take more pains.

    Args:
        how: Which compression; empty for none.
    """

    def __init__(self, how: Packer) -> None:
        if how and how not in LEVELS:
            raise RemoteError(f"no such compression: {safe(how)}")
        self._how = how
        self._left = list(LEVELS.get(how, ()))
        self._begin()

    def _begin(self) -> None:
        self.pack: Callable[[bytes], bytes] = bytes
        self.rest: Callable[[], bytes] = bytes
        if self._how == "zstd":
            import zstandard  # noqa: PLC0415 - only where the line is slow

            zstd = zstandard.ZstdCompressor(level=self._left.pop(0)).compressobj()
            self.pack, self.rest = zstd.compress, zstd.flush
        elif self._how == "gzip":
            gzip = zlib.compressobj(self._left.pop(0), wbits=31)
            self.pack, self.rest = gzip.compress, gzip.flush

    def harder(self) -> bytes:
        """Go on with the next level, if there is one: the line is slower than the compressor.

        Returns:
            The end of what was begun. What unpacks takes such parts as one.
        """
        if not self._left:
            return b""
        ended = self.rest()
        self._begin()
        return ended


def unpacked(how: Packer, data: bytes, limit: int) -> bytes:
    """What was compressed, and ended with a full stop that is not given back.

    Args:
        how: The compression; empty for none, and for no full stop.
        data: The compressed bytes.
        limit: Bytes that there may be: a few may stand for very many.

    Raises:
        RemoteError: It is something else, cut short, or more than that.
    """
    if not how:
        return data
    try:
        out = _zstd(data, limit + 2) if how == "zstd" else _gzip(data, limit + 2)
    except ValueError as error:
        raise RemoteError(f"the server's answer cannot be unpacked: {safe(str(error))}") from error
    if len(out) > limit + 1:
        raise RemoteError(f"the server's answer is larger than {limit:,} bytes")
    if not out.endswith(b"."):
        raise RemoteError("the server's answer is cut short")
    return out[:-1]


def _zstd(data: bytes, most: int) -> bytes:
    import zstandard  # noqa: PLC0415 - as above

    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
            return reader.read(most)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _gzip(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
