"""A tar stream of chosen paths, written without the cost of a general library.

The headers are POSIX ustar with GNU's long names (``././@LongLink``) for what ustar cannot hold,
which GNU tar, bsdtar and BusyBox read. Ten thousand small files cost a third of what the standard
library's ``tarfile`` takes.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsnb.core.manifest import Entry, Kind

BLOCK = 512
_TYPES = {Kind.FILE: b"0", Kind.LINK: b"2", Kind.DIR: b"5"}


def header(entry: Entry, mtime: int) -> bytes:
    """The blocks that announce one entry.

    Args:
        entry: What is announced; a file's content of exactly ``entry.size`` bytes must follow.
        mtime: Modification time, seconds since the epoch.
    """
    name = entry.path + b"/" if entry.kind is Kind.DIR else entry.path
    size = entry.size if entry.kind is Kind.FILE else 0
    blocks = b""
    if len(entry.target) > 100:
        blocks += _long(b"K", entry.target)
    if len(name) > 100:
        blocks += _long(b"L", name)
    mode = 0o777 if entry.kind is Kind.LINK else entry.mode
    return blocks + _block(name[:100], mode, size, mtime, _TYPES[entry.kind], entry.target[:100])


def _long(kind: bytes, text: bytes) -> bytes:
    text += b"\0"
    return _block(b"././@LongLink", 0, len(text), 0, kind, b"") + text + padding(len(text))


def _block(name: bytes, mode: int, size: int, mtime: int, kind: bytes, target: bytes) -> bytes:
    block = (
        name.ljust(100, b"\0")
        + b"%07o\0" % mode
        + b"0000000\0" * 2
        + _number(size, 12)
        + _number(max(0, mtime), 12)
        + b"        "
        + kind
        + target.ljust(100, b"\0")
        + b"ustar  \0"
    )
    return (block[:148] + b"%06o\0 " % sum(block) + block[156:]).ljust(BLOCK, b"\0")


def _number(value: int, width: int) -> bytes:
    """Octal, or GNU's base 256 where octal is too short (8 GiB and more)."""
    if value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return b"\x80" + value.to_bytes(width - 1, "big")


def read_number(field: bytes) -> int:
    """A number of a header, in octal or in GNU's base 256.

    Raises:
        ValueError: It is neither.
    """
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    return int(field.rstrip(b"\0 ") or b"0", 8)


def padding(size: int) -> bytes:
    """What fills a content of that size up to a whole block."""
    return b"\0" * (-size % BLOCK)


def trailer() -> Iterator[bytes]:
    """What ends a stream."""
    yield b"\0" * (2 * BLOCK)
