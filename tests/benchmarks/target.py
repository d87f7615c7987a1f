"""The server: OpenSSH's sshd for an ordinary user with a clean home, and his sites on one disk."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.benchmarks.relay import Relay
from tests.benchmarks.tools import Target
from tests.support.sshd import RealSshd

ALIAS = "bench"
LOOPBACK_DELAY = 0.010
"""Seconds each way, in the pass that counts: round trips cannot be told apart without any."""

_NEWNET = 0x40000000


class Line(Protocol):
    """The way between client and server.

    Attributes:
        name: ``loopback``, ``wan``, …
        address: Where sshd listens.
        enter: The words before a client's own that put it on the client's end.
        namespace: The network namespace of the server's end; empty on loopback.
        round_trip: Seconds there and back.
        slow: Whether compression pays.
    """

    name: str
    address: str
    enter: tuple[str, ...]
    namespace: str
    round_trip: float
    slow: bool


class Loopback:
    """The line that is none."""

    name = "loopback"
    address = "127.0.0.1"
    enter: tuple[str, ...] = ()
    namespace = ""
    round_trip = 0.0
    slow = False


class Server:
    """A running sshd at the far end of a line, and the sites of its user.

    Args:
        disk: Where the sites are; a mounted file system.
        line: The way to it.
        scratch: A folder for the clients' files.
    """

    def __init__(self, disk: Path, line: Line, scratch: Path) -> None:
        self._sites = disk / "sites"
        self._line = line
        self._scratch = scratch
        self._sshd = _Sshd(line.address)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._sites.mkdir()
        self._sites.chmod(0o755)
        with inside(self._line.namespace):
            self._stack.enter_context(self._sshd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def processes(self) -> set[int]:
        """The pids of sshd and of all that runs under it."""
        return self._sshd.processes()

    def target(self, site: str, port: int = 0) -> Target:
        """A site by its name, reached through another port if one is given."""
        deploy_to = self._sites / site
        return Target(
            host=self._sshd.host,
            port=port or self._sshd.port,
            user=self._sshd.user,
            ssh_config=self._config(port or self._sshd.port),
            deploy_to=deploy_to,
            enter=self._line.enter,
            slow=self._line.slow,
        )

    def clear(self, site: str) -> None:
        """Make a site empty: a folder of the user's, with nothing in it."""
        folder = self._sites / site
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        self._sshd.own(folder)

    def lay_out(self, site: str, tree: Path, count: int) -> None:
        """Give a site so many releases, each a copy of a tree, with names of one minute apart."""
        pattern = self._sites / f"pattern-{tree.name}-{count}"
        if not pattern.exists():
            self._lay_out(pattern, tree, count)
        self.clear(site)
        subprocess.run(["cp", "-a", f"{pattern}/.", self._sites / site], check=True)

    def _lay_out(self, folder: Path, tree: Path, count: int) -> None:
        (folder / "releases").mkdir(parents=True)
        first = datetime(2026, 3, 1, tzinfo=UTC)
        times = [first + timedelta(minutes=n) for n in range(count)]
        for each in times:
            release = folder / "releases" / f"{each:%Y%m%d%H%M%S}"
            subprocess.run(["cp", "-a", tree, release], check=True)
            # Some tools go by when a release was changed last, and not by its name.
            os.utime(release, (each.timestamp(), each.timestamp()))
        (folder / "current").symlink_to(f"releases/{release.name}")
        self._sshd.own(folder)

    @contextmanager
    def counted(self, site: str) -> Iterator[tuple[Target, Relay]]:
        """A site reached through a relay that counts."""
        delay = 0.0 if self._line.round_trip else LOOPBACK_DELAY
        silence = 0.9 * (self._line.round_trip or 2 * LOOPBACK_DELAY)
        relay = Relay(self._line.address, self._sshd.port, delay, silence)
        with inside(self._line.namespace):
            relay.start()
        try:
            yield self.target(site, relay.port), relay
        finally:
            relay.close()

    def _config(self, port: int) -> Path:
        ours = self._scratch / f"ssh-config-{port}"
        theirs = self._sshd.via(port).read_text()
        ours.write_text(theirs.replace(f"Host {self._sshd.alias} ", f"Host {ALIAS} ", 1))
        return ours


class _Sshd(RealSshd):
    """The server of the tests, at another address, with room for several deploys at once."""

    def __init__(self, address: str) -> None:
        super().__init__(shell="bash", options={"MaxStartups": "100", "MaxSessions": "20"})
        self.host = address


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread, and what it starts, live in a network namespace; in its own for ``""``.

    Raises:
        OSError: There is no such namespace, or this is not root.
    """
    if not namespace:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(f"/run/netns/{namespace}")
        try:
            yield
        finally:
            _enter(f"/proc/self/fd/{home}")
    finally:
        os.close(home)


def _enter(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(handle, _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {path}")
    finally:
        os.close(handle)
