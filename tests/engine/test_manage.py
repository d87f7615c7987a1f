"""Holds, forced releases of the lock, and what they leave in the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import Locked, NotRestored, OpsnbError
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.engine.test_cancel import said
from tests.support.process import until
from tests.support.site import faults
from tests.support.sshd import RealSshd

SECONDS = 30.0


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def what(server: Server) -> list[str]:
    return list(server.log()["what"])


def test_a_hold_of_somebody_else_needs_force_and_the_log_says_so(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deploy(source).wait()
    monkeypatch.setenv("OPSNB_USER", "alice")
    server.hold("migration").wait()
    monkeypatch.setenv("OPSNB_USER", "bob")
    with pytest.raises(Locked, match="alice"):
        server.unhold().wait()
    (source / "index").write_text("two")
    for job in (server.deploy(source), server.rollback(), server.prune()):
        with pytest.raises(OpsnbError):
            job.wait()
    assert server.unhold(force=True).wait().outcome is Outcome.DONE
    log = server.log()
    assert list(log["what"])[-2:] == ["hold.acquire", "hold.release"]
    assert list(log["by"])[-2:] == ["alice", "bob"]
    assert server.verify_log() == []
    assert server.unhold().wait().outcome is Outcome.NOTHING
    assert server.deploy(source).wait().outcome is Outcome.DONE


@pytest.mark.parametrize("how", ["folder", "sshd"])
def test_the_lock_of_a_running_change_is_taken_only_by_force_and_the_log_says_so(
    sshd: RealSshd, tmp_path: Path, source: Path, how: str
) -> None:
    url = sshd.url(sshd.home / "forced") if how == "sshd" else f"file://{tmp_path}/site"
    server, other = (Server(url, ssh_config=sshd.ssh_config) for _ in range(2))
    first = server.deploy(source).wait()
    configure(server, before_publish=["echo on; sleep 300"])
    (source / "index").write_text("two")
    for _round in range(3):
        job = server.deploy(source)
        until(said(job, "on"))
        with pytest.raises(Locked):
            other.unhold().wait(SECONDS)
        began = time.monotonic()
        assert other.unhold(force=True).wait(SECONDS).outcome is Outcome.DONE
        assert time.monotonic() - began < SECONDS
        with pytest.raises(OpsnbError) as robbed:
            job.wait(SECONDS)
        assert robbed.value.report.switched is False
        assert other.look().current.name == first.release
    assert what(other).count("lock.forced") == 3
    assert other.verify_log() == []
    (source / "index").write_text("three")
    assert other.deploy(source).wait().outcome is Outcome.DONE
    assert faults(site(other), other) == []
    server.close()
    other.close()


def test_a_change_that_is_robbed_after_its_switch_does_not_say_that_nothing_happened(
    server: Server, source: Path
) -> None:
    """20 means that the live site is untouched; after the switch it is 22, or it was put back."""
    server.deploy(source).wait()
    configure(server, after_publish=["echo on; while [ ! -e ../../go ]; do sleep 0.05; done"])
    (source / "index").write_text("two")
    job = server.deploy(source)
    until(said(job, "on"))
    token = site(server) / ".opsnb" / "token"
    token.write_text(f"{int(token.read_text()) + 1}\n")
    (site(server) / "go").write_text("")
    with pytest.raises(OpsnbError) as robbed:
        job.wait(90)
    report = robbed.value.report
    live = server.look().current.name
    assert report.live in (live, "")
    assert report.exit_status in (21, 22)
    assert isinstance(robbed.value, NotRestored) == (live == report.release)


def test_waiting_for_the_lock_gets_it_when_it_is_let_go(server: Server, source: Path) -> None:
    server.deploy(source).wait()
    other = configure(Server(server.url), lock_wait=20)
    configure(server, before_publish=["echo on; while [ ! -e ../../go ]; do sleep 0.05; done"])
    (source / "index").write_text("two")
    first = server.deploy(source)
    until(said(first, "on"))
    (source / "index").write_text("three")
    second = other.deploy(source)
    until(said(second, "waiting for the lock, 20 s at the most"))
    threading.Timer(0.2, (site(server) / "go").touch).start()
    before = first.wait(SECONDS).release
    assert second.wait(SECONDS).previous == before
    assert (site(server) / "current" / "index").read_text() == "three"
    assert faults(site(server), server) == []
    other.close()
