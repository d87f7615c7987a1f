"""Names of releases: unique, later than every other that is a time, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core import layout

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))
STRANGE = st.sampled_from(["99999999999999", "20260230000000", "1", "", "x", "99991231235959"])
DIGITS = st.text("0123456789", min_size=14, max_size=14)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(MOMENTS, st.frozensets(MOMENTS.map(layout.name_of) | STRANGE | DIGITS, max_size=5))
def test_a_name_is_new_and_sorts_after_every_name_that_is_a_time(
    now: datetime, taken: frozenset[str]
) -> None:
    name = layout.next_name(now, taken)
    assert layout.is_name(name)
    assert name not in taken
    assert name >= layout.name_of(now)
    for other in taken:
        try:
            moment = datetime.strptime(other, "%Y%m%d%H%M%S")
        except ValueError:
            continue
        assert name > other or moment.year == 9999 or len(other) != 14


def test_two_deploys_within_one_second_get_two_names() -> None:
    now = datetime(2026, 3, 25, 23, 59, 59, 999_999, tzinfo=UTC)
    first = layout.next_name(now, frozenset())
    second = layout.next_name(now, frozenset([first]))
    third = layout.next_name(now, frozenset([first, second, "99999999999999"]))
    assert [first, second, third] == ["20260325235959", "20260326000000", "20260326000001"]


def test_names_and_stamps_are_in_utc() -> None:
    there = datetime(2026, 3, 25, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert layout.name_of(there) == "20260324230000"
    assert layout.stamp(there) == "2026-03-24T23:00:00Z"


@pytest.mark.parametrize(
    "text", ["", "2026032514000", "202603251400000", "2026-3-2514000", "١" * 14]
)
def test_what_is_not_fourteen_digits_is_no_name(text: str) -> None:
    assert not layout.is_name(text)


def test_every_remote_path_is_below_its_place() -> None:
    assert layout.release("x") == "releases/x"
    assert layout.record("x") == ".opsnb/records/x.json"
    assert layout.manifest("x") == ".opsnb/manifests/x"
    assert layout.revision_text("abc") == b"abc\n"
