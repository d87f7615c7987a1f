"""A connection that is begun before it is needed: who waits for it, who is told of its failure."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsnb.core.address import Address, Way
from opsnb.core.events import Outcome
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import HostKeyError
from opsnb.server import Server
from opsnb.server.opening import Opening
from tests.support.proxy import Relay

FAR = 1500.0  # milliseconds, each way
LISTENING: list[list[object]] = []


def hook(event: str, args: tuple[object, ...]) -> None:
    """Python tells of every file that is opened; such a hook stays to the end of the process."""
    if LISTENING and event == "open":
        LISTENING[-1].append(args[0])


sys.addaudithook(hook)


@pytest.fixture
def opened() -> Iterator[list[object]]:
    """The files that are opened meanwhile."""
    LISTENING.append([])
    yield LISTENING[-1]
    LISTENING.pop()


@pytest.fixture(scope="module")
def sshd() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer().start()
    yield server
    server.stop()


@pytest.fixture
def line(sshd: EmbeddedServer) -> Iterator[Relay]:
    with Relay(sshd.port) as relay:
        yield relay


@pytest.fixture
def config(sshd: EmbeddedServer, line: Relay, tmp_path: Path) -> Path:
    """An ssh_config that leads through the relay."""
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts.read_text().replace(f":{sshd.port} ", f":{line.port} "))
    file = tmp_path / "ssh_config"
    file.write_text(
        f"IdentityFile {sshd.client_key}\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"UserKnownHostsFile {known}\n"
    )
    return file


@pytest.fixture
def server(sshd: EmbeddedServer, line: Relay, config: Path) -> Iterator[Server]:
    site = f"{sshd.root}/{config.parent.name}"
    there = Server(f"ssh://{sshd.user}@127.0.0.1:{line.port}{site}", ssh_config=config)
    yield there
    there.close()


def wait_for(seen: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_is_begun_at_once_and_the_first_question_uses_it(server: Server, line: Relay) -> None:
    line.delay_ms = FAR
    server.connect()
    assert line.down == 0
    wait_for(lambda: line.accepted)
    line.delay_ms = 0
    assert not server.look().exists
    server.connect()  # there is one already
    assert not server.look().exists
    assert line.accepted == 1


def test_without_it_nothing_is_begun_before_the_first_question(server: Server, line: Relay) -> None:
    """The control."""
    time.sleep(0.2)
    assert line.accepted == 0
    server.look()
    assert line.accepted == 1


def test_what_goes_wrong_is_told_to_the_first_question_and_not_tried_twice_for_it(
    server: Server, line: Relay, config: Path
) -> None:
    (config.parent / "known_hosts").write_text("")
    server.connect()
    wait_for(lambda: line.accepted and not line.open)
    with pytest.raises(HostKeyError, match="unknown"):
        server.look()
    assert line.accepted == 1
    with pytest.raises(HostKeyError, match="unknown"):
        server.look()
    assert line.accepted == 2


def test_what_goes_wrong_ends_the_first_change_with_a_report(
    server: Server, line: Relay, config: Path, tmp_path: Path
) -> None:
    (config.parent / "known_hosts").write_text("")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "index").write_text("one")
    for begin in (lambda: server.deploy(tmp_path / "source"), server.rollback):
        before = line.accepted
        server.connect()
        with pytest.raises(HostKeyError, match="unknown") as caught:
            begin().wait(10)
        assert caught.value.report is not None
        assert caught.value.report.outcome is Outcome.NOT_DONE
        assert line.accepted == before + 1


def test_what_goes_wrong_is_told_to_a_command_too(
    server: Server, line: Relay, config: Path
) -> None:
    (config.parent / "known_hosts").write_text("")
    server.connect()
    with pytest.raises(HostKeyError, match="unknown"):
        server.run("true")
    assert line.accepted == 1


def test_a_failure_does_not_stay(server: Server, config: Path) -> None:
    known = config.parent / "known_hosts"
    right = known.read_text()
    known.write_text("")
    server.connect()
    with pytest.raises(HostKeyError):
        server.look()
    known.write_text(right)
    assert not server.look().exists


def test_the_source_is_read_while_the_connection_is_made(
    server: Server, line: Relay, tmp_path: Path, opened: list[object]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index").write_text("one")
    line.delay_ms = FAR
    server.connect()
    job = server.deploy(source)
    wait_for(lambda: os.fsencode(source / "index") in opened)
    assert line.down == 0
    line.delay_ms = 0
    assert job.wait(20).outcome is Outcome.DONE


def test_a_server_can_be_closed_while_it_is_connected_to(server: Server, line: Relay) -> None:
    line.delay_ms = FAR
    server.connect()
    wait_for(lambda: line.accepted)
    server.close()
    line.delay_ms = 0
    wait_for(lambda: not line.open)
    assert not server.look().exists
    assert line.accepted == 2


def test_to_this_machine_nothing_is_begun(tmp_path: Path) -> None:
    before = children()  # what earlier tests in this process left to end by itself
    here = Server(f"file://{tmp_path}/site")
    here.connect()
    assert children() <= before
    assert not here.look().exists
    assert len(children() - before) == 1  # the control
    here.close()


def children() -> set[str]:
    """The processes that were started here and are alive."""
    listed = Path("/proc/self/task").glob("*/children")
    return {pid for file in listed for pid in file.read_text().split()}


# --- begun before it is known what is configured --------------------------------------------------


def test_what_was_opened_is_taken_once_by_the_server_that_it_leads_to(
    server: Server, line: Relay, config: Path
) -> None:
    opening = Opening(Way(Address.parse(server.url)), config)
    other = Server(server.url, ssh_config=config)
    for one in (server, other):
        one.connect(opening)
        assert not one.look().exists
    assert line.accepted == 2
    opening.close()  # it is not its own any more
    assert not server.look().exists
    assert line.accepted == 2
    other.close()


def test_what_leads_elsewhere_is_not_taken_and_is_closed(
    server: Server, line: Relay, config: Path
) -> None:
    opening = Opening(Way(Address.parse(f"{server.url}-2")), config)
    server.connect(opening)
    assert not server.look().exists
    assert line.accepted == 2
    opening.close()
    wait_for(lambda: line.open == 1)
    opening.close()
    assert not server.look().exists


def test_what_goes_wrong_with_it_is_told_to_the_first_question(
    server: Server, line: Relay, config: Path
) -> None:
    (config.parent / "known_hosts").write_text("")
    server.connect(Opening(Way(Address.parse(server.url)), config))
    with pytest.raises(HostKeyError, match="unknown"):
        server.look()
    assert line.accepted == 1
