"""Remote bytes made fit for a person's eyes.

Rule 1: every name, line or message that came from a server passes through here before it is shown.
Rule 2: what comes out holds no control character, no invisible character and no line break that was
in the input, so it cannot move a cursor, set a clipboard, reorder the text around it or look like
another text. (Variation selectors may stay: emoji need them.)
"""

from __future__ import annotations

import re

# C0, DEL and C1 controls; line and paragraph separators; bidirectional marks, embeddings,
# overrides and isolates (Unicode UAX #9); zero-width and byte-order marks; surrogates; fillers,
# soft hyphens, tags and whatever else is drawn as nothing (Default_Ignorable_Code_Point).
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def safe(text: str | bytes) -> str:
    """Text with every unsafe character written as an escape (``\\x1b``, ``\\u202e``).

    Args:
        text: What to show. Bytes are read as UTF-8; a byte that is not is shown as ``\\xNN``.

    Returns:
        One line of printable text.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def size(count: int | float) -> str:
    """Bytes for a person, in decimal units: ``812 kB``, ``12.0 MB``.

    Args:
        count: A number of bytes.
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 file``, ``1,204 files``.

    Args:
        count: How many.
        noun: The singular.
        many: The plural, where it is not the singular with an ``s``.
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def age(seconds: float) -> str:
    """A length of time in its one largest unit that reads well: ``45 s``, ``3 min``, ``5 h``.

    Args:
        seconds: The length in seconds; negative (a clock that went back) reads as ``0 s``.
    """
    seconds = max(0.0, seconds)
    for unit, length, until in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48), ("d", 86400, 1e9)):
        if seconds / length < until:
            return f"{seconds / length:.0f} {unit}"
    return "long ago"
