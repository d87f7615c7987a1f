"""Faults and deaths by SFTP alone, over OpenSSH's server: the guarantees are those of a shell."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.config import Address, Settings
from opsnb.core.events import Outcome
from opsnb.core.plan import Wish
from opsnb.engine.change import Actor, Change
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.source import scan
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.remote.sftp.lock import DEAD
from opsnb.remote.sftp.remote import sftp_remote
from tests.faults.calls import Action, Calls
from tests.faults.conftest import Tell
from tests.faults.faulty import KINDS, MORE, Faulty, Plot
from tests.faults.guarantees import debris, good, live
from tests.faults.lab import Lab, Scenario, change, in_memory, some, strangers, unchained
from tests.faults.strike import counted, strikes
from tests.support.matrix import Row
from tests.support.site import unlike
from tests.support.sshd import RealSshd, absent

SETTINGS = Settings.model_validate({"keep_releases": 3})
SAMPLE = 8


def deploying(folder: Path) -> DeployWork:
    """A deploy that needs no command on the server."""
    scanned = scan(folder)
    wish = Wish(scanned.manifest, str(folder), SETTINGS, revision="r", by="tester", host="here")
    return DeployWork(Order(lambda: (wish, scanned)))


@dataclass(frozen=True)
class SftpLab(Lab):
    """The laboratory, with changes that SFTP can make."""

    def scenarios(self) -> dict[str, Scenario]:
        """See :meth:`Lab.scenarios`."""

        def new() -> DeployWork:
            return deploying(self.base / "new")

        made = [
            Scenario("first deploy", "empty", "deploy", new),
            Scenario("redeploy", "site", "deploy", new, 3),
            Scenario("rollback", "site", "rollback", lambda: RollbackWork(SETTINGS)),
            Scenario("prune", "site", "prune", lambda: PruneWork(1)),
        ]
        return {scenario.name: scenario for scenario in made}

    async def next_deploy(self, site: Path, wait: float = 0, by: Any = None) -> list[str]:
        """See :meth:`Lab.next_deploy`."""
        remote = by or self.remote(site)
        actor = Actor("local", "next", "here", lambda _event: None, lambda: datetime.now(UTC))
        report, error = await Change(remote, actor, "deploy", wait=wait).run(
            deploying(self.base / "after")
        )
        await remote.close()
        if error is not None:
            return [f"G8: the next deploy failed: {error}"]
        broken = [f"G8: left over: {path}" for path in debris(site)]
        broken += [f"G8: left over: {path}" for path in (site / ".opsnb" / "held").iterdir()]
        broken += [f"G8: nobody knows {name}" for name in strangers(site)]
        broken += [f"G10: {fault}" for fault in unchained(site)]
        if report.outcome is not Outcome.DONE:
            broken.append(f"G8: the next deploy: {report.outcome}")
        return broken


@pytest.fixture(scope="module")
def sshd(calls: Calls) -> Iterator[RealSshd]:
    """A server whose SFTP is a program that is counted."""
    server = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh")
    if server is None:
        absent("sftp-server is missing (openssh-sftp-server)")
    only = f"ForceCommand {server}"
    with RealSshd(preload=calls.library, environment=calls.environment, options=[only]) as running:
        yield running


@pytest.fixture(scope="module")
def lab(sshd: RealSshd) -> Iterator[SftpLab]:
    with in_memory() as base:
        base.chmod(0o755)

        def remote(site: Path) -> Any:
            address = Address.parse(f"sftp://{sshd.alias}{site}")
            return sftp_remote(address, sshd.ssh_config, 60, 20)

        made = SftpLab(base, remote, sshd.own)
        asyncio.run(made.build())
        yield made


class OverSftp(Faulty):
    """A server that fails at chosen calls, whose session is lost with them."""

    async def _call(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
        answer = await super()._call(name, real, args, kwargs)
        return OverSftp(answer._real, self._plot) if isinstance(answer, Faulty) else answer

    async def _before(self, kind: str) -> None:
        if kind == "lost before":
            await self._lose(None)
        await super()._before(kind)

    async def _lose(self, answer: Any) -> None:
        if (wire := getattr(self._real, "_wire", None)) is not None:
            await wire.close()
        if hasattr(answer, "kill"):
            await answer.kill()  # what a lock is that nobody was told of: see SftpRemote.lock


def aged(site: Path) -> None:
    """Let the last signs of life be as old as those of the dead."""
    for sign in (site / ".opsnb").glob("held/*/beat"):
        os.utime(sign, (time.time() - DEAD - 1,) * 2)


async def walked(
    lab: SftpLab, scenario: Scenario, faults: dict[int, str]
) -> tuple[Plot, list[str]]:
    """One change with its faults, and the deploy that follows; what is broken."""
    site = await lab.anew(scenario.template)
    before, plot, real = lab.before(site, scenario.template), Plot(faults), lab.remote(site)
    least: list[int] = []
    plot.watch = lambda: least.append(len(good(site)))
    report, _error = await asyncio.create_task(
        change(OverSftp(real, plot), scenario.verb, scenario.work())
    )
    await real.close()
    broken = before.broken(await lab.offered(site), report)
    broken += [f"G1: {fault}" for fault in unlike(site, live(site))] if live(site) else []
    if min(least) < scenario.keep:
        broken.append(f"G9: only {min(least)} good releases were there at one moment")
    if any((site / ".opsnb").glob("held/*")):
        broken.append("G7: the lock is still held")
        aged(site)
    if not faults and report.outcome is not Outcome.DONE:
        broken.append(f"it ended as {report.outcome}")
    return plot, broken + await lab.next_deploy(site)


@pytest.mark.parametrize("name", ["first deploy", "redeploy", "rollback", "prune"])
async def test_a_fault_at_every_call_leaves_the_guarantees_whole(
    lab: SftpLab, name: str, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    plain, broken = await walked(lab, scenario, {})
    points = [(at, kind) for at in range(1, len(plain.calls) + 1) for kind in (*KINDS, *MORE)]
    chosen = some(range(len(points)), SAMPLE)
    for index in chosen:
        at, kind = points[index]
        plot, found = await walked(lab, scenario, {at: kind})
        assert plot.met, f"call {at} was never made"
        broken += [f"{plot.struck}: {fault}" for fault in found]
    row = Row("a call to a server by SFTP fails", name, len(points), len(chosen), len(broken))
    tell(row)
    assert not broken, "\n".join(broken)


NAMES = ["first deploy", "redeploy", "rollback", "prune"]


def dies(lab: SftpLab, scenario: Scenario, site: Path, at: int, *, later: bool) -> list[str]:
    """A client of its own that is killed before a call or after it; the calls that it made."""
    hear, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(_dying(lab.remote(site), scenario, said, (at, later)))
        finally:
            os._exit(0)
    os.close(said)
    os.waitpid(pid, 0)
    with os.fdopen(hear) as heard:
        return heard.read().split()


async def _dying(real: Any, scenario: Scenario, said: int, end: tuple[int, bool]) -> None:
    plot, moments = Plot(), [0]

    def watch() -> None:
        moments[0] += 1
        number, later = (moments[0] + 1) // 2, moments[0] % 2 == 0
        if not later:
            os.write(said, f"{plot.calls[-1]}\n".encode())
        if (number, later) == end:
            os.kill(os.getpid(), signal.SIGKILL)

    plot.watch = watch
    await change(OverSftp(real, plot), scenario.verb, scenario.work())
    await real.close()


@pytest.mark.parametrize("name", NAMES)
def test_wherever_the_client_is_killed_the_next_deploy_goes_through(
    lab: SftpLab, name: str, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    site = asyncio.run(lab.anew(scenario.template))
    number = len(dies(lab, scenario, site, 0, later=False))
    moments = [(at, later) for at in range(1, number + 1) for later in (False, True)]
    chosen = some(range(len(moments)), SAMPLE)
    broken: list[str] = []
    for index in chosen:
        at, later = moments[index]
        site = asyncio.run(lab.anew(scenario.template))
        before = lab.before(site, scenario.template)
        made = dies(lab, scenario, site, at, later=later)
        assert len(made) == at
        found = before.broken(asyncio.run(lab.offered(site)), None)
        aged(site)
        found += asyncio.run(lab.next_deploy(site, 10))
        found += before.broken(asyncio.run(lab.offered(site)), None)
        where = f"{'after' if later else 'before'} call {at} ({made[-1]})"
        broken += [f"{where}: {fault}" for fault in found]
    tell(Row("client killed, by SFTP", name, len(moments), len(chosen), len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", NAMES)
async def test_whatever_call_the_server_dies_at_the_guarantees_hold(
    lab: SftpLab, calls: Calls, name: str, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    number = await counted(lab, calls, scenario)
    assert number > 20
    points = some(range(1, number + 1), SAMPLE)
    how = lambda at: {"action": Action.KILL, "first": at}  # noqa: E731 - it is one line
    met, broken = await strikes(lab, calls, scenario, points, how)
    tell(Row("SFTP's server killed at a call on its files", name, number, met, len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
async def test_whatever_call_fails_the_guarantees_hold(
    lab: SftpLab, calls: Calls, name: str, error: int, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    number = await counted(lab, calls, scenario)
    points = some(range(1, number + 1), SAMPLE)
    how = lambda at: {"action": Action.ERRNO, "first": at, "error": error}  # noqa: E731 - as above
    met, broken = await strikes(lab, calls, scenario, points, how)
    told = f"{errno.errorcode[error]} once, by SFTP"
    tell(Row(told, name, number, met, len(broken)))
    assert not broken, "\n".join(broken)
