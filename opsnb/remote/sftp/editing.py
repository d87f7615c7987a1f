"""A text by how it differs from another, as ``edit`` of the agent takes it. Pure."""

from __future__ import annotations


def edited(base: bytes | None, edits: bytes) -> bytes | None:
    """The text that comes of another; None when the other is not there or makes no sense of it.

    Args:
        base: The other.
        edits: What :func:`opsnb.core.manifest.edits` gave.
    """
    if base is None:
        return None
    gone: set[int] = set()
    more: dict[int, list[bytes]] = {}
    for line in edits.splitlines():
        sign, _, rest = line.partition(b" ")
        word, _, text = rest.partition(b" ")
        if not word.isdigit() or sign not in (b"+", b"-"):
            return None
        if sign == b"-":
            gone.add(int(word))
        else:
            more.setdefault(int(word), []).append(text)
    lines: list[bytes] = []
    before = base.splitlines()
    for number, line in enumerate(before, 1):
        lines += more.get(number, [])
        if number not in gone:
            lines.append(line)
    lines += more.get(len(before) + 1, [])
    return b"".join(line + b"\n" for line in lines)
