"""A user's command on every kind of remote: a folder, the embedded server, a real sshd."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.address import Address
from opsnb.errors import (
    Disconnected,
    NoSuchRelease,
    NotReady,
    OpsnbError,
    StepTimedOut,
)
from opsnb.remote import command as remote_command
from opsnb.remote.command import _Marked
from opsnb.remote.shell import Pipes
from opsnb.remote.ssh import ssh_remote
from opsnb.server import Server
from tests.remote.conftest import Place
from tests.support.process import gone, runs
from tests.support.proxy import Relay
from tests.support.sshd import LOGIN_SHELLS, NOISE, NOISE_BANNER, RealSshd

SECONDS = 15.0


class Ear:
    """Hears what a command says, and when."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes, float]] = []

    def __call__(self, stream: str, data: bytes) -> None:
        self.heard.append((stream, data, time.monotonic()))

    def all(self, stream: str = "out") -> bytes:
        return b"".join(data for of, data, _ in self.heard if of == stream)

    async def until(self, text: bytes) -> None:
        await until(lambda: text in self.all(), repr(text))


async def until(seen: Callable[[], object], what: str) -> None:
    over = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < over, f"waited in vain for {what}"
        await asyncio.sleep(0.02)


def pids(ear: Ear) -> list[int]:
    """The numbers that a command has said; it must have said some."""
    said = [int(word) for word in ear.all().split()]
    assert said
    return said


@pytest.fixture
def site(place: Place, where: Path) -> Path:
    """A deployment path with two releases, the older one live."""
    for name in ("1", "2"):
        (where / "releases" / name).mkdir(parents=True)
    (where / "current").symlink_to("releases/1")
    return place.own(where)


async def test_output_and_errors_come_apart_with_the_exit_status(remote: Any, site: Path) -> None:
    ear = Ear()
    ended = await remote.run("echo a; echo b >&2; printf c; exit 7", "", 20, ear)
    assert (ended.status, ended.directory) == (7, "current")
    assert (ear.all("out"), ear.all("err")) == (b"a\nc", b"b\n")


async def test_it_runs_in_the_live_release_or_where_it_is_told(remote: Any, site: Path) -> None:
    for directory, is_at, said in (
        ("", "releases/1", "current"),
        ("current", "releases/1", "current"),
        ("releases/2", "releases/2", "releases/2"),
        (".", "", "."),
    ):
        ear = Ear()
        ended = await remote.run("pwd -P", directory, 20, ear)
        assert ended.directory == said
        assert ear.all().decode().strip() == str((site / is_at).resolve())


async def test_with_nothing_live_it_runs_in_deploy_to(remote: Any, site: Path) -> None:
    (site / "current").unlink()
    ear = Ear()
    assert (await remote.run("pwd", "", 20, ear)).directory == "."
    assert ear.all().decode().strip() == str(site)


async def test_a_directory_that_is_not_there_is_refused_and_nothing_is_run(
    remote: Any, site: Path
) -> None:
    ear = Ear()
    for directory in ("releases/3", "current/x"):
        with pytest.raises(NoSuchRelease, match=directory):
            await remote.run("echo ran", directory, 20, ear)
    assert ear.heard == []


async def test_without_a_deployment_path_nothing_is_run(remote: Any) -> None:
    ear = Ear()
    with pytest.raises(NotReady, match="is not there"):
        await remote.run("echo ran", "", 20, ear)
    assert ear.heard == []


SCRIPTS = [
    ("-ls", 127, b""),
    ("", 0, b""),
    ("exit 255", 255, b""),
    ("kill -9 $$", 137, b""),
    ("cat; echo end", 0, b"end\n"),
    ("printf 'a\\0b\\377\\n\\n'", 0, b"a\0b\xff\n\n"),
    ("echo \"it's\" '`x` $y'\necho '\n'", 0, b"it's `x` $y\n\n\n"),
    ("echo \udcff", 0, b"\xff\n"),
    ("env | grep -c ^opsnb_ || true", 0, b"0\n"),
    ("trap 'echo caught' TERM; kill -TERM $$; echo on", 0, b"caught\non\n"),
    ("exec 3>&1; echo three >&3", 0, b"three\n"),
    ("ls -l /proc/self/fd | grep -c pipe", 0, b"2\n"),
]


@pytest.mark.parametrize(("script", "status", "said"), SCRIPTS)
async def test_any_script_is_run_as_it_stands(
    remote: Any, site: Path, script: str, status: int, said: bytes
) -> None:
    ear = Ear()
    assert (await remote.run(script, "", 20, ear)).status == status
    assert ear.all() == said


