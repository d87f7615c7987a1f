"""Faults and deaths by SFTP alone, over OpenSSH's server: the guarantees are those of a shell."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import shutil
import signal
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import audit
from opsnb.core.address import Address
from opsnb.core.config import Settings
from opsnb.core.events import Outcome
from opsnb.core.plan import Wish
from opsnb.core.retention import Rules
from opsnb.engine.asked import given
from opsnb.engine.change import Change
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.source import scan
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.engine.telling import Actor
from opsnb.errors import NotRestored, OpsnbError, RemoteError, StepFailed, StepTimedOut
from opsnb.remote.base import Patched
from opsnb.remote.sftp.lock import DEAD
from opsnb.remote.sftp.remote import sftp_remote
from tests.faults.calls import Action, Calls
from tests.faults.conftest import Tell
from tests.faults.faulty import KINDS, MORE, Faulty, Plot
from tests.faults.guarantees import debris, good, live, snapshot
from tests.faults.lab import (
    Lab,
    Scenario,
    change,
    folder,
    in_memory,
    some,
    strangers,
    unchained,
)
from tests.faults.strike import counted, strikes
from tests.faults.test_log import (
    said_by_check,
    said_by_the_next_change,
    torn_record_is_forgotten,
)
from tests.support.matrix import Row
from tests.support.site import unlike
from tests.support.sshd import RealSshd, absent

SETTINGS = Settings.model_validate({"keep_releases": 3})
SAMPLE = 8


def deploying(folder: Path) -> DeployWork:
    """A deploy that needs no command on the server."""
    scanned = scan(folder)
    wish = Wish(scanned.manifest, str(folder), SETTINGS, revision="r", by="tester", host="here")
    return DeployWork(Order(given(wish, scanned)))


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
            Scenario("prune", "site", "prune", lambda: PruneWork(Rules(1))),
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


# --- what was found by reading ------------------------------------------------------------------

ONE = "20260101000000"
RECORDED = json.dumps({"name": ONE, "state": "unfinished"}).encode() + b"\n"


@pytest.fixture
async def site(lab: SftpLab) -> Path:
    """A site with releases."""
    return await lab.anew("site", "read")


@pytest.fixture
async def remote(lab: SftpLab, site: Path) -> AsyncIterator[Any]:
    made = lab.remote(site)
    yield made
    await made.close()


@pytest.fixture
async def held(remote: Any) -> AsyncIterator[Any]:
    taken = await remote.lock("tester", "here", "now", "a test")
    yield taken
    with suppress(OpsnbError):
        await taken.release()


async def test_a_switch_whose_lock_is_lost_before_the_flush_is_not_told_as_not_done(
    lab: SftpLab, remote: Any, site: Path
) -> None:
    """The step after it says that the lock is lost; where current leads is true."""

    class Robbed(Faulty):
        """Robbed between the rename of a switch and its flush."""

        async def _call(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
            if name == "publish":
                held = self._real
                flushed, held._flushed = held._flushed, None

                async def late() -> None:
                    thief = lab.remote(site)
                    await thief.break_lock((await thief.look()).holder)
                    await thief.close()
                    await flushed()

                held._flushed = late
            answer = await super()._call(name, real, args, kwargs)
            return Robbed(answer._real, self._plot) if isinstance(answer, Faulty) else answer

    before = live(site)
    report, error = await change(Robbed(remote, Plot()), "rollback", RollbackWork(SETTINGS))
    assert live(site) != before
    assert isinstance(error, NotRestored)
    assert (report.switched, report.live) == (True, live(site))


async def test_what_is_behind_a_link_in_place_of_the_trash_is_left_alone(
    held: Any, site: Path, sshd: RealSshd
) -> None:
    precious = site.parent / "precious"
    shutil.rmtree(precious, ignore_errors=True)
    (precious / "folder").mkdir(parents=True)
    (precious / "folder" / "file").write_text("precious")
    sshd.own(precious)
    trash = site / ".opsnb" / "trash"
    shutil.rmtree(trash)
    trash.symlink_to(precious)
    await held.sweep()
    assert (precious / "folder" / "file").read_text() == "precious"
    trash.unlink()


@pytest.mark.parametrize("step", ["drop", "bring", "modes", "patch", "unpack"])
async def test_no_step_goes_through_a_link_in_the_release(
    held: Any, site: Path, sshd: RealSshd, step: str
) -> None:
    """``sub`` is a link into shared/ in the release that is built, a directory in the other."""
    base = live(site)
    (name,) = os.listdir(site / "releases" / base / "sub")
    await held.begin(ONE, RECORDED)
    (site / "releases" / ONE / "sub").symlink_to("../../shared/uploads")
    (site / "shared" / "uploads" / name).write_text("precious")
    sshd.own(site / "shared")
    before = snapshot(site / "shared")
    path = b"sub/" + os.fsencode(name)

    async def sent(content: bytes) -> AsyncIterator[bytes]:
        yield content

    steps = {
        "drop": lambda: held.drop(ONE, [path]),
        "bring": lambda: held.bring(base, ONE, [path]),
        "modes": lambda: held.modes(ONE, [(path, 0o600)]),
        "patch": lambda: held.patch(base, ONE, Patched(path, 0o600, 1), sent(b"put 0 3\nnewend\n")),
        "unpack": lambda: held.unpack(ONE, sent(tarred(path))),
    }
    with suppress(StepFailed):
        await steps[step]()
    assert snapshot(site / "shared") == before


def tarred(path: bytes) -> bytes:
    """A tar stream of one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo(os.fsdecode(path))
        member.size, member.mode = 3, 0o644
        tar.addfile(member, io.BytesIO(b"new"))
    return made.getvalue()


