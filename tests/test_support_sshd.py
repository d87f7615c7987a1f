"""The harness itself: does the server behave like one, and does the line break when told to."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.proxy import Relay
from tests.support.sshd import LOGIN_SHELLS, NOISE, NOISE_BANNER, RealSshd, require


@pytest.fixture(scope="module")
def server() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (settled := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return settled


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
def test_login_shell_runs_a_script_as_the_user_after_its_noise(shell: str) -> None:
    with RealSshd(shell=shell, rc=NOISE, banner=NOISE_BANNER) as server:
        done = server.run_script(
            "printf 'uid=%s\\n' \"$(id -u)\"\n"
            'printf \'name=%s shell=%s home=%s\\n\' "$(id -un)" "${SHELL##*/}" "$HOME"\n'
            "echo made > shop.txt\n"
        )
        assert done.returncode == 0, server.log()
        noise, _, answer = done.stdout.partition(b"uid=")
        assert answer.decode() == f"{server.uid}\nname=deploy shell={shell} home={server.home}\n"
        assert b"noise: welcome to this server\n" in noise
        with pytest.raises(UnicodeDecodeError):
            noise.decode()
        assert b"noise: and mind the step\n" in done.stderr
        assert b"banner: authorised use only" in done.stderr

        made = (server.home / "shop.txt").stat()
        assert (made.st_uid, made.st_gid) == (server.uid, server.gid)
        assert server.uid != 0


def test_a_file_made_over_ssh_and_one_made_here_belong_to_the_user(server: RealSshd) -> None:
    assert server.run("mkdir shop; echo over ssh > shop/a").returncode == 0
    server.as_user("tee", server.deploy_to / "b", stdin=b"here")
    (server.deploy_to / "c").mkdir(exist_ok=True)
    (server.deploy_to / "c" / "link").symlink_to("nowhere")
    server.own(server.deploy_to)

    assert (server.deploy_to / "a").read_text() == "over ssh\n"
    assert (server.deploy_to / "b").read_text() == "here"
    for name in ("a", "b", "c", "c/link"):
        assert (server.deploy_to / name).lstat().st_uid == server.uid


def test_without_rc_and_banner_there_is_no_noise(server: RealSshd) -> None:
    done = server.run_script("echo only this")
    assert (done.stdout, done.stderr) == (b"only this\n", b"")


def test_sftp_works_and_so_does_the_url(server: RealSshd) -> None:
    port = str(server.port)
    assert server.url("/srv/a b") == f"ssh://deploy@127.0.0.1:{port}/srv/a b"
    assert server.url().endswith("/home/shop")
    batch = subprocess.run(
        [require("sftp"), "-q", "-b", "-", "-F", server.ssh_config, server.alias],
        input=b"pwd\n",
        capture_output=True,
        check=True,
        timeout=10,
    )
    assert f"Remote working directory: {server.home}".encode() in batch.stdout


def test_an_unknown_host_key_is_refused(server: RealSshd, tmp_path: Path) -> None:
    nothing_known = tmp_path / "config"
    nothing_known.write_text(
        server.ssh_config.read_text().replace(str(server.known_hosts), str(tmp_path / "none"))
    )
    done = server.run("true", config=nothing_known)
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"MaxSessions": "1", "SetEnv": "GREETING=hello"},
        ["MaxSessions 1", "SetEnv GREETING=hello"],
    ],
)
def test_options_win_over_the_defaults(options: dict[str, str] | list[str]) -> None:
    with RealSshd(options=options) as server:
        done = server.run('echo "$GREETING" "$(id -un)"')
        assert done.stdout == b"hello deploy\n"
    with pytest.raises(RuntimeError, match="NoSuchOption"), RealSshd(options=["NoSuchOption yes"]):
        pass


def test_stop_ends_what_detached_itself_and_start_comes_back_on_the_same_port() -> None:
    with RealSshd() as server:
        port = server.port
        left = int(server.run("setsid sleep 600 < /dev/null > /dev/null 2>&1 & echo $!").stdout)
        # The session's own sshd may take a moment to go.
        assert left in server.processes()
        server.stop()
        assert server.processes() == set()
        assert server.run("true").returncode == 255

        server.start()
        assert server.port == port
        assert server.run("true").returncode == 0
        base = server.base
        assert "Accepted publickey for deploy" in server.log()
    assert server.processes() == set()
    assert not base.exists()


def test_a_base_that_the_user_cannot_reach_is_replaced(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with RealSshd(tmp_path) as server:
        assert (server.base == tmp_path) == (os.geteuid() != 0)
        assert server.run("true").returncode == 0


def test_a_missing_tool_is_skipped_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install opsnb-nothing"):
        require("opsnb-nothing")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install opsnb-nothing"):
        require("/usr/bin/opsnb-nothing")


# The relay


@contextmanager
def echo_server() -> Iterator[int]:
    """Send back what comes, one connection after another, until the end."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                line, _ = listener.accept()
                with line:
                    if over.is_set():
                        return
                    try:
                        while data := line.recv(65536):
                            line.sendall(data)
                    except ConnectionError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        port: int = listener.getsockname()[1]
        try:
            yield port
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


