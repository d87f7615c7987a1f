"""What is SFTP's own: its lock, what it cannot do, and a server that others reach by a shell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import listing
from opsnb.core.address import Address
from opsnb.core.config import Settings
from opsnb.core.events import Outcome
from opsnb.errors import Disconnected, Locked, LockLost, NotReady, StepFailed
from opsnb.remote.sftp.held import SftpHeld
from opsnb.remote.sftp.lock import BEAT, DEAD, Taken
from opsnb.remote.ssh import ssh_remote
from opsnb.server import Server
from tests.faults.guarantees import live, snapshot
from tests.remote.test_contract import (
    ADOPTING,
    ONE,
    ROBBED,
    everything_but_signs_of_life,
    record,
    started,
    stream,
)
from tests.servers.conftest import SftpPlace
from tests.support.disk import small_disk
from tests.support.site import faults, tree
from tests.support.sshd import RealSshd

CONTENDERS = 12


async def take(one: Any, why: str = "a test") -> Any:
    return await one.lock("tester", "here", "now", why)


def place_of(held: Any, where: Path) -> Path:
    """The holder's own directory on the disk."""
    return where / os.fsdecode(held._place)


def aged(path: Path, seconds: float = DEAD + 1.0) -> None:
    """Make the last sign of life that much older; only the server's clock is asked."""
    sign = path / "beat"
    os.utime(sign, (time.time() - seconds,) * 2)


# --- the lock --------------------------------------------------------------------------------


async def test_of_many_contenders_one_wins_each_round(place: SftpPlace, where: Path) -> None:
    remotes = [place.remote(where) for _ in range(CONTENDERS)]
    for one in remotes:
        await one.look()
    tokens = []
    for _round in range(5):
        helds = [held for held in await asyncio.gather(*map(take, remotes)) if held]
        assert len(helds) == 1
        assert len(list((where / ".opsnb" / "held").iterdir())) == 1
        tokens.append(helds[0].token)
        await helds[0].release()
    assert tokens == sorted(set(tokens)), "a token never comes twice"
    assert sorted(path.name for path in (where / ".opsnb").glob("tmp.*")) == []
    for one in remotes:
        await one.close()


async def test_of_many_who_find_a_dead_holder_one_takes_over(place: SftpPlace, where: Path) -> None:
    remotes = [place.remote(where) for _ in range(CONTENDERS)]
    for _round in range(5):
        dead = await take(remotes[0], "dies")
        dead._alive.cancel()
        aged(place_of(dead, where))
        helds = [held for held in await asyncio.gather(*map(take, remotes[1:])) if held]
        assert len(helds) == 1
        with pytest.raises(LockLost):
            await dead.flush()
        await dead.release()
        assert place_of(helds[0], where).is_dir(), "the dead one took nothing with it"
        await helds[0].release()
    for one in remotes:
        await one.close()


async def test_a_holder_gives_signs_of_life_by_the_servers_clock(
    remote: Any, held: Any, place: SftpPlace, where: Path
) -> None:
    """An old sign is a new one again after a beat, and whoever comes then is kept out."""
    aged(place_of(held, where), 1000)
    await asyncio.sleep(BEAT + 1)
    assert time.time() - (place_of(held, where) / "beat").stat().st_mtime < BEAT + 2
    other = place.remote(where)
    assert await take(other) is None
    await other.close()


