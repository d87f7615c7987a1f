"""A job: waited for, awaited, iterated, left, cancelled; on a server that is a folder."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsnb.core.config import Settings
from opsnb.core.events import Ended, Event, Log, Outcome, Report, Started
from opsnb.errors import Interrupted, OpsnbError
from opsnb.job import COMPANIONS, Job, Ran, unaccompanied
from opsnb.loop import LOOP
from opsnb.server import Server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "index.html").write_text("one")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(f"file://{tmp_path}/site")
    yield made
    made.close()


def slow(server: Server, command: str = "echo begun; sleep 60") -> None:
    server.settings = Settings.model_validate({"before_publish": [command]})


def until_begun(job: Job) -> None:
    deadline = time.monotonic() + 20
    while not any(isinstance(e, Log) and e.text == "begun" for e in job.events):
        assert time.monotonic() < deadline, job.events
        time.sleep(0.01)


def test_waiting_gives_the_report(server: Server, source: Path) -> None:
    report = server.deploy(source).wait()
    assert report.outcome is Outcome.DONE
    assert report.live == report.release == os.readlink(f"{server.deploy_to}/current")[-14:]
    assert report.files == 1
    assert report.switched is True


async def test_a_job_can_be_awaited_on_any_loop(server: Server, source: Path) -> None:
    report = await server.deploy(source)
    assert report.outcome is Outcome.DONE


def test_events_come_in_order_and_end_with_the_report(server: Server, source: Path) -> None:
    names = [type(event).__name__ for event in server.deploy(source)]
    assert names[0] == "Started"
    assert names[-1] == "Ended"
    assert names.index("Planned") < names.index("Switched") < names.index("Ended")


async def test_events_can_be_iterated_without_blocking(server: Server, source: Path) -> None:
    events = [event async for event in server.deploy(source)]
    assert isinstance(events[-1], Ended)


def test_to_stop_watching_is_not_to_stop_the_change(server: Server, source: Path) -> None:
    slow(server, "echo begun; sleep 1")
    job = server.deploy(source)
    for _event in job:
        break
    assert job.wait().outcome is Outcome.DONE


def test_a_timeout_ends_the_waiting_and_not_the_job(server: Server, source: Path) -> None:
    slow(server, "echo begun; sleep 1")
    job = server.deploy(source)
    with pytest.raises(TimeoutError):
        job.wait(0.05)
    assert job.wait().outcome is Outcome.DONE


def test_cancelling_ends_the_step_and_says_that_nothing_was_switched(
    server: Server, source: Path
) -> None:
    slow(server)
    job = server.deploy(source)
    until_begun(job)
    job.cancel()
    with pytest.raises(Interrupted, match="before the switch") as failed:
        job.wait(20)
    assert failed.value.report.switched is False
    assert not list(Path(server.deploy_to, "releases").iterdir())
    assert not Path(server.deploy_to, "current").is_symlink()


def test_cancelling_before_it_has_begun_still_ends_with_a_report(
    server: Server, source: Path
) -> None:
    slow(server)
    job = server.deploy(source)
    job.cancel()
    with pytest.raises(Interrupted):
        job.wait(20)
    assert job.report is not None
    assert job.report.outcome is Outcome.NOT_DONE


async def test_cancelling_the_awaiting_task_cancels_the_job_and_waits_for_it(
    server: Server, source: Path
) -> None:
    slow(server)
    job = server.deploy(source)
    task = asyncio.ensure_future(job._awaited())
    await asyncio.to_thread(until_begun, job)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert job.done
    assert job.report is not None
    assert job.report.exit_status == 130


def test_an_interrupt_while_waiting_aborts_the_job(server: Server, source: Path) -> None:
    slow(server)
    job = server.deploy(source)

    def interrupt() -> None:
        until_begun(job)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted, match="before the switch"):
        job.wait(30)


def test_an_interrupt_is_not_lost_to_a_second_one_before_it_was_passed_on(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(server)
    job = server.deploy(source)

    def second() -> None:
        raise KeyboardInterrupt

    def interrupt() -> None:
        until_begun(job)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(job, "cancel", second)
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        job.wait(30)
    monkeypatch.undo()
    with pytest.raises(Interrupted, match="before the switch"):
        job.wait(30)


def test_a_failed_job_raises_its_error_with_the_report(server: Server, source: Path) -> None:
    slow(server, "exit 3")
    with pytest.raises(OpsnbError, match="exited with 3") as failed:
        server.deploy(source).wait()
    assert failed.value.exit_status == 20
    assert failed.value.report.outcome is Outcome.NOT_DONE


def test_two_jobs_on_two_servers_do_not_mix_their_lines(tmp_path: Path, source: Path) -> None:
    servers = [Server(f"file://{tmp_path}/{name}", name=name) for name in ("a", "b")]
    for server in servers:
        line = f"for i in 1 2 3 4 5 6 7 8 9; do echo line of {server.name}; sleep 0.02; done"
        server.settings = Settings.model_validate({"before_publish": [line]})
    jobs = [server.deploy(source) for server in servers]
    for job, server in zip(jobs, servers, strict=True):
        job.wait()
        lines = [e.text for e in job.events if isinstance(e, Log) and e.stream == "hook"]
        assert lines == [f"line of {server.name}"] * 9
        server.close()


def test_running_jobs_are_found_again(server: Server, source: Path) -> None:
    slow(server)
    job = server.deploy(source)
    assert server.jobs == [job]
    assert "running" in repr(job)
    job.cancel()
    with pytest.raises(Interrupted):
        job.wait(20)


async def test_a_blocking_question_on_our_own_loop_is_refused(server: Server) -> None:
    async def ask() -> None:
        server.look()

    with pytest.raises(OpsnbError, match="own thread"):
        await asyncio.wrap_future(LOOP.submit(ask()))


def test_a_program_that_ends_with_a_job_running_leaves_a_whole_site(
    tmp_path: Path, source: Path
) -> None:
    program = (
        "import sys, time\n"
        "from opsnb.server import Server\n"
        "from opsnb.core.config import Settings\n"
        "s = Server(sys.argv[1], settings=Settings.model_validate("
        "{'before_publish': ['echo begun; sleep 60']}))\n"
        "job = s.deploy(sys.argv[2])\n"
        "while not any(getattr(e, 'text', '') == 'begun' for e in job.events): time.sleep(0.01)\n"
    )
    url = f"file://{tmp_path}/site"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program, url, str(source)], check=True, timeout=60)
    assert time.monotonic() - began < 30
    server = Server(url)
    assert server.deploy(source).wait().outcome is Outcome.DONE
    server.close()


def test_the_last_twenty_that_ended_are_remembered_and_every_one_that_runs(tmp_path: Path) -> None:
    server = Server(f"file://{tmp_path}/srv")
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "index").write_text("one")
    server.deploy(tmp_path / "v1").wait()
    name = server.look().current.name
    for _ in range(25):
        last = server.pin(name)
        last.wait()
    assert len(server.jobs) == 21  # the newest is added when twenty before it have ended
    assert server.jobs[-1] is last
    server.close()


def _soon(seen: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not seen() and time.monotonic() < until:
        time.sleep(0.01)
    return time.monotonic() < until


def test_somebody_who_waits_is_kept_company_and_counted(tmp_path: Path) -> None:
    told: list[str] = []

    class Friend:
        def beat(self) -> None:
            told.append("beat")

        def end(self) -> None:
            told.append("end")

    gate = threading.Event()

    async def work(emit: Callable[[Event], None]) -> Ran:
        emit(Started("web1", 1.0, "test"))
        await asyncio.to_thread(gate.wait, 20)
        report = Report("test", "web1", Outcome.DONE)
        emit(Ended("web1", 2.0, report))
        return report, None

    def ask(job: Job) -> Friend:
        told.append(job.verb)
        return Friend()

    COMPANIONS.append(ask)
    try:
        job = Job("test", "web1", work)
        assert not job.waited
        seen: list[bool] = []
        watching = threading.Thread(target=lambda: seen.append(_soon(lambda: job.waited)))
        waiting = threading.Thread(target=job.wait)
        waiting.start()
        until = time.monotonic() + 20
        while "beat" not in told and time.monotonic() < until:
            time.sleep(0.01)
        # Another thread waits: an interrupt of the program would not come to it.
        assert not job.waited
        watching.start()
        with pytest.raises(TimeoutError):
            job.wait(0.5)
        gate.set()
        waiting.join(20)
        watching.join(20)
        assert seen == [True]
        assert not job.waited
        assert told[0] == "test"
        assert told[-1] == "end"
        with unaccompanied():
            told.clear()
            job.wait()
        assert told == []
        assert ask in COMPANIONS
    finally:
        COMPANIONS.remove(ask)


class Tidying:
    """Work whose clean-up takes a moment, and which says how often it was cancelled."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.begun, self.tidy = threading.Event(), threading.Event()

    async def __call__(self, emit: Callable[[Event], None]) -> Ran:
        emit(Started("web1", 1.0, "test"))
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await self._tidy_up()
        emit(Log("web1", 2.0, "all is tidy"))
        report = Report("test", "web1", Outcome.NOT_DONE)
        emit(Ended("web1", 3.0, report))
        return report, None

    async def _tidy_up(self) -> None:
        self.cancelled += 1
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            self.cancelled += 1
        self.tidy.set()


