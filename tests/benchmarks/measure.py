"""Runs one operation of a tool, and says what it took.

Rule 1: what is timed is the operation and nothing else; everything is looked up before or after.
Rule 2: bytes, round trips and memory come from a pass of their own: to count takes time.
Rule 3: what the server still does when the client has ended counts as the server's.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.relay import Count, Relay
from tests.benchmarks.tools import Answer, Command

_ACCOUNTS = Path("/sys/fs/cgroup/cpuacct")
_QUIET_SECONDS = 0.1
_QUIET_SHARE = 0.03
_SETTLE_SECONDS = 60.0
_LOOK_SECONDS = 0.005
_NEVER_SECONDS = 1800.0


@dataclass(frozen=True)
class Sample:
    """What one operation took.

    Attributes:
        seconds: On the wall.
        status: Its exit status.
        output: What it printed.
        client_cpu: CPU seconds of the client, connections that are shared included.
        server_cpu: CPU seconds of sshd and all below it, until it was quiet.
        peak_memory: Bytes: the most that the client's processes had together.
        bytes_up: Bytes to the server; with those of SSH itself.
        bytes_down: Bytes from it.
        round_trips: How often the client waited for the line.

    What was not measured in this pass is None.
    """

    seconds: float
    status: int
    output: str
    client_cpu: float | None = None
    server_cpu: float | None = None
    peak_memory: int | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    round_trips: int | None = None


class Accounts:
    """Two control groups that count CPU time: this process with its clients, and the server.

    Where they cannot be made (not root, no such hierarchy), nothing is counted.
    """

    def __init__(self) -> None:
        self._client = _ACCOUNTS / f"opsnb-benchmark-{os.getpid()}-client"
        self._server = _ACCOUNTS / f"opsnb-benchmark-{os.getpid()}-server"
        self._counts = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Accounts]:
        """Count; at the end everything is back where it was."""
        with contextlib.suppress(OSError):
            self._client.mkdir()
            self._server.mkdir()
            _move([os.getpid()], self._client)
            self._counts = True
        try:
            yield self
        finally:
            for group in (self._client, self._server):
                if group.is_dir():
                    _empty(group)

    def serve(self, pids: set[int]) -> None:
        """Count these processes, and what they start from now on, as the server."""
        if self._counts:
            _move(pids, self._server)

    def client(self) -> float | None:
        """CPU seconds of the client until now, less those of this process itself."""
        return _used(self._client) - time.process_time() if self._counts else None

    def server(self) -> float | None:
        """CPU seconds of the server until now."""
        return _used(self._server) if self._counts else None

    def settle(self) -> None:
        """Wait until the server does nothing any more, 60 seconds at most."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        before = self.server()
        while before is not None and time.monotonic() < deadline:
            time.sleep(_QUIET_SECONDS)
            now = self.server()
            if now is None or now - before < _QUIET_SHARE * _QUIET_SECONDS:
                return
            before = now


def _move(pids: set[int] | list[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def _empty(group: Path) -> None:
    left = [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    _move(left, _ACCOUNTS)
    group.rmdir()


def _used(group: Path) -> float:
    return int((group / "cpuacct.usage").read_text()) / 1e9


def run(command: Command, accounts: Accounts) -> Sample:
    """Run an operation and time it."""
    os.sync()
    client, server = accounts.client(), accounts.server()
    started = time.perf_counter()
    answer = perform(command)
    seconds = time.perf_counter() - started
    client = _since(client, accounts.client())
    accounts.settle()
    return Sample(
        seconds,
        answer.status,
        answer.output,
        client_cpu=client,
        server_cpu=_since(server, accounts.server()),
    )


def together(commands: list[Command], accounts: Accounts) -> Sample:
    """Run several operations at once; the time is until the last one ends."""
    os.sync()
    client, server = accounts.client(), accounts.server()
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda each=each: answers.append(perform(each)))
        for each in commands
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    client = _since(client, accounts.client())
    accounts.settle()
    failed = len(commands) - sum(answer.status == 0 for answer in answers)
    output = "\n".join(answer.output for answer in answers)
    return Sample(
        seconds, failed, output, client_cpu=client, server_cpu=_since(server, accounts.server())
    )


def count(command: Command, relay: Relay) -> Sample:
    """Run an operation through a relay, and count what passes and what memory it takes."""
    os.sync()
    before = replace(relay.count)
    memory = _Memory(command)
    started = time.perf_counter()
    with memory.watched():
        answer = perform(command)
    seconds = time.perf_counter() - started
    passed = _passed(before, relay.count)
    return Sample(
        seconds,
        answer.status,
        answer.output,
        peak_memory=memory.peak,
        bytes_up=passed.up,
        bytes_down=passed.down,
        round_trips=passed.round_trips,
    )


def _passed(before: Count, after: Count) -> Count:
    return Count(
        after.up - before.up,
        after.down - before.down,
        after.round_trips - before.round_trips,
    )


def _since(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now - before


def perform(command: Command) -> Answer:
    """Run an operation, half an hour at most, and wait for its end."""
    if command.session is not None:
        return command.session.ask(command.line)
    try:
        done = subprocess.run(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.env},
            cwd=command.cwd,
            timeout=_NEVER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(124, f"ended after {_NEVER_SECONDS:g} s")
    return Answer(done.returncode, done.stdout.decode(errors="backslashreplace"))


class _Memory:
    """Watches the memory of a client: of what was running before, and of this process's children.

    Attributes:
        peak: Bytes: the peaks of the processes that lived at one time, together, at its most.
    """

    def __init__(self, command: Command) -> None:
        self._running = {*command.running}
        if command.session is not None:
            self._running.add(command.session.pid)
        self._others = _below({os.getpid()}) - _below(self._running)
        self._ours = Path("/proc/self/cmdline").read_bytes()
        self._done = threading.Event()
        self.peak = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while this is entered."""
        for pid in self._running:
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # its peak starts anew
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_SECONDS):
            now = _below({os.getpid(), *self._running}) - self._others
            self.peak = max(self.peak, sum(_peak(pid) for pid in now if self._is_client(pid)))

    def _is_client(self, pid: int) -> bool:
        """Not one that this process has just forked: until it is a program, its memory is ours."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes() != self._ours
        return False


def _peak(pid: int) -> int:
    """The most memory that a process had so far, in bytes; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _below(roots: set[int]) -> set[int]:
    """These processes and all their descendants."""
    found: set[int] = set()
    left = list(roots)
    while left:
        pid = left.pop()
        found.add(pid)
        with contextlib.suppress(OSError):  # it may end while we look
            for task in os.listdir(f"/proc/{pid}/task"):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                left += [int(child) for child in children.split()]
    return found
