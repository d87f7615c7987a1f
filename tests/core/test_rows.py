"""Answers as rows of plain values, whatever the server holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core import rows
from opsnb.core.doctor import Finding
from opsnb.core.manifest import compare
from opsnb.core.marks import Holder
from opsnb.core.release import Release, State
from opsnb.core.retention import Rules
from opsnb.core.text import safe
from opsnb.core.usage import Usage
from tests.core import worlds


def test_a_release_without_a_record_says_who_made_it_and_nothing_it_does_not_know() -> None:
    site = worlds.site(Release("20260325120000"), ours=False, entries={b".dep": "d"})
    (row,) = rows.releases(site, worlds.NOW)
    assert row["note"] == "no record: made by Deployer"
    assert (row["files"], row["bytes"], row["by"], row["revision"]) == (None,) * 4
    assert row["at"] == datetime(2026, 3, 25, 12, 0, tzinfo=UTC)
    assert row["age"] == timedelta(hours=2)


def test_releases_come_newest_first_and_what_is_gone_is_left_out() -> None:
    gone = Release("20260301000000", worlds.release("20260301000000", 9).record, present=False)
    site = worlds.site(
        worlds.release("20260325120000", 1), worlds.left("20260325130000", 2), gone, Release("x")
    )
    shown = rows.releases(site, worlds.NOW)
    assert [row["name"] for row in shown] == ["20260325130000", "20260325120000", "x"]
    assert shown[0]["note"] == "left: slow (ops)"
    assert (shown[2]["at"], shown[2]["age"]) == (None, None)


@pytest.mark.parametrize(
    ("holder", "fate"),
    [
        (None, "goes: unfinished: its deploy never completed it"),
        (Holder("ops", "laptop", "now", "deploy"), "perhaps being made: a change is running"),
    ],
    ids=["nobody deploys", "somebody deploys"],
)
def test_what_a_running_change_makes_is_not_called_left_behind(
    holder: Holder | None, fate: str
) -> None:
    begun = worlds.release("20260325130000", 2, State.UNFINISHED)
    live = worlds.release("20260325120000", 1, live=True)
    shown = rows.releases(worlds.site(live, begun, holder=holder), worlds.NOW, Rules())
    assert [row["retention"] for row in shown] == [fate, "stays: live"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-03-25T12:00:00Z", datetime(2026, 3, 25, 12, tzinfo=UTC)),
        ("2026-03-25T12:00:00", datetime(2026, 3, 25, 12, tzinfo=UTC)),
        ("2026-03-25", datetime(2026, 3, 25, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_is_aware_or_it_is_not_known(text: str, read: datetime | None) -> None:
    (row,) = rows.log([{"at": text}])
    assert row["at"] == read
    site = worlds.site(worlds.release("no-time", 1, at=text))
    (row,) = rows.releases(site, worlds.NOW)
    assert row["at"] == read
    assert row["age"] == (worlds.NOW - read if read else None)


def test_usage_comes_newest_first_then_what_is_kept_aside_and_shared_last() -> None:
    site = worlds.site(worlds.release("a", 1, live=True), worlds.failed("b", 2))
    used = [Usage(name, 1, 2, 3, 4) for name in ("shared", "kept aside", "a", "b")]
    assert [(row["name"], row["state"]) for row in rows.usage(site, used)] == [
        ("b", "bad"),
        ("a", "live"),
        ("kept aside", ""),
        ("shared", ""),
    ]


def test_a_difference_has_a_row_for_each_path_that_differs() -> None:
    old = worlds.tree(worlds.file("a", "1"), worlds.file("m", "1"), worlds.file("z", "123"))
    new = worlds.tree(worlds.file("a", "22"), worlds.file("m", "1", 0o755), worlds.file("n", "4"))
    shown = [tuple(row.values()) for row in rows.diff(old, new, compare(old, new))]
    assert shown == [
        ("a", "changed", 1, 2),
        ("m", "mode", 1, 1),
        ("n", "added", None, 1),
        ("z", "removed", 3, None),
    ]


def test_a_log_entry_keeps_whatever_else_was_written() -> None:
    entry = {"at": "2026-03-25T12:00:00Z", "what": "x", "prev": "0", "why": "w", "n": 1}
    (row,) = rows.log([entry])
    assert row["details"] == '{"n": 1, "why": "w"}'
    assert (row["what"], row["by"]) == ("x", None)


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from([*rows.LOGGED, "prev", "why"]), WILD))
def test_any_entry_of_a_log_becomes_one_row_of_safe_text(entry: dict[str, object]) -> None:
    (row,) = rows.log([entry])
    at = row.pop("at")
    assert at is None or (isinstance(at, datetime) and at.tzinfo)
    for value in row.values():
        assert value is None or value == safe(str(value))


def test_what_a_doctor_found_is_made_safe() -> None:
    (row,) = rows.check([Finding("current", False, "is \x1b[2J", "hint")])
    assert row["found"] == "is \\x1b[2J"
