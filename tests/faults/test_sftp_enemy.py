"""By SFTP every removal goes by a path: whoever may write to a directory is shut out of it first.

The application has an account of its own; anybody may write to the directories of the site's
releases. opsnb's account may write to the canaries, and the application may not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.address import Address
from opsnb.core.retention import Rules
from opsnb.engine.switch import PruneWork
from opsnb.remote.sftp.remote import sftp_remote
from opsnb.remote.sftp.wire import Wire
from tests.faults.conftest import Tell
from tests.faults.guarantees import snapshot
from tests.faults.lab import TRIED, WHOLE, change, in_memory
from tests.faults.test_enemy_inside import (
    CONTROLS,
    DIRS,
    TEXTS,
    canaries,
    open_to_all,
    spread,
    swapping,
)
from tests.faults.test_sftp_faults import SftpLab, deploying, sshd
from tests.support.matrix import Row
from tests.support.sshd import ROOT_RUNS_AS, RealSshd, absent

__all__ = ["sshd"]

FAULT = "directories swapped for links, by SFTP"
ROUNDS = 40 if WHOLE else int(TRIED) if TRIED.isdigit() else 2


@pytest.fixture(scope="module")
def lab(sshd: RealSshd) -> Iterator[SftpLab]:
    """``spared`` has four releases."""
    if os.geteuid() != 0:
        absent("only root can run an application as another user")
    with in_memory() as base:
        base.chmod(0o755)

        def remote(site: Path) -> Any:
            address = Address.parse(f"sftp://{sshd.alias}{site}")
            return sftp_remote(address, sshd.ssh_config, 60, 20)

        made = SftpLab(base, remote, sshd.own)
        asyncio.run(build(made))
        yield made


async def build(lab: SftpLab) -> None:
    spread(lab.base / "after", "after")
    site = lab.base / "made"
    site.mkdir()
    lab.own(site)
    for text in TEXTS:
        assert (await deploy(lab, site, text)) is None
    site.rename(lab.base / "spared")


async def deploy(lab: SftpLab, site: Path, text: str) -> Any:
    """Deploy a text; the error when there was one."""
    remote = lab.remote(site)
    work = deploying(spread(lab.base / "source", text))
    error = (await change(remote, "deploy", work))[1]
    await remote.close()
    return error


@pytest.fixture
def outside(lab: SftpLab) -> Iterator[Path]:
    """Canaries; opsnb's account could touch them."""
    folder = canaries(lab.base / "outside")
    lab.own(folder)
    yield folder
    shutil.rmtree(folder)


async def rounds(lab: SftpLab, outside: Path, most: int) -> tuple[int, list[str]]:
    """A deploy and a prune beside the application, over and over; the swaps, what went astray."""
    swaps, astray = 0, []
    before = snapshot(outside)
    for number in range(most):
        site = await lab.anew("spared")
        open_to_all(site)
        await lab.relist(site)
        lab.own(site)
        with swapping(site, outside, ROOT_RUNS_AS + 1) as told:
            await deploy(lab, site, "five")
            remote = lab.remote(site)
            await change(remote, "prune", PruneWork(Rules(1)))
            await remote.close()
        swaps += told[0]
        changed = {path for path, _ in before.items() ^ snapshot(outside).items()}
        if changed:
            return swaps, [f"round {number}: {path}" for path in sorted(changed)]
        astray += [f"round {number}: {fault}" for fault in await lab.next_deploy(site)]
    return swaps, astray


async def test_nothing_outside_is_touched_and_the_next_deploy_needs_no_hand_work(
    lab: SftpLab, outside: Path, tell: Tell
) -> None:
    swaps, astray = await rounds(lab, outside, ROUNDS)
    tell(Row(FAULT, "open to all", swaps, ROUNDS, len(astray)))
    assert swaps > DIRS * ROUNDS
    assert not astray, "\n".join(astray)


async def test_the_control_where_nobody_is_shut_out_opsnb_goes_astray(
    lab: SftpLab, outside: Path, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Wire.rmtree

    async def as_it_was(wire: Wire, path: bytes, owner: int | None = None) -> None:
        del owner
        await real(wire, path)

    monkeypatch.setattr(Wire, "rmtree", as_it_was)
    swaps, astray = await rounds(lab, outside, CONTROLS)
    tell(Row(FAULT, "control: nobody is shut out", swaps, CONTROLS, len(astray), True))
    assert any("G8" not in fault for fault in astray)
