"""When two plans are the same plan, and when one has gone stale."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from opsnb.core.plan import Plan
from opsnb.core.plan_rollback import plan_rollback
from opsnb.core.release import Release
from opsnb.server.siteplan import SitePlan
from tests.core import worlds

LIVE = worlds.base(worlds.tree(worlds.file("a", "1")))
SOURCE = worlds.tree(worlds.file("a", "2"))


def test_a_plan_made_a_moment_later_is_the_same_plan() -> None:
    later = worlds.NOW + timedelta(seconds=5)
    first, second = worlds.deploy(SOURCE, LIVE), worlds.deploy(SOURCE, LIVE, now=later)
    assert first.name != second.name
    assert first.meaning == second.meaning


def test_a_plan_for_another_source_site_or_shared_is_another_plan() -> None:
    on = worlds.site(worlds.release(LIVE.name, 1, live=True), Release("stranger"))
    plans: list[Plan] = [
        worlds.deploy(SOURCE, LIVE),
        worlds.deploy(worlds.tree(worlds.file("b", "2")), LIVE),
        worlds.deploy(worlds.tree(worlds.file("a", "1", 0o755)), LIVE),
        worlds.deploy(SOURCE, LIVE, on=on),
        worlds.deploy(SOURCE, LIVE, shared={"": {"uploads": "d"}}),
        worlds.deploy(SOURCE, worlds.base(LIVE.manifest, [worlds.file("x", "1")], links=["up"])),
    ]
    meanings = [plan.meaning for plan in plans]
    assert len(set(meanings)) == len(meanings)


def test_planning_is_a_function_of_what_it_is_given() -> None:
    assert worlds.deploy(SOURCE, LIVE, revision="r") == worlds.deploy(SOURCE, LIVE, revision="r")


def test_a_plan_cannot_be_changed_by_accident() -> None:
    plan = worlds.deploy(SOURCE, LIVE)
    assert replace(plan, why="x") != plan
    assert plan.why == ""


def test_a_plan_is_text_and_no_dump() -> None:
    two = worlds.site(worlds.release("20260101000001", 1), worlds.release(LIVE.name, 2, live=True))
    plan = SitePlan.of(plan_rollback(two, worlds.settings()), "web1")
    assert str(plan).splitlines()[:2] == [
        "rollback on web1",
        f"  current  {LIVE.name} → 20260101000001",
    ]
    assert plan == SitePlan.of(plan_rollback(two, worlds.settings()), "web1")
    assert repr(plan) == f"<Plan rollback {LIVE.name} → 20260101000001>"
    nothing = plan_rollback(two, worlds.settings(), LIVE.name)
    assert str(SitePlan.of(nothing, "web1")) == (
        f"nothing to do on web1: {LIVE.name} is live already"
    )
