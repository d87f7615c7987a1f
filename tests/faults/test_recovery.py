"""A fault during the recovery from a fault: the server dies twice, at any two calls.

The second change finds what the first one left, and dies while it clears it or later. The third
one must succeed with no hand work.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.calls import Action, Calls
from tests.faults.conftest import Tell
from tests.faults.guarantees import UNKNOWN
from tests.faults.lab import Lab, change, some
from tests.faults.strike import counted
from tests.support.matrix import Row

SAMPLE = 10
WHOLE_PAIRS = 300


@pytest.mark.parametrize("name", ["first deploy", "redeploy", "recycling"])
async def test_a_server_that_dies_twice_is_whole_and_the_third_deploy_succeeds(
    lab: Lab, calls: Calls, name: str, tell: Tell
) -> None:
    """Pairs of calls by chance, from a fixed seed: the first change dies, then its repetition."""
    chance = random.Random(20260325)
    scenario = lab.scenarios()[name]
    number = await counted(lab, calls, scenario)
    pairs = [
        (chance.randrange(1, number), chance.randrange(1, number + 40)) for _ in range(WHOLE_PAIRS)
    ]
    broken: list[str] = []
    chosen = some(range(WHOLE_PAIRS), SAMPLE)
    # A question whose shell dies is asked again: such a change is done, the next has nothing to do.
    twice = spared = 0
    for index in chosen:
        site = await lab.anew(scenario.template)
        before = lab.before(site, scenario.template)
        found: list[str] = []
        for at in pairs[index]:
            calls.arm(site, Action.KILL, at)
            remote = lab.remote(site)
            report, _error = await change(remote, scenario.verb, scenario.work())
            calls.rest()
            await remote.close()
            found += before.broken(await lab.offered(site), None)
            spared += report.outcome == "nothing to do"
            found += [UNKNOWN] if report.outcome == "unknown" else []
        twice += bool(calls.met)
        found += await lab.next_deploy(site, 10)
        broken += [f"{pairs[index]}: {fault}" for fault in found]
    tell(Row("server killed, and again in the recovery", name, WHOLE_PAIRS, twice, len(broken)))
    assert spared < len(chosen)
    assert twice > (len(chosen) - spared) / 2
    assert not broken, "\n".join(broken)
