"""Faults where :mod:`tests.faults` does not walk: in a deploy and a rollback that are put back,
with answers that lie, in the changes that switch nothing, and two in one change."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.config import Settings
from opsnb.core.events import Outcome, Report
from opsnb.core.plan import Wish
from opsnb.core.release import rollback_targets
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.manage import AdoptWork, HoldWork, PinWork, UnholdWork
from opsnb.engine.source import scan
from opsnb.engine.switch import PruneWork, RollbackWork
from tests.faults.faulty import KINDS
from tests.faults.guarantees import Before, live
from tests.faults.test_walk import (
    KEPT,
    _build,
    anew,
    change,
    deploying,
    next_deploy,
    remote_of,
)
from tests.faults.test_walk import SETTINGS as PLAIN
from tests.support.faulty import MORE, FaultyAgain, Plots
from tests.support.site import unlike

ALL = (*KINDS, *MORE)
SOME = ("lost after", "fails", "fails after", "cancelled before")
PAIRS = 60
TABLE: Counter[tuple[str, str]] = Counter()
FAILS = Settings.model_validate(
    {
        "keep_releases": 3,
        "copy": "hardlink",
        "before_publish": ["echo built > built"],
        "after_publish": ["true"],
        "health": [{"command": "grep -q nothing-like-this index", "retries": 0}],
    }
)


def failing(folder: Path) -> DeployWork:
    """A deploy whose check says no."""
    scanned = scan(folder)
    wish = Wish(scanned.manifest, str(folder), FAILS, revision="r", by="tester", host="here")
    return DeployWork(Order(lambda: (wish, scanned)))


@dataclass(frozen=True)
class Scenario:
    """A change on a site, to be walked through.

    Attributes:
        verb: The kind of change.
        template: The site before it, below the folder of templates.
        work: Makes the work anew for each walk.
        kinds: The faults to walk with.
        outcome: How it ends when nothing goes wrong.
        since: The call before which it is like another one that is walked.
    """

    verb: str
    template: str
    work: Callable[[Path], Any]
    kinds: tuple[str, ...]
    outcome: Outcome = Outcome.DONE
    since: str = ""


SCENARIOS = {
    "deploy that is put back": Scenario(
        "deploy", "site", lambda base: failing(base / "new"), ALL, Outcome.RESTORED, "publish"
    ),
    "rollback that is put back": Scenario(
        "rollback", "site", lambda _base: RollbackWork(FAILS), SOME, Outcome.RESTORED, "publish"
    ),
    "first deploy that fails its check": Scenario(
        "deploy",
        "empty",
        lambda base: failing(base / "new"),
        ("lost after", "fails", "fails after"),
        Outcome.NOT_RESTORED,
        "publish",
    ),
    "deploy": Scenario("deploy", "site", lambda base: deploying(base / "new"), ("fails after",)),
    "recycling": Scenario("deploy", "spared", lambda base: deploying(base / "new"), MORE),
    "rollback": Scenario("rollback", "site", lambda _base: RollbackWork(PLAIN), ("fails after",)),
    "prune": Scenario("prune", "site", lambda _base: PruneWork(1), MORE),
    "prune of what is aside": Scenario("prune", "spared", lambda _base: PruneWork(9), ALL),
    "adopt": Scenario("adopt", "theirs", lambda _base: AdoptWork(), ("lost after",)),
    "pin": Scenario(
        "pin", "site", lambda base: PinWork(live(base / "site"), pinned=True), ("fails after",)
    ),
    "hold": Scenario("hold", "site", lambda _base: HoldWork("because"), ("lost after",)),
    "unhold": Scenario("unhold", "held", lambda _base: UnholdWork(force=True), ("lost after",)),
}


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """In memory where that is possible: each walk flushes the disk several times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="opsnb-faults-", dir=memory) as base:
        asyncio.run(_make(Path(base)))
        yield Path(base)


async def _make(base: Path) -> None:
    await _build(base)
    theirs = base / "theirs"
    (theirs / "shared" / "uploads").mkdir(parents=True)
    (theirs / "shared" / "uploads" / "photo").write_text("precious")
    (theirs / "revisions.log").write_text("theirs")
    for name in ("20250101000000", "20250102000000"):
        (theirs / "releases" / name).mkdir(parents=True)
        (theirs / "releases" / name / "index").write_text(name)
        (theirs / "releases" / name / "uploads").symlink_to("../../shared/uploads")
    (theirs / "current").symlink_to("releases/20250102000000")
    shutil.copytree(base / "site", base / "held", symlinks=True)
    remote = remote_of(base / "held")
    _, error = await change(remote, "hold", HoldWork("migration"))
    assert error is None
    await remote.close()


