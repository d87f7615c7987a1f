"""A deploy asks for the lock with its first steps: what it does where something came between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from opsnb.core.events import Outcome, PhaseEnded
from opsnb.core.release import Site
from opsnb.engine import ending, health
from opsnb.engine.change import Change
from opsnb.engine.telling import Actor
from opsnb.errors import Interrupted, Locked, NotAsSeen, NotReady, SourceError, StalePlan
from opsnb.remote.local import local_remote
from opsnb.remote.posix import PosixRemote
from opsnb.remote.shell import Shell
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
def mine(tmp_path: Path) -> Path:
    """Another source than the one that the others deploy."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "index").write_text("mine")
    return folder


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
    assert sent[0] == ["fingerprint", "look"]
    assert {"take", "publish", "drop_lock"} < set(sent[1])
    assert len(sent) == 2


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


def test_a_rollback_to_what_is_live_is_nothing_and_every_phase_ends(
    server: Server, source: Path
) -> None:
    _one, two = versions(server, source, "one", "two")
    report = server.rollback(to=two).wait()
    assert report.outcome is Outcome.NOTHING
    assert [name for name, _ in report.phases] == ["lock"]


def test_a_check_before_a_rollback_is_made_under_the_lock_from_wherever_it_is_asked(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is asked from here takes no step on the server by itself."""
    versions(server, source, "one", "two")
    configure(server, health=[{"command": "true", "when": "before"}])
    waiting: list[bool] = []
    real = health.check_health

    async def check(change: Change, *args: Any) -> None:
        waiting.append(change.lock.unasked)
        await real(change, *args)

    monkeypatch.setattr(ending, "check_health", check)
    assert server.rollback().wait().switched
    assert waiting
    assert not any(waiting)


async def test_what_was_not_begun_is_not_told_as_removed(tmp_path: Path) -> None:
    """Somebody else may have removed it meanwhile."""
    actor = Actor("local", "tester", "here", lambda _event: None, lambda: datetime.now(UTC))
    change = Change(local_remote(str(tmp_path / "site"), 60, 20), actor, "deploy")
    change.leaving = {"20260101000000": "too old"}
    await change.not_as_seen(NotAsSeen(ours=True))
    assert change.leaving == {}


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_a_lock_that_cannot_be_taken_is_no_unknown_outcome(
    server: Server, source: Path, verb: str
) -> None:
    _one, two = versions(server, source, "one", "two")
    lock = site(server) / ".opsnb" / "lock"
    lock.unlink()
    lock.mkdir()
    (source / "index").write_text("three")
    with pytest.raises(NotReady, match="cannot take the lock") as refused:
        (server.deploy(source) if verb == "deploy" else server.rollback()).wait()
    report = refused.value.report
    assert (report.outcome, report.switched, report.live) == (Outcome.NOT_DONE, False, two)
    assert (report.release, report.warnings) == ("", ())
    lock.rmdir()
    assert server.rollback().wait().switched


def test_a_look_that_fails_under_the_lock_is_no_reason_to_build_another_way(
    server: Server, other: Server, source: Path, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, keep_releases=2)
    versions(server, source, "one", "two", "three")
    (source / "index").write_text("four")
    failed: list[str] = []
    real = Shell.batch

    async def once(self: Shell, calls: Any, answered: Any = None) -> Any:
        if (
            len(calls) > 1
            and calls[1].name == "look_unless"
            and calls[1].args != ("",)
            and not failed
        ):
            failed.append("look")
            calls = [calls[0], replace(calls[1], name="false"), *calls[2:]]
        return await real(self, calls, answered)

    monkeypatch.setattr(Shell, "batch", once)
    between(lambda: other.hold("maintenance").wait())
    with pytest.raises(Locked, match="maintenance"):
        server.deploy(source).wait()
    assert failed
    assert (site(server) / "current" / "index").read_text() == "three"
    assert faults(site(server), server) == []


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
    server: Server, other: Server, source: Path, mine: Path, between: Between
) -> None:
    versions(server, source, "one", "two")
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
    server: Server, other: Server, source: Path, mine: Path, between: Between
) -> None:
    versions(server, source, "one")
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
    with pytest.raises(Locked, match="maintenance") as refused:
        server.deploy(source).wait()
    assert (refused.value.report.release, refused.value.report.warnings) == ("", ())
    assert len(server.look().releases) == 1
    other.unhold().wait()
    assert server.deploy(source).wait().switched


def test_a_lock_that_is_taken_is_waited_for(
    server: Server, other: Server, source: Path, mine: Path, between: Between
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
    assert refused.value.report.warnings == ()
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
    assert stopped.value.report.warnings == ()
    assert (site(server) / ".opsnb" / "audit.jsonl").read_bytes() == log
    assert faults(site(server), server) == []
