"""Moments and lengths of time as people write them. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from opsnb.core.durations import UNITS
from opsnb.core.text import safe
from opsnb.errors import ConfigError

_LENGTH = re.compile(r"(?:\d+(?:\.\d+)?[smhdw]\s*)+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
MOST = timedelta(days=3660)


def length(text: str) -> timedelta:
    """Read ``2h``, ``90m``, ``1d12h``.

    Raises:
        ConfigError: It is no length of time.
    """
    if not _LENGTH.fullmatch(text.strip()):
        raise ConfigError(f"{safe(text)!r} is no length of time", "Write 90m, 2h or 1d12h.")
    seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    if not 0 < seconds <= MOST.total_seconds():
        raise ConfigError(f"{safe(text)!r} must be more than nothing and less than ten years")
    return timedelta(seconds=seconds)


def moment(text: str, where: tzinfo, now: datetime) -> datetime:
    """Read a date, with a time or not, with an offset or not: ``2026-12-27 09:00``.

    Args:
        text: The text; a date alone means its beginning.
        where: The time zone of a text without an offset.
        now: The present time, aware.

    Raises:
        ConfigError: It is none, or over already.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{safe(text)!r} is no moment", "Write it as 2026-12-27 or 2026-12-27T09:00+01:00."
        ) from None
    return coming(at if at.tzinfo else at.replace(tzinfo=where), now)


def until(text: str, where: tzinfo, now: datetime) -> datetime:
    """Read either: a length of time counts from now.

    Args:
        text: The text.
        where: The time zone of a moment without an offset.
        now: The present time, aware.

    Raises:
        ConfigError: It is neither, or over already.
    """
    if _LENGTH.fullmatch(text.strip()):
        return now + length(text)
    return moment(text, where, now)


def coming(at: datetime, now: datetime) -> datetime:
    """The moment itself, when it is yet to come and not ten years away.

    Raises:
        ConfigError: It is not.
    """
    if not now < at <= now + MOST:
        raise ConfigError(f"{at:%Y-%m-%d %H:%M %Z} is over already, or too far away")
    return at
