"""Prune never takes what somebody needs (a property; the reasons are in the cases)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from opsnb.core.config import Settings
from opsnb.core.facts import plan_text
from opsnb.core.plan import Plan
from opsnb.core.release import Release, Site, State, rollback_targets
from opsnb.core.retention import Rules, over_budget, protected, retain
from opsnb.errors import NotReady
from tests.core import worlds

# Mostly good ones: of those there must be more than are kept.
STATES = st.sampled_from([*State, State.GOOD, State.GOOD, State.GOOD, State.GOOD])
SELDOM, OFTEN = st.sampled_from([True, *[False] * 4]), st.sampled_from([False, *[True] * 3])
ONE = st.tuples(STATES, SELDOM, OFTEN, OFTEN)
DRAWN, MANY = st.lists(ONE, max_size=9), st.lists(ONE, min_size=5, max_size=9)


def site_of(drawn: list[tuple[State, bool, bool, bool]], live: int) -> Site:
    releases = []
    for number, (state, pinned, real, present) in enumerate(drawn):
        name, here = f"2026032512000{number}", number == live
        if state is State.UNRECORDED:
            made = Release(name, live=here)
        else:
            made = worlds.release(name, number + 1, state, live=here, pinned=pinned)
        releases.append(replace(made, real=real or here, present=present or here))
    return worlds.site(*releases)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(DRAWN, st.integers(1, 5), st.data())
def test_prune_removes_only_real_recorded_releases_that_nobody_needs(
    drawn: list[tuple[State, bool, bool, bool]], keep: int, data: st.DataObject
) -> None:
    site = site_of(drawn, data.draw(st.integers(-1, len(drawn) - 1)))
    retention = retain(site, Rules(keep), worlds.NOW)
    there = {release.name: release for release in site.releases if release.present}
    assert set(retention.keep) | set(retention.remove) == set(there)
    assert not set(retention.keep) & set(retention.remove)
    assert all(retention.keep.values())
    assert all(retention.remove.values())
    back = rollback_targets(site)[:1]
    for name in retention.remove:
        release = there[name]
        assert release.record is not None
        assert release.real
        assert not release.live
        assert not release.pinned
        assert release not in back


@settings(max_examples=400, deadline=None, derandomize=True)
@given(MANY, st.integers(1, 5), st.data())
def test_failures_evict_no_good_release_and_no_more_are_kept_than_asked_for(
    drawn: list[tuple[State, bool, bool, bool]], keep: int, data: st.DataObject
) -> None:
    site = site_of(drawn, data.draw(st.integers(-1, len(drawn) - 1)))
    retention = retain(site, Rules(keep), worlds.NOW)
    good = [
        release
        for release in site.releases
        if release.present and release.real and (release.state is State.GOOD or release.live)
    ]
    kept = [release for release in good if release.name in retention.keep]
    assert len(kept) >= min(keep, len(good))
    back = rollback_targets(site)[:1]
    more = [r for r in kept if not (r.live or r.pinned or r in back)]
    assert len(more) <= keep
    # What stays for its number is newer than what goes.
    gone = [r for r in good if r.name in retention.remove]
    assert not gone or not more or min(r.seq for r in more) > max(r.seq for r in gone)


def aged(*days: int, size: int = 100, **more: object) -> Site:
    """Good releases that are so many days old, the oldest first; the last one is live."""
    made = []
    for number, day in enumerate(days):
        at = (worlds.NOW - timedelta(days=day)).isoformat()
        live = number == len(days) - 1
        made.append(worlds.release(f"r{day}", number + 1, live=live, at=at, size=size))
    return replace(worlds.site(*made), **more)  # type: ignore[arg-type]


TABLE = [
    # What is said, and which of the releases of these days stay.
    (Rules(2), [50, 40, 20, 10, 0], ["r10", "r0"]),
    (Rules(2, seconds=30 * 86400), [50, 40, 20, 10, 0], ["r20", "r10", "r0"]),
    (Rules(4, seconds=86400), [50, 40, 20, 10, 0], ["r40", "r20", "r10", "r0"]),
    (Rules(4, bytes=300), [50, 40, 20, 10, 0], ["r20", "r10", "r0"]),
    (Rules(1, seconds=30 * 86400, bytes=250), [50, 40, 20, 10, 0], ["r10", "r0"]),
    (Rules(4, bytes=100), [50, 40, 20, 10, 0], ["r10", "r0"]),
]


@pytest.mark.parametrize(("rules", "days", "stay"), TABLE)
def test_the_table_of_the_readme(rules: Rules, days: list[int], stay: list[str]) -> None:
    assert list(retain(aged(*days), rules, worlds.NOW).keep) == stay


def test_what_must_stay_may_be_more_than_the_budget_and_that_is_said() -> None:
    rules = Rules(4, bytes=100)
    found = retain(aged(50, 40, 0), rules, worlds.NOW)
    assert found.over == 100
    assert over_budget(found, rules) == [
        "the releases that must stay take 100 B more than keep_size (100 B)"
    ]


def test_what_was_measured_counts_in_place_of_what_the_records_say() -> None:
    site = aged(50, 40, 0, measured={"r50": 0, "r40": 0, "r0": 100})
    assert not retain(site, Rules(3, bytes=150), worlds.NOW).remove


def test_a_release_in_use_stays_and_does_not_count() -> None:
    site = aged(50, 40, 20, 10, 0, users={"r50": "process 7 (php)"})
    found = retain(site, Rules(2), worlds.NOW)
    assert found.keep["r50"] == "in use by process 7 (php)"
    assert list(found.remove) == ["r40", "r20"]
    assert list(retain(site, Rules(2, in_use=False), worlds.NOW).remove) == ["r50", "r40", "r20"]
    # Not even for the budget.
    assert "r50" in retain(site, Rules(2, bytes=1), worlds.NOW).keep


def test_a_reason_that_passes_makes_no_other_decision_and_removes_nothing_more() -> None:
    busy = aged(50, 40, 10, 0, users={"r50": "process 7 (php)"})
    agreed = retain(busy, Rules(2), worlds.NOW)
    later = retain(replace(busy, users={}), Rules(2), worlds.NOW)
    assert agreed.meaning == later.meaning
    assert list(later.remove) == ["r50", "r40"]
    assert list(later.within(agreed).remove) == ["r40"]
    assert later.within(agreed).keep["r50"]


@pytest.mark.parametrize("text", ["30", "d", "0d", "-1d", "30 days", "1y", "99999999d"])
def test_a_length_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="12h, 30d or 8w"):
        Settings.model_validate({"keep_for": text})


@pytest.mark.parametrize("text", ["5", "GB", "0GB", "5 gigabytes", "1.5GB", "5Gb"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="500MB, 5GB or 2GiB"):
        Settings.model_validate({"keep_size": text})


def test_lengths_and_sizes() -> None:
    made = Settings.model_validate({"keep_for": "8w", "keep_size": "2GiB", "keep_in_use": False})
    assert made.rules == Rules(3, 8 * 7 * 86400, 2 << 30, in_use=False)
    assert Settings.model_validate({}).rules == Rules()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(DRAWN, st.integers(1, 4), st.integers(0, 500), st.sets(st.integers(0, 8)), st.data())
def test_no_rule_removes_what_is_protected_or_in_use(
    drawn: list[tuple[State, bool, bool, bool]],
    keep: int,
    budget: int,
    busy: set[int],
    data: st.DataObject,
) -> None:
    site = site_of(drawn, data.draw(st.integers(-1, len(drawn) - 1)))
    users = {f"2026032512000{number}": "process 1 (x)" for number in busy}
    site = replace(site, users=users, measured={r.name: 100 for r in site.releases})
    found = retain(site, Rules(keep, bytes=budget), worlds.NOW)
    there = {release.name for release in site.releases if release.present}
    assert found.keep.keys() | found.remove.keys() == there
    assert not found.remove.keys() & (protected(site).keys() | users.keys())
    assert found.passing <= found.keep.keys()


# --- room ----------------------------------------------------------------------------------------


def crowded(free: int, **more: object) -> Plan:
    """A deploy of 300 bytes onto a disk, with releases of 100 bytes."""
    site = replace(aged(5, 4, 3, 2, 0), free_bytes=free, **more)  # type: ignore[arg-type]
    live = worlds.base(worlds.tree(worlds.file("a", "x" * 100)), name="r0")
    source = worlds.tree(worlds.file("a", "x" * 100), worlds.file("b", "y" * 200))
    config = worlds.settings(keep_releases=4)
    return worlds.deploy(source, live, on=site, config=config)


@pytest.mark.parametrize(
    ("free", "early"),
    [(300, ()), (299, ("r5",)), (200, ("r5",)), (199, ("r5", "r4")), (0, ("r5", "r4", "r3"))],
)
def test_as_few_as_will_do_go_early_the_oldest_first(free: int, early: tuple[str, ...]) -> None:
    plan = crowded(free)
    assert plan.early == early
    assert set(early) <= plan.retention.remove.keys()
    assert not plan.retention.remove.keys() & plan.retention.keep.keys()
    assert plan.aside not in early


def test_what_is_not_enough_is_refused_and_the_previous_good_one_never_goes() -> None:
    with pytest.raises(NotReady, match=r"not enough room.*removing what may go .2.") as refused:
        crowded(0, users={"r5": "process 1 (php)"})
    assert "r2" not in str(refused.value)
    assert crowded(100, users={"r5": "process 1 (php)"}).early == ("r4", "r3")


def test_a_plan_says_what_goes_first() -> None:
    told = plan_text(crowded(199), "web1")
    lines = [line.split() for line in told.splitlines()]
    assert [line[:2] for line in lines if line[0] == "first"] == [
        ["first", "r5:"],
        ["first", "r4:"],
    ]
    assert not any(line[:2] == ["remove", "r5:"] for line in lines)
