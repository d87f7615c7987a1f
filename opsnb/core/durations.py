"""Lengths of time as people write them: ``45s``, ``10m``, ``12h``, ``7d``, ``8w``."""

from __future__ import annotations

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MOST = 3650 * UNITS["d"]


def seconds(text: str, units: str = "smhd", such_as: str = "45s, 10m, 12h, 7d") -> int:
    """How many seconds a text means.

    Args:
        text: A whole number and its unit.
        units: The units that make sense here, of :data:`UNITS`.
        such_as: Examples, for the message.

    Raises:
        ValueError: It is no such text, or means nothing at all, or more than ten years.
    """
    match = re.fullmatch(f"([1-9][0-9]{{0,8}})([{units}])", text)
    found = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < found <= MOST:
        raise ValueError(f"a length of time, of at most ten years, is written as {such_as}")
    return found
