"""A first deploy hashes as it sends what was not hashed by the time the server has answered."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.events import Outcome
from opsnb.core.manifest import Entry
from opsnb.engine import deploy as carrying_out
from opsnb.engine import source as under_test
from opsnb.errors import DeployFailed, OpsnbError, SourceError
from opsnb.remote import tar
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.site import faults

FILES = 7


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few are many here."""
    monkeypatch.setattr(carrying_out, "MANY", FILES)
    # Whatever was written a moment ago may be remembered.
    monkeypatch.setattr(under_test, "SETTLED", 0)


@pytest.fixture
def _late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read before the server has answered."""
    monkeypatch.setattr(under_test.Unread, "begin", lambda _: None)


@pytest.fixture
def tree(source: Path) -> Path:
    for number in range(FILES):
        (source / f"d{number % 3}").mkdir(exist_ok=True)
        (source / f"d{number % 3}" / f"f{number}").write_text(f"{number}\n")
    (source / "d0" / "larger").write_bytes(os.urandom(under_test.CHUNK + 1))
    (source / "empty").touch()
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    return source


def nothing_left(server: Server) -> bool:
    """Whether a first deploy that failed has left neither a release nor a link to one."""
    here = site(server)
    return not os.path.lexists(here / "current") and not list((here / "releases").iterdir())


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was read to be hashed and for nothing else."""
    paths: list[bytes] = []
    real = under_test._digest

    def noting(path: bytes, size: int) -> tuple[int, str]:
        paths.append(path)
        return real(path, size)

    monkeypatch.setattr(under_test, "_digest", noting)
    return paths


@pytest.mark.usefixtures("_late")
def test_the_first_deploy_reads_once_and_remembers_what_it_read(
    server: Server, tree: Path, read: list[bytes]
) -> None:
    report = server.deploy(tree, revision="abc").wait()
    assert read == []
    assert report.outcome is Outcome.DONE
    assert faults(site(server), server) == []
    for path in tree.rglob("*"):
        if path.is_file():
            there = site(server) / "current" / path.relative_to(tree)
            assert there.read_bytes() == path.read_bytes()
    assert server.deploy(tree).wait().outcome is Outcome.NOTHING
    assert read == []
    # Another process finds it in the cache.
    again = Server(server.url, name="again")
    assert again.deploy(tree).wait().outcome is Outcome.NOTHING
    again.close()
    assert read == []
    (tree / "run").write_text("#!/bin/sh\n:\n")
    assert server.deploy(tree).wait().files == 1
    assert read == [os.fsencode(tree / "run")]
    assert faults(site(server), server) == []


