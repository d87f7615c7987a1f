"""Numbers that a server wrote. Pure.

``int`` takes signs, underscores and digits of every script, and complains in its own way of what is
too long; this takes what a program on a server prints, and nothing else.
"""

from __future__ import annotations

MOST = 2**53  # what a table, JSON and a program in a page can all hold: 9 PB
LONGEST = 20


def number(text: str | bytes) -> int:
    """A whole number as text, at least 0; what is larger than :data:`MOST` is that.

    Raises:
        ValueError: It is none.
    """
    if not (text.isdigit() and text.isascii() and len(text) <= LONGEST):
        raise ValueError(f"not a number: {text[:40]!r}")
    return min(int(text), MOST)


def octal(text: str | bytes) -> int:
    """Permission bits as text.

    Raises:
        ValueError: It is none.
    """
    if not (text.isdigit() and text.isascii() and len(text) <= LONGEST):
        raise ValueError(f"not a mode: {text[:40]!r}")
    return int(text, 8)
