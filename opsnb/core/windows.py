"""Hours in which something may be done, as a clock on the wall shows them. Pure.

Rule 1: the clock is that of a time zone: where its hands jump, a window jumps with them. What a
clock never shows (the hour that is left out in spring) never is; what it shows twice is twice.
Rule 2: a window that ends before it begins ends on the next day; its days are those it begins on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WHOLE = 24 * 60  # minutes
_FORM = re.compile(
    r"(?:(?P<days>[A-Za-z,\- ]+?)\s+)?(?P<start>\d\d?:\d\d)\s*-\s*(?P<end>\d\d?:\d\d)"
)
_EXPECTED = 'expected a window such as "Mon-Fri 09:00-16:00"'


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some days of the week.

    Attributes:
        days: The days on which it begins, 0 for Monday.
        start: When it begins, minutes after midnight.
        end: When it ends, likewise; not after ``start``: on the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``Mon-Fri 09:00-16:00``, ``Sat,Sun 22:00-02:00``, or ``09:00-16:00`` for any day.

        Raises:
            ValueError: It is no such text.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(_EXPECTED)
        start, end = _minutes(match["start"]), _minutes(match["end"])
        if start in (end, WHOLE):
            raise ValueError("a window must have a length: the whole day is 00:00-24:00")
        return cls(frozenset(_days(match["days"] or "")), start, end)

    def holds(self, wall: datetime) -> bool:
        """Whether it is open when the clock on the wall shows that.

        Args:
            wall: A date and a time, without a zone.
        """
        now, today = wall.hour * 60 + wall.minute, wall.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= now < self.end
        yesterday = (today - 1) % 7
        return (today in self.days and now >= self.start) or (
            yesterday in self.days and now < self.end
        )

    def beginnings(self, day: date) -> Iterator[datetime]:
        """When it begins on a day, by the clock on the wall.

        Args:
            day: The day.
        """
        if day.weekday() in self.days:
            yield datetime(day.year, day.month, day.day) + timedelta(minutes=self.start)


def _minutes(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > WHOLE:
        raise ValueError(f"{text} is no time of a day")
    return hours * 60 + minutes


def _days(text: str) -> Iterator[int]:
    if text.lower() in ("", "daily"):
        yield from range(7)
        return
    for part in text.split(","):
        first, dash, last = (end.strip() for end in part.partition("-"))
        begin = _day(first)
        count = (_day(last) - begin) % 7 if dash else 0
        yield from ((begin + more) % 7 for more in range(count + 1))


def _day(text: str) -> int:
    name = text[:3].title()
    if name not in DAYS or len(text) < 3:
        raise ValueError(f"{text!r} is no day of the week: {', '.join(DAYS)}")
    return DAYS.index(name)


def zone(name: str) -> tzinfo:
    """A time zone by its name, such as ``Europe/Berlin``.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        return ZoneInfo(name) if name != "UTC" else UTC
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {name!r}: expected one like Europe/Berlin") from (
            error
        )


def is_open(windows: Iterable[Window], where: tzinfo, now: datetime) -> bool:
    """Whether one of the windows is open.

    Args:
        windows: The windows.
        where: The time zone of their clock.
        now: The present time, aware.
    """
    wall = now.astimezone(where).replace(tzinfo=None)
    return any(window.holds(wall) for window in windows)


def next_opening(windows: Iterable[Window], where: tzinfo, now: datetime) -> datetime | None:
    """When a window opens next, in their zone; None when none does within eight days.

    Args:
        windows: The windows; none is open now.
        where: The time zone of their clock.
        now: The present time, aware.
    """
    listed = tuple(windows)
    today = now.astimezone(where).date()
    walls = [
        wall
        for more in range(9)
        for window in listed
        for wall in window.beginnings(today + timedelta(days=more))
    ]
    found = [at for wall in walls for at in _instants(wall, where)]
    coming = [at for at in found if at > now and is_open(listed, where, at)]
    return min(coming).astimezone(where) if coming else None


def _instants(wall: datetime, where: tzinfo) -> Iterator[datetime]:
    """When the clock on the wall shows that or, where it never does, first shows more."""
    for fold in (0, 1):
        at = wall.replace(tzinfo=where, fold=fold).astimezone(UTC)
        while at.astimezone(where).replace(tzinfo=None) < wall:
            at += timedelta(minutes=1)
        yield at
