"""The client is killed: before and after each of its calls to the server, and at random times.

The next deploy comes at once, over OpenSSH's server. No step of the dead one may take effect after
it has the lock: what every program does to the files of the site is written down with its session.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.calls import Calls, Kind
from tests.faults.clients import Clients
from tests.faults.conftest import Tell
from tests.faults.guarantees import Before
from tests.faults.lab import Lab, some
from tests.support.matrix import Row
from tests.support.sshd import RealSshd, require

FAULT = "client killed"
SAMPLE = 8
RANDOM = 6
WHOLE_RANDOM = 100
BULK = 400
WAIT = 30.0  # seconds for the dead one's lock
NAIVE = "cd {site} && for n in 1 2 3 4 5 6 7 8 9; do sleep 0.1; cp -r {new} releases/copy$n; done"


class Noting:
    """Notes when the lock was taken.

    Attributes:
        at: The moment, in seconds of the monotonic clock.
    """

    def __init__(self, real: Any) -> None:
        self._real, self.at = real, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def lock(self, *args: Any) -> Any:
        """Take it; see :meth:`Remote.lock`."""
        held = await self._real.lock(*args)
        if held is not None and not self.at:
            self.at = time.monotonic()
        return held


async def after(lab: Lab, calls: Calls, site: Path, before: Before) -> list[str]:
    """What is broken, and whether the dead one was still at work once the next had the lock."""
    dead = {made.session for made in calls.made()}
    next_one = Noting(lab.remote(site))
    broken = await lab.next_deploy(site, WAIT, next_one)
    broken += late(calls, dead, next_one.at)
    return broken + before.broken(await lab.offered(site), None)


def late(calls: Calls, dead: set[int], since: float) -> list[str]:
    """What sessions of the dead did to the site after a moment."""
    return [
        f"G7: {made} of the dead client, {made.at - since:.3f} s after the next had the lock"
        for made in calls.made()
        if made.session in dead and made.at > since
    ]


@pytest.mark.parametrize("name", ["first deploy", "redeploy", "recycling", "rollback", "prune"])
async def test_wherever_the_client_is_killed_the_next_deploy_goes_through(
    lab: Lab, sshd: RealSshd, calls: Calls, clients: Clients, name: str, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    site = await lab.anew(scenario.template)
    number = len(clients.one(sshd, site, scenario))
    moments = [(at, later) for at in range(1, number + 1) for later in (False, True)]
    broken: list[str] = []
    chosen = some(range(len(moments)), SAMPLE)
    for moment in chosen:
        at, later = moments[moment]
        site = await lab.anew(scenario.template)
        before = lab.before(site, scenario.template)
        calls.arm(site, kinds=Kind.CHANGES)
        made = clients.one(sshd, site, scenario, at=at, after=later)
        assert len(made) == at
        found = before.broken([], None)
        found += await after(lab, calls, site, before)
        where = f"{'after' if later else 'before'} call {at} ({made[-1]})"
        broken += [f"{where}: {fault}" for fault in found]
    tell(Row(FAULT, name, len(moments), len(chosen), len(broken)))
    assert not broken, "\n".join(broken)


async def test_whenever_the_client_is_killed_the_next_deploy_goes_through(
    lab: Lab, sshd: RealSshd, calls: Calls, clients: Clients, tell: Tell
) -> None:
    """At random times, from a fixed seed."""
    chance = random.Random(20260325)
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    began = time.monotonic()
    clients.one(sshd, site, scenario)
    took = time.monotonic() - began
    runs = len(some(range(WHOLE_RANDOM), RANDOM))
    broken: list[str] = []
    for _ in range(runs):
        site = await lab.anew(scenario.template)
        before = lab.before(site, scenario.template)
        calls.arm(site, kinds=Kind.CHANGES)
        seconds = chance.uniform(0.2, 1) * took
        clients.one(sshd, site, scenario, seconds=seconds)
        found = await after(lab, calls, site, before)
        broken += [f"after {seconds:.3f} s: {fault}" for fault in found]
    tell(Row(f"{FAULT} at a random time", "redeploy", runs, runs, len(broken)))
    assert not broken, "\n".join(broken)


async def test_the_control_a_script_of_a_dead_client_goes_on_beside_the_next_deploy(
    lab: Lab, sshd: RealSshd, calls: Calls, tell: Tell
) -> None:
    site = await lab.anew("site")
    calls.arm(site, kinds=Kind.CHANGES)
    naive_client_dies(sshd, NAIVE.format(site=site, new=lab.base / "new"), calls)
    dead = {made.session for made in calls.made()}
    next_one = Noting(lab.remote(site))
    await lab.next_deploy(site, WAIT, next_one)
    await asyncio.sleep(0.3)
    found = late(calls, dead, next_one.at)
    tell(Row(FAULT, "control: cp in a loop over ssh", 1, 1, int(bool(found)), True))
    while calls.count != (await asyncio.sleep(0.5, calls.count)):
        pass
    assert found


def naive_client_dies(sshd: RealSshd, script: str, calls: Calls) -> None:
    """Let OpenSSH's client run a script, and kill it when that has begun."""
    client = subprocess.Popen([require("ssh"), "-F", sshd.ssh_config, sshd.alias, script])
    while not calls.count:
        time.sleep(0.01)
    client.kill()
    client.wait()
