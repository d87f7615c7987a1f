"""A TCP line on loopback that can be slow, silent or cut.

Rule: one thread owns every socket and every counter. Other threads hand it small jobs and wait,
so that a fault has happened when the method that asks for it returns.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from tests.support.packets import Packets

_HOST = "127.0.0.1"
_CHUNK = 64 * 1024
_MOST_ON_THE_WAY = 4 * 1024 * 1024
"""Bytes that one direction holds back, at most; beyond it the sender has to wait, as on a line."""

_JOIN_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for 0 seconds


class Relay:
    """Forward TCP connections on `port` to `target_port`, both on 127.0.0.1.

    Parameters:
        target_port: where to connect for every connection that comes in.
        delay_ms: how long a byte travels, each way; a round trip takes twice as long. The attribute
            of that name may be changed at any time, for the bytes that come in from then on.
        counting: whether the first connection is one of SSH whose packets can be told apart, with a
            cipher of tests/support/packets.py.

    Attributes:
        port: where to connect to.
        up, down: bytes forwarded to the target and from it, over all connections.
        accepted: connections so far.
    """

    def __init__(self, target_port: int, delay_ms: float = 0.0, *, counting: bool = False) -> None:
        self.target_port = target_port
        self.delay_ms = delay_ms
        self.up = 0
        self.down = 0
        self.accepted = 0
        self.port = 0
        self._links: list[_Link] = []
        self._frozen = self._freezes = False
        self._closing = False
        self._up_left: int | None = None
        self._down_left: int | None = None
        self._target: tuple[Literal["up", "down"], int, float] | None = None
        self._counted = {"up": Packets(), "down": Packets()}
        self._counting = counting
        self._jobs: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._bell, self._ring = socket.socketpair()
        self._listener = socket.create_server((_HOST, 0))
        self.port = self._listener.getsockname()[1]
        for each in (self._bell, self._listener):
            each.setblocking(False)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close)
        self._thread.join(_JOIN_SECONDS)
        self._ring.close()
        if self._thread.is_alive():
            raise RuntimeError("the relay's thread does not end")

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._links)

    @property
    def frozen(self) -> bool:
        """Whether nothing is forwarded now."""
        return self._frozen

    def cut(self) -> None:
        """Break every connection: both ends get a reset. New ones are forwarded as before."""
        self._do(self._cut)

    def cut_after(self, *, up: int | None = None, down: int | None = None) -> None:
        """Break every connection, once, when so many more bytes have been forwarded.

        Not one byte beyond it is forwarded. With both numbers, the first one reached counts.
        """
        if (up is None and down is None) or not all(n is None or n > 0 for n in (up, down)):
            raise ValueError("cut_after needs up or down, at least 1 byte; or use cut()")

        def set_both() -> None:
            self._up_left, self._down_left = up, down

        self._do(set_both)

    def cut_in_packet(
        self, way: Literal["up", "down"], number: int, part: float, *, freeze: bool = False
    ) -> None:
        """Break every connection, once, at a place in an SSH packet that goes that way.

        To be asked for before that has passed, of a relay that counts packets.

        Parameters:
            number: the packet, from 0.
            part: how far in it, from 0 to less than 1.
            freeze: whether to forward nothing more instead.
        """
        self._do(lambda: self._aim((way, number, part), freeze))

    def packets(self, way: Literal["up", "down"]) -> int:
        """How many SSH packets the first connection has sent that way, if they are counted."""
        return len(self._counted[way].ends)

    def freeze(self) -> None:
        """Forward nothing more and keep everything open, as when the cable is out."""
        self._do(lambda: self._hold(True))

    def thaw(self) -> None:
        """Go on after `freeze`; nothing was lost."""
        self._do(lambda: self._hold(False))

    # All below runs in the relay's thread, but for _do

    def _do(self, job: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            job()
            done.set()

        self._jobs.append(run)
        # The thread may find the job by itself, and closing closes the bell: it has run then.
        with contextlib.suppress(BrokenPipeError):
            self._ring.send(b"!")
        if not done.wait(_JOIN_SECONDS):
            raise RuntimeError("the relay's thread does not answer")

    def _serve(self) -> None:
        while not self._closing:
            self._wait()
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(_CHUNK)
            while self._jobs:
                self._jobs.popleft()()
            if not self._frozen and not self._closing:
                self._accept()
                for link in list(self._links):
                    if link in self._links:  # a cut by the one before takes all of them
                        self._advance(link)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        due: list[float] = []
        if not self._frozen:
            poll.register(self._listener, select.POLLIN)
            for link in self._links:
                wanted: dict[socket.socket, int] = {}
                for flow in (link.up, link.down):
                    if flow.wants_input:
                        wanted[flow.source] = wanted.get(flow.source, 0) | select.POLLIN
                    if flow.blocked:
                        wanted[flow.sink] = wanted.get(flow.sink, 0) | select.POLLOUT
                    elif flow.queue:
                        due.append(flow.queue[0][0])
                for each, events in wanted.items():
                    poll.register(each, events)
        # poll takes whole milliseconds and cuts off the rest: 1 more, or it would spin
        poll.poll(max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except BlockingIOError:
                return
            self.accepted += 1
            try:
                far = socket.create_connection((_HOST, self.target_port))
            except OSError:
                _reset(near)
                continue
            for each in (near, far):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links.append(_Link(near, far))
            if self._counting and self.accepted == 1:
                self._links[0].up.packets = self._counted["up"]
                self._links[0].down.packets = self._counted["down"]

    def _advance(self, link: _Link) -> None:
        try:
            for flow in (link.up, link.down):
                flow.take(self.delay_ms / 1000)
            self._see(link)
            self.up += (sent := link.up.give(self._up_left))
            self._up_left = None if self._up_left is None else self._up_left - sent
            self.down += (sent := link.down.give(self._down_left))
            self._down_left = None if self._down_left is None else self._down_left - sent
        except OSError:
            self._links.remove(link)
            link.reset()
            return
        if self._target is None and 0 in (self._up_left, self._down_left):
            self._reached()
        elif link.up.ended and link.down.ended:
            self._links.remove(link)
            link.close()

    def _aim(self, target: tuple[Literal["up", "down"], int, float], freeze: bool) -> None:
        self._target, self._freezes = target, freeze

    def _see(self, link: _Link) -> None:
        """Let pass what surely comes before the place of the cut, and say when that is reached."""
        if self._target is None:
            return
        way, number, part = self._target
        flow, counted = getattr(link, way), self._counted[way]
        place = counted.place(number, part)
        left = (counted.known if place is None else place) - flow.given
        if way == "up":
            self._up_left = left
        else:
            self._down_left = left
        self._target = self._target if place is None else None

    def _hold(self, frozen: bool) -> None:
        self._frozen = frozen

    def _reached(self) -> None:
        if self._freezes:
            self._up_left = self._down_left = None
            self._hold(True)
        else:
            self._cut()

    def _cut(self) -> None:
        self._up_left = self._down_left = None
        while self._links:
            self._links.pop().reset()

    def _close(self) -> None:
        self._closing = True
        self._cut()
        self._listener.close()
        self._bell.close()


class _Link:
    """One connection: the client's socket, the target's, and a flow each way."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._near = near
        self._far = far
        self.up = _Flow(near, far)
        self.down = _Flow(far, near)

    def close(self) -> None:
        self._near.close()
        self._far.close()

    def reset(self) -> None:
        _reset(self._near)
        _reset(self._far)


