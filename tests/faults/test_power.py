"""The power is cut: at each call on the site's files, and right after an answer.

The file system is one of ext4 or XFS in a file. Its shutdown ioctl stops all writing at once: what
was not flushed is lost, with the journal's last entries or without. Then it is mounted again.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opsnb.engine import locking as engine
from tests.faults.calls import Action, Calls, counting
from tests.faults.conftest import Tell
from tests.faults.guarantees import live, snapshot
from tests.faults.lab import Lab, Scenario, change, some, source
from tests.support.disk import Disk
from tests.support.matrix import Row
from tests.support.sshd import absent

FAULT = "power cut"
SAMPLE = 8
ACKNOWLEDGED = 3
WAYS = {"with its journal written": 1, "with its journal lost": 2}
NAIVE = """\
set -e
cp -r '{new}' releases/20990101000000
ln -s releases/20990101000000 next
mv -T next current
"""


@dataclass(frozen=True)
class Stand:
    """A laboratory on a disk whose power can be cut.

    Attributes:
        lab: The laboratory.
        disk: Its disk.
        calls: The count.
    """

    lab: Lab
    disk: Disk
    calls: Calls

    async def anew(self, template: str) -> Path:
        """A copy of a template, on the disk for good."""
        site = await self.lab.anew(template)
        self.disk.flush()
        return site

    def again(self) -> None:
        """Give the power back."""
        self.disk.unmount()
        self.disk.mount()


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    if os.geteuid() != 0:
        absent("only root can mount a file system and cut its power")
    with (
        tempfile.TemporaryDirectory(prefix="opsnb-power-", dir="/tmp") as folder,
        Disk(Path(folder, "image"), Path(folder, "place"), request.param) as disk,
        counting() as calls,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Nobody answers any more: how long the client goes on asking is another test's matter.
        patch.setattr(engine, "CLEANUP", 0.3)
        lab = Lab(disk.place)
        asyncio.run(lab.build())
        patch.setenv("LD_PRELOAD", str(calls.library))
        for name, value in calls.environment.items():
            patch.setenv(name, value)
        yield Stand(lab, disk, calls)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["redeploy", "recycling", "rollback", "prune"])
async def test_whenever_the_power_goes_what_is_live_is_whole(
    stand: Stand, name: str, way: str, tell: Tell
) -> None:
    scenario = stand.lab.scenarios()[name]
    number = await counted(stand, scenario)
    points = some(range(1, number + 1), SAMPLE)
    broken: list[str] = []
    met = 0
    for at in points:
        site = await stand.anew(scenario.template)
        before = stand.lab.before(site, scenario.template)
        stand.calls.arm(site, Action.POWER, at, flags=WAYS[way])
        remote = stand.lab.remote(site)
        await change(remote, scenario.verb, scenario.work())
        await remote.close()
        met += bool(stand.calls.met)
        where = stand.calls.call(stand.calls.met)
        stand.calls.arm(site)
        stand.again()
        found = await stand.lab.aftermath(site, before, None, keep=scenario.keep, torn=True)
        broken += [f"{where}: {fault}" for fault in found]
    tell(Row(f"{FAULT} at a call, {way}", f"{name}, {kind_of(stand)}", number, met, len(broken)))
    assert not broken, "\n".join(broken)
    assert met > len(points) / 2


async def counted(stand: Stand, scenario: Scenario) -> int:
    """How many calls a change makes in which nothing goes wrong."""
    site = await stand.anew(scenario.template)
    stand.calls.arm(site)
    remote = stand.lab.remote(site)
    _report, error = await change(remote, scenario.verb, scenario.work())
    await remote.close()
    assert error is None, error
    return stand.calls.count


def kind_of(stand: Stand) -> str:
    """The kind of the file system."""
    asked = ["stat", "-f", "-c", "%T", str(stand.disk.place)]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["first deploy", "redeploy", "recycling", "rollback"])
async def test_what_was_acknowledged_is_there_when_the_power_comes_back(
    stand: Stand, name: str, way: str, tell: Tell
) -> None:
    """G3: the power goes with the answer."""
    scenario = stand.lab.scenarios()[name]
    broken: list[str] = []
    for _ in range(ACKNOWLEDGED):
        site = await stand.anew(scenario.template)
        before = stand.lab.before(site, scenario.template)
        stand.calls.arm(site)
        remote = stand.lab.remote(site)
        report, error = await change(remote, scenario.verb, scenario.work())
        stand.disk.cut(WAYS[way])
        assert error is None, error
        await remote.close()
        stand.again()
        if live(site) != report.release:
            broken.append(f"G3: {report.release} was acknowledged, and {live(site)} is live")
        if said(site) != f"{scenario.verb}.done":
            broken.append(f"G10: the last word of the log is {said(site)}")
        broken += await stand.lab.aftermath(site, before, report, torn=True)
    kind = f"{name}, {kind_of(stand)}"
    tell(Row(f"{FAULT} with the answer, {way}", kind, 1, ACKNOWLEDGED, len(broken)))
    assert not broken, "\n".join(broken)


def said(site: Path) -> str:
    """The last word of the log."""
    lines = (site / ".opsnb" / "audit.jsonl").read_text().splitlines()
    return str(json.loads(lines[-1])["what"])


def test_the_control_without_a_flush_an_acknowledged_deploy_is_lost(
    stand: Stand, tell: Tell
) -> None:
    site = asyncio.run(stand.anew("site"))
    stand.calls.arm(site)
    new = source(stand.lab.base / "naive", "x" * 50)
    wanted = snapshot(new)
    script = NAIVE.format(new=new)
    subprocess.run(["/bin/sh", "-c", script], cwd=site, check=True)
    stand.disk.cut(WAYS["with its journal lost"])
    stand.again()
    there = site / "releases" / "20990101000000"
    whole = live(site) == there.name and [*snapshot(there)] == [*wanted]
    lost = 0 if whole and all((there / path).stat().st_size for path in wanted) else 1
    tell(Row(f"{FAULT} with the answer", f"control: cp, mv, {kind_of(stand)}", 1, 1, lost, True))
    assert lost
