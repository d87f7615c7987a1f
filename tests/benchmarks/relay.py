"""A relay in front of sshd that counts bytes and round trips.

What a round trip is: the client was silent for as long as the line takes there and back, the
server's answer came meanwhile, and then the client spoke again. A stream that flows while
acknowledgements come back is none. TCP's own handshake is one.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK = 256 * 1024
_MOST_CHUNKS = 64
_JOIN_SECONDS = 10.0

_Speaks = Callable[[float, float], bool]


@dataclass
class Count:
    """What has passed.

    Attributes:
        up: Bytes to the server.
        down: Bytes from it.
        round_trips: How often the client waited for an answer, over all connections.
    """

    up: int = 0
    down: int = 0
    round_trips: int = 0


class Relay:
    """Forwards connections to a port of the same address.

    Args:
        address: Where sshd listens, and the relay.
        target: Sshd's port.
        delay: Seconds that a byte takes, each way.
        silence: Seconds of silence that make a round trip.

    Attributes:
        port: Where it listens.
        count: What has passed since `start`.
    """

    def __init__(self, address: str, target: int, delay: float, silence: float) -> None:
        self._address = address
        self._target = target
        self._delay = delay
        self._silence = silence
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.port = 0
        self.count = Count()

    def start(self) -> None:
        """Listen; threads and sockets are in the network namespace of the caller."""
        self._listener = socket.create_server((self._address, 0))
        self.port = self._listener.getsockname()[1]
        self._run(self._accept)

    def close(self) -> None:
        """End every connection."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):  # it may have ended by itself
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        for each in (self._listener, *self._sockets):
            each.close()

    def _run(self, job: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=job, name="relay", daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._address, self._target))
            except OSError:
                return
            self._sockets += (near, far)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.count.round_trips += 1
            link = _Link()
            self._pump(near, far, link.said_by_client, up=True)
            self._pump(far, near, link.said_by_server, up=False)

    def _pump(self, source: socket.socket, sink: socket.socket, said: _Speaks, *, up: bool) -> None:
        """Forward one direction, by a thread that reads and one that writes when it is due."""
        way: queue.Queue[tuple[float, bytes]] = queue.Queue(_MOST_CHUNKS)

        def read() -> None:
            data = b"-"
            while data:
                try:
                    data = source.recv(_CHUNK)
                except OSError:
                    data = b""
                now = time.monotonic()
                if data:
                    self._note(len(data), up, said(now, self._silence))
                way.put((now + self._delay, data))

        def write() -> None:
            data = b"-"
            while data:
                due, data = way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                with contextlib.suppress(OSError):  # the other end may be gone
                    if data:
                        sink.sendall(data)
                    else:
                        sink.shutdown(socket.SHUT_WR)

        self._run(read)
        self._run(write)

    def _note(self, size: int, up: bool, turn: bool) -> None:
        with self._lock:
            self.count.round_trips += turn
            if up:
                self.count.up += size
            else:
                self.count.down += size


class _Link:
    """Who spoke last on a connection, and when."""

    def __init__(self) -> None:
        self._client_spoke = time.monotonic()
        self._answered = False

    def said_by_client(self, now: float, silence: float) -> bool:
        """Note that the client spoke; whether that ends a round trip."""
        turn = self._answered and now - self._client_spoke >= silence
        self._client_spoke = now
        self._answered = False
        return turn

    def said_by_server(self, now: float, silence: float) -> bool:
        """Note that the server spoke, which never ends a round trip."""
        self._answered = True
        return False