async def walked(
    base: Path, scenario: Scenario, faults: dict[int, str]
) -> tuple[Plots, Report, list[str]]:
    """One change with its faults; the calls that it made, its report, and what is broken."""
    site = base / "walked"
    await anew(base / scenario.template, site)
    kept = KEPT if scenario.template in ("site", "held", "spared") else ()
    before, plots, real = Before.of(site, kept), Plots(faults=faults), remote_of(site)
    task = asyncio.create_task(change(FaultyAgain(real, plots), scenario.verb, scenario.work(base)))
    report, _error = await task
    await real.close()
    fresh = remote_of(site)
    seen = await fresh.look()
    broken = before.broken([r.name for r in rollback_targets(seen)], report) if seen.ours else []
    if scenario.template == "theirs":
        # Before adopting there is no record that G1 could be checked against.
        broken = [fault for fault in broken if not fault.startswith("G1: ") or live_has_one(site)]
    else:
        broken += [f"G1: {fault}" for fault in unlike(site, live(site))] if live(site) else []
    if seen.holder:
        broken.append("G7: the lock is still held")
    if report.outcome is Outcome.UNKNOWN and report.live:
        broken.append("G4: unknown, and yet it names a live release")
    await fresh.close()
    return plots, report, broken


def live_has_one(site: Path) -> bool:
    return (site / ".opsnb" / "records" / f"{live(site)}.json").exists()


async def settled(base: Path, scenario: Scenario) -> list[str]:
    """G8: what may be asked of the user (to let a hold go, to adopt again), and a deploy."""
    site = base / "walked"
    works = {"adopt": [AdoptWork()], "hold": [UnholdWork(force=True)]}.get(scenario.verb, [])
    works += [UnholdWork(force=True)] if scenario.verb == "unhold" else []
    for work in works:
        remote = remote_of(site)
        _, error = await change(remote, "settle", work)
        await remote.close()
        if error is not None:
            return [f"G8: {error}"]
    return await next_deploy(base, site)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_fault_at_every_call_leaves_the_guarantees_whole(built: Path, name: str) -> None:
    scenario = SCENARIOS[name]
    plain, report, broken = await walked(built, scenario, {})
    assert (report.outcome, broken) == (scenario.outcome, [])
    first = plain.calls.index(scenario.since) + 1 if scenario.since else 1
    for kind in scenario.kinds:
        for at in range(first, len(plain.calls) + 1):
            plots, _report, found = await walked(built, scenario, {at: kind})
            assert plots.met, f"call {at} was never made"
            found += await settled(built, scenario)
            broken += [f"{plots.struck}: {fault}" for fault in found]
            TABLE[name, kind] += 1
    assert not broken, "\n".join(broken)


async def test_two_faults_in_one_change_leave_the_guarantees_whole(built: Path) -> None:
    """Also what settles the first one may fail. Chosen by chance, from a fixed seed."""
    chance, broken = random.Random(20260325), []
    names = ["deploy", "recycling", "deploy that is put back", "rollback that is put back", "prune"]
    for name in (names * PAIRS)[:PAIRS]:
        scenario = SCENARIOS[name]
        first = chance.randrange(1, 30)
        faults = {
            first: chance.choice(("lost before", "lost after", "fails", "fails after")),
            first + chance.randrange(1, 9): chance.choice(ALL),
        }
        plots, _report, found = await walked(built, scenario, faults)
        found = [fault for fault in found if "could be asked" not in fault]
        found += await settled(built, scenario)
        broken += [f"{name}: {plots.struck}: {fault}" for fault in found]
        TABLE["two faults", name] += 1
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", ["deploy", "deploy that is put back", "rollback"])
async def test_aborting_while_a_switch_is_settled_says_what_is_true(built: Path, name: str) -> None:
    """The answer to each switch is lost, and then the user aborts at each call that follows."""
    scenario, broken = SCENARIOS[name], []
    plain, _report, _broken = await walked(built, scenario, {})
    switches = [number for number, call in enumerate(plain.calls, 1) if call == "publish"]
    for switch in switches:
        for at in range(switch + 1, switch + 5):
            for lost, kind in (("lost after", "cancelled before"), ("lost before", KINDS[-1])):
                plots, report, found = await walked(built, scenario, {switch: lost, at: kind})
                assert len(plots.met) == 2
                found = [fault for fault in found if "could be asked" not in fault]
                if "before the switch" in report.error and report.switched is not False:
                    found.append(f"G4: {report.switched} and yet {report.error}")
                found += await settled(built, scenario)
                broken += [f"{plots.struck}: {fault}" for fault in found]
                TABLE["aborted while settling", name] += 1
    assert not broken, "\n".join(broken)


def test_zz_how_many_points_were_walked(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the table of what was walked."""
    with capsys.disabled():
        print()
        for (name, kind), count in sorted(TABLE.items()):
            print(f"  {name:34} {kind:26} {count:3} points")
        print(f"  in all {sum(TABLE.values())} walks, each followed by a deploy that succeeded")
    assert all(count >= 3 for count in TABLE.values())
