"""The relay counts what passes, and tells a round trip from a stream."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.relay import Relay

DELAY = 0.01
SILENCE = 1.8 * DELAY
KIB = 1024


@contextmanager
def _echo() -> Iterator[int]:
    """A server that says everything back; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            while data := peer.recv(64 * KIB):
                peer.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(10)
    listener.close()


@contextmanager
def _relayed() -> Iterator[tuple[Relay, socket.socket]]:
    with _echo() as port:
        relay = Relay("127.0.0.1", port, DELAY, SILENCE)
        relay.start()
        with socket.create_connection(("127.0.0.1", relay.port)) as client:
            yield relay, client
        relay.close()


def _receive(client: socket.socket, size: int) -> None:
    while size:
        size -= len(client.recv(size))


def test_each_question_and_answer_is_a_round_trip() -> None:
    with _relayed() as (relay, client):
        for _ in range(5):
            client.sendall(b"x" * 10)
            _receive(client, 10)
        # The handshake, and the four questions that had to wait for an answer.
        assert relay.count.round_trips == 1 + 4
        assert (relay.count.up, relay.count.down) == (50, 50)


def test_a_stream_that_is_answered_meanwhile_is_none() -> None:
    with _relayed() as (relay, client):
        reader = threading.Thread(target=_receive, args=(client, 64 * 16 * KIB))
        reader.start()
        for _ in range(64):
            client.sendall(b"x" * 16 * KIB)
        reader.join()
        assert relay.count.up == relay.count.down == 64 * 16 * KIB
        assert relay.count.round_trips < 10
