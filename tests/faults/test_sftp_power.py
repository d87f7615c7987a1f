"""The power is cut on a server that is reached by SFTP alone, where nothing can say ``sync``.

What is written is flushed file by file. That a rename has happened is made to last by flushing a
later file: a journal keeps its order. The file systems are those of test_power.py.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from opsnb.core.address import Address
from opsnb.engine import locking as engine
from opsnb.remote.sftp.remote import sftp_remote
from tests.faults.calls import Action, Calls
from tests.faults.conftest import Tell
from tests.faults.guarantees import live
from tests.faults.lab import Scenario, change, some
from tests.faults.strike import counted
from tests.faults.test_power import WAYS, Stand, kind_of, said
from tests.faults.test_sftp_faults import SftpLab, aged, sshd
from tests.support.disk import Disk
from tests.support.matrix import Row
from tests.support.sshd import RealSshd, absent

__all__ = ["sshd"]

FAULT = "power cut by SFTP"
SAMPLE = 5
ACKNOWLEDGED = 3


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def stand(
    request: pytest.FixtureRequest,
    calls: Calls,
    sshd: RealSshd,
) -> Iterator[Stand]:
    if os.geteuid() != 0:
        absent("only root can mount a file system and cut its power")
    with (
        tempfile.TemporaryDirectory(prefix="opsnb-power-", dir="/tmp") as folder,
        Disk(Path(folder, "image"), Path(folder, "place"), request.param) as disk,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(folder).chmod(0o755)
        patch.setattr(engine, "CLEANUP", 0.3)

        def remote(site: Path) -> Any:
            address = Address.parse(f"sftp://{sshd.alias}{site}")
            return sftp_remote(address, sshd.ssh_config, 60, 20)

        lab = SftpLab(disk.place, remote, sshd.own)
        asyncio.run(lab.build())
        yield Stand(lab, disk, calls)


async def acknowledged(stand: Stand, scenario: Scenario, way: str) -> list[str]:
    """One change, and the power goes with its answer; what is broken."""
    site = await stand.anew(scenario.template)
    before = stand.lab.before(site, scenario.template)
    stand.calls.arm(site)
    remote = stand.lab.remote(site)
    report, error = await change(remote, scenario.verb, scenario.work())
    stand.disk.cut(WAYS[way])
    assert error is None, error
    await remote.close()
    stand.again()
    broken = []
    if live(site) != report.release:
        broken.append(f"G3: {report.release} was acknowledged, and {live(site)} is live")
    if said(site) != f"{scenario.verb}.done":
        broken.append(f"G10: the last word of the log is {said(site)}")
    aged(site)
    return broken + await stand.lab.aftermath(site, before, report)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["first deploy", "redeploy", "rollback"])
async def test_what_was_acknowledged_is_there_when_the_power_comes_back(
    stand: Stand, name: str, way: str, tell: Tell
) -> None:
    """G3: the power goes with the answer."""
    scenario = stand.lab.scenarios()[name]
    broken = [
        fault for _ in range(ACKNOWLEDGED) for fault in await acknowledged(stand, scenario, way)
    ]
    kind = f"{name}, {kind_of(stand)}"
    tell(Row(f"{FAULT} with the answer, {way}", kind, 1, ACKNOWLEDGED, len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["redeploy", "rollback", "prune"])
async def test_whenever_the_power_goes_what_is_live_is_whole(
    stand: Stand, name: str, way: str, tell: Tell
) -> None:
    """The server is killed at a call on the site's files, and the power goes at once."""
    scenario = stand.lab.scenarios()[name]
    number = await counted(stand.lab, stand.calls, scenario)
    points = some(range(1, number + 1), SAMPLE)
    broken: list[str] = []
    met = 0
    for at in points:
        site = await stand.anew(scenario.template)
        before = stand.lab.before(site, scenario.template)
        met += await cut_at(stand, scenario, site, at, way)
        aged(site)
        found = await stand.lab.aftermath(site, before, None, keep=scenario.keep, torn=True)
        broken += [f"call {at}: {fault}" for fault in found]
    tell(Row(f"{FAULT} at a call, {way}", f"{name}, {kind_of(stand)}", number, met, len(broken)))
    assert not broken, "\n".join(broken)
    assert met > len(points) / 2


async def cut_at(stand: Stand, scenario: Scenario, site: Path, at: int, way: str) -> bool:
    """A change whose server is killed at a call, and then has no power; whether it came so far."""
    stand.calls.arm(site, Action.KILL, at)
    remote = stand.lab.remote(site)
    task = asyncio.create_task(change(remote, scenario.verb, scenario.work()))
    while not (stand.calls.met or task.done()):  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.0005)
    stand.calls.rest()
    stand.disk.cut(WAYS[way])
    await task
    await remote.close()
    stand.again()
    return bool(stand.calls.met)


async def test_the_control_without_any_flush_an_acknowledged_change_is_lost(
    stand: Stand, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_flushed(_file: asyncssh.SFTPClientFile) -> None:
        return None

    monkeypatch.setattr(asyncssh.SFTPClientFile, "fsync", not_flushed)
    scenario = stand.lab.scenarios()["rollback"]
    found = await acknowledged(stand, scenario, "with its journal lost")
    lost = int(any(fault.startswith(("G3", "G10")) for fault in found))
    tell(Row(f"{FAULT} with the answer", f"control: no flush, {kind_of(stand)}", 1, 1, lost, True))
    assert lost
