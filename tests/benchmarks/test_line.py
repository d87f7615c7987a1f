"""A line really delays, limits, queues and loses, by its own counters; and it goes away again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.benchmarks import line
from tests.benchmarks.line import Line, Shape, namespaces
from tests.benchmarks.line.program import Program
from tests.benchmarks.target import Server, inside
from tests.support.sshd import absent

PORT = 9000
KIB = 1024
ROOMY = 100_000

FAST = Shape("fast", 0.0, 10_000_000_000, ROOMY)
"""The negative control: a line that neither delays nor limits."""


@contextmanager
def up(shape: Shape) -> Iterator[Line]:
    """A line, where one can be made. It serves the benchmark alone, so CI may do without."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    missing = [tool for tool in ("ip", "nsenter", "gcc", "unshare") if shutil.which(tool) is None]
    if missing:
        absent(f"not here: {', '.join(missing)}: apt-get install iproute2 gcc libc6-dev util-linux")
    if not Path("/dev/net/tun").exists():
        pytest.skip("this machine has no /dev/net/tun")
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no network namespaces")
    with line.opened(shape) as made:
        yield made


def send(over: Line, size: int) -> bytes:
    """Send so many bytes to the server by TCP, and return its answer: how many came."""
    with inside(over.namespace):
        listener = socket.create_server((over.address, PORT))

    def serve() -> None:
        peer, _ = listener.accept()
        with listener, peer:
            came = sum(iter(lambda: len(peer.recv(64 * KIB)), 0))
            peer.sendall(b"%d" % came)

    thread = threading.Thread(target=serve)
    thread.start()
    with inside(over.client_namespace):
        client = socket.create_connection((over.address, PORT), 60)
    with client:
        client.sendall(b"x" * size)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(100)
    thread.join(60)
    return answer


def throw(over: Line, count: int) -> None:
    """Send so many datagrams to nobody, as fast as they go; less than the line takes at once."""
    with inside(over.client_namespace):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        for _ in range(count):
            client.sendto(b"x" * 100, (over.address, PORT))


def test_every_packet_takes_the_delay_at_least() -> None:
    with up(line.WAN) as far:
        assert send(far, 10) == b"10"
        for way in far.carried():
            assert way.packets >= 3
            assert way.shortest >= 0.025
            assert way.lost == way.full == way.refused == 0


def test_without_a_delay_a_packet_comes_sooner() -> None:
    with up(FAST) as near:
        assert send(near, 10) == b"10"
        assert all(0 < way.shortest < 0.025 for way in near.carried())


def test_what_passes_is_no_more_than_the_rate() -> None:
    size = 2 * KIB * KIB
    rate = 20_000_000
    with up(Shape("narrow", 0.002, rate, 100)) as narrow:
        assert send(narrow, size) == b"%d" % size
        sent, _ = narrow.carried()
    assert sent.bytes > size
    assert sent.bytes * 8 <= rate * sent.span


def test_without_a_limit_more_passes() -> None:
    size = 2 * KIB * KIB
    with up(FAST) as wide:
        assert send(wide, size) == b"%d" % size
        sent, _ = wide.carried()
    assert sent.bytes * 8 > 20_000_000 * sent.span


def test_a_full_queue_drops_and_says_so() -> None:
    with up(Shape("short", 0.0, 100_000, 5)) as short:
        throw(short, 50)
        sent, _ = short.carried()
    assert sent.most < 5
    assert 50 - sent.full - sent.packets <= 6
    assert sent.full >= 30


def test_one_in_a_hundred_is_lost_and_tcp_makes_up_for_it() -> None:
    size = 4 * KIB * KIB
    with up(Shape("leaky", 0.001, 1_000_000_000, ROOMY, loss=0.01)) as leaky:
        assert send(leaky, size) == b"%d" % size
        sent, _ = leaky.carried()
    share = sent.lost / (sent.packets + sent.lost)
    assert 0.003 < share < 0.03
    assert sent.full == 0


def test_the_line_of_the_benchmark_is_what_the_report_says() -> None:
    assert (line.WAN.delay, line.WAN.rate, line.WAN.loss) == (0.025, 100_000_000, 0)
    assert (line.LOSSY.delay, line.LOSSY.rate, line.LOSSY.loss) == (0.080, 10_000_000, 0.01)


def test_sshd_at_the_far_end_is_reached_over_the_line() -> None:
    with (
        up(line.WAN) as far,
        tempfile.TemporaryDirectory(dir="/tmp") as scratch,
        Server(Path(scratch), far, Path(scratch)) as server,
    ):
        target = server.target("site")
        ssh = ("ssh", "-F", str(target.ssh_config), "bench", "echo here; id -un")
        done = subprocess.run((*far.enter, *ssh), capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["here", target.user], done.stderr
        assert all(way.packets > 10 for way in far.carried())


def test_nothing_stays_not_even_after_a_failure() -> None:
    names: list[str] = []

    def fail() -> None:
        with up(FAST) as made:
            names.extend((made.namespace, made.client_namespace))
            assert all((namespaces.FOLDER / name).exists() for name in names)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert not any((namespaces.FOLDER / name).exists() for name in names)


_KILLED = """
import os, signal
from tests.benchmarks import line
with line.opened(line.WAN) as made:
    print(made.namespace, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_goes_when_the_next_line_is_made() -> None:
    with up(FAST):  # so that it is compiled, or the test skipped
        pass
    killed = subprocess.run((sys.executable, "-c", _KILLED), stdout=subprocess.PIPE, check=False)
    left = namespaces.FOLDER / killed.stdout.decode().strip()
    assert left.exists()
    with up(FAST):
        assert not left.exists()


def test_it_is_said_why_a_line_cannot_be_made(tmp_path: Path) -> None:
    with up(FAST):
        pass
    with pytest.raises(RuntimeError, match=r"no line can be made here: .*nothing"):
        Program(tmp_path / "nothing", tmp_path / "nothing", 0.0, 1, 1, 0.0)
