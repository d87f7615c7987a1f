"""A fault at every call that a change makes to the server: the guarantees hold, and the next deploy
succeeds with no hand work."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.config import Settings
from opsnb.core.events import Outcome, Report
from opsnb.core.plan import Wish
from opsnb.core.release import rollback_targets
from opsnb.core.retention import Rules
from opsnb.engine.adopt import AdoptWork
from opsnb.engine.asked import given
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.manage import HoldWork, PinWork, UnholdWork
from opsnb.engine.source import scan
from opsnb.engine.switch import PruneWork, RollbackWork
from tests.faults.conftest import Tell
from tests.faults.faulty import KINDS, MORE, Faulty, Plot
from tests.faults.guarantees import UNKNOWN, Before, good, live
from tests.faults.lab import (
    KEPT,
    SETTINGS,
    WHOLE,
    Lab,
    change,
    deploying,
    folder,
    in_memory,
    watched,
)
from tests.support.matrix import Row
from tests.support.site import unlike

ALL = (*KINDS, *MORE)
SOME = ("lost after", "fails", "fails after", "cancelled before")
PAIRS = 300 if WHOLE else 20
FAILS = Settings.model_validate(
    {
        "keep_releases": 3,
        "copy": "hardlink",
        "before_publish": ["echo built > built"],
        "after_publish": ["true"],
        "health": [{"command": "grep -q nothing-like-this index", "retries": 0}],
    }
)


def failing(source: Path) -> DeployWork:
    """A deploy whose check says no."""
    scanned = scan(source)
    wish = Wish(scanned.manifest, str(source), FAILS, revision="r", by="tester", host="here")
    return DeployWork(Order(given(wish, scanned)))


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
        keep: How many good releases must be there at every moment.
        made: How a release is made in it: "copy", "recycle", or not by either.
    """

    verb: str
    template: str
    work: Callable[[Path], Any]
    kinds: tuple[str, ...] = ALL
    outcome: Outcome = Outcome.DONE
    since: str = ""
    keep: int = 0
    made: str = ""


def new(base: Path) -> DeployWork:
    return deploying(base / "new")


