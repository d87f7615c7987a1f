"""Hours in which a deploy is allowed, as a clock on the wall shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opsnb.core.windows import Window, is_open, next_opening, zone

BERLIN = zone("Europe/Berlin")
OFFICE = [Window.parse("Mon-Fri 09:00-16:00")]


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-03-25 08:59", False),  # a Wednesday
        ("2026-03-25 09:00", True),
        ("2026-03-25 15:59", True),
        ("2026-03-25 16:00", False),
        ("2026-03-28 12:00", False),  # a Saturday
    ],
)
def test_a_window_is_open_from_its_first_minute_to_before_its_last(at: str, open_: bool) -> None:
    assert is_open(OFFICE, BERLIN, berlin(at)) is open_


def test_the_clock_is_that_of_the_zone_and_not_of_whoever_acts() -> None:
    at = datetime(2026, 3, 25, 8, 30, tzinfo=UTC)
    assert is_open(OFFICE, BERLIN, at)
    assert not is_open(OFFICE, UTC, at)


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-03-27 21:59", False),  # a Friday
        ("2026-03-27 22:00", True),
        ("2026-03-28 01:59", True),
        ("2026-03-28 02:00", False),
        ("2026-03-28 22:00", False),
        ("2026-03-27 01:00", False),  # what Thursday would have begun
    ],
)
def test_a_window_that_crosses_midnight_belongs_to_the_day_it_begins_on(
    at: str, open_: bool
) -> None:
    assert is_open([Window.parse("Fri 22:00-02:00")], BERLIN, berlin(at)) is open_


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("Mon-Fri 09:00-16:00", {0, 1, 2, 3, 4}, 540, 960),
        ("Fri-Mon 9:00-10:00", {4, 5, 6, 0}, 540, 600),
        ("Mon,Wed, sunday 00:00-24:00", {0, 2, 6}, 0, 1440),
        ("daily 22:30-02:00", set(range(7)), 1350, 120),
        ("09:00 - 16:00", set(range(7)), 540, 960),
    ],
)
def test_a_window_is_written_as_people_write_it(
    text: str, days: set[int], start: int, end: int
) -> None:
    assert Window.parse(text) == Window(frozenset(days), start, end)


@pytest.mark.parametrize(
    "text",
    ["", "Mon", "Mon 9-10", "Foo 09:00-10:00", "M 09:00-10:00", "09:00-09:00", "24:00-01:00",
     "Mon 09:60-10:00", "Mon 09:00-25:00", "Mon 09:00-10:00 UTC", "Mon- 09:00-10:00"],
)  # fmt: skip
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|day|time"):
        Window.parse(text)


def test_no_zone_of_that_name_is_refused_whatever_it_looks_like() -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", ""):
        with pytest.raises(ValueError, match="no time zone"):
            zone(name)


# --- when the hands jump: 2026-03-29 02:00 → 03:00, and 2026-10-25 03:00 → 02:00 -----------------


def test_what_the_clock_leaves_out_in_spring_is_not_open() -> None:
    windows = [Window.parse("Sun 02:15-02:45")]
    hour = [berlin("2026-03-29 01:00") + timedelta(minutes=n) for n in range(180)]
    assert not any(is_open(windows, BERLIN, at) for at in hour)
    # A week later it is. The control: in a zone without summer time it was.
    assert next_opening(windows, BERLIN, hour[0]) == berlin("2026-04-05 02:15")
    assert next_opening(windows, UTC, hour[0]) == datetime(2026, 3, 29, 2, 15, tzinfo=UTC)


def test_a_window_that_begins_in_the_hour_left_out_opens_when_the_clock_is_past_it() -> None:
    windows = [Window.parse("Sun 02:30-04:00")]
    before = berlin("2026-03-29 01:59")
    assert not is_open(windows, BERLIN, before)
    opens = next_opening(windows, BERLIN, before)
    assert opens == before + timedelta(minutes=1) == berlin("2026-03-29 03:00")
    assert is_open(windows, BERLIN, opens)


def test_what_the_clock_shows_twice_in_autumn_is_open_twice() -> None:
    windows = [Window.parse("Sun 02:00-02:30")]
    first, second = berlin("2026-10-25 02:10"), berlin("2026-10-25 02:10", fold=1)
    assert second - first == timedelta(hours=1)
    assert is_open(windows, BERLIN, first)
    assert is_open(windows, BERLIN, second)
    between = berlin("2026-10-25 02:40")
    assert not is_open(windows, BERLIN, between)
    opens = next_opening(windows, BERLIN, between)
    assert opens
    # Times of two zones never are the same in that hour, as Python has it.
    assert opens.astimezone(UTC) == berlin("2026-10-25 02:00", fold=1)


# --- when it opens next ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-03-25 08:00", "2026-03-25 09:00"),
        ("2026-03-25 16:00", "2026-03-26 09:00"),
        ("2026-03-27 17:00", "2026-03-30 09:00"),  # over the weekend, and over the jump
    ],
)
def test_the_next_opening_is_told_in_the_windows_own_zone(at: str, opens: str) -> None:
    found = next_opening(OFFICE, BERLIN, berlin(at))
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M}" == opens
    assert is_open(OFFICE, BERLIN, found)


def test_of_several_windows_the_nearest_opens_next() -> None:
    windows = [*OFFICE, Window.parse("Sat 10:00-11:00")]
    assert next_opening(windows, BERLIN, berlin("2026-03-27 17:00")) == berlin("2026-03-28 10:00")


def test_without_a_window_nothing_opens() -> None:
    assert next_opening([], BERLIN, berlin("2026-03-27 17:00")) is None