@contextmanager
def through(relay: Relay) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", relay.port), 5) as line:
        yield line


def read(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := line.recv(size - len(data))):
        data += more
    return data


def talk_for_ever(line: socket.socket) -> None:
    while True:
        line.sendall(bytes(30_000))
        read(line, 30_000)


def test_relay_carries_ssh_and_counts(server: RealSshd) -> None:
    payload = os.urandom(3_000_000)
    with Relay(server.port) as relay:
        done = server.run("cat", payload, config=server.via(relay.port))
        assert done.stdout == payload
        assert relay.accepted == 1
        assert relay.up > len(payload)
        assert relay.down > len(payload)
        assert wait_until(lambda: relay.open == 0)


def test_relay_cut_breaks_ssh_and_the_next_connection_works(server: RealSshd) -> None:
    with Relay(server.port) as relay:
        config = server.via(relay.port)
        client = subprocess.Popen(
            [require("ssh"), "-F", config, server.alias, "echo ready; sleep 600"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"ready\n"
            relay.cut()
            assert relay.open == 0
            assert client.wait(5) == 255
        assert server.run("echo again", config=config).stdout == b"again\n"
        assert relay.accepted == 2


def test_relay_cut_is_a_reset_on_both_sides() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        Relay(target.getsockname()[1]) as relay,
        through(relay) as near,
    ):
        far, _ = target.accept()
        with far:
            relay.cut()
            with pytest.raises(ConnectionResetError):
                near.recv(1)
            with pytest.raises(ConnectionResetError):
                far.recv(1)


@pytest.mark.parametrize("way", ["up", "down"])
def test_relay_cut_after_forwards_exactly_that_many_bytes_once(way: str) -> None:
    with echo_server() as port, Relay(port) as relay:
        with through(relay) as line:
            line.sendall(b"before")
            assert read(line, 6) == b"before"
            relay.cut_after(**{way: 100_000})
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                talk_for_ever(line)
        assert getattr(relay, way) == 6 + 100_000
        with through(relay) as line:
            line.sendall(bytes(200_000))
            assert len(read(line, 200_000)) == 200_000


def test_relay_cut_after_wants_a_number_of_bytes() -> None:
    with Relay(1) as relay:
        for wrong in ({}, {"up": 0}, {"up": 5, "down": -1}):
            with pytest.raises(ValueError, match="cut_after"):
                relay.cut_after(**wrong)


def test_relay_freeze_holds_everything_back_and_thaw_loses_nothing() -> None:
    with echo_server() as port, Relay(port) as relay, through(relay) as line:
        line.sendall(b"a")
        assert read(line, 1) == b"a"
        relay.freeze()
        line.sendall(b"frozen")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)
        assert relay.open == 1
        assert relay.up == 1
        relay.thaw()
        line.settimeout(5)
        assert read(line, 6) == b"frozen"


def test_relay_delays_each_way_without_slowing_the_flow() -> None:
    payload = os.urandom(2_000_000)
    with echo_server() as port, Relay(port, delay_ms=50) as relay, through(relay) as line:
        began = time.monotonic()
        sender = threading.Thread(target=line.sendall, args=(payload,))
        sender.start()
        assert read(line, len(payload)) == payload
        took = time.monotonic() - began
        sender.join()
    assert 0.1 <= took < 2.5


def test_relay_passes_the_end_of_one_direction_on() -> None:
    with echo_server() as port, Relay(port) as relay, through(relay) as line:
        line.sendall(b"last words")
        line.shutdown(socket.SHUT_WR)
        assert read(line, 100) == b"last words"
        assert wait_until(lambda: relay.open == 0)


def test_relay_to_nowhere_resets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    # the reset may come while `connect` still waits
    with Relay(port) as relay, pytest.raises(ConnectionResetError), through(relay) as line:
        line.recv(1)
