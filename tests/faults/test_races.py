"""Two and three operators at once (deploy, rollback, prune, adopt), in every order of their calls.

One call to the server is made at a time, and the order of the calls is chosen. Whoever finds the
site locked is refused; what is said of each change is true, and the site is whole. Of orders that
differ in nothing that matters one is tried: see orders.py.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import audit
from opsnb.core.events import Outcome
from opsnb.core.retention import Rules
from opsnb.engine.adopt import AdoptWork
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.errors import OpsnbError
from tests.faults.baton import Baton, InTurn
from tests.faults.conftest import Tell
from tests.faults.guarantees import Before, live, record, whole
from tests.faults.lab import KEPT, SETTINGS, Lab, change, deploying, in_memory, some, unchained
from tests.faults.orders import Order, distinct
from tests.support.matrix import Row

SAMPLE = 8
WHOLE_RANDOM = 400
REFUSED = {12, 13}
"""Exit statuses of who came too late: locked, or no longer as it was planned."""


@dataclass(frozen=True)
class Ended:
    """How an operator's change ended.

    Attributes:
        verb: What it was.
        report: What it said of itself.
        error: Why it did not succeed; None when it did.
    """

    verb: str
    report: Any
    error: OpsnbError | None


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with in_memory() as base:
        made = Lab(base)
        asyncio.run(made.build())
        theirs(base / "theirs")
        yield made


def theirs(site: Path) -> None:
    """A site that another tool laid out."""
    for name in ("20250101000000", "20250102000000"):
        (site / "releases" / name).mkdir(parents=True)
        (site / "releases" / name / "index").write_text(name)
    (site / "shared").mkdir()
    (site / "current").symlink_to("releases/20250102000000")


def work(lab: Lab, verb: str, number: int) -> Any:
    """A change; each operator deploys something else."""
    if verb == "deploy":
        return deploying(lab.base / ("new", "other", "v")[number])
    return {
        "rollback": lambda: RollbackWork(SETTINGS),
        "prune": lambda: PruneWork(Rules(1)),
        "adopt": AdoptWork,
    }[verb]()


async def race(
    lab: Lab, site: Path, verbs: tuple[str, ...], order: Iterator[int]
) -> tuple[list[Ended], Baton]:
    """Let operators at a site, in an order; how each ended."""
    baton = Baton(order, len(verbs))

    async def operator(number: int, verb: str) -> Ended:
        real = lab.remote(site)
        try:
            report, error = await change(InTurn(real, baton, number), verb, work(lab, verb, number))
        finally:
            baton.end(number)
        await real.close()
        return Ended(verb, report, error)

    tasks = [asyncio.create_task(operator(number, verb)) for number, verb in enumerate(verbs)]
    await asyncio.sleep(0)
    baton.begin()
    return list(await asyncio.gather(*tasks)), baton


def wrong(site: Path, before: Before, ended: list[Ended], offered: list[str]) -> list[str]:
    """What does not hold after a race."""
    broken = [fault for fault in before.broken(offered, None) if "G6" in fault or "G5" in fault]
    broken += [f"G1: {fault}" for fault in whole(site, live(site))]
    broken += [f"G9: {fault}" for name in offered for fault in whole(site, name)]
    broken += [f"G10: {fault}" for fault in unchained(site)]
    for one in ended:
        if one.error is not None and one.error.exit_status not in REFUSED:
            broken.append(f"G7: {one.verb} ended with {one.error!r}")
        if one.error is not None and one.report.switched:
            broken.append(f"G4: {one.verb} was refused, and says that it switched")
    done = [one for one in ended if one.report.switched]
    if not any(one.error is None for one in ended):
        broken.append("G7: everybody was refused")
    if done and live(site) not in {one.report.live for one in done}:
        broken.append(f"G4: {live(site)} is live, and nobody says so")
    if not done and live(site) != before.live:
        broken.append(f"G4: {live(site)} is live, and nobody says that it switched")
    return broken


PAIRS = [
    ("deploy", "deploy"),
    ("deploy", "rollback"),
    ("deploy", "prune"),
    ("rollback", "rollback"),
    ("rollback", "prune"),
    ("prune", "prune"),
]


@pytest.mark.parametrize("verbs", PAIRS, ids=[" and ".join(pair) for pair in PAIRS])
async def test_two_operators_in_any_order_leave_the_site_whole(
    lab: Lab, verbs: tuple[str, str], tell: Tell
) -> None:
    """So many calls of the first, so many of the second, then each to its end; both ways round."""
    broken: list[str] = []
    runs = points = 0
    for first, second in dict.fromkeys((verbs, verbs[::-1])):
        calls = [await alone(lab, verb, number) for number, verb in enumerate((first, second))]
        orders = list(distinct(calls[0], calls[1]))
        points += len(orders)
        for index in some(range(len(orders)), SAMPLE):
            site = await lab.anew("spared")
            before = Before.of(site, KEPT)
            ended = await in_order(lab, site, (first, second), orders[index])
            found = wrong(site, before, ended, await lab.offered(site))
            found += await lab.next_deploy(site)
            broken += [f"{first}, {second}, {orders[index]}: {fault}" for fault in found]
            runs += 1
    tell(Row("two operators at once", " and ".join(verbs), points, runs, len(broken)))
    assert not broken, "\n".join(broken)


async def in_order(lab: Lab, site: Path, verbs: tuple[str, ...], order: Order) -> list[Ended]:
    """Let two operators at a site; how each ended."""
    turns = iter([0] * order[0] + [1] * order[1] + [0] * 1000)
    return (await race(lab, site, verbs, turns))[0]


@pytest.mark.parametrize("verbs", [("deploy", "deploy"), ("rollback", "deploy")])
async def test_orders_that_are_taken_for_one_end_alike(
    lab: Lab, verbs: tuple[str, str], tell: Tell
) -> None:
    """Others do not all: whoever would see no difference at all is found out."""
    calls = [await alone(lab, verb, number) for number, verb in enumerate(verbs)]
    alike = [same for same in distinct(calls[0], calls[1]).values() if len(same) > 1]
    ends, broken = set(), []
    chosen = some(range(len(alike)), SAMPLE)
    for index in chosen:
        pair = [await end_of(lab, verbs, order) for order in (alike[index][0], alike[index][-1])]
        ends.add(pair[0])
        if pair[0] != pair[1]:
            broken.append(f"{alike[index][0]} and {alike[index][-1]}: {pair}")
    tell(Row("orders taken for one", " and ".join(verbs), len(alike), len(chosen), len(broken)))
    assert not broken, "\n".join(broken)
    assert len(ends) > 1


async def end_of(lab: Lab, verbs: tuple[str, str], order: Order) -> tuple[object, ...]:
    """What two operators leave, without names and times."""
    site = await lab.anew("spared")
    ended = await in_order(lab, site, verbs, order)
    said = [(one.error.exit_status if one.error else 0, one.report.switched) for one in ended]
    log = (site / ".opsnb" / "audit.jsonl").read_bytes()
    states = [record(site, path.stem) for path in sorted((site / ".opsnb/records").iterdir())]
    return (
        *said,
        (site / "current" / "index").read_text(),
        tuple(str(known and known["state"]) for known in states),
        tuple(entry["what"] for entry in audit.read(log)),
        (site / ".opsnb" / "spare" / "tree").exists(),
    )


async def alone(lab: Lab, verb: str, number: int) -> list[str]:
    """The calls that a change makes when nobody else is there."""
    site = await lab.anew("theirs" if verb == "adopt" else "spared")
    verbs = ("prune",) * number + (verb,)
    ended, baton = await race(lab, site, verbs, iter([number] * 1000))
    assert ended[number].error is None, ended[number].error
    return [name for who, name in baton.calls if who == number]


async def test_three_operators_in_an_order_by_chance_leave_the_site_whole(
    lab: Lab, tell: Tell
) -> None:
    chance = random.Random(20260325)
    broken: list[str] = []
    chosen = some(range(WHOLE_RANDOM), SAMPLE)
    for _ in chosen:
        verbs = tuple(chance.choice(("deploy", "deploy", "rollback", "prune")) for _ in range(3))
        order = [chance.randrange(3) for _ in range(200)]
        site = await lab.anew("spared")
        before = Before.of(site, KEPT)
        ended, _baton = await race(lab, site, verbs, iter(order))
        found = wrong(site, before, ended, await lab.offered(site))
        found += await lab.next_deploy(site)
        broken += [f"{verbs}, {order[:60]}: {fault}" for fault in found]
    tell(Row("three operators at once", "by chance", WHOLE_RANDOM, len(chosen), len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("verbs", [("adopt", "adopt"), ("adopt", "deploy"), ("deploy", "adopt")])
async def test_a_site_is_adopted_once_whoever_comes_between(
    lab: Lab, verbs: tuple[str, str], tell: Tell
) -> None:
    broken: list[str] = []
    calls = [await alone(lab, verb, number) for number, verb in enumerate(verbs)]
    orders = list(distinct(calls[0], calls[1]))
    chosen = some(range(len(orders)), SAMPLE)
    for index in chosen:
        site = await lab.anew("theirs")
        before = Before.of(site)
        ended = await in_order(lab, site, verbs, orders[index])
        found = [] if live(site) else ["G1: nothing is live"]
        if not any(one.verb == "deploy" and one.error is None for one in ended):
            found += [] if live(site) == before.live else [f"G6: {live(site)} is live"]
        found += [f"G6: {name} is gone" for name in lost(site)]
        broken += [f"{verbs}, {orders[index]}: {fault}" for fault in found]
    tell(Row("two operators at once", " and ".join(verbs), len(orders), len(chosen), len(broken)))
    assert not broken, "\n".join(broken)


def lost(site: Path) -> list[str]:
    """Releases of the other tool that are no longer as they were."""
    names = ("20250101000000", "20250102000000")
    return [
        name
        for name in names
        if not (site / "releases" / name / "index").is_file()
        or (site / "releases" / name / "index").read_text() != name
    ]


class Unlocked:
    """The control: a site whose lock lets everybody in, as ``[ -f lock ] || touch lock`` does."""

    def __init__(self, real: Any, site: Path) -> None:
        self._real, self._site = real, site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def lock(self, *args: Any) -> Any:
        """Take the lock away from whoever has it, without a word."""
        (self._site / ".opsnb" / "lock").unlink(missing_ok=True)
        return await self._real.lock(*args)


async def test_the_control_without_a_lock_somebody_is_broken(lab: Lab, tell: Tell) -> None:
    site = await lab.anew("spared")
    before = Before.of(site, KEPT)
    loose = Lab(lab.base, lambda path: Unlocked(lab.remote(path), path))
    ended, _baton = await race(loose, site, ("deploy", "deploy"), itertools.cycle([0, 1]))
    found = wrong(site, before, ended, await lab.offered(site))
    tell(Row("two operators at once", "control: a lock that lets in", 1, 1, len(found), True))
    assert found
    assert all(one.report.outcome is not Outcome.UNKNOWN for one in ended)
