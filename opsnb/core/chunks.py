"""A large file as the chunks its content falls into, and how one such list becomes another.

Chunks are cut where the content says so, not at fixed offsets: what is inserted moves the chunks
after it, and changes one or two. So two lists tell which ranges of a file somebody has already.

Rule 1: a list has no offsets: a chunk is its length and its digest, wherever it stands.
Rule 2: a list only says what may be taken from where. Whether the file that was put together is
the right one, its SHA-256 says.
Rule 3: a list's text is not believed: what is not exactly as it is written here is a ValueError.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

HEADER = b"opsnb-chunks 1"
DIGEST = 16  # bytes of a chunk's digest: the first half of its SHA-256
AVERAGE = 4 << 10  # bytes of a chunk, in files of up to 512 MiB
MOST = 1 << 17  # chunks that a file has on average, at most: above, they are larger
BRIDGE = 1 << 20  # bytes that are rather copied in vain than by one more program
FAST = 300e6  # bytes a second that a good line carries
PROGRAM = 0.001  # seconds that a server needs to start a program
PROGRAMS = 5  # that a file costs whatever its steps are
STEPS = 4096  # of one file, at most
LIMIT = 64 << 20  # bytes of a text

Chunk = tuple[int, bytes]
"""Length in bytes, and digest."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes that the old file has.

    Attributes:
        offset: Where they begin in the old file.
        length: How many.
    """

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that are sent.

    Attributes:
        offset: Where they begin in the new file.
        length: How many.
    """

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Take:
    """A range of the old file that is written into the new one.

    Attributes:
        offset: Where it begins in the old file.
        at: Where it begins in the new file.
        length: Bytes.
    """

    offset: int
    at: int
    length: int


def average(size: int) -> int:
    """How long a file's chunks are on average, in bytes.

    Args:
        size: Bytes of the file.
    """
    length = AVERAGE
    while size > length * MOST:
        length *= 2
    return length


# --- the difference ----------------------------------------------------------------------------


def difference(old: Sequence[Chunk], new: Sequence[Chunk]) -> tuple[Copy | Literal, ...]:
    """What makes the new file, from its first byte to its last.

    Args:
        old: The chunks of the file that is there.
        new: The chunks of the file that is to be.

    Returns:
        Neighbours that can be one are one.
    """
    ops: list[Copy | Literal] = []
    offset = 0
    for (length, _), shift in zip(new, _shifts(old, new), strict=True):
        op = Literal(offset, length) if shift is None else Copy(offset + shift, length)
        last = ops[-1] if ops else None
        if type(last) is type(op) and last is not None and last.offset + last.length == op.offset:
            ops[-1] = type(op)(last.offset, last.length + length)
        else:
            ops.append(op)
        offset += length
    return tuple(ops)


def _shifts(old: Sequence[Chunk], new: Sequence[Chunk]) -> list[int | None]:
    """How far before each new chunk it stands in the old file; None where it does not.

    Where a chunk stands there more than once, the place next to its neighbour's is taken: first
    to that of the one before, then to that of the one after.
    """
    there, first = _places(old)
    shifts: list[int | None] = []
    offset = shift = 0
    for chunk in new:
        if there.get(offset + shift) == chunk:
            shifts.append(shift)
        elif chunk in first:
            shift = first[chunk] - offset
            shifts.append(shift)
        else:
            shifts.append(None)
        offset += chunk[0]
    for index in range(len(new) - 2, -1, -1):
        offset -= new[index + 1][0]
        after = shifts[index + 1]
        before = offset - new[index][0]
        if after is not None and there.get(before + after) == new[index]:
            shifts[index] = after
    return shifts


def _places(chunks: Sequence[Chunk]) -> tuple[dict[int, Chunk], dict[Chunk, int]]:
    """Chunks by where they begin, and where each begins first."""
    there: dict[int, Chunk] = {}
    first: dict[Chunk, int] = {}
    offset = 0
    for chunk in chunks:
        there[offset] = chunk
        first.setdefault(chunk, offset)
        offset += chunk[0]
    return there, first


