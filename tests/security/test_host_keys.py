"""Whoever stands between hears of no login: no user, no key, no agent, no password."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from opsnb.errors import HostKeyError, LoginError, OpsnbError
from opsnb.server import Server
from tests.cli.conftest import Shell
from tests.support.sshd import RealSshd


class Between(asyncssh.SSHServer):
    """A man in the middle: he writes down what he is told of a login."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard

    def begin_auth(self, username: str) -> bool:
        self._heard.append(f"user {username}")
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._heard.append(f"key {username} {key.get_fingerprint()}")
        return False

    def validate_password(self, username: str, password: str) -> bool:
        self._heard.append(f"password {username} {password}")
        return False


class Agent:
    """An agent that holds no key and counts who asks."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent"
        self.asked = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                while line.recv(4096):
                    self.asked += 1
                    line.sendall(b"\x00\x00\x00\x05\x0c\x00\x00\x00\x00")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Middle:
    """Him at work on a port of loopback, in a thread of his own."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.met = 0
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        begun = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self._listening = begun.result(10)
        self.port: int = self._listening.get_port()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        def meet() -> Between:
            self.met += 1
            return Between(self.heard)

        return await asyncssh.create_server(meet, "127.0.0.1", 0, server_host_keys=[self.key])

    def known(self, place: str) -> str:
        return f"{place} {self.key.export_public_key().decode()}"

    def close(self) -> None:
        async def end() -> None:
            self._listening.close()
            await self._listening.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def middle() -> Iterator[Middle]:
    made = Middle()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    made = Agent(tmp_path)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(made.path))
    yield made
    made.close()


def config(sshd: RealSshd, folder: Path, known: str, extra: str = "") -> Path:
    """An ssh_config with a key of the user's, and his agent."""
    hosts, file = folder / "known_hosts", folder / "ssh_config"
    hosts.write_text(known)
    file.write_text(f"{extra}\nIdentityFile {sshd.client_key}\nUserKnownHostsFile {hosts}\n")
    return file


def refused(port: int, file: Path) -> OpsnbError:
    there = Server(f"ssh://deploy@127.0.0.1:{port}/srv/x", ssh_config=file)
    with pytest.raises(OpsnbError) as error:
        there.look()
    there.close()
    return error.value


EXTRA = ["", "StrictHostKeyChecking no", "StrictHostKeyChecking accept-new", "CheckHostIP no"]


@pytest.mark.parametrize("extra", EXTRA)
def test_a_man_in_the_middle_is_told_of_no_login(
    sshd: RealSshd, middle: Middle, agent: Agent, tmp_path: Path, extra: str
) -> None:
    known = sshd.known_hosts.read_text().replace(f":{sshd.port} ", f":{middle.port} ")
    error = refused(middle.port, config(sshd, tmp_path, known, extra))
    assert isinstance(error, HostKeyError)
    assert "CHANGED" in error.message
    assert middle.key.get_fingerprint() in error.message
    assert middle.met == 1
    assert middle.heard == []
    assert agent.asked == 0


def test_the_control_who_is_trusted_is_told_of_the_login(
    sshd: RealSshd, middle: Middle, agent: Agent, tmp_path: Path
) -> None:
    known = middle.known(f"[127.0.0.1]:{middle.port}")
    assert isinstance(refused(middle.port, config(sshd, tmp_path, known)), LoginError)
    assert middle.heard[0] == "user deploy"
    assert any(line.startswith("key deploy SHA256:") for line in middle.heard)
    assert agent.asked > 0


def test_the_key_of_another_port_is_another_server_s(
    sshd: RealSshd, middle: Middle, agent: Agent, tmp_path: Path
) -> None:
    for known in (
        middle.known(f"[127.0.0.1]:{middle.port + 1}"),
        middle.known("[localhost]:22"),
        sshd.known_hosts.read_text(),
    ):
        error = refused(middle.port, config(sshd, tmp_path, known))
        assert isinstance(error, HostKeyError)
        assert "unknown" in error.message
    assert middle.heard == []
    assert agent.asked == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_that_nobody_watches_ends_with_10(
    sshd: RealSshd, middle: Middle, agent: Agent, tmp_path: Path, as_json: bool
) -> None:
    shell = Shell(tmp_path, {"SSH_AUTH_SOCK": str(agent.path)})
    file = str(config(sshd, tmp_path, "", "StrictHostKeyChecking no"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "index").write_text("x")
    url = f"ssh://deploy@127.0.0.1:{middle.port}/srv/x"
    flags = ["--json"] if as_json else []
    for verb, *rest in (["check"], ["deploy", "source", "--yes"], ["rollback", "--yes"]):
        ran = shell("--ssh-config", file, verb, url, *rest, *flags)
        assert ran.returncode == 10
        said = ran.stdout + ran.stderr
        assert middle.key.get_fingerprint() in said
        if as_json:
            assert json.loads(ran.stdout.splitlines()[-1])
    assert middle.heard == []
    assert agent.asked == 0


def test_a_hop_on_the_way_is_told_of_no_login_either(
    sshd: RealSshd, middle: Middle, agent: Agent, tmp_path: Path
) -> None:
    known = sshd.known_hosts.read_text()
    jump = f"Host 127.0.0.1\n  ProxyJump deploy@localhost:{middle.port}"
    error = refused(sshd.port, config(sshd, tmp_path, known, jump))
    assert isinstance(error, HostKeyError)
    assert middle.met == 1
    assert middle.heard == []
    assert agent.asked == 0