async def test_a_tree_deeper_than_python_recurses_is_removed(
    held: Any, site: Path, sshd: RealSshd
) -> None:
    await held.begin(ONE, RECORDED)
    place = os.open(site / "releases" / ONE, os.O_RDONLY)
    for _ in range(1050):
        os.mkdir("d", dir_fd=place)
        os.chown("d", sshd.uid, sshd.gid, dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    assert await held.discard([ONE])
    assert not (site / "releases" / ONE).exists()
    assert not any((site / ".opsnb" / "held").glob("*/gone.*"))


async def test_who_holds_the_lock_from_a_clock_that_was_set_back_and_is_dead_loses_it(
    lab: SftpLab, remote: Any, held: Any, site: Path
) -> None:
    """The dead one's last sign is from the future."""
    held.give_up()
    (sign,) = (site / ".opsnb").glob("held/*/beat")
    os.utime(sign, (time.time() + 3600,) * 2)
    other = lab.remote(site)
    taken = await other.lock("other", "here", "now", "a test")
    assert taken is not None
    await taken.release()
    await other.close()


async def test_the_description_of_a_shell_that_took_the_lock_meanwhile_stays(
    lab: SftpLab, remote: Any, site: Path, sshd: RealSshd
) -> None:
    """Somebody with a shell waited for the lock that was taken away; a third finds it taken."""
    local = [folder(site), folder(site)]
    first = await local[0].lock("first", "here", "now", "to be robbed")
    assert first is not None
    sshd.own(site / ".opsnb")

    async def waiting() -> Any:
        while (found := await local[1].lock("second", "here", "now", "waits")) is None:  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.1)
        return found

    waits = asyncio.create_task(waiting())
    await asyncio.sleep(0.3)
    await remote.break_lock((await remote.look()).holder)
    second = await waits
    assert await remote.lock("third", "here", "now", "beside") is None
    await second.flush()
    await second.release()
    with suppress(OpsnbError):
        await first.release()
    for one in local:
        await one.close()


async def test_a_session_that_ended_between_two_changes_is_begun_again(
    remote: Any, site: Path
) -> None:
    first = await remote.lock("tester", "here", "now", "one")
    await first.release()
    await remote._connection.hang_up()
    again = await remote.lock("tester", "here", "now", "two")
    await again.flush()
    await again.release()


async def test_a_server_that_stands_still_does_not_keep_the_client(
    lab: SftpLab, site: Path, sshd: RealSshd
) -> None:
    """sftp-server is stopped while the lock is given back: that has a deadline."""
    address = Address.parse(f"sftp://{sshd.alias}{site}")
    remote = sftp_remote(address, sshd.ssh_config, 1, 20)
    held = await remote.lock("tester", "here", "now", "a test")
    assert held is not None
    stopped = servers_below(sshd)
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(StepTimedOut):
                await held.release()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        await remote.close()


def servers_below(sshd: RealSshd) -> list[int]:
    """The sftp-servers that this sshd started."""
    assert sshd._process is not None
    top = sshd._process.pid
    above: dict[int, tuple[int, str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            above[int(path.parent.name)] = int(rest.split()[1]), name.partition("(")[2]

    def ours(pid: int) -> bool:
        while pid > 1:
            if pid == top:
                return True
            pid = above.get(pid, (0, ""))[0]
        return False

    return [pid for pid, (_, name) in above.items() if name == "sftp-server" and ours(pid)]


async def test_a_file_that_says_it_is_small_and_has_no_end_is_not_read_for_ever(
    held: Any,
) -> None:
    """What says that it is empty, and is not, is what the kernel's own files are."""
    with pytest.raises(RemoteError, match="no end"):
        await held._wire.text(b"/dev/zero", most=1 << 20)


async def test_a_sign_of_life_comes_beside_a_step_that_the_server_takes_long_for(
    held: Any, site: Path, sshd: RealSshd
) -> None:
    """The holder's own sftp-server stands still, as in the flush of a large file."""
    (sign,) = (site / ".opsnb").glob("held/*/beat")
    stopped = servers_below(sshd)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        os.utime(sign, (1, 1))
        async with asyncio.timeout(30):
            while sign.stat().st_mtime < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def elsewhere(site: Path, sshd: RealSshd) -> Iterator[Path]:
    """A directory on another file system."""
    with tempfile.TemporaryDirectory(prefix="opsnb-shared-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        if Path(made).stat().st_dev == site.stat().st_dev:
            pytest.skip("there is but one file system here")
        sshd.own(Path(made))
        yield Path(made)


async def test_a_directory_is_made_in_shared_on_another_file_system(
    held: Any, site: Path, elsewhere: Path
) -> None:
    """There it cannot be renamed into place."""
    shutil.rmtree(site / "shared")
    (site / "shared").symlink_to(elsewhere)
    await held.make_shared(b"a/b")
    assert (elsewhere / "a" / "b").is_dir()


async def test_a_torn_last_line_of_the_log_is_put_aside_and_said(lab: SftpLab) -> None:
    site = await lab.anew("site")
    log = site / ".opsnb" / "audit.jsonl"
    before = log.read_bytes()
    log.write_bytes(before + b'{"at": "2026')
    assert await said_by_the_next_change(lab, site) == [audit.MENDED]
    assert "audit.torn" in await said_by_check(lab, site)
    after = log.read_bytes()
    assert after.startswith(before)
    assert list(audit.verify(after)) == []
    assert [entry["what"] for entry in audit.read(after)][-2:] == ["log.mended", "pin.done"]
    assert await said_by_the_next_change(lab, site) == []


async def test_a_record_that_a_power_cut_has_torn_is_forgotten(lab: SftpLab) -> None:
    await torn_record_is_forgotten(lab, await lab.anew("site"), b"")
