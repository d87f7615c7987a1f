"""The slow line carries everything, in order, and only so much at a time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from opsnb.embedded.line import HOST, PIECE, SlowLine


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets, on a port."""
    listener = socket.create_server((HOST, 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def serve() -> None:
        try:
            while True:
                connection = listener.accept()[0]
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def talk(port: int, content: bytes) -> bytes:
    with socket.create_connection((HOST, port)) as connection:
        threading.Thread(target=connection.sendall, args=(content,), daemon=True).start()
        got = b""
        while len(got) < len(content) and (data := connection.recv(65536)):
            got += data
        return got


def test_everything_arrives_in_order_and_is_counted(echo: int) -> None:
    content = bytes(range(256)) * 400
    with SlowLine(echo) as line:
        assert talk(line.port, content) == content
        assert line.sent == len(content)


def test_every_piece_takes_its_pause_and_the_control_none_takes_none(echo: int) -> None:
    content = b"x" * (20 * PIECE)
    with SlowLine(echo, pause=0.02) as line:
        began = time.monotonic()
        assert talk(line.port, content) == content
        slow = time.monotonic() - began
        line.pause = 0
        began = time.monotonic()
        assert talk(line.port, content) == content
        fast = time.monotonic() - began
    assert slow >= 20 * 0.02
    assert fast < slow


def test_two_connections_share_the_line(echo: int) -> None:
    content = b"x" * (10 * PIECE)
    with SlowLine(echo, pause=0.02) as line:
        began = time.monotonic()
        threads = [threading.Thread(target=talk, args=(line.port, content)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began >= 20 * 0.02


def test_when_one_end_hangs_up_the_other_is_told(echo: int) -> None:
    with SlowLine(echo) as line, socket.create_connection((HOST, line.port)) as connection:
        connection.sendall(b"one")
        assert connection.recv(10) == b"one"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""


def test_stop_closes_every_connection_and_leaves_no_thread(echo: int) -> None:
    line = SlowLine(echo).start()
    with socket.create_connection((HOST, line.port)) as connection:
        connection.sendall(b"one")
        assert connection.recv(10) == b"one"
        line.stop()
        assert connection.recv(10) == b""
    assert "opsnb-line" not in {thread.name for thread in threading.enumerate()}


def test_nobody_at_the_other_end_is_a_closed_connection() -> None:
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    with SlowLine(port) as line, socket.create_connection((HOST, line.port)) as connection:
        assert connection.recv(10) == b""