def steps(
    ops: Sequence[Copy | Literal], old_size: int
) -> tuple[tuple[Take, ...], tuple[Literal, ...]]:
    """How a server makes the new file with few programs: what it takes, and what then goes over it.

    Ranges that stand as far apart in both files are one, with what lies between them.

    Args:
        ops: What makes the new file.
        old_size: Bytes of the old file. It is taken as a whole where that costs little more, since
            many file systems make a copy of a whole file without copying its content.
    """
    takes: list[Take] = []
    at = 0
    for op in ops:
        last = takes[-1] if takes else None
        if isinstance(op, Copy):
            gap = at - (last.at + last.length) if last else BRIDGE + 1
            if last and gap <= BRIDGE and op.offset - at == last.offset - last.at:
                takes[-1] = Take(last.offset, last.at, last.length + gap + op.length)
            else:
                takes.append(Take(op.offset, at, op.length))
        at += op.length
    if takes and _nearly_all(takes[0], old_size) and old_size <= at:
        takes[0] = Take(0, 0, old_size)
    return tuple(takes), tuple(op for op in ops if isinstance(op, Literal))


def _nearly_all(take: Take, size: int) -> bool:
    return take.offset == take.at == 0 and take.length >= size - size // 8


def worth(ops: Sequence[Copy | Literal], size: int, rate: float = FAST) -> bool:
    """Whether to send a difference and not the file.

    Args:
        ops: What makes the file.
        size: Bytes of the file.
        rate: Bytes a second that the line carries.
    """
    takes, literals = steps(ops, 0)
    count = len(takes) + len(literals)
    sent = sum(literal.length for literal in literals)
    seconds = sent / rate + (count + PROGRAMS) * PROGRAM
    return count <= STEPS and seconds < 0.8 * size / rate


# --- the text ----------------------------------------------------------------------------------


def encode(files: Mapping[str, Sequence[Chunk]]) -> bytes:
    """The text of files' chunks: a header; a line for each file, then one for each chunk.

    Args:
        files: Their chunks, by the SHA-256 of the whole.
    """
    lines = [HEADER]
    for sha256, chunks in files.items():
        lines.append(b"f %s %d" % (sha256.encode("ascii"), len(chunks)))
        lines += (b"%d %s" % (length, _text(digest)) for length, digest in chunks)
    return b"\n".join([*lines, b""])


def _text(digest: bytes) -> bytes:
    return b2a_base64(digest, newline=False)[:-2]


_FILE = re.compile(rb"f ([0-9a-f]{64}) (0|[1-9][0-9]{0,5})")
# The last of 22 characters carries two bits of the digest; the others of it are 0.
_CHUNK = re.compile(rb"([1-9][0-9]{0,9}) ([A-Za-z0-9+/]{21}[AQgw])")


def decode(text: bytes) -> dict[str, tuple[Chunk, ...]]:
    """Read what :func:`encode` wrote.

    Args:
        text: It may come from anybody.

    Returns:
        Chunks by the SHA-256 of the whole file.

    Raises:
        ValueError: It is not such a text.
    """
    if len(text) > LIMIT:
        raise ValueError("the list of chunks is too long")
    header, *lines = text.split(b"\n")
    if header != HEADER or not lines or lines.pop():
        raise ValueError("not a list of chunks, or cut short")
    files: dict[str, tuple[Chunk, ...]] = {}
    at = 0
    while at < len(lines):
        sha256, count = _match(_FILE, lines[at])
        at += 1
        name, end = sha256.decode("ascii"), at + int(count)
        if name in files or end > len(lines):
            raise ValueError("a list of chunks stands twice, or is cut short")
        files[name] = tuple(_chunks(lines[at:end]))
        at = end
    return files


def _chunks(lines: Sequence[bytes]) -> Iterator[Chunk]:
    for line in lines:
        length, digest = _match(_CHUNK, line)
        yield int(length), a2b_base64(digest + b"==")


def _match(pattern: re.Pattern[bytes], line: bytes) -> tuple[bytes, bytes]:
    found = pattern.fullmatch(line)
    if not found:
        raise ValueError(f"not a line of a list of chunks: {line[:100]!r}")
    return found[1], found[2]
