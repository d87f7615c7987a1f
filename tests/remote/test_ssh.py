"""SSH to a real sshd: whom opsnb trusts, how it says no, how many connections it makes."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from opsnb.core.address import Address
from opsnb.core.events import Outcome
from opsnb.errors import ConnectError, HostKeyError, LoginError
from opsnb.remote.local import local_remote
from opsnb.remote.shell import Pipes
from opsnb.remote.ssh import SshConnection, ssh_remote
from opsnb.remote.sshpipes import SshPipes
from opsnb.server import Server
from tests.support.proxy import Relay
from tests.support.sshd import RealSshd, require


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "index").write_text("one")
    return folder


def configured(sshd: RealSshd, folder: Path, known: str, extra: str = "") -> Path:
    """An ssh_config that reads another known_hosts file."""
    config, hosts = folder / "ssh_config", folder / "known_hosts"
    hosts.write_text(known)
    config.write_text(
        f"{extra}IdentityFile {sshd.client_key}\nIdentitiesOnly yes\nUserKnownHostsFile {hosts}\n"
    )
    return config


def server(sshd: RealSshd, config: Path, user: str = "") -> Server:
    return Server(f"ssh://{user or sshd.user}@127.0.0.1:{sshd.port}/srv/x", ssh_config=config)


def key_line(folder: Path, host: str) -> str:
    """A known_hosts line with another key."""
    keygen = require("ssh-keygen")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / "other"], check=True)
    return f"{host} {(folder / 'other.pub').read_text()}"


def test_an_unknown_host_key_is_refused_with_its_fingerprint_before_any_login(
    sshd: RealSshd, tmp_path: Path
) -> None:
    before = sshd.log()
    with pytest.raises(HostKeyError, match="SHA256:") as refused:
        server(sshd, configured(sshd, tmp_path, "")).look()
    assert "unknown" in refused.value.message
    assert "connect once with ssh" in refused.value.hint
    shown = subprocess.run(
        [require("ssh-keygen"), "-l", "-f", sshd.known_hosts],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split()[1] in refused.value.message
    assert "Accepted" not in sshd.log()[len(before) :]
    assert "Failed" not in sshd.log()[len(before) :]


def test_a_changed_host_key_says_so(sshd: RealSshd, tmp_path: Path) -> None:
    line = key_line(tmp_path, f"[127.0.0.1]:{sshd.port}")
    with pytest.raises(HostKeyError, match="CHANGED"):
        server(sshd, configured(sshd, tmp_path, line)).look()


def test_a_revoked_host_key_is_refused(sshd: RealSshd, tmp_path: Path) -> None:
    known = sshd.known_hosts.read_text()
    with pytest.raises(HostKeyError):
        server(sshd, configured(sshd, tmp_path, f"{known}@revoked {known}")).look()


def test_a_hashed_known_hosts_file_is_understood(sshd: RealSshd, tmp_path: Path) -> None:
    config = configured(sshd, tmp_path, sshd.known_hosts.read_text())
    subprocess.run(
        [require("ssh-keygen"), "-q", "-H", "-f", tmp_path / "known_hosts"],
        check=True,
        capture_output=True,
    )
    assert "127.0.0.1" not in (tmp_path / "known_hosts").read_text()
    one = server(sshd, config)
    assert one.look().user == sshd.user
    one.close()


def test_a_configuration_that_switches_the_check_off_is_refused(
    sshd: RealSshd, tmp_path: Path
) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(f"IdentityFile {sshd.client_key}\nUserKnownHostsFile none\n")
    with pytest.raises(HostKeyError, match="UserKnownHostsFile none"):
        server(sshd, config).look()


def test_a_refused_login_says_who_was_refused(sshd: RealSshd, tmp_path: Path) -> None:
    config = configured(sshd, tmp_path, sshd.known_hosts.read_text())
    with pytest.raises(LoginError, match="nobody-here"):
        server(sshd, config, user="nobody-here").look()


def test_a_closed_port_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectError, match="cannot connect"):
        Server(f"ssh://x@127.0.0.1:{port}/srv/x").look()


def test_a_silent_server_fails_by_the_deadline(tmp_path: Path) -> None:
    from opsnb.core.config import Settings

    settings = Settings.model_validate({"connect_timeout": 1})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = time.monotonic()
        with pytest.raises(ConnectError, match="within 1 s"):
            Server(
                f"ssh://x@127.0.0.1:{listening.getsockname()[1]}/srv/x", settings=settings
            ).look()
        assert time.monotonic() - began < 20


def test_a_host_alias_of_the_ssh_config_is_followed(sshd: RealSshd) -> None:
    one = Server(f"ssh://{sshd.alias}/srv/x", ssh_config=sshd.ssh_config)
    assert one.look().user == sshd.user
    one.close()


@pytest.mark.parametrize("name", ["", "  HostName LocalHost\n"], ids=["host", "alias"])
def test_capitals_match_the_ssh_config_and_the_known_host_in_small_letters(
    sshd: RealSshd, tmp_path: Path, name: str
) -> None:
    host = "Web1" if name else "LocalHost"
    known = sshd.known_hosts.read_text()
    key = next(line.split(" ", 1)[1] for line in known.splitlines() if "ed25519" in line)
    extra = f"Host {host}\n{name}  Port {sshd.port}\n  User {sshd.user}\n"
    config = configured(sshd, tmp_path, f"[localhost]:{sshd.port} {key}\n", extra)
    one = Server(f"ssh://{host}/srv/x", ssh_config=config)
    assert one.look().user == sshd.user
    one.close()


def test_a_jump_host_is_used_and_its_key_is_checked(sshd: RealSshd, tmp_path: Path) -> None:
    with RealSshd() as jump:
        known = jump.known_hosts.read_text() + sshd.known_hosts.read_text()
        keys = f"IdentityFile {jump.client_key}\n"
        extra = f"{keys}Host inner\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n"
        extra += f"  ProxyJump {jump.user}@127.0.0.1:{jump.port}\nHost *\n"
        one = Server("ssh://inner/srv/x", ssh_config=configured(sshd, tmp_path, known, extra))
        assert one.look().user == sshd.user
        one.close()
        assert "Accepted publickey" in jump.log()
        without = configured(sshd, tmp_path, sshd.known_hosts.read_text(), extra)
        with pytest.raises(HostKeyError, match="SHA256:"):
            Server("ssh://inner/srv/x", ssh_config=without).look()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own ssh_config is, in a home with nothing else."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home" / ".ssh" / "config"


def test_the_user_s_own_configuration_cannot_switch_the_check_off(
    sshd: RealSshd, own: Path
) -> None:
    own.write_text(f"IdentityFile {sshd.client_key}\nUserKnownHostsFile none\n")
    with pytest.raises(HostKeyError, match="UserKnownHostsFile none"):
        Server(sshd.url()).look()


def test_a_jump_host_of_the_user_s_own_configuration_is_used_and_checked(
    sshd: RealSshd, own: Path, tmp_path: Path
) -> None:
    with RealSshd() as jump:
        known = jump.known_hosts.read_text() + sshd.known_hosts.read_text()
        extra = f"IdentityFile {jump.client_key}\nHost inner\n  HostName 127.0.0.1\n"
        extra += f"  Port {sshd.port}\n  User {sshd.user}\n"
        extra += f"  ProxyJump {jump.user}@127.0.0.1:{jump.port}\nHost *\n"
        configured(sshd, tmp_path, known, extra).rename(own)
        one = Server("ssh://inner/srv/x")
        assert one.look().user == sshd.user
        one.close()
        assert "Accepted publickey" in jump.log()
        (tmp_path / "known_hosts").write_text(sshd.known_hosts.read_text())
        with pytest.raises(HostKeyError, match="SHA256:"):
            Server("ssh://inner/srv/x").look()


def test_a_whole_deploy_takes_one_connection(sshd: RealSshd, source: Path) -> None:
    with Relay(sshd.port) as relay:
        one = Server(f"ssh://web1{sshd.home}/counted", ssh_config=sshd.via(relay.port))
        for text in ("two", "three"):
            (source / "index").write_text(text)
            assert one.deploy(source).wait().outcome is Outcome.DONE
        one.rollback().wait()
        one.look()
        one.close()
        assert relay.accepted == 1


def test_a_connection_that_died_while_idle_is_made_again_for_a_question(sshd: RealSshd) -> None:
    with Relay(sshd.port) as relay:
        one = Server(f"ssh://web1{sshd.home}/idle", ssh_config=sshd.via(relay.port))
        one.look()
        relay.cut()
        assert one.look().user == sshd.user
        assert relay.accepted == 2
        one.close()


def test_two_sessions_on_a_connection_are_enough(source: Path) -> None:
    with RealSshd(options={"MaxSessions": "2"}) as small:
        one = Server(small.url(), ssh_config=small.ssh_config)
        assert one.deploy(source).wait().outcome is Outcome.DONE
        one.close()


def test_many_connections_at_once_get_through_a_small_maxstartups() -> None:
    with RealSshd(options={"MaxStartups": "3:30:10"}) as small:
        servers = [Server(small.url(), ssh_config=small.ssh_config) for _ in range(6)]

        async def all_of_them() -> list[object]:
            return await asyncio.gather(*(asyncio.to_thread(one.look) for one in servers))

        assert len(asyncio.run(all_of_them())) == 6
        for one in servers:
            one.close()


@pytest.mark.parametrize("after", [200, 2_000, 6_000, 12_000, 20_000, 30_000, 40_000])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_link_cut_at_any_byte_gives_a_true_verdict_and_the_next_deploy_succeeds(
    sshd: RealSshd, source: Path, direction: str, after: int
) -> None:
    where = f"{sshd.home}/cut-{direction}-{after}"
    straight = Server(f"ssh://web1{where}", ssh_config=sshd.ssh_config)
    first = straight.deploy(source).wait()
    (source / "index").write_text("two" * 5000)
    with Relay(sshd.port) as relay:
        one = Server(f"ssh://web1{where}", ssh_config=sshd.via(relay.port))
        one.look()
        relay.cut_after(**{direction: after})
        job = one.deploy(source)
        while not job.done:
            time.sleep(0.05)
        report = job.report
        one.close()
    assert report is not None
    site = straight.look()
    live = site.live
    assert live is not None
    assert live.complete
    if report.switched is not None:
        assert (site.current.name == report.release) is report.switched
        assert (site.current.name == first.release) is not report.switched
    (source / "index").write_text("three")
    assert straight.deploy(source).wait().outcome is Outcome.DONE
    assert straight.look().debris == 0
    assert straight.verify_log() == []
    straight.close()


async def test_a_session_that_does_not_begin_leaves_those_that_run_alone(sshd: RealSshd) -> None:
    """An upload may fill the line, so that another session is answered late."""
    line = SshConnection(Address.parse(sshd.url()), sshd.ssh_config, 3)
    asked: list[object] = []

    async def late(connection: asyncssh.SSHClientConnection) -> Pipes:
        asked.append(connection)
        if len(asked) == 1:
            await asyncio.sleep(30)
        return SshPipes(await connection.create_process("exec /bin/sh -s", encoding=None))

    try:
        running = await line.dial()
        beside = await line._session(late)
        assert len(set(asked)) == 2
        for pipes in (running, beside):
            await pipes.write(b"echo here; exit\n")
            assert await pipes.read_out() == b"here\n"
    finally:
        await line.hang_up()


@pytest.mark.parametrize("over", ["ssh", "here"])
async def test_a_question_that_is_ended_ends_no_change(
    sshd: RealSshd, tmp_path: Path, over: str
) -> None:
    path = str(sshd.home / "asked") if over == "ssh" else str(tmp_path / "asked")
    there = ssh_remote(Address.parse(sshd.url(path)), sshd.ssh_config, 20, 20)
    remote = there if over == "ssh" else local_remote(path, 20, 20)
    try:
        held = await remote.lock("tester", "here", "now", "a test")
        assert held
        await remote.look()
        for shell in (remote._shell, remote._shell):
            assert shell
            first = asyncio.create_task(remote.ask("look"))
            second = asyncio.create_task(remote.ask("look"))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).status == 0
        assert not held.broken
        await held.flush()
        await held.release()
    finally:
        await remote.close()


async def test_a_server_whose_sessions_hang_does_not_gather_connections(sshd: RealSshd) -> None:
    line = SshConnection(Address.parse(sshd.url()), sshd.ssh_config, 1)
    asked: list[asyncssh.SSHClientConnection] = []

    async def hangs(connection: asyncssh.SSHClientConnection) -> None:
        asked.append(connection)
        await asyncio.sleep(30)

    try:
        running = await line.dial()
        for _ in range(2):
            with pytest.raises(ConnectError):
                await line._session(hangs)
        await asyncio.sleep(0.2)
        first, *others = dict.fromkeys(asked)
        assert len(others) >= 2
        assert all(other.is_closed() for other in others)
        assert not first.is_closed()  # something runs on it
        await running.close()
        line._tidy()
        await asyncio.wait_for(first.wait_closed(), 20)
    finally:
        await line.hang_up()


async def test_a_shell_that_stands_by_goes_with_the_one_for_questions(sshd: RealSshd) -> None:
    """What broke the one may have met the other, too: a change would wait for a dead one."""
    remote = ssh_remote(Address.parse(sshd.url()), sshd.ssh_config, 20, 20)
    try:
        await remote.glance()
        stands_by, asking = remote._next, remote._shell
        assert stands_by
        assert asking
        standing_by = await stands_by
        await asking.close()
        await remote.look()
        assert remote._next is None
        assert standing_by.broken
        held = await remote.lock("tester", "here", "now", "a test")
        assert held
        await held.release()
    finally:
        await remote.close()