class _Flow:
    """One direction of a connection, with what is on its way; ``b""`` means the end."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.queue: deque[tuple[float, bytes]] = deque()
        self.blocked = False
        self.ended = False
        self.given = 0
        self.packets: Packets | None = None
        self._held = 0
        self._last_read = False

    @property
    def wants_input(self) -> bool:
        return not self._last_read and self._held < _MOST_ON_THE_WAY

    def take(self, delay: float) -> None:
        if not self.wants_input:
            return
        try:
            data = self.source.recv(_CHUNK)
        except BlockingIOError:
            return
        self.queue.append((time.monotonic() + delay, data))
        if self.packets is not None:
            self.packets.feed(data)
        self._held += len(data)
        self._last_read = not data

    def give(self, most: int | None) -> int:
        """Send what is due, but not more than `most` bytes; say how many."""
        given = 0
        self.blocked = False
        while self.queue and self.queue[0][0] <= time.monotonic() and given != most:
            due, data = self.queue.popleft()
            if not data:
                self.sink.shutdown(socket.SHUT_WR)
                self.ended = True
                break
            try:
                sent = self.sink.send(data if most is None else data[: most - given])
            except BlockingIOError:
                sent = 0
                self.blocked = True
            given += sent
            self.given += sent
            self._held -= sent
            if rest := data[sent:]:
                self.queue.appendleft((due, rest))
            if self.blocked:
                break
        return given


def _reset(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    each.close()