SCENARIOS = {
    "first deploy": Scenario("deploy", "empty", new, KINDS),
    "redeploy": Scenario("deploy", "site", new, (*KINDS, "fails after"), keep=3, made="copy"),
    "recycling": Scenario("deploy", "spared", new, keep=3, made="recycle"),
    "rollback": Scenario(
        "rollback", "site", lambda _base: RollbackWork(SETTINGS), (*KINDS, "fails after")
    ),
    "prune": Scenario("prune", "site", lambda _base: PruneWork(Rules(1))),
    "prune of what is aside": Scenario("prune", "spared", lambda _base: PruneWork(Rules(9))),
    "deploy that is put back": Scenario(
        "deploy",
        "site",
        lambda base: failing(base / "new"),
        outcome=Outcome.RESTORED,
        since="publish",
        made="copy",
    ),
    "deploy with a watchdog": Scenario(
        "deploy",
        "site",
        lambda base: deploying(base / "new", 60),
        (*KINDS, "fails after"),
        since="publish_guarded",
        keep=3,
        made="copy",
    ),
    "rollback with a watchdog": Scenario(
        "rollback",
        "site",
        lambda _base: RollbackWork(watched(60)),
        SOME,
        since="publish_guarded",
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
    "adopt": Scenario("adopt", "theirs", lambda _base: AdoptWork(), ("lost after",)),
    "pin": Scenario(
        "pin", "site", lambda base: PinWork(live(base / "site"), pinned=True), ("fails after",)
    ),
    "hold": Scenario("hold", "site", lambda _base: HoldWork("because"), ("lost after",)),
    "unhold": Scenario("unhold", "held", lambda _base: UnholdWork(force=True), ("lost after",)),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with in_memory() as base:
        made = Lab(base)
        asyncio.run(_make(made))
        yield made


async def _make(lab: Lab) -> None:
    await lab.build()
    theirs = lab.base / "theirs"
    (theirs / "shared" / "uploads").mkdir(parents=True)
    (theirs / "shared" / "uploads" / "photo").write_text("precious")
    (theirs / "revisions.log").write_text("theirs")
    for name in ("20250101000000", "20250102000000"):
        (theirs / "releases" / name).mkdir(parents=True)
        (theirs / "releases" / name / "index").write_text(name)
        (theirs / "releases" / name / "uploads").symlink_to("../../shared/uploads")
    (theirs / "current").symlink_to("releases/20250102000000")
    shutil.copytree(lab.base / "site", lab.base / "held", symlinks=True)
    remote = folder(lab.base / "held")
    _, error = await change(remote, "hold", HoldWork("migration"))
    assert error is None
    await remote.close()


async def walked(
    lab: Lab, scenario: Scenario, faults: dict[int, str]
) -> tuple[Plot, Report, list[str]]:
    """One change with its faults; the calls that it made, its report, and what is broken."""
    site = await lab.anew(scenario.template)
    kept = KEPT if scenario.template in ("site", "held", "spared") else ()
    before, plot, real = Before.of(site, kept), Plot(faults), lab.remote(site)
    least: list[int] = []
    plot.watch = lambda: least.append(len(good(site)))
    task = asyncio.create_task(change(Faulty(real, plot), scenario.verb, scenario.work(lab.base)))
    report, _error = await task
    await real.close()
    fresh = lab.remote(site)
    seen = await fresh.look()
    broken = before.broken([r.name for r in rollback_targets(seen)], report) if seen.ours else []
    if scenario.template == "theirs":
        # Before adopting there is no record that G1 could be checked against.
        broken = [fault for fault in broken if not fault.startswith("G1: ") or live_has_one(site)]
    else:
        broken += [f"G1: {fault}" for fault in unlike(site, live(site))] if live(site) else []
    if min(least) < scenario.keep:
        broken.append(f"G9: only {min(least)} good releases were there at one moment")
    if seen.holder:
        broken.append("G7: the lock is still held")
    if report.outcome is Outcome.UNKNOWN and report.live:
        broken.append("G4: unknown, and yet it names a live release")
    await fresh.close()
    return plot, report, broken


def live_has_one(site: Path) -> bool:
    return (site / ".opsnb" / "records" / f"{live(site)}.json").exists()


async def settled(lab: Lab, scenario: Scenario) -> list[str]:
    """G8: what may be asked of the user (to let a hold go, to adopt again), and a deploy."""
    site = lab.base / "walked"
    settling: dict[str, list[Any]] = {"adopt": [AdoptWork()], "hold": [UnholdWork(force=True)]}
    works = settling.get(scenario.verb, [])
    works += [UnholdWork(force=True)] if scenario.verb == "unhold" else []
    for work in works:
        remote = lab.remote(site)
        _, error = await change(remote, "settle", work)
        await remote.close()
        if error is not None:
            return [f"G8: {error}"]
    return await lab.next_deploy(site)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_fault_at_every_call_leaves_the_guarantees_whole(
    lab: Lab, name: str, tell: Tell
) -> None:
    scenario = SCENARIOS[name]
    plain, report, broken = await walked(lab, scenario, {})
    assert (report.outcome, broken) == (scenario.outcome, [])
    assert [call for call in plain.calls if call in ("copy", "recycle")] == (
        [scenario.made] if scenario.made else []
    )
    first = plain.calls.index(scenario.since) + 1 if scenario.since else 1
    runs = 0
    for number, kind in enumerate(scenario.kinds):
        for at in range(first, len(plain.calls) + 1):
            if not WHOLE and (at + number) % 3:
                continue  # each call in two ways, and each way at every third call
            plot, _report, found = await walked(lab, scenario, {at: kind})
            assert plot.met, f"call {at} was never made"
            found += await settled(lab, scenario)
            broken += [f"{plot.struck}: {fault}" for fault in found]
            runs += 1
    points = len(plain.calls) + 1 - first
    tell(Row("a call to the server fails", name, points, runs, len(broken)))
    assert not broken, "\n".join(broken)


async def test_two_faults_in_one_change_leave_the_guarantees_whole(lab: Lab, tell: Tell) -> None:
    """Also what settles the first one may fail. Chosen by chance, from a fixed seed."""
    chance, broken = random.Random(20260325), []
    names = ["redeploy", "recycling", "deploy that is put back", "rollback that is put back"]
    for name in ([*names, "prune"] * PAIRS)[:PAIRS]:
        scenario = SCENARIOS[name]
        first = chance.randrange(1, 30)
        faults = {
            first: chance.choice(("lost before", "lost after", "fails", "fails after")),
            first + chance.randrange(1, 9): chance.choice(ALL),
        }
        plot, _report, found = await walked(lab, scenario, faults)
        found = [fault for fault in found if fault != UNKNOWN]
        found += await settled(lab, scenario)
        broken += [f"{name}: {plot.struck}: {fault}" for fault in found]
    tell(Row("two calls to the server fail", "five changes", PAIRS, PAIRS, len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", ["redeploy", "deploy that is put back", "rollback"])
async def test_aborting_while_a_switch_is_settled_says_what_is_true(
    lab: Lab, name: str, tell: Tell
) -> None:
    """The answer to each switch is lost, and then the user aborts at each call that follows."""
    scenario, broken, runs = SCENARIOS[name], [], 0
    plain, _report, _broken = await walked(lab, scenario, {})
    switches = [number for number, call in enumerate(plain.calls, 1) if call == "publish"]
    for switch in switches:
        for at in range(switch + 1, switch + 5):
            for lost, kind in (("lost after", "cancelled before"), ("lost before", KINDS[-1])):
                plot, report, found = await walked(lab, scenario, {switch: lost, at: kind})
                assert len(plot.met) == 2
                found = [fault for fault in found if fault != UNKNOWN]
                if "before the switch" in report.error and report.switched is not False:
                    found.append(f"G4: {report.switched} and yet {report.error}")
                found += await settled(lab, scenario)
                broken += [f"{plot.struck}: {fault}" for fault in found]
                runs += 1
    tell(Row("abort while a switch is settled", name, 4 * len(switches), runs, len(broken)))
    assert not broken, "\n".join(broken)


class NaiveHeld:
    """The control: it publishes as many scripts do, by removing the link and making it anew."""

    def __init__(self, real: Any, site: Path) -> None:
        self._real, self._site = real, site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def publish(self, name: str, expected: bytes) -> None:
        del name, expected
        (self._site / "current").unlink()
        raise OSError("the client dies in the middle of the naive switch")


class NaiveRemote:
    """The control's server."""

    def __init__(self, real: Any, site: Path) -> None:
        self._real, self._site = real, site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def lock(self, *args: Any) -> Any:
        held = await self._real.lock(*args)
        return held and NaiveHeld(held, self._site)


async def test_the_control_a_naive_switch_is_caught_by_the_same_checks(
    lab: Lab, tell: Tell
) -> None:
    site = await lab.anew("site")
    before = Before.of(site, KEPT)
    real = NaiveRemote(lab.remote(site), site)
    with pytest.raises(OSError, match="naive switch"):
        await change(real, "deploy", deploying(lab.base / "new"))
    await real.close()
    broken = before.broken([], None)
    tell(Row("a call to the server fails", "control: rm, then ln", 1, 1, len(broken), True))
    assert any("G1" in fault for fault in broken)
