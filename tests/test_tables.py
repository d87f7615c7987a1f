"""The columns and their dtypes are the same whatever the server holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd
import pytest

from opsnb import tables
from opsnb.core.doctor import Finding
from opsnb.core.manifest import Manifest, compare
from opsnb.core.release import Release, Site, State
from opsnb.core.usage import Usage
from tests.core import worlds

EMPTY = Site("/srv/shop")
HOSTILE = "<b>\x1b[2J\u202e\n</b>"
FULL = worlds.site(
    worlds.release(
        "20260325120000", 1, live=True, at="2026-03-25T12:00:00Z", by="ann", files=3, size=2**40
    ),
    worlds.failed("20260325130000", 2),
    Release("stranger"),
)
OLD = worlds.tree(worlds.file("a", "1"), worlds.file("b", "1"))
NEW = worlds.tree(worlds.file("a", "22"), worlds.file("c", "1"))
LOG = [
    {"at": "2026-03-25T12:00:00Z", "by": "ann", "host": "h", "what": "deploy.done", "release": "r"},
    {"what": "unreadable"},
]

# As the documentation of each table says.
COLUMNS = {
    "releases": {
        "name": "string",
        "state": "string",
        "current": "boolean",
        "revision": "string",
        "subject": "string",
        "author": "string",
        "committed": "datetime64[ns, UTC]",
        "by": "string",
        "at": "datetime64[ns, UTC]",
        "age": "timedelta64[ns]",
        "files": "Int64",
        "bytes": "Int64",
        "pinned": "boolean",
        "note": "string",
        "retention": "string",
    },
    "usage": {
        "name": "string",
        "state": "string",
        "files": "Int64",
        "apparent": "Int64",
        "disk": "Int64",
        "own": "Int64",
    },
    "diff": {"path": "string", "change": "string", "bytes_a": "Int64", "bytes_b": "Int64"},
    "log": {
        "at": "datetime64[ns, UTC]",
        "by": "string",
        "host": "string",
        "what": "string",
        "release": "string",
        "previous": "string",
        "details": "string",
    },
    "check": {"item": "string", "ok": "boolean", "found": "string", "hint": "string"},
}
Made = Callable[[], pd.DataFrame]
TABLES: list[tuple[str, Made]] = [
    ("releases", lambda: tables.releases(EMPTY, worlds.NOW)),
    ("releases", lambda: tables.releases(FULL, worlds.NOW)),
    ("releases", lambda: tables.releases(worlds.site(Release("x"), ours=False), worlds.NOW)),
    ("usage", lambda: tables.usage(EMPTY, [])),
    ("usage", lambda: tables.usage(FULL, [Usage("shared", 1, 2, 3, 4), Usage("x", 0, 0, 0, 0)])),
    ("diff", lambda: tables.diff(Manifest(), Manifest(), compare({}, {}))),
    ("diff", lambda: tables.diff(OLD, NEW, compare(OLD, NEW))),
    ("log", lambda: tables.log([])),
    ("log", lambda: tables.log(LOG)),
    ("log", lambda: tables.log(LOG[1:])),
    ("check", lambda: tables.check([])),
    ("check", lambda: tables.check([Finding("room", True, "much")])),
]


@pytest.mark.parametrize(("name", "made"), TABLES)
def test_columns_and_dtypes_are_as_documented_also_when_there_is_nothing(
    name: str, made: Made
) -> None:
    frame = made()
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == COLUMNS[name]
    assert list(frame.columns) == list(COLUMNS[name])


@pytest.mark.parametrize("name", list(COLUMNS))
def test_the_documentation_of_a_table_names_its_columns(name: str) -> None:
    said = getattr(tables, name).__doc__
    words = set(re.findall(r"``(\w+)``", said))
    assert set(COLUMNS[name]) <= words


def test_what_is_not_known_is_missing_not_zero() -> None:
    frame = tables.releases(FULL, worlds.NOW).set_index("name")
    stranger = frame.loc["stranger"]
    of_record = ["revision", "subject", "author", "committed", "by", "at", "age", "files", "bytes"]
    assert stranger[of_record].isna().all()
    assert frame.loc["20260325120000", "bytes"] == 2**40
    assert frame.loc["20260325120000", "age"] == pd.Timedelta(hours=2)
    assert list(frame["current"]) == [False, True, False]


def test_a_difference_is_told_by_path() -> None:
    frame = tables.diff(OLD, NEW, compare(OLD, NEW))
    assert frame.set_index("path")["change"].to_dict() == {
        "a": "changed",
        "b": "removed",
        "c": "added",
    }
    assert frame["bytes_b"].isna().tolist() == [False, True, False]


def hostile() -> list[pd.DataFrame]:
    """Every table, with hostile text wherever a server could put it."""
    names = ("by", "revision", "at", "host", "author", "subject", "committed")
    said = dict.fromkeys(names, HOSTILE)
    record = worlds.release(HOSTILE, 1, State.GOOD, live=True, **said).record
    assert record
    site = worlds.site(
        Release(HOSTILE, record.bad(HOSTILE, HOSTILE, HOSTILE, left=True), live=True),
        Release("\udcff" + HOSTILE),
    )
    tree = worlds.tree(worlds.file(HOSTILE, "1"))
    entry = dict.fromkeys(("at", "by", "host", "what", "release", "previous", HOSTILE), HOSTILE)
    return [
        tables.releases(site, worlds.NOW),
        tables.usage(site, [Usage(HOSTILE, 1, 1, 1, 1)]),
        tables.diff(Manifest(), tree, compare({}, tree)),
        tables.log([entry, {"what": [HOSTILE, {HOSTILE: HOSTILE}]}]),
        tables.check([Finding("current", False, HOSTILE)]),
    ]


@pytest.mark.parametrize("number", range(5))
def test_hostile_text_is_made_safe_in_every_table(number: int) -> None:
    frame = hostile()[number]
    assert len(frame)
    shown = frame.to_csv() + frame.to_string()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    texts = frame.select_dtypes(["string"])
    assert not [text for column in texts for text in texts[column].dropna() if "\n" in text]
    # Markup is escaped by pandas itself, since nothing here asks it not to.
    assert "<b>" not in frame.to_html()


def test_times_that_no_table_can_hold_are_not_known() -> None:
    frame = tables.log([{"at": "9999-12-31T23:59:59Z"}, {"at": "0001-01-01T00:00:00"}, {"at": 5}])
    assert frame["at"].isna().all()
    site = worlds.site(Release("99991231235959"), worlds.release("a", 1, at="0001-01-01"))
    frame = tables.releases(site, datetime(2026, 3, 25, tzinfo=UTC))
    assert frame["age"].isna().all()
