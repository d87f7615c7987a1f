"""From the switch to the end: what is sent together, and what is so when not all of it is done."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import layout
from opsnb.core.events import Event, Outcome, PhaseBegan, PhaseEnded
from opsnb.core.release import Record, State
from opsnb.errors import DeployFailed, Disconnected, Interrupted, NotRestored, Restored
from opsnb.job import Job
from opsnb.remote.held import PosixHeld
from opsnb.remote.shell import Call, Reply, Shell
from opsnb.server import Server, here
from tests.engine.conftest import configure, site
from tests.engine.test_in_use import holding, versions
from tests.support.site import faults


def last(server: Server) -> dict[str, Any]:
    """The last entry of the audit log."""
    lines = (site(server) / ".opsnb/audit.jsonl").read_text().splitlines()
    entry: dict[str, Any] = json.loads(lines[-1])
    return entry


def test_where_nothing_is_to_be_asked_the_switch_and_the_end_are_sent_together(
    server: Server, source: Path, sent: list[list[str]]
) -> None:
    configure(server, keep_releases=2)
    versions(server, source, "one", "two")
    sent.clear()
    versions(server, source, "three")
    assert {"publish", "all_idle", "drop_lock"} <= set(sent[-1])
    sent.clear()
    server.rollback().wait()
    assert {"publish", "drop_lock"} <= set(sent[-1])
    assert faults(site(server), server) == []


@pytest.mark.parametrize(
    "setting",
    [
        {"after_publish": ["true"]},
        {"health": [{"command": "true"}]},
        {"purge": [{"command": "true"}]},
        {"watchdog": 60, "health": [{"command": "true"}]},
    ],
)
def test_what_may_fail_after_the_switch_is_waited_for(
    server: Server, source: Path, sent: list[list[str]], setting: dict[str, Any]
) -> None:
    configure(server, **setting)
    versions(server, source, "one", "two")
    switch = next(batch for batch in sent if batch[-1].startswith("publish"))
    assert "drop_lock" not in switch
    assert faults(site(server), server) == []


def test_a_release_that_stays_is_told_and_not_written_down_as_removed(
    server: Server, source: Path, sent: list[list[str]]
) -> None:
    configure(server, keep_releases=2)
    old, other, _ = versions(server, source, "one", "two", "three")[:3]
    assert not (site(server) / "releases" / old).exists()
    told: list[Event] = []
    with holding(site(server) / "releases" / other, "works in it"):
        (source / "index").write_text("four")
        job = server.deploy(source)
        told += list(job)
        report = job.wait()
    assert report.removed == ()
    assert last(server)["what"] == "deploy.done"
    assert last(server)["removed"] == {}
    assert (site(server) / "releases" / other / "index").read_text() == "two"
    # Each phase is told once, and ends.
    began = [event.phase for event in told if isinstance(event, PhaseBegan)]
    ended = [event.phase for event in told if isinstance(event, PhaseEnded)]
    assert began == ended
    assert len(set(began)) == len(began)
    assert faults(site(server), server) == []
    gone = dict(server.prune().wait().removed)
    assert gone.keys() == {other}


def failing(monkeypatch: pytest.MonkeyPatch, step: str, before: int) -> None:
    """A step of the agent that fails, once it was taken so many times."""
    real = getattr(PosixHeld, step)
    taken: list[object] = []

    async def fails(self: PosixHeld, *args: Any) -> None:
        taken.append(args)
        if len(taken) > before:
            await self._step("be understood", "no_such_step")
        else:
            await real(self, *args)

    monkeypatch.setattr(PosixHeld, step, fails)


def test_what_fails_after_the_switch_leaves_the_new_release_live(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = versions(server, source, "one")
    with monkeypatch.context() as broken:
        failing(broken, "flush", 1)
        (source / "index").write_text("two")
        with pytest.raises(NotRestored, match="after the switch: cannot be understood") as failed:
            server.deploy(source).wait()
    assert "opsnb rollback local" in failed.value.hint
    assert (site(server) / "current/index").read_text() == "two"
    (source / "index").write_text("three")
    report = server.deploy(source).wait()
    assert report.outcome is Outcome.DONE
    assert faults(site(server), server) == []
    assert first in {release.name for release in server.look().releases}


def test_what_fails_before_the_switch_leaves_the_old_one_live(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of what comes after it is done, though it was sent."""
    configure(server, keep_releases=1)
    (first,) = versions(server, source, "one")
    with monkeypatch.context() as broken:
        failing(broken, "flush", 0)
        (source / "index").write_text("two")
        with pytest.raises(DeployFailed, match="cannot be understood"):
            server.deploy(source).wait()
    assert (site(server) / "current/index").read_text() == "one"
    assert [path.name for path in (site(server) / "releases").iterdir()] == [first]
    (live,) = server.look().releases
    assert live.record
    assert live.record.state is State.GOOD
    assert last(server)["what"] == "deploy.failed"
    assert faults(site(server), server) == []


Then = Callable[[], Coroutine[Any, Any, None]]