@pytest.fixture
def aborted() -> tuple[Tidying, Job]:
    """A job that was told to stop, and tidies up."""
    work = Tidying()
    job = Job("test", "web1", work)
    assert work.begun.wait(20)
    job.cancel()
    return work, job


def test_an_interrupt_that_follows_the_abort_it_was_meant_as_cuts_nothing_short(
    aborted: tuple[Tidying, Job],
) -> None:
    """A view whose Abort is not acknowledged soon interrupts the cell that waits."""
    work, job = aborted
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
    job.wait(20)
    assert work.cancelled == 1


def test_a_second_abort_is_one(aborted: tuple[Tidying, Job]) -> None:
    work, job = aborted
    time.sleep(0.1)
    job.cancel()
    job.wait(20)
    assert work.cancelled == 2


def test_the_log_is_open_until_the_work_has_ended_whoever_still_waits(
    aborted: tuple[Tidying, Job],
) -> None:
    work, job = aborted
    job._ran.cancel()  # as at the end of the program
    assert work.tidy.wait(20)
    assert job.log_file
    assert _soon(lambda: job.log_file is not None and "all is tidy" in job.log_file.read_text())


def test_iterating_gives_each_event_once_also_when_lines_were_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("opsnb.job.KEPT_LINES", 10)

    async def work(emit: Callable[[Event], None]) -> Ran:
        emit(Started("web1", 1.0, "test"))
        for number in range(30):
            emit(Log("web1", 2.0, str(number)))
        report = Report("test", "web1", Outcome.DONE)
        emit(Ended("web1", 3.0, report))
        return report, None

    async def heard(job: Job) -> list[Event]:
        return [event async for event in job]

    job = Job("test", "web1", work)
    job.wait()
    told = list(job)
    assert [event.text for event in told if isinstance(event, Log)] == [*map(str, range(20, 30))]
    assert sum(isinstance(event, Ended) for event in told) == 1
    assert asyncio.run(heard(job)) == told
