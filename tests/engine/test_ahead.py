"""A deploy asks for the lock with its first steps: what it does where something came between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from opsnb.core.events import Outcome, PhaseEnded
from opsnb.core.release import Site
from opsnb.errors import Interrupted, Locked, SourceError, StalePlan
from opsnb.remote.posix import PosixRemote
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.engine.test_in_use import versions
from tests.support.site import faults

Between = Callable[[Callable[[], object]], None]


@pytest.fixture
def other(server: Server) -> Iterator[Server]:
    """Somebody else at the same site."""
    made = Server(f"file://{site(server)}", name="other")
    yield made
    made.close()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Has something done once between a deploy's look and its wish for the lock."""
    todo: list[Callable[[], object]] = []
    real = PosixRemote.lock

    async def lock(
        self: Any, who: str, host: str, since: str, why: str, seen: Site | None = None
    ) -> Any:
        if seen is not None and todo:
            await asyncio.to_thread(todo.pop())
        return await real(self, who, host, since, why, seen)

    monkeypatch.setattr(PosixRemote, "lock", lock)
    return todo.append


def test_nobody_came_between(server: Server, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the lock is asked for once, with a site that was seen."""
    asked: list[bool] = []
    real = PosixRemote.lock

    async def lock(self: Any, *args: Any) -> Any:
        asked.append(args[-1] is not None)
        return await real(self, *args)

    monkeypatch.setattr(PosixRemote, "lock", lock)
    versions(server, source, "one", "two")
    assert asked == [True, True]
    phases = [event.phase for event in server.jobs[-1].events if isinstance(event, PhaseEnded)]
    assert phases[:3] == ["look", "lock", "build"]


def test_a_rollback_is_a_look_and_one_trip_more(
    server: Server, source: Path, sent: list[list[str]]
) -> None:
    one, _two = versions(server, source, "one", "two")
    sent.clear()
    assert server.rollback().wait().live == one
    assert [batch[0] for batch in sent] == ["look", "take"]
    assert {"publish", "drop_lock"} < set(sent[1])


def test_a_rollback_goes_back_from_what_somebody_made_live_meanwhile(
    server: Server, other: Server, source: Path, between: Between
) -> None:
    _one, two = versions(server, source, "one", "two")
    between(lambda: versions(other, source, "theirs"))
    report = server.rollback().wait()
    assert report.live == two
    assert len(set(report.warnings)) == len(report.warnings)
    assert faults(site(server), server) == []


def test_a_rollback_that_was_agreed_to_is_not_carried_out_any_more(
    server: Server, other: Server, source: Path, between: Between
) -> None:
    versions(server, source, "one", "two")
    plan = server.plan_rollback()
    between(lambda: versions(other, source, "theirs"))
    with pytest.raises(StalePlan):
        server.rollback(plan).wait()
    assert (site(server) / "current" / "index").read_text() == "theirs"
    assert server.look().holder is None


def test_a_rollback_with_a_watchdog_knows_its_lock_before_it_switches(
    server: Server, source: Path
) -> None:
    configure(server, watchdog=60, health=[{"command": "true"}])
    one, _two = versions(server, source, "one", "two")
    report = server.rollback().wait()
    assert (report.live, report.warnings) == (one, ())
    assert server.look().watches == ()
    assert faults(site(server), server) == []


def test_it_is_planned_anew_when_somebody_deployed(
    server: Server, other: Server, source: Path, tmp_path: Path, between: Between
) -> None:
    versions(server, source, "one", "two")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index").write_text("mine")
    (mine / "more").write_text("more")
    theirs: list[str] = []
    between(lambda: theirs.extend(versions(other, source, "theirs")))
    report = server.deploy(mine).wait()
    assert report.previous == theirs[0]
    assert len(set(report.warnings)) == len(report.warnings) == 1, "nothing is said twice"
    assert (site(server) / "current" / "index").read_text() == "mine"
    assert (site(server) / "releases" / theirs[0] / "index").read_text() == "theirs"
    assert faults(site(server), server) == []


def test_it_is_nothing_any_more_when_somebody_deployed_the_same(
    server: Server, other: Server, source: Path, between: Between
) -> None:
    versions(server, source, "one")
    (source / "index").write_text("two")
    between(lambda: other.deploy(source).wait())
    report = server.deploy(source).wait()
    assert report.outcome is Outcome.NOTHING
    assert len(server.look().releases) == 2
    assert server.look().holder is None


def test_a_plan_that_was_agreed_to_is_not_carried_out_any_more(
    server: Server, other: Server, source: Path, tmp_path: Path, between: Between
) -> None:
    versions(server, source, "one")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index").write_text("mine")
    plan = server.plan(mine)
    between(lambda: versions(other, source, "theirs"))
    with pytest.raises(StalePlan):
        server.deploy(plan).wait()
    assert (site(server) / "current" / "index").read_text() == "theirs"
    assert faults(site(server), server) == []


def test_who_holds_it_is_named_and_nothing_is_made(
    server: Server, other: Server, source: Path, between: Between
) -> None:
    versions(server, source, "one")
    (source / "index").write_text("two")
    between(lambda: other.hold("maintenance").wait())
    with pytest.raises(Locked, match="maintenance"):
        server.deploy(source).wait()
    assert len(server.look().releases) == 1
    other.unhold().wait()
    assert server.deploy(source).wait().switched


def test_a_lock_that_is_taken_is_waited_for(
    server: Server, other: Server, source: Path, between: Between
) -> None:
    configure(server, lock_wait=30)
    versions(server, source, "one")
    configure(other, before_publish=["sleep 2"])
    (source / "index").write_text("two")
    jobs = []

    def theirs() -> None:
        jobs.append(other.deploy(source))
        while other.look().holder is None:
            time.sleep(0.05)

    between(theirs)
    mine = source.parent / "mine"
    mine.mkdir()
    (mine / "index").write_text("mine")
    report = server.deploy(mine).wait()
    assert jobs[0].wait().switched
    assert report.previous == jobs[0].wait().release
    assert faults(site(server), server) == []


def test_what_fails_before_it_is_asked_for_leaves_nothing_and_says_no_more(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(server, source, "one")
    log = (site(server) / ".opsnb" / "audit.jsonl").read_bytes()

    def patches(*_args: object) -> None:
        raise SourceError("the source cannot be read")

    monkeypatch.setattr("opsnb.engine.deploy.patches", patches)
    (source / "index").write_text("two")
    with pytest.raises(SourceError) as refused:
        server.deploy(source).wait()
    assert len(refused.value.report.warnings) == 1, "of the health check that there is none"
    assert refused.value.report.switched is False
    assert (site(server) / ".opsnb" / "audit.jsonl").read_bytes() == log
    assert server.look().holder is None
    assert faults(site(server), server) == []


def test_who_is_stopped_before_it_is_asked_for_has_done_nothing(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(server, source, "one")
    log = (site(server) / ".opsnb" / "audit.jsonl").read_bytes()

    def patches(*_args: object) -> dict[bytes, object]:
        time.sleep(1)
        return {}

    monkeypatch.setattr("opsnb.engine.deploy.patches", patches)
    (source / "index").write_text("two")
    job = server.deploy(source)
    Timer(0.5, job.cancel).start()
    with pytest.raises(Interrupted) as stopped:
        job.wait()
    assert len(stopped.value.report.warnings) == 1, "of the health check that there is none"
    assert (site(server) / ".opsnb" / "audit.jsonl").read_bytes() == log
    assert faults(site(server), server) == []