def losing(monkeypatch: pytest.MonkeyPatch, then: Then, step: str = "publish") -> None:
    """All that is sent with a switch, or another step, is done, and nobody hears of it."""
    real = Shell.batch

    async def batch(
        self: Shell, calls: Sequence[Call], answered: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        if step not in [call.name for call in calls]:
            return await real(self, calls, answered)
        monkeypatch.undo()
        await real(self, calls)
        await self.close()
        await then()
        raise Disconnected("the line was cut")

    monkeypatch.setattr(Shell, "batch", batch)


def done(server: Server) -> list[str]:
    """The releases of which the audit log says that they were deployed."""
    lines = (site(server) / ".opsnb/audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert "deploy.failed" not in {entry["what"] for entry in entries}
    return [entry["release"] for entry in entries if entry["what"] == "deploy.done"]


async def nothing() -> None:
    """Nobody else does anything meanwhile."""


def test_what_was_done_unheard_is_not_done_again(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, keep_releases=2)
    names = versions(server, source, "one", "two", "three")
    losing(monkeypatch, nothing)
    job = server.deploy(changed(source, "four"))
    told = list(job)
    report = job.wait()
    assert (report.outcome, report.live) == (Outcome.DONE, report.release)
    assert done(server) == [*names, report.release]
    began = {event.phase for event in told if isinstance(event, PhaseBegan)}
    assert began == {event.phase for event in told if isinstance(event, PhaseEnded)}
    assert (site(server) / ".opsnb/spare/tree").is_dir()
    assert faults(site(server), server) == []
    assert versions(server, source, "five")


def changed(source: Path, text: str) -> Path:
    (source / "index").write_text(text)
    return source


def test_a_release_that_somebody_replaced_meanwhile_is_not_taken_for_one_that_never_was(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = versions(server, source, "one")
    (tmp_path / "theirs").mkdir()
    other = Server(server.url, name="other")
    theirs: list[str] = []

    async def somebody_deploys() -> None:
        job = other.deploy(changed(tmp_path / "theirs", "three"))
        theirs.append((await asyncio.to_thread(job.wait)).release)

    losing(monkeypatch, somebody_deploys)
    report = server.deploy(changed(source, "two")).wait()
    assert report.outcome is Outcome.DONE
    assert report.switched
    assert [report.live] == theirs
    assert any(f"made {theirs[0]} live" in warning for warning in report.warnings)
    assert (site(server) / "releases" / report.release / "index").read_text() == "two"
    assert done(server) == [first, report.release, *theirs]
    assert faults(site(server), server) == []
    other.close()


def test_an_abort_that_comes_when_all_was_done_says_so(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = versions(server, source, "one")

    async def the_user_aborts() -> None:
        job.cancel()
        await asyncio.sleep(30)

    losing(monkeypatch, the_user_aborts)
    job = server.deploy(changed(source, "two"))
    with pytest.raises(Interrupted, match="interrupted when all was done") as told:
        job.wait()
    assert "is live" in told.value.hint
    assert (site(server) / "current/index").read_text() == "two"
    assert len(done(server)) == 2
    assert faults(site(server), server) == []
    assert first in {release.name for release in server.look().releases}


def test_what_was_to_be_removed_and_was_not_is_not_told_as_removed(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, keep_releases=1)
    versions(server, source, "one")
    failing(monkeypatch, "flush", 0)
    job = server.deploy(changed(source, "two"))
    with pytest.raises(DeployFailed):
        job.wait()
    assert job.report
    assert job.report.removed == ()


@pytest.fixture
def other(server: Server) -> Iterator[Server]:
    """Somebody else's way to the same site."""
    made = configure(Server(server.url, name="other"), lock_wait=20)
    yield made
    made.close()


def theirs(begin: Callable[[], Job]) -> Then:
    """Somebody else's change, carried out to its end."""

    async def carry_out() -> None:
        await asyncio.to_thread(lambda: begin().wait())

    return carry_out


def whats(server: Server) -> list[str]:
    """What the audit log tells of."""
    lines = (site(server) / ".opsnb/audit.jsonl").read_text().splitlines()
    return [json.loads(line)["what"] for line in lines]


def test_what_somebody_rolled_back_meanwhile_is_not_made_good(
    server: Server, other: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    configure(server, after_publish=[{"command": f"echo x >>{ran}", "where": "local"}])
    (first,) = versions(server, source, "one")
    ran.unlink()
    losing(monkeypatch, theirs(lambda: other.rollback(why="it is slow")))
    report = server.deploy(changed(source, "two")).wait()
    assert (report.switched, report.live) == (True, first)
    assert f"visitors see {first}" in report.sentence
    (left,) = (one for one in server.look().releases if one.name == report.release)
    assert left.record
    assert left.record.verdict
    assert (left.state, left.record.verdict.why) == (State.BAD, "it is slow")
    assert not ran.exists()
    assert "deploy.done" not in whats(server)[whats(server).index("rollback.done") :]
    assert faults(site(server), server) == []


def test_what_was_live_and_is_the_way_back_is_not_removed_as_what_never_was(
    server: Server, other: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, after_publish=["true"])
    versions(server, source, "one")
    (tmp_path / "theirs").mkdir()
    new = changed(tmp_path / "theirs", "three")
    losing(monkeypatch, theirs(lambda: other.deploy(new)))
    report = server.deploy(changed(source, "two")).wait()
    assert report.switched
    assert (site(server) / "current/index").read_text() == "three"
    assert (site(server) / "releases" / report.release / "index").read_text() == "two"
    assert "deploy.failed" not in whats(server)
    assert faults(site(server), server) == []


def test_a_prune_that_was_done_unheard_tells_what_is_gone(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _, _ = versions(server, source, "one", "two", "three")
    losing(monkeypatch, nothing, "idle")
    job = server.prune(keep=2)
    with pytest.raises(Disconnected):
        job.wait()
    assert job.report
    assert [name for name, _ in job.report.removed] == [old]
    assert not (site(server) / "releases" / old).exists()
    assert whats(server)[-2:] == ["prune.begin", "prune.failed"]
    assert old in last(server)["removed"]
    assert server.verify_log() == []
    assert faults(site(server), server) == []


def test_of_a_watchdog_that_was_called_off_nothing_more_is_promised(
    server: Server, source: Path
) -> None:
    versions(server, source, "one")
    records = site(server) / ".opsnb/records"
    newest = f"{records}/$OPSNB_RELEASE.json"
    spoil = f"rm {newest} && mkdir -p {newest}/x"
    configure(server, watchdog=60, after_publish=[spoil], health=[{"command": "true"}])
    with pytest.raises(NotRestored, match="after the switch") as failed:
        server.deploy(changed(source, "two")).wait()
    assert "watchdog" not in failed.value.hint
    assert "opsnb rollback local" in failed.value.hint


def test_an_abort_that_comes_after_the_end_changes_nothing_of_it(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(server, source, "one")
    gate = threading.Event()
    monkeypatch.setattr("opsnb.engine.deploy.remember", lambda *_: gate.wait(20))
    job = server.deploy(changed(source, "two"))
    until = time.monotonic() + 20
    while whats(server).count("deploy.done") < 2 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)  # until it was answered
    job.cancel()
    report = job.wait(20)
    gate.set()
    assert (report.outcome, report.exit_status) == (Outcome.DONE, 0)
    assert report.live == report.release


def test_a_prune_that_was_wholly_done_unheard_is_done(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _, _ = versions(server, source, "one", "two", "three")
    losing(monkeypatch, nothing, "drop_lock")
    report = server.prune(keep=2).wait()
    assert report.outcome is Outcome.DONE
    assert [name for name, _ in report.removed] == [old]
    assert whats(server)[-2:] == ["prune.begin", "prune.done"]
    assert faults(site(server), server) == []


def test_what_its_watchdog_put_back_unheard_is_put_back(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = versions(server, source, "one")
    failed = tmp_path / "failed"
    configure(
        server,
        watchdog=5,
        health=[{"command": "true"}],
        on_failure=[{"command": f"echo $OPSNB_OUTCOME >{failed}", "where": "local"}],
    )

    async def the_watchdog_bites() -> None:
        current = site(server) / "current"
        for _ in range(400):
            await asyncio.sleep(0.05)
            if current.resolve().name == first:
                break

    losing(monkeypatch, the_watchdog_bites, "publish_guarded")
    with pytest.raises(Restored, match="the answer to its switch was lost") as told:
        server.deploy(changed(source, "two")).wait()
    report = told.value.report
    assert report
    assert (report.outcome, report.live, report.exit_status) == (Outcome.RESTORED, first, 21)
    assert not any("somebody" in warning for warning in report.warnings)
    assert failed.read_text() == "restored\n"
    assert {str(one.state) for one in server.look().releases} == {"good", "bad"}
    assert faults(site(server), server) == []
    assert versions(server, source, "three")


def test_a_pin_that_was_said_and_not_set_is_not_done(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = versions(server, source, "one")
    losing(monkeypatch, nothing, "append")
    with pytest.raises(Disconnected):
        server.pin(name).wait()
    (release,) = server.look().releases
    assert not release.pinned
    assert server.pin(name).wait().outcome is Outcome.DONE


def test_the_name_of_what_was_cleared_away_is_not_given_again(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maker may wake up, and would take the new release for its own."""
    now = datetime(2026, 3, 25, 12, tzinfo=UTC)
    monkeypatch.setattr(here, "now", lambda: now)
    (first,) = versions(server, source, "one")
    dead = layout.next_name(now, frozenset([first]))
    (site(server) / "releases" / dead).mkdir()
    record = Record(name=dead, seq=2, state=State.UNFINISHED)
    (site(server) / layout.record(dead)).write_bytes(record.encode())
    report = server.deploy(changed(source, "two")).wait()
    assert report.release > dead
    assert not (site(server) / "releases" / dead).exists()
    assert faults(site(server), server) == []