HOLDING = """
import asyncio, sys
from pathlib import Path
from opsnb.core.address import Address
from opsnb.remote.sftp.remote import sftp_remote

async def main(url, config):
    remote = sftp_remote(Address.parse(url), Path(config), 60, 20)
    assert await remote.lock("doomed", "here", "now", "to be killed")
    print("held", flush=True)
    await asyncio.sleep(600)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_kill_9_of_the_client_frees_the_lock_once_its_last_sign_is_old(
    remote: Any, place: SftpPlace, where: Path
) -> None:
    with started([sys.executable, "-c", HOLDING, place.url(where), str(place.config)]) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"held\n"
        client.kill()
    assert (await remote.look()).holder.who == "doomed"
    assert await take(remote) is None, "too early"
    (dead,) = (where / ".opsnb" / "held").iterdir()
    aged(dead)
    remote._lock._alive = (b"", 0.0)  # it was seen alive a moment ago: that holds for 5 s
    held = await take(remote)
    assert (await remote.look()).holder.who == "tester"
    assert await held.sweep()
    assert not any((where / ".opsnb" / "trash").iterdir())
    await held.release()


async def built(held: Any) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"file": b"x"}))


# What a login without a shell cannot do is refused before anything is asked.
NEEDS_SHELL = {"hook", "private", "publish_guarded", "disarm", "place", *ADOPTING}
REFUSED = {name for name in ROBBED if name in NEEDS_SHELL or name.startswith("config_")}
# Nothing is ever put in place here, so there is nothing to take away.
STEPS = {name: step for name, step in ROBBED.items() if name not in {*REFUSED, "unplace"}}


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_what_needs_a_shell_is_refused_and_changes_nothing(
    held: Any, where: Path, name: str
) -> None:
    await built(held)
    before = everything_but_signs_of_life(where)
    with pytest.raises(NotReady):
        await ROBBED[name](held)
    assert everything_but_signs_of_life(where) == before


async def test_after_a_robbery_every_method_says_so_and_changes_nothing(
    held: Any, place: SftpPlace, where: Path
) -> None:
    await built(held)
    thief = place.remote(where)
    await thief.break_lock((await thief.look()).holder)
    new = await take(thief)
    assert new.token > held.token
    before = everything_but_signs_of_life(where)
    for name, step in STEPS.items():
        with pytest.raises(LockLost):
            await step(held)
        assert everything_but_signs_of_life(where) == before, name
    with pytest.raises(LockLost):
        await thief.break_lock(type((await thief.look()).holder)("", "", "", "", held.token))
    await held.release()
    assert (await thief.look()).holder.token == new.token
    await new.release()
    await thief.close()


class Late(SftpHeld):
    """A robbed holder whose look at its lock came before the robbery, and its step after it."""

    async def _fence(self) -> None:
        return


LATE = ("begin", "make_shared", "store", "forget", "append_audit", "publish", "discard", "flush")


@pytest.mark.parametrize("name", [*LATE, "seed"])
async def test_a_step_that_comes_late_finds_no_path(
    remote: Any, held: Any, place: SftpPlace, where: Path, name: str
) -> None:
    """Nothing that others see changes, though the holder did not notice that it was robbed."""
    await built(held)
    await held.append_audit(b"{}\n")
    late = Late(remote, held._wire, Taken(held._place, held.token), 60)
    thief = place.remote(where)
    await thief.break_lock((await thief.look()).holder)
    new = await take(thief)
    before = everything_but_signs_of_life(where)
    with suppress(StepFailed):
        assert await STEPS[name](late) is False, "it said that it was done"
    assert everything_but_signs_of_life(where) == before
    late._alive.cancel()
    await new.release()
    await thief.close()


async def test_control_a_step_that_goes_past_the_holders_directory_does_come_through(
    held: Any, place: SftpPlace, where: Path
) -> None:
    """A naive publish, which makes its link beside current, is not stopped by the robbery."""
    await built(held)
    thief = place.remote(where)
    await thief.break_lock((await thief.look()).holder)
    await held._wire.symlink(b"releases/" + ONE.encode(), b".naive")
    await held._wire.rename(b".naive", b"current")
    assert live(where) == ONE
    await thief.close()


# --- beside a login with a shell -------------------------------------------------------------


@pytest.fixture
def with_shell(where: Path) -> Any:
    """The same site, for an account with a shell on the same machine."""
    with RealSshd() as sshd:
        shared = sshd.base / "both"
        shared.mkdir()
        sshd.own(shared)
        yield sshd, shared / "site"


async def test_who_has_a_shell_and_who_has_not_keep_each_other_out(with_shell: Any) -> None:
    sshd, site = with_shell
    url = sshd.url(site)
    shell = ssh_remote(Address.parse(url), sshd.ssh_config, 60, 20)
    place = SftpPlace(
        "sftp", site.parent, lambda _: url.replace("ssh:", "sftp:"), sshd.ssh_config, sshd.own
    )
    sftp = place.remote(site)
    for one, other in ((shell, sftp), (sftp, shell)):
        held = await take(one, "mine")
        assert await take(other) is None
        holder = (await other.look()).holder
        assert holder is not None
        assert holder.why == "mine"
        await held.flush()
        await held.release()
        again = await take(other)
        assert again.token > held.token
        holder = (await one.look()).holder
        assert holder is not None
        assert holder.token == again.token
        await again.release()
    for _round in range(8):
        both = [held for held in await asyncio.gather(take(shell), take(sftp)) if held]
        assert len(both) <= 1
        for held in both:
            await held.flush()
            await held.release()
    for one, other in ((shell, sftp), (sftp, shell)):
        held = await take(one, "to be robbed")
        holder = (await other.look()).holder
        assert holder is not None
        await other.break_lock(holder)
        new = await take(other)
        with pytest.raises((LockLost, Disconnected)):
            await held.flush()
        await new.flush()
        await new.release()
    held = await take(sftp, "dies")
    held._alive.cancel()
    aged(place_of(held, site))
    after = await take(shell)
    with pytest.raises(LockLost):
        await held.flush()
    await after.release()
    await shell.close()
    await sftp.close()


def test_releases_made_by_the_one_are_the_others_too(with_shell: Any, tmp_path: Path) -> None:
    sshd, site = with_shell
    shell = Server(sshd.url(site), ssh_config=sshd.ssh_config)
    sftp = Server(sshd.url(site).replace("ssh:", "sftp:"), ssh_config=sshd.ssh_config)
    files = {"a": "1", "b/c": "2" * 5000, "d": "3"}
    for number, server in enumerate((shell, sftp, shell, sftp)):
        files["a"] = str(number)
        report = server.deploy(tree(tmp_path / "source", files)).wait()
        assert report.outcome is Outcome.DONE
        assert report.files == (3 if number == 0 else 1)
        assert faults(site, server) == []
        assert shell.drift() == sftp.drift() == ()
        (site / "current" / "d").write_text(f"written on the server after {number}")
        assert shell.drift() == sftp.drift() == ("d",)
        (site / "current" / "d").write_text("3")
    assert [sftp.rollback().wait().outcome, shell.rollback().wait().outcome] == [Outcome.DONE] * 2
    assert faults(site, sftp) == []
    shell.close()
    sftp.close()


# --- what cannot be ----------------------------------------------------------------------------


WANTS_SHELL = {
    "before_publish": {"before_publish": ["true"]},
    "after_publish": {"after_publish": ["true"]},
    "health": {"health": [{"command": "true"}]},
    "health, watchdog": {"health": [{"tcp": "a:1", "from": "server"}], "watchdog": 60},
}


@pytest.mark.parametrize("what", WANTS_SHELL)
def test_what_would_run_something_is_refused_before_the_first_write(
    place: SftpPlace, where: Path, tmp_path: Path, what: str
) -> None:
    settings = Settings.model_validate(WANTS_SHELL[what])
    server = Server(place.url(where), ssh_config=place.config, settings=settings)
    with pytest.raises(NotReady, match=f"a shell; SFTP alone runs nothing for {what}"):
        server.deploy(tree(tmp_path / "source", {"a": "1"})).wait()
    assert not where.exists()
    for question in (server.usage, lambda: server.run("true", change=True)):
        with pytest.raises(NotReady):
            question()
    assert not where.exists()
    server.close()


def test_one_change_at_a_time_and_a_deploy_that_is_cancelled_leaves_nothing(
    place: SftpPlace, where: Path, tmp_path: Path
) -> None:
    server = Server(place.url(where), ssh_config=place.config)
    other = Server(place.url(where), ssh_config=place.config)
    server.deploy(tree(tmp_path / "source", {"a": "1"})).wait()
    before = snapshot(where / "releases")
    big = tree(tmp_path / "source", {f"f{number}": "x" * 9000 for number in range(900)})
    job = server.deploy(big)
    while not (where / ".opsnb" / "held").exists() or len(snapshot(where / "releases")) < 20:
        time.sleep(0.01)
    with pytest.raises(Locked):
        other.deploy(big).wait()
    job.cancel()
    while not job.done:
        time.sleep(0.01)
    assert job.report is not None
    assert job.report.switched is False
    assert snapshot(where / "releases") == before
    assert other.deploy(big).wait().outcome is Outcome.DONE
    assert faults(where, other) == []
    server.close()
    other.close()


def test_a_full_disk_can_be_pruned(place: SftpPlace, where: Path, tmp_path: Path) -> None:
    with small_disk(where, "3m") as disk:
        place.own(disk)
        server = Server(place.url(where), ssh_config=place.config)
        for number in range(3):
            files = {"a": str(number), "b": "x" * 300_000}
            server.deploy(tree(tmp_path / "source", files)).wait()
        full = disk / "shared" / "full"
        with suppress(OSError), full.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        assert os.statvfs(disk).f_bavail == 0
        assert len(server.prune(1).wait().removed) == 1
        assert faults(where, server) == []
        full.unlink()
        assert server.deploy(tree(tmp_path / "source", {"a": "4"})).wait().outcome is Outcome.DONE
        server.close()


def test_a_server_without_the_extensions_that_it_takes_is_refused_by_their_names(
    where: Path, tmp_path: Path
) -> None:
    """OpenSSH, forbidden one of them (``-P``), and an address of which nothing is there."""
    with RealSshd(options=["ForceCommand internal-sftp -P posix-rename"]) as sshd:
        site = sshd.home / "site"
        url = sshd.url(site).replace("ssh:", "sftp:")
        server = Server(url, ssh_config=sshd.ssh_config)
        with pytest.raises(NotReady, match="posix-rename"):
            server.deploy(tree(tmp_path / "source", {"a": "1"})).wait()
        assert [finding.item for finding in server.findings() if not finding.ok][:1] == ["tools"]
        assert not site.exists()
        server.close()


async def test_a_listing_tells_what_find_does(held: Any, where: Path) -> None:
    """Kind, mode, size and time in whole seconds of every path, as GNU find has them."""
    await built(held)
    await held.link(ONE, [b"deep/up"])
    told = await asyncio.to_thread(found, where / "releases" / ONE)
    seen = listing.read(await held.finish(ONE))
    entries = [item.entry for item in seen.values()]
    assert told == {(e.path, str(e.kind)[0], e.mode, e.size) for e in entries if e.target == b""}
    assert seen[b"deep/up"].entry.target == b"../../../shared/deep/up"


def found(folder: Path) -> set[tuple[bytes, str, int, int]]:
    """What GNU find tells of files and directories."""
    shape = ["-type", "d", "-printf", "d %m 0 %P\n", "-o", "-type", "f", "-printf", "f %m %s %P\n"]
    told = subprocess.run(
        ["find", ".", "-mindepth", "1", *shape], cwd=folder, capture_output=True, check=True
    ).stdout
    lines = [line.split(b" ", 3) for line in told.splitlines()]
    return {(path, kind.decode(), int(mode, 8), int(size)) for kind, mode, size, path in lines}
