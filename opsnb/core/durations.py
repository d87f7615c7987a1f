"""Lengths of time as people write them: ``45s``, ``10m``, ``12h``, ``7d``."""

from __future__ import annotations

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MOST = 3650 * UNITS["d"]


def seconds(text: str) -> int:
    """How many seconds a text means.

    Args:
        text: A whole number and its unit: ``s``, ``m``, ``h`` or ``d``.

    Raises:
        ValueError: It is no such text, or means more than ten years.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise ValueError("a length of time is a number and s, m, h or d: 45s, 10m, 12h, 7d")
    found = int(match[1]) * UNITS[match[2]]
    if found > MOST:
        raise ValueError("a length of time is at most 3650d")
    return found
