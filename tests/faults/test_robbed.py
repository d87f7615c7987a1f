"""A client is frozen at a call, robbed of the lock, and wakes when the next change has ended.

Whatever it was about to do has no effect: not a switch, not a deletion. It says what is true.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.faults.clients import Clients
from tests.faults.conftest import Tell
from tests.faults.guarantees import live, snapshot, whole
from tests.faults.lab import Lab, some, unchained
from tests.support.matrix import Row
from tests.support.sshd import RealSshd

SAMPLE = 6
NAIVE = "cd {site} && sleep 1.5 && ln -sfn releases/{name} current && rm -r releases/{last}"


async def rob(lab: Lab, site: Path) -> None:
    """Take the lock away from whoever has it."""
    remote = lab.remote(site)
    holder = (await remote.look()).holder
    if holder is not None:
        await remote.break_lock(holder)
    await remote.close()


def releases(site: Path) -> dict[str, tuple[object, ...]]:
    """Everything about the releases that one could notice."""
    return snapshot(site / "releases")


@pytest.mark.parametrize("name", ["redeploy", "recycling", "rollback", "prune"])
async def test_who_was_robbed_does_no_more_harm_when_it_wakes(
    lab: Lab, sshd: RealSshd, clients: Clients, name: str, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    site = await lab.anew(scenario.template)
    calls = clients.one(sshd, site, scenario)
    held = range(calls.index("lock") + 1, len(calls) + 1)
    moments = [(at, later) for at in held for later in (False, True)][1:]
    broken: list[str] = []
    chosen = some(range(len(moments)), SAMPLE)
    for index in chosen:
        at, later = moments[index]
        site = await lab.anew(scenario.template)
        made = clients.one(sshd, site, scenario, at=at, after=later, signal=signal.SIGSTOP)
        assert len(made) == at
        await rob(lab, site)
        found = await lab.next_deploy(site, 10)
        there, now = releases(site), live(site)
        said = clients.wake()
        where = f"frozen {'after' if later else 'before'} call {at} ({made[-1]})"
        if live(site) != now:
            found.append(f"G7: it made {live(site)} live instead of {now}")
        if releases(site) != there:
            found.append("G7: it changed a release")
        if said["switched"] is None or (said["switched"] and at < calls.index("flush") + 1):
            found.append(f"G4: it says {said}")
        found += [f"G1: {fault}" for fault in whole(site, live(site))]
        found += [f"G10: {fault}" for fault in unchained(site)]
        broken += [f"{where}: {fault}" for fault in found]
    tell(
        Row("client frozen, robbed, and awake again", name, len(moments), len(chosen), len(broken))
    )
    assert not broken, "\n".join(broken)


async def test_the_control_a_script_that_wakes_undoes_what_came_after_it(
    lab: Lab, sshd: RealSshd, tell: Tell
) -> None:
    site = await lab.anew("site")
    last = sorted(path.name for path in (site / "releases").iterdir())[-2]
    script = NAIVE.format(site=site, name=live(site), last=last)
    late = asyncio.create_task(asyncio.to_thread(sshd.run, script))
    assert await lab.next_deploy(site) == []
    now = live(site)
    await late
    found = int(live(site) != now)
    kind = "control: a script that was late"
    tell(Row("client frozen, robbed, and awake again", kind, 1, 1, found, True))
    assert found
