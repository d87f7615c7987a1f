"""The full cycle on a server, and what must be on its disk after each step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opsnb.core.events import Outcome
from opsnb.errors import Locked, NotReady
from opsnb.server import Server
from tests.faults.guarantees import debris, live, snapshot
from tests.support.site import faults, tree, unlike

STEPS = ("check", "deploy", "redeploy", "roll back", "prune", "lock", "look")
ONE = {"index.html": "one", "a folder/it's a 'file' of $HOME": "same", "empty/": ""}
TWO = {"index.html": "two", "a folder/it's a 'file' of $HOME": "same", "new": "n" * 70_000}
THREE = {"index.html": "three"}


@dataclass(frozen=True)
class Account:
    """An account on a server, and where what it sees is on this machine.

    Attributes:
        url: The address of a path as the account sees it.
        ssh_config: The ssh_config that leads there.
        place: A directory, as the account sees it, in which it may write.
        on_disk: Where a path of the account's is on this machine.
    """

    url: Callable[[Path], str]
    ssh_config: Path
    place: Path
    on_disk: Callable[[Path], Path]

    def server(self, site: Path) -> Server:
        """A site on it."""
        return Server(self.url(site), ssh_config=self.ssh_config)


@dataclass
class Told:
    """What came of each step: ``yes``, or why not."""

    steps: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step that must end well."""
        self.steps[name] = "failed"
        yield
        self.steps[name] = "yes"


def cycle(account: Account, work: Path, told: Told) -> None:
    """Everything that an operator does, once.

    Args:
        account: Where.
        work: A directory of this machine for the source.
        told: Filled in, step by step.
    """
    where = account.place / "a 'site' of $HOME"
    disk, server = account.on_disk(where), account.server(where)
    try:
        _until_two_are_there(server, disk, work, told)
        with told.step("roll back"):
            second = live(disk)
            report = server.rollback(why="to see whether it works").wait()
            assert (report.outcome, report.live) == (Outcome.DONE, live(disk))
            assert live(disk) < second
            assert (disk / "current" / "index.html").read_text() == "one"
            assert os.readlink(disk / "current") == f"releases/{report.live}"
            assert faults(disk, server) == []
        with told.step("prune"):
            first = live(disk)
            report = server.deploy(tree(work / "source", THREE)).wait()
            assert report.live == live(disk)
            assert dict(server.prune(1).wait().removed).keys() == {second}
            assert {path.name for path in (disk / "releases").iterdir()} == {first, live(disk)}
            assert faults(disk, server) == []
        with told.step("lock"):
            _hold_and_release(server, work)
        with told.step("look"):
            _look(server, disk)
        assert (disk / "shared" / "upload").read_text() == "precious"
    finally:
        server.close()


def _until_two_are_there(server: Server, disk: Path, work: Path, told: Told) -> None:
    with told.step("check"):
        wrong = [finding for finding in server.findings() if not finding.ok]
        assert wrong == []
        assert not disk.exists(), "a look makes nothing"
    with told.step("deploy"):
        first = server.deploy(tree(work / "source", ONE)).wait()
        assert (first.outcome, first.live) == (Outcome.DONE, live(disk))
        assert (disk / "current" / "index.html").read_text() == "one"
        assert faults(disk, server) == []
        _upload(disk)
    with told.step("redeploy"):
        before = snapshot(disk / "releases" / first.release)
        second = server.deploy(tree(work / "source", TWO), revision="r2").wait()
        assert (second.outcome, second.live) == (Outcome.DONE, live(disk))
        assert second.files == 3, "two that are other or new, and REVISION"
        assert (disk / "current" / "index.html").read_text() == "two"
        assert (disk / "current" / "upload").read_text() == "precious"
        assert list(unlike(disk, second.release)) == []
        assert snapshot(disk / "releases" / first.release) == before
        assert faults(disk, server) == []


def _upload(disk: Path) -> None:
    """What the application keeps in shared/, as the server's user."""
    shared = disk / "shared"
    (shared / "upload").write_text("precious")
    owner = shared.stat()
    os.chown(shared / "upload", owner.st_uid, owner.st_gid)


def _hold_and_release(server: Server, work: Path) -> None:
    assert server.look().hold is None
    server.hold("a migration").wait()
    assert server.look().hold is not None
    try:
        server.deploy(tree(work / "source", ONE), force=True).wait()
    except Locked:
        pass
    else:
        raise AssertionError("a hold holds nobody back")
    server.unhold().wait()
    assert server.look().hold is None
    assert server.look().holder is None


def _look(server: Server, disk: Path) -> None:
    there = {path.name for path in (disk / "releases").iterdir()}
    assert set(server.releases()["name"]) == there
    assert server.look().current.name == live(disk)
    if server.look().commands:
        assert there < set(server.usage()["name"])
    assert server.verify_log() == []
    assert debris(disk) == []


def refusal(account: Account, work: Path, told: Told) -> str:
    """What is refused at the first step, and that nothing was written; the reason.

    Also on a directory that is there already.
    """
    empty = account.on_disk(account.place / "empty")
    empty.mkdir()
    above = account.on_disk(account.place).stat()
    os.chown(empty, above.st_uid, above.st_gid)
    before = snapshot(account.on_disk(account.place))
    said: set[str] = set()
    source = tree(work / "source", ONE)
    for name in ("new", "empty"):
        for change in ("deploy", "rollback", "prune", "hold", "adopt"):
            server = account.server(account.place / name)
            try:
                said.add(_refused(server, change, source))
            finally:
                server.close()
    assert snapshot(account.on_disk(account.place)) == before
    assert len(said) == 1, said
    reason = said.pop()
    told.steps.update(dict.fromkeys(STEPS, "refused"))
    return reason


def _refused(server: Server, change: str, source: Path) -> str:
    """How a change is refused."""
    changes = {
        "deploy": lambda: server.deploy(source),
        "rollback": server.rollback,
        "prune": server.prune,
        "hold": lambda: server.hold("why"),
        "adopt": server.adopt,
    }
    try:
        changes[change]().wait()
    except NotReady as error:
        return error.message
    raise AssertionError(f"{change} was not refused")
