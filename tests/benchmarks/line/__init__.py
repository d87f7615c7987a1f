"""Lines: two network namespaces, and a small program between them that delays, limits and loses.

Rule 1: what goes over a line is the kernel's own TCP; the program only carries packets.
Rule 2: everything is counted by the program, so that a line can be shown to be what it says.
Rule 3: nothing stays: namespaces and program go at the end, and those of a run that was killed
    go when the next one starts.

Linux and root only. The machine's own network is not touched, and cannot be reached from a line.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.benchmarks.line.namespaces import FOLDER, namespace, remove_left_behind, set_up
from tests.benchmarks.line.program import Carried, Program

CLIENT = "192.0.2.1"
SERVER = "192.0.2.2"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Shape:
    """What a line is like, the same each way.

    Attributes:
        name: What the report calls it.
        delay: Seconds each way.
        rate: Bits per second.
        queue: How many packets wait at most for their turn; the next one is dropped.
        loss: The share of packets that are lost at random.
        slow: Whether compression pays.
    """

    name: str
    delay: float
    rate: int
    queue: int
    loss: float = 0.0
    slow: bool = True


WAN = Shape("wan", 0.025, 100_000_000, 1000)
LOSSY = Shape("lossy", 0.080, 10_000_000, 250, 0.01)


class Line:
    """A line that is up.

    Attributes:
        name: As in its shape.
        address: The server's end.
        client_address: The client's.
        namespace: The network namespace of the server's end, as ``ip netns`` names it.
        client_namespace: That of the client's end.
        enter: The words before a program's own that put it on the client's end.
        round_trip: Seconds there and back, for a packet that does not wait.
        slow: Whether compression pays.
    """

    def __init__(self, shape: Shape, client: str, server: str, program: Program) -> None:
        self.name = shape.name
        self.address = SERVER
        self.client_address = CLIENT
        self.namespace = server
        self.client_namespace = client
        self.enter: tuple[str, ...] = ("nsenter", f"--net={FOLDER / client}", "--")
        self.round_trip = 2 * shape.delay
        self.slow = shape.slow
        self._program = program

    def carried(self) -> tuple[Carried, Carried]:
        """What was carried until now: to the server, and from it."""
        return self._program.carried()


@contextmanager
def opened(shape: Shape) -> Iterator[Line]:
    """A line of this shape.

    Raises:
        RuntimeError: It cannot be made here; the text says why.
    """
    if os.geteuid() != 0:
        raise RuntimeError("a line needs root, for its network namespaces")
    remove_left_behind()
    number = next(_numbers)
    with ExitStack() as stack:
        client = stack.enter_context(namespace(f"{number}-client"))
        server = stack.enter_context(namespace(f"{number}-server"))
        program = Program(
            FOLDER / client, FOLDER / server, shape.delay, shape.rate, shape.queue, shape.loss
        )
        stack.callback(program.close)
        set_up(client, CLIENT, SERVER)
        set_up(server, SERVER, CLIENT)
        yield Line(shape, client, server, program)


@contextmanager
def wan() -> Iterator[Line]:
    """25 ms each way, 100 Mbit/s, nothing lost: two cities."""
    with opened(WAN) as line:
        yield line


@contextmanager
def lossy() -> Iterator[Line]:
    """80 ms each way, 10 Mbit/s, one packet in a hundred lost each way: a bad day."""
    with opened(LOSSY) as line:
        yield line