async def test_lines_come_while_it_runs(remote: Any, site: Path) -> None:
    """The command waits for a file that is made only when its first line has come."""
    ear = Ear()
    wait = "echo first; until [ -e go ]; do sleep 0.05; done; echo second"
    running = asyncio.create_task(remote.run(wait, ".", 30, ear))
    await ear.until(b"first\n")
    assert not running.done()
    (site / "go").touch()
    assert (await running).status == 0
    assert ear.all() == b"first\nsecond\n"


async def test_a_megabyte_without_a_line_break_comes_whole(remote: Any, site: Path) -> None:
    ear = Ear()
    await remote.run("head -c 1000000 /dev/zero; head -c 300000 /dev/zero >&2", "", 30, ear)
    assert (len(ear.all()), len(ear.all("err"))) == (1_000_000, 300_000)


async def test_it_keeps_no_question_waiting_and_needs_no_lock(remote: Any, site: Path) -> None:
    held = await remote.lock("tester", "here", "now", "a test")
    ear = Ear()
    running = asyncio.create_task(remote.run("echo begun; sleep 1000", "", 60, ear))
    await ear.until(b"begun")
    assert (await remote.look()).holder is not None
    assert not running.done()
    await held.release()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


# --- its end -------------------------------------------------------------------------------------

BOTH = "sleep 1000 & echo $! $$; sleep 1000"
STUBBORN = "trap '' TERM; sleep 1000 & echo $! $$; sleep 1000"


@pytest.mark.parametrize("script", [BOTH, STUBBORN])
async def test_a_cancelled_command_is_gone_when_the_call_ends(
    remote: Any, site: Path, script: str
) -> None:
    ear = Ear()
    running = asyncio.create_task(remote.run(script, "", 60, ear))
    await ear.until(b"\n")
    assert all(runs(pid) for pid in pids(ear))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gone(pids(ear))
    assert (await remote.run("echo still", "", 20, ear)).status == 0


@pytest.mark.parametrize("script", [BOTH, STUBBORN])
async def test_by_its_deadline_it_is_gone(remote: Any, site: Path, script: str) -> None:
    ear = Ear()
    with pytest.raises(StepTimedOut, match=r"within 0\.5 s, and was ended"):
        await remote.run(script, "", 0.5, ear)
    assert gone(pids(ear))
    assert ear.all("err") == b""


async def test_what_it_leaves_in_the_background_ends_with_it(remote: Any, site: Path) -> None:
    ear = Ear()
    assert (await remote.run("sleep 1000 & echo $!; exit 3", "", 20, ear)).status == 3
    assert gone(pids(ear), SECONDS)


async def test_the_control_what_leaves_the_group_is_not_followed(remote: Any, site: Path) -> None:
    ear = Ear()
    away = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.5"
    assert (await remote.run(away, "", 20, ear)).status == 0
    (pid,) = pids(ear)
    assert runs(pid)
    os.kill(pid, signal.SIGKILL)


async def test_what_cannot_be_ended_is_not_called_ended(remote: Any, site: Path) -> None:
    """What has left the group keeps the session's pipes open: nobody knows whether it is gone."""
    ear = Ear()
    away = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000"
    running = asyncio.create_task(remote.run(away, "", 60, ear))
    await ear.until(b"\n")
    running.cancel()
    with pytest.raises(Disconnected, match="did not say that all it has started is gone"):
        await running
    (pid,) = pids(ear)
    assert runs(pid)
    os.kill(pid, signal.SIGKILL)


async def test_a_closed_connection_ends_it(remote: Any, site: Path) -> None:
    ear = Ear()
    running = asyncio.create_task(remote.run(BOTH, "", 60, ear))
    await ear.until(b"\n")
    if remote._hang_up.__qualname__.startswith("local_remote"):
        running.cancel()  # a folder has no connection to close
    else:
        await remote.close()
    with pytest.raises((Disconnected, asyncio.CancelledError)):
        await running
    assert gone(pids(ear), SECONDS)


async def test_a_killed_shell_is_no_exit_status(remote: Any, site: Path) -> None:
    with pytest.raises(Disconnected, match="without its exit status"):
        await remote.run("kill -9 0", "", 20, Ear())


