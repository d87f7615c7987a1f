"""The embedded SSH server, asked by asyncssh's client and by OpenSSH's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import OpsnbError
from tests.support.sshd import require

Client = asyncssh.SSHClientConnection
SIZE = 50_000_000  # bytes
TEN_SECONDS = 10.0


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text() if Path("/proc").is_dir() else None
        os.kill(pid, 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return status is None or status.rpartition(")")[2].split()[0] != "Z"


def soon(true: Callable[[], bool]) -> bool:
    """Whether something comes true within ten seconds."""
    until = time.monotonic() + TEN_SECONDS
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


async def pids_of(process: asyncssh.SSHClientProcess[str], count: int) -> list[int]:
    line = await asyncio.wait_for(process.stdout.readline(), TEN_SECONDS)
    pids = [int(word) for word in line.split()]
    assert len(pids) == count
    assert all(alive(pid) for pid in pids)
    return pids


# ---- what it says about itself ----


def test_the_address_names_user_port_and_deploy_to(server: EmbeddedServer) -> None:
    assert server.url == f"ssh://demo@127.0.0.1:{server.port}{server.root}/shop"
    assert server.deploy_to.is_dir()


def test_only_the_owner_can_enter_the_folder_or_read_the_key(server: EmbeddedServer) -> None:
    assert stat.S_IMODE(server.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.client_key.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.client_key.stat().st_mode) == 0o600


def test_the_keys_lie_outside_of_what_is_deployed(server: EmbeddedServer) -> None:
    for file in (server.client_key, server.known_hosts, server.ssh_config):
        assert not file.is_relative_to(server.root)


def test_a_server_that_was_never_started_has_no_address() -> None:
    with pytest.raises(OpsnbError, match="has not been started"):
        _ = EmbeddedServer().url


# ---- commands ----


async def test_a_command_runs_in_the_home_directory(server: EmbeddedServer, client: Client) -> None:
    ran = await client.run('pwd; echo "$HOME"; echo "$USER"')
    assert ran.stdout == f"{server.root}\n{server.root}\ndemo\n"


async def test_the_environment_is_small_and_clean(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "1")
    ran = await client.run("env | sed 's/=.*//' | sort")
    names = set(str(ran.stdout).split()) - {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names == {"HOME", "LC_ALL", "LOGNAME", "PATH", "SHELL", "USER"}


@pytest.mark.parametrize("status", [0, 1, 7, 126, 255])
async def test_the_exit_status_is_reported(client: Client, status: int) -> None:
    assert (await client.run(f"exit {status}")).exit_status == status


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
async def test_a_death_by_signal_is_reported_as_one(client: Client, name: str) -> None:
    ran = await client.run(f"ulimit -c 0; kill -{name} $$")
    assert ran.exit_signal is not None
    assert ran.exit_signal[0] == name


async def test_a_signal_reaches_the_whole_group(client: Client) -> None:
    async with client.create_process("sleep 300 & echo $$ $!; wait") as process:
        pids = await pids_of(process, 2)
        process.send_signal("TERM")
        await process.wait(timeout=TEN_SECONDS)
    assert process.exit_signal is not None
    assert process.exit_signal[0] == "TERM"
    assert soon(lambda: not any(map(alive, pids)))


async def test_output_and_errors_stay_apart(client: Client) -> None:
    ran = await client.run("echo out; echo err >&2")
    assert (ran.stdout, ran.stderr) == ("out\n", "err\n")


async def test_the_end_of_input_is_passed_on(client: Client) -> None:
    ran = await client.run("cat; echo end", input="begin\n", timeout=TEN_SECONDS)
    assert ran.stdout == "begin\nend\n"


async def test_a_shell_request_reads_commands_from_input(client: Client) -> None:
    ran = await client.run(None, input="echo $((6 * 7))\nexit 5\n", timeout=TEN_SECONDS)
    assert (ran.stdout, ran.exit_status) == ("42\n", 5)


async def test_a_command_that_does_not_read_its_input_still_ends(client: Client) -> None:
    ran = await client.run(
        "exec <&-; sleep 0.1; exit 3", input=bytes(5_000_000), encoding=None, timeout=TEN_SECONDS
    )
    assert ran.exit_status == 3


async def test_a_watcher_that_holds_the_input_open_does_not_delay_the_end(client: Client) -> None:
    watched = "exec 3<&0; { cat <&3; kill -9 0; } >/dev/null 2>&1 3<&0 & echo done; exit 4"
    async with client.create_process(watched) as process:
        ran = await process.wait(timeout=TEN_SECONDS)
    assert (ran.stdout, ran.exit_status) == ("done\n", 4)


async def test_a_command_that_cannot_be_started_says_why(client: Client) -> None:
    ran = await client.run("true " + "x" * 200_000)
    assert ran.exit_status == 126
    assert "too long" in str(ran.stderr)


async def test_fifty_megabytes_go_out_unchanged(client: Client) -> None:
    want = hashlib.sha256(bytes(range(250)) * (SIZE // 250)).hexdigest()
    write = f"{sys.executable} -c 'import sys; sys.stdout.buffer.write(bytes(range(250))*200000)'"
    got = hashlib.sha256()
    async with client.create_process(write, encoding=None) as process:
        while data := await process.stdout.read(1 << 18):
            got.update(data)
    assert got.hexdigest() == want


async def test_fifty_megabytes_come_in_unchanged(server: EmbeddedServer, client: Client) -> None:
    data = os.urandom(SIZE)
    ran = await client.run("cat > big", input=data, encoding=None)
    assert ran.exit_status == 0
    assert (
        hashlib.sha256((server.root / "big").read_bytes()).digest() == hashlib.sha256(data).digest()
    )
    (server.root / "big").unlink()


async def test_both_directions_flow_at_once(client: Client) -> None:
    data = os.urandom(5_000_000)
    ran = await client.run("cat", input=data, encoding=None)
    assert ran.stdout == data


async def test_a_reader_that_stops_holds_the_writer_back(
    server: EmbeddedServer, client: Client
) -> None:
    write = "i=0; while [ $i -lt 200 ]; do head -c 100000 /dev/zero; i=$((i+1)); echo $i >n; done"
    async with client.create_process(write, encoding=None) as process:
        written = server.root / "n"
        assert soon(written.exists)
        before = -1
        while (now := int(written.read_text() or 0)) != before:
            before = now
            await asyncio.sleep(0.3)
        assert before < 100  # of 200: client window, server window and pipe are full
        total = 0
        while data := await process.stdout.read(1 << 18):
            total += len(data)
    assert total == 20_000_000


async def test_a_command_that_stops_reading_holds_the_client_back(client: Client) -> None:
    chunk = bytes(100_000)

    async def send_ten_megabytes() -> None:
        for _ in range(100):
            process.stdin.write(chunk)
            await process.stdin.drain()

    async with client.create_process("sleep 300", encoding=None) as process:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_ten_megabytes(), 0.5)
        process.channel.abort()


# ---- the end of commands ----


async def test_closing_the_channel_kills_the_whole_group(client: Client) -> None:
    async with client.create_process("trap '' HUP TERM; sleep 300 & echo $$ $!; wait") as process:
        pids = await pids_of(process, 2)
        process.channel.abort()
        assert await asyncio.to_thread(soon, lambda: not any(map(alive, pids)))


async def test_losing_the_connection_kills_the_whole_group(server: EmbeddedServer) -> None:
    async with asyncssh.connect(server.host, config=[str(server.ssh_config)]) as connection:
        process = await connection.create_process("sleep 300 & echo $$ $!; wait")
        pids = await pids_of(process, 2)
        connection.abort()
        assert await asyncio.to_thread(soon, lambda: not any(map(alive, pids)))


async def test_what_a_command_leaves_in_the_background_ends_with_it(client: Client) -> None:
    ran = await client.run("sleep 300 >/dev/null 2>&1 & echo $!")
    assert soon(lambda: not alive(int(str(ran.stdout))))


async def test_stop_ends_commands_and_leaves_nothing() -> None:
    await asyncio.to_thread(time.sleep, 0)  # the test's own loop has its helper thread now
    before = set(threading.enumerate())
    server = EmbeddedServer().start()
    connection = await asyncssh.connect(server.host, config=[str(server.ssh_config)])
    process = await connection.create_process("sleep 300 & echo $$ $!; wait")
    pids = await pids_of(process, 2)
    await asyncio.to_thread(server.stop)
    await asyncio.wait_for(connection.wait_closed(), TEN_SECONDS)
    assert soon(lambda: not any(map(alive, pids)))
    assert not server.root.exists()
    assert not server.client_key.parent.exists()
    assert soon(lambda: set(threading.enumerate()) <= before)


# ---- who gets in ----


async def test_another_key_is_refused(server: EmbeddedServer) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(server, username="demo", client_keys=[key])


@pytest.mark.parametrize("user", ["root", "", "Demo"])
async def test_another_user_is_refused(server: EmbeddedServer, user: str) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(server, username=user, client_keys=[str(server.client_key)])


async def test_a_password_is_refused(server: EmbeddedServer) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(server, username="demo", password="demo", client_keys=None)


async def test_the_key_of_another_server_is_not_taken_for_this_one(server: EmbeddedServer) -> None:
    with EmbeddedServer() as other, pytest.raises(asyncssh.HostKeyNotVerifiable):
        await asyncssh.connect(
            server.host,
            server.port,
            username="demo",
            client_keys=[str(server.client_key)],
            known_hosts=str(other.known_hosts),
            config=[],
        )


async def connect(server: EmbeddedServer, **settings: object) -> None:
    async with asyncssh.connect(
        server.host,
        server.port,
        known_hosts=str(server.known_hosts),
        config=[],
        agent_path=None,
        **settings,
    ):
        pytest.fail("it let us in")


# ---- SFTP ----


async def test_sftp_and_commands_see_the_same_paths(
    server: EmbeddedServer, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "here").write_bytes(b"\x00\xff" * 1000)
    async with client.start_sftp_client() as sftp:
        await sftp.put(tmp_path / "here", f"{server.root}/there")
        await sftp.get("there", tmp_path / "back")
        assert await sftp.realpath(".") == str(server.root)
        await sftp.remove("there")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()


async def test_sftp_keeps_a_relative_link_relative(server: EmbeddedServer, client: Client) -> None:
    async with client.start_sftp_client() as sftp:
        await sftp.symlink("releases/1", "shop/next")
        await sftp.posix_rename("shop/next", "shop/current")
    assert (server.deploy_to / "current").readlink() == Path("releases/1")
    (server.deploy_to / "current").unlink()


# ---- OpenSSH's own client ----


@pytest.fixture
def ssh(server: EmbeddedServer) -> list[str]:
    return [require("ssh"), "-F", str(server.ssh_config), server.host]


def test_openssh_connects_with_nothing_but_the_config(ssh: list[str]) -> None:
    ran = subprocess.run(
        [*ssh, "cat; echo no >&2; exit 7"], input=b"yes", capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"yes", b"no\n")


def test_openssh_moves_fifty_megabytes_both_ways(ssh: list[str]) -> None:
    data = os.urandom(SIZE)
    ran = subprocess.run([*ssh, "cat"], input=data, capture_output=True, check=False)
    assert ran.stdout == data


def test_killing_openssh_kills_the_command(ssh: list[str]) -> None:
    with subprocess.Popen(
        [*ssh, "sleep 300 & echo $$ $!; wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        pids = [int(word) for word in program.stdout.readline().split()]
        assert all(map(alive, pids))
        program.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    assert soon(lambda: not any(map(alive, pids)))


# ---- start, stop, knobs ----


def test_start_and_stop_may_be_repeated() -> None:
    server = EmbeddedServer()
    server.stop()
    with server.start(), server:
        first, runs = server.root, server.running
        assert runs
    server.stop()
    assert not server.running
    with server:
        assert server.root != first
        assert server.root.is_dir()
    assert not server.root.exists()


def test_a_folder_that_was_given_stays(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "new" / "home") as server:
        assert server.root == tmp_path / "new" / "home"
        private = server.client_key.parent
    assert (tmp_path / "new" / "home" / "shop").is_dir()
    assert not private.exists()


def test_stop_removes_directories_that_nobody_may_write() -> None:
    with EmbeddedServer() as server:
        locked = server.deploy_to / "a" / "b"
        locked.mkdir(parents=True)
        (locked / "file").touch()
        locked.chmod(0o500)
        locked.parent.chmod(0o500)
    assert not server.root.exists()


async def test_banner_shell_and_env_can_be_chosen(tmp_path: Path) -> None:
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "mine"\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    with EmbeddedServer(banner="Welcome!\n", shell=str(shell), env={"MOOD": "fine"}) as server:
        async with asyncssh.connect(server.host, config=[str(server.ssh_config)]) as connection:
            ran = await connection.run('echo "$MOOD"')
    assert ran.stdout == "Welcome!\nmine\nfine\n"


async def test_a_shell_that_does_not_exist_is_reported() -> None:
    with EmbeddedServer(shell="/no/such/shell") as server:
        async with asyncssh.connect(server.host, config=[str(server.ssh_config)]) as connection:
            ran = await connection.run("true")
    assert ran.exit_status == 126
    assert "/no/such/shell" in str(ran.stderr)


def test_an_interpreter_that_ends_without_stop_cleans_up() -> None:
    program = (
        "from opsnb.embedded.sshd import EmbeddedServer\n"
        "s = EmbeddedServer().start()\n"
        "print(s.root, s.client_key.parent)"
    )
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not any(Path(place).exists() for place in ran.stdout.split())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from 3.12 on, with threads
def test_a_forked_child_does_not_take_the_server_down() -> None:
    with EmbeddedServer() as mine:
        child = os.fork()
        if child == 0:
            mine.stop()
            os._exit(0)
        os.waitpid(child, 0)
        assert mine.root.is_dir()
        assert mine.client_key.exists()
