"""Aborting a change, once or impatiently: a true verdict, the lock back, nothing left over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import DeployFailed, Interrupted, OpsnbError, Restored
from opsnb.job import Job
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import debris, snapshot
from tests.support.process import runs, until
from tests.support.site import faults
from tests.support.sshd import RealSshd

SECONDS = 30.0


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def said(job: Job, text: str) -> Callable[[], bool]:
    return lambda: any(getattr(event, "text", "") == text for event in job.events)


def ended(job: Job) -> OpsnbError:
    with pytest.raises(OpsnbError) as failed:
        job.wait(SECONDS)
    return failed.value


@pytest.mark.parametrize("how", ["folder", "sshd"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_aborting_before_the_switch_leaves_the_live_site_untouched_and_the_lock_free(
    sshd: RealSshd, tmp_path: Path, source: Path, how: str, times: int
) -> None:
    """However often the button is pressed."""
    url = f"file://{tmp_path}/site"
    if how == "sshd":
        url = sshd.url(sshd.home / f"abort{times}")
    server = Server(url, ssh_config=sshd.ssh_config)
    first = server.deploy(source).wait()
    before = snapshot(site(server) / "releases")
    configure(server, before_publish=["echo pid $$; sleep 300"])
    (source / "index").write_text("two")
    job = server.deploy(source)
    pids: list[int] = []

    def hook_runs() -> bool:
        words = [getattr(event, "text", "").split() for event in job.events]
        pids.extend(int(word[1]) for word in words if word[:1] == ["pid"])
        return bool(pids)

    until(hook_runs)
    for _ in range(times):
        job.cancel()
        time.sleep(0.01)
    error = ended(job)
    assert isinstance(error, Interrupted)
    report = error.report
    assert (report.outcome, report.exit_status) == (Outcome.NOT_DONE, 130)
    assert (report.live, report.switched) == (first.release, False)
    until(lambda: not runs(pids[0]))
    until(lambda: server.look().holder is None)
    if times == 1:
        assert snapshot(site(server) / "releases") == before
        assert debris(site(server)) == []
    configure(server)
    assert server.deploy(source).wait().outcome is Outcome.DONE
    assert faults(site(server), server) == []
    server.close()


def test_aborting_while_a_failure_is_cleared_up_still_ends_with_a_report(
    server: Server, source: Path
) -> None:
    server.deploy(source).wait()
    configure(server, before_publish=[{"command": "echo on; sleep 300", "timeout": 0.5}])
    (source / "index").write_text("two")
    for delay in (0.45, 0.5, 0.52, 0.55, 0.6):
        job = server.deploy(source)
        until(said(job, "on"))
        time.sleep(delay)
        job.cancel()
        error = ended(job)
        assert isinstance(error, (Interrupted, DeployFailed))
        assert error.report.switched is False
        until(lambda: server.look().holder is None)
    configure(server)
    assert server.deploy(source).wait().outcome is Outcome.DONE
    assert faults(site(server), server) == []


def test_aborting_after_the_switch_says_what_is_live_and_a_rollback_goes_back(
    server: Server, source: Path
) -> None:
    first = server.deploy(source).wait()
    configure(server, after_publish=["echo on; sleep 300"])
    (source / "index").write_text("two")
    job = server.deploy(source)
    until(said(job, "on"))
    job.cancel()
    error = ended(job)
    assert isinstance(error, Interrupted)
    assert "after the switch" in error.message
    assert error.report.switched is True
    assert job.report is not None
    assert error.report.live == server.look().current.name == job.report.release
    configure(server)
    assert server.rollback().wait().live == first.release
    assert faults(site(server), server) == []


def test_what_was_never_confirmed_is_made_anew_with_its_checks(
    server: Server, source: Path, tmp_path: Path
) -> None:
    """Whoever tries again after an interrupt must not be told that all is well."""
    server.deploy(source).wait()
    configure(server, after_publish=["echo on; sleep 300"])
    (source / "index").write_text("two")
    job = server.deploy(source)
    until(said(job, "on"))
    job.cancel()
    unconfirmed = ended(job).report.live
    configure(server, after_publish=[f"touch '{tmp_path}/ran'"])
    plan = server.plan(source)
    assert not plan.nothing
    assert f"{unconfirmed} is live, unconfirmed: " in str(plan)
    report = server.deploy(source).wait()
    assert report.outcome is Outcome.DONE
    assert report.live != unconfirmed
    assert (tmp_path / "ran").exists()
    assert server.deploy(source).wait().outcome is Outcome.NOTHING
    assert faults(site(server), server) == []


def test_a_job_that_is_cancelled_before_it_begins_does_nothing(
    server: Server, source: Path
) -> None:
    job = server.deploy(source)
    job.cancel()
    error = ended(job)
    assert isinstance(error, Interrupted)
    assert not os.path.lexists(site(server) / "current")
    assert server.deploy(source).wait().outcome is Outcome.DONE


def test_a_hook_over_its_time_before_the_switch_fails_the_deploy_and_clears_up(
    server: Server, source: Path
) -> None:
    server.deploy(source).wait()
    before = snapshot(site(server) / "releases")
    configure(server, before_publish=[{"command": "sleep 300", "timeout": 0.5}])
    (source / "index").write_text("two")
    with pytest.raises(DeployFailed, match=r"did not end within 0\.5 s") as failed:
        server.deploy(source).wait(SECONDS)
    assert failed.value.report.exit_status == 20
    assert snapshot(site(server) / "releases") == before
    assert debris(site(server)) == []


def test_a_hook_over_its_time_after_the_switch_puts_the_previous_release_back(
    server: Server, source: Path
) -> None:
    first = server.deploy(source).wait()
    configure(server, after_publish=[{"command": "sleep 300", "timeout": 0.5}])
    (source / "index").write_text("two")
    with pytest.raises(Restored) as failed:
        server.deploy(source).wait(SECONDS)
    assert failed.value.report.live == server.look().current.name == first.release
    assert faults(site(server), server) == []