CLIENT = """
import sys
from opsnb.server import Server
server = Server(sys.argv[1], ssh_config=sys.argv[2] or None)
server.run(sys.argv[3], change=True, on_output=lambda said: print(said.text, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_client_that_dies_takes_its_command_with_it(
    place: Place, site: Path, number: signal.Signals
) -> None:
    address, config = place.url(site), str(place.config or "")
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, address, config, BOTH],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as client:
        assert client.stdout is not None
        begun = [int(word) for word in client.stdout.readline().split()]
        assert [runs(pid) for pid in begun] == [True, True]
        client.send_signal(number)
        client.wait(SECONDS)
        if number is signal.SIGINT:
            assert gone(begun)
        assert gone(begun, SECONDS)


async def test_the_server_ends_it_by_the_deadline_when_its_client_is_frozen(
    site: Path, remote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_command, "SLACK", -9)
    ear = Ear()
    # The client would wait for 10 s; the server is told 1 s.
    ended = await remote.run(BOTH, "", 10, ear)
    assert ended.status == 128 + signal.SIGTERM
    assert gone(pids(ear))


# --- real servers --------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", sorted(LOGIN_SHELLS))
def test_no_login_shell_and_no_noise_makes_a_difference(shell: str) -> None:
    with RealSshd(shell=shell, rc=NOISE, banner=NOISE_BANNER) as sshd:
        sshd.deploy_to.mkdir()
        sshd.own(sshd.deploy_to)
        server = Server(sshd.url(), ssh_config=sshd.ssh_config)
        ran = server.run("for x in \"it's\" '$b'; do echo $x; done; ls nothing; exit 3")
        assert (ran.status, ran.out, ran.directory) == (3, "it's\n$b", ".")
        assert ran.err.count("\n") == 0
        assert "nothing" in ran.err
        server.close()


def test_a_link_that_is_cut_ends_it_and_the_next_one_connects_again() -> None:
    with RealSshd() as sshd, Relay(sshd.port) as relay:
        sshd.deploy_to.mkdir()
        sshd.own(sshd.deploy_to)
        server = Server(f"ssh://web1{sshd.deploy_to}", ssh_config=sshd.via(relay.port))
        begun: list[int] = []

        def cut(said: Any) -> None:
            begun.extend(int(word) for word in said.text.split())
            relay.cut()

        with pytest.raises(Disconnected):
            server.run(BOTH, change=True, on_output=cut)
        assert server.run("echo again").out == "again"
        assert gone(begun, SECONDS)
        server.close()


async def test_behind_a_silent_line_nothing_is_called_ended_and_nothing_hangs() -> None:
    with RealSshd() as sshd, Relay(sshd.port) as relay:
        sshd.deploy_to.mkdir()
        sshd.own(sshd.deploy_to)
        url = Address.parse(f"ssh://web1{sshd.deploy_to}")
        remote = ssh_remote(url, sshd.via(relay.port), 60, 20)
        ear = Ear()
        running = asyncio.create_task(remote.run(BOTH, "", 60, ear))
        await ear.until(b"\n")
        relay.freeze()
        running.cancel()
        with pytest.raises(Disconnected, match="did not say that all it has started is gone"):
            await running
        assert all(runs(pid) for pid in pids(ear))
        relay.thaw()
        assert gone(pids(ear), SECONDS)
        await remote.close()


def test_a_login_that_runs_no_shell_says_so() -> None:
    with RealSshd(options={"ForceCommand": "echo This account is closed. >&2"}) as sshd:
        server = Server(sshd.url(), ssh_config=sshd.ssh_config)
        with pytest.raises(OpsnbError, match="account is closed"):
            server.run("ls")
        server.close()


# --- the wrapper ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["mksh"], ["zsh"], ["busybox", "sh"]])
async def test_the_wrapper_runs_in_any_posix_shell(shell: list[str], tmp_path: Path) -> None:
    """/bin/sh is another program on every system."""

    async def dial(_: str) -> Pipes:
        from opsnb.remote.local import LocalPipes

        process = await asyncio.create_subprocess_exec(
            *shell, "-s", stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        return LocalPipes(process)

    async def hang_up() -> None:
        return

    from opsnb.remote.posix import PosixRemote

    remote = PosixRemote(str(tmp_path), dial, hang_up)
    ear = Ear()
    assert (await remote.run("echo a; echo b >&2; exit 3", "", 20, ear)).status == 3
    assert (ear.all("out"), ear.all("err")) == (b"a\n", b"b\n")
    ear = Ear()
    running = asyncio.create_task(remote.run(STUBBORN, "", 60, ear))
    await ear.until(b"\n")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gone(pids(ear))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 1000])
def test_marks_are_found_however_the_bytes_are_cut(size: int) -> None:
    nonce = b"0123456789abcdef"
    said = b"a\n" + nonce[:8] + b"b" + nonce[:15] + b"\n" + nonce[8:]
    stream = b"noise " + nonce[:4] + nonce + b" 0\n" + said + nonce + b" 42\n" + b"later"
    heard: list[bytes] = []
    marked = _Marked(nonce, "out", lambda _, data: heard.append(data))
    for at in range(0, len(stream), size):
        marked.feed(stream[at : at + size])
    assert (marked.marks, b"".join(heard)) == ([0, 42], said)
    assert marked.noise == b"noise " + nonce[:4]
