"""A slow line to a server on this machine: a relay that lets little through at a time.

Rule 1: only what travels towards the server is slow, as on a home connection; the way back is free.
Rule 2: all connections share the line: what one of them sends, the others wait for.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PIECE = 1024  # bytes that go through at a time
CHUNK = 65_536
JOIN_TIMEOUT = 5.0  # seconds


class SlowLine:
    """Forwards connections to a port of this machine.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    Args:
        target: The port to forward to.
        pause: Seconds that every 1,024 bytes towards the server take; it may be changed at any
            time, and 0 is a line as fast as the machine.

    Attributes:
        port: The port to connect to, once it is started.
        sent: Bytes that went towards the server.
    """

    def __init__(self, target: int, pause: float = 0.0) -> None:
        self.pause = pause
        self.port = 0
        self.sent = 0
        self._target = target
        self._busy = threading.Lock()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> Self:
        """Begin to listen.

        Returns:
            The line itself.

        Raises:
            OSError: There is no free port.
        """
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._begin(self._accept)
        return self

    def stop(self) -> None:
        """Stop listening, and close every connection."""
        _end(self._listener)
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            _end(connection)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _begin(self, work: object, *given: socket.socket) -> None:
        assert callable(work)  # noqa: S101 - only ever a method of this class
        thread = threading.Thread(target=work, args=given, name="opsnb-line", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                self._connect(self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((HOST, self._target))
        except OSError:
            client.close()
            return
        for end in (client, server):  # the pauses are the line's; there are to be no others
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
        self._begin(self._up, client, server)
        self._begin(self._down, server, client)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """Towards the server, piece by piece."""
        with suppress(OSError):
            while piece := client.recv(PIECE):
                with self._busy:
                    time.sleep(self.pause)
                    self.sent += len(piece)
                server.sendall(piece)
        self._over(server, client)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        """Back to the client, as it comes."""
        with suppress(OSError):
            while data := server.recv(CHUNK):
                client.sendall(data)
        self._over(client, server)

    def _over(self, *ends: socket.socket) -> None:
        """One direction has ended, and with it the connection: SSH never closes only half of it."""
        for end in ends:
            _end(end)
            with self._lock:
                self._open.discard(end)


def _end(end: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        end.shutdown(socket.SHUT_RDWR)
    end.close()
