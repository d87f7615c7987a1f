"""The line is cut at a byte of a session, up or down, or goes silent: the verdict is true.

A relay stands between the client and OpenSSH's server. Cut, both ends get a reset. Silent, nothing
comes any more and nothing is closed, as when the cable is out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.events import Outcome
from opsnb.engine import change as engine
from tests.faults.conftest import Tell
from tests.faults.guarantees import Before, live
from tests.faults.lab import Lab, Scenario, change, over_ssh, some
from tests.support.matrix import Row
from tests.support.proxy import Relay
from tests.support.sshd import RealSshd

SAMPLE = 10
FREE = 60.0  # seconds until the lock of one whose line is silent is free
NAIVE = "cd {site} && rm current && sleep 0.2 && ln -s releases/{name} current"


class Line:
    """A change over a line that can be cut.

    Attributes:
        up: Bytes that went up.
        down: Bytes that came down.
    """

    def __init__(self, sshd: RealSshd, lab: Lab) -> None:
        self._sshd, self._lab = sshd, lab
        self.up = self.down = 0

    async def carry(self, site: Path, scenario: Scenario, **cut: int) -> Any:
        """Carry a change out; with its session cut after so many bytes. Its report."""
        with Relay(self._sshd.port) as relay:
            if cut:
                relay.cut_after(**cut)
            through = over_ssh(self._sshd, self._lab.base, self._sshd.via(relay.port))
            remote = through.remote(site)
            report, _error = await change(remote, scenario.verb, scenario.work())
            await remote.close()
            self.up, self.down = relay.up, relay.down
        return report


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", ["redeploy", "rollback", "prune"])
async def test_at_whatever_byte_the_line_is_cut_the_verdict_is_true(
    lab: Lab, sshd: RealSshd, name: str, direction: str, tell: Tell
) -> None:
    scenario, line = lab.scenarios()[name], Line(sshd, lab)
    report = await line.carry(await lab.anew(scenario.template), scenario)
    assert report.outcome is Outcome.DONE
    number = getattr(line, direction)
    assert number > 5_000
    broken: list[str] = []
    points = some(range(1, number + 1), SAMPLE)
    for at in points:
        site = await lab.anew(scenario.template)
        before = lab.before(site, scenario.template)
        report = await line.carry(site, scenario, **{direction: at})
        found = await lab.aftermath(site, before, report, keep=scenario.keep, wait=10)
        broken += [f"{direction} {at}: {fault}" for fault in found]
    tell(Row(f"line cut at a byte {direction}", name, number, len(points), len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_behind_a_silent_line_nothing_is_guessed_and_the_lock_is_soon_free(
    lab: Lab, sshd: RealSshd, direction: str, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several sites at once, each silent from another byte on; and nobody gives the line back."""
    # The client's own patience is not what is measured: the server must free the lock without it.
    monkeypatch.setattr(engine, "CLEANUP", 5.0)
    scenario, line = lab.scenarios()["redeploy"], Line(sshd, lab)
    await line.carry(await lab.anew(scenario.template), scenario)
    number = getattr(line, direction)
    parts = [0.3, 0.5, 0.7, 0.9]
    broken = await asyncio.gather(
        *(silent(lab, sshd, scenario, direction, int(number * part)) for part in parts)
    )
    found = [fault for one in broken for fault in one]
    tell(Row(f"line silent from a byte {direction} on", "redeploy", number, 4, len(found)))
    assert not found, "\n".join(found)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    while not true():  # noqa: ASYNC110 - as the docstring says
        await asyncio.sleep(0.0005)


async def silent(
    lab: Lab, sshd: RealSshd, scenario: Scenario, direction: str, at: int
) -> list[str]:
    """A change whose line goes silent; the next deploy, over another line, needs no hand work."""
    site = await lab.anew(scenario.template, f"silent-{direction}-{at}")
    before = Before.of(site)
    with Relay(sshd.port) as relay:
        through = over_ssh(sshd, lab.base, sshd.via(relay.port))
        remote = through.remote(site)
        task = asyncio.create_task(change(remote, scenario.verb, scenario.work()))
        await until(lambda: getattr(relay, direction) >= at or task.done())
        relay.freeze()
        began = time.monotonic()
        broken = await lab.next_deploy(site, FREE)
        took = time.monotonic() - began
        now = live(site)
        task.cancel()
        report, _error = await task
        await remote.close()
    if report.switched is False and report.live not in ("", before.live):
        broken.append(f"G4: not switched, and yet {report.live} was live")
    if live(site) != now:
        broken.append(f"G7: {now} was live, and the silent one made it {live(site)}")
    return [f"silent {direction} {at}, {took:.0f} s: {fault}" for fault in broken]


async def test_the_control_a_script_whose_line_is_cut_leaves_nothing_live(
    lab: Lab, sshd: RealSshd, tell: Tell
) -> None:
    """Its exit status says nothing of what it did: nothing is live, and nobody knows."""
    site = await lab.anew("site")
    name = live(site)
    with Relay(sshd.port) as relay:
        config = sshd.via(relay.port)
        script = NAIVE.format(site=site, name=name)
        asking = asyncio.create_task(asyncio.to_thread(sshd.run, script, config=config))
        await until(lambda: not (site / "current").is_symlink())
        relay.cut()
        done = await asking
    gone = not (site / "current").is_symlink()
    tell(Row("line cut at a byte up", "control: rm, ln over ssh", 1, 1, int(gone), True))
    assert gone
    assert done.returncode == 255
