"""Prune never takes what somebody needs (a property; the reasons are in the cases)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.release import Release, Site, State, rollback_targets
from opsnb.core.retention import retain
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
    retention = retain(site, keep)
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
    retention = retain(site, keep)
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