@pytest.mark.parametrize("why", ["there is a live release", "there are few", "all is verified"])
def test_else_everything_is_hashed_for_the_plan(
    server: Server, tree: Path, read: list[bytes], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "there is a live release":
        (tree.parent / "other").mkdir()
        (tree.parent / "other" / "index").write_text("one")
        server.deploy(tree.parent / "other").wait()
        read.clear()
    elif why == "there are few":
        monkeypatch.setattr(carrying_out, "MANY", 1000)
    else:
        configure(server, verify="all")
    server.deploy(tree).wait()
    assert len(read) == FILES + 4
    assert faults(site(server), server) == []


def test_a_plan_that_is_looked_at_first_knows_the_content(
    server: Server, tree: Path, read: list[bytes]
) -> None:
    plan = server.plan(tree)
    assert len(read) == FILES + 4
    assert plan.source.manifest.whole
    assert server.deploy(plan).wait().outcome is Outcome.DONE


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def other(path: Path) -> None:
    path.write_bytes(bytes(len(path.read_bytes())))


def touched(path: Path) -> None:
    os.utime(path, (1, 1))


def named_twice(path: Path) -> None:
    (path.parent.parent.parent / "further").hardlink_to(path)


def replaced(path: Path) -> None:
    (path.parent / "new").write_bytes(path.read_bytes())
    (path.parent / "new").rename(path)


@pytest.mark.usefixtures("_late")
@pytest.mark.parametrize("how", [shorter, longer, other, touched, replaced, named_twice])
@pytest.mark.parametrize("which", ["d2/f2", "d0/larger"])
def test_what_does_not_look_as_it_did_is_refused(
    server: Server,
    tree: Path,
    how: Callable[[Path], None],
    which: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read once, it could be the half of one and the half of another."""
    real = tar.header

    def and_change(entry: Entry, mtime: int) -> bytes:
        # The first file of all; the one that changes is among those that come later.
        if entry.path == b"d0/f0":
            how(tree / which)
        return real(entry, mtime)

    with monkeypatch.context() as changing:
        changing.setattr(tar, "header", and_change)
        if how is named_twice:  # it holds what it held
            assert server.deploy(tree).wait().outcome is Outcome.DONE
            return
        with pytest.raises(OpsnbError, match=f"{which} changed while it was sent"):
            server.deploy(tree).wait()
    assert nothing_left(server)
    assert server.deploy(tree).wait().outcome is Outcome.DONE
    assert faults(site(server), server) == []


@pytest.mark.usefixtures("_late")
def test_what_arrives_otherwise_is_found_by_name(
    server: Server, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = under_test._small

    def lying(
        place: bytes, entry: Entry, looks: under_test.Looks | None, hashed: dict[bytes, str]
    ) -> bytes:
        made = real(place, entry, looks, hashed)
        if entry.path == b"d1/f1":
            hashed[entry.path] = "0" * 64
        return made

    monkeypatch.setattr(under_test, "_small", lying)
    with pytest.raises(DeployFailed, match=r"1 file arrived with other content .*: d1/f1\n"):
        server.deploy(tree).wait()
    assert nothing_left(server)


@pytest.mark.usefixtures("_late")
def test_an_interrupt_while_it_is_hashed_leaves_nothing(
    server: Server, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = under_test.Unread.whole

    def cancelling(self: under_test.Unread, *args: Any) -> Any:
        job.cancel()
        return real(self, *args)

    monkeypatch.setattr(under_test.Unread, "whole", cancelling)
    job = server.deploy(tree)
    with pytest.raises(OpsnbError, match="interrupted"):
        job.wait()
    assert nothing_left(server)
    monkeypatch.undo()
    assert server.deploy(tree).wait().outcome is Outcome.DONE
    assert faults(site(server), server) == []


@pytest.mark.parametrize("live", [True, False])
def test_what_is_read_while_the_server_is_asked_is_not_read_again(
    server: Server,
    tree: Path,
    read: list[bytes],
    live: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where something is live, all of it is wanted; else what is left waits for the upload."""
    if live:
        (tree.parent / "other").mkdir()
        (tree.parent / "other" / "index").write_text("one")
        server.deploy(tree.parent / "other").wait()
        read.clear()
    noting, stop, stopped = under_test._digest, under_test.Unread.stop, threading.Event()

    def until_it_has_answered(path: bytes, size: int) -> tuple[int, str]:
        if len(read) == 2:
            assert stopped.wait(20) or live
        return noting(path, size)

    def stopping(self: under_test.Unread) -> None:
        stop(self)
        stopped.set()

    if not live:
        monkeypatch.setattr(under_test, "_digest", until_it_has_answered)
        monkeypatch.setattr(under_test.Unread, "stop", stopping)
    server.deploy(tree).wait()
    assert len(read) == len(set(read)) == (FILES + 4 if live else 3)
    assert faults(site(server), server) == []
    assert server.deploy(tree).wait().outcome is Outcome.NOTHING


def test_a_file_that_changed_after_it_was_read_meanwhile_is_found_out(
    server: Server, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = under_test.pieces

    def and_change(*args: Any) -> Any:
        # All that was to be read is read by now: the pieces are asked for under the lock.
        other(tree / "d2/f2")
        return real(*args)

    with monkeypatch.context() as changing:
        changing.setattr(under_test.Unread, "stop", lambda _: None)
        changing.setattr(carrying_out, "pieces", and_change)
        with pytest.raises(OpsnbError, match="d2/f2"):
            server.deploy(tree).wait()
    assert nothing_left(server)


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_done(
    server: Server, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only once it is to be sent."""
    (tree / "run").chmod(0o700)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, how: b"/run" not in path and real(path, how))
    refuse = under_test._digest

    def refusing(path: bytes, size: int) -> tuple[int, str]:
        if path.endswith(b"/run"):
            raise PermissionError(13, "Permission denied", path)
        return refuse(path, size)

    monkeypatch.setattr(under_test, "_digest", refusing)
    with pytest.raises(SourceError, match=r"cannot read .*/run: Permission denied"):
        server.deploy(tree).wait()
    assert not (site(server) / ".opsnb").exists()
