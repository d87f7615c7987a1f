"""What a view of a running change is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import opsnb
from opsnb.core.events import (
    Ended,
    Log,
    Outcome,
    Phase,
    PhaseBegan,
    PhaseEnded,
    Report,
    Sent,
    Started,
)
from opsnb.core.lines import Line
from opsnb.core.progress import fold
from opsnb.job import Job
from opsnb.notebook import feed
from opsnb.notebook.feed import Feed

DEADLINE = 60


class Sink:
    """A view that only remembers."""

    def __init__(self, job: Job, key: str = "") -> None:
        self.messages: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.feed = Feed(job, self.states.append, self.messages.append, key)
        self.feed.begin()

    def until(self, state: str) -> None:
        """Wait until a state was told; more than a minute is a failure."""
        end = time.monotonic() + DEADLINE
        while not self.states or self.states[-1]["state"] != state:
            assert time.monotonic() < end, self.states[-1:]
            time.sleep(0.01)

    @property
    def lines(self) -> dict[int, list[str]]:
        """Lines by their number, whichever message brought them."""
        return {
            message["first"] + n: line
            for message in self.messages
            for n, line in enumerate(message["lines"])
        }


def talkative(demo: opsnb.DemoProject, folder: Path, name: str, hook: str) -> opsnb.Server:
    """A server on which a deploy says something."""
    file = folder / f"{name}.toml"
    url = f"{demo.server('demo').url}-{name}"
    file.write_text(f"[servers.{name}]\nurl = '{url}'\nbefore_publish = ['''{hook}''']\n")
    return opsnb.load(file, ssh_config=demo.embedded.ssh_config).server(name)


def test_every_line_is_told_once_and_in_order_in_few_messages(
    demo: opsnb.DemoProject, tmp_path: Path
) -> None:
    server = talkative(demo, tmp_path, "web1", "seq 1 30000")
    job = server.deploy(demo.site("v1"))
    sink = Sink(job)
    job.wait()
    sink.until("done")
    lines = sorted(sink.lines.items())
    assert [text for _, (_, kind, text) in lines if kind == "hook"] == [
        str(n) for n in range(1, 30001)
    ]
    assert [number for number, _ in lines] == list(range(len(lines)))
    assert len(sink.messages) < 300
    assert max(len(message["lines"]) for message in sink.messages) <= feed.BATCH
    server.close()


def test_a_view_that_comes_late_is_told_the_last_lines_again(
    demo: opsnb.DemoProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 100)
    server = talkative(demo, tmp_path, "web1", "seq 1 500")
    job = server.deploy(demo.site("v1"))
    sink = Sink(job)
    job.wait()
    sink.until("done")
    last = max(sink.lines)
    sink.messages.clear()
    sink.feed.again()
    end = time.monotonic() + DEADLINE
    while not sink.messages and time.monotonic() < end:
        time.sleep(0.01)
    assert sorted(sink.lines) == list(range(last - 99, last + 1))
    server.close()


def test_two_changes_at_once_never_mix_their_lines(demo: opsnb.DemoProject, tmp_path: Path) -> None:
    sinks = {}
    for name in ("one", "two"):
        hook = f"for i in $(seq 1 300); do echo {name} $i; done; sleep 0.3; echo {name} end"
        job = talkative(demo, tmp_path, name, hook).deploy(demo.site("v1"))
        sinks[name] = Sink(job, name)
    for name, sink in sinks.items():
        sink.until("done")
        said = [text for _, kind, text in sink.lines.values() if kind == "hook"]
        assert said == [f"{name} {n}" for n in range(1, 301)] + [f"{name} end"]
        assert {message["job"] for message in sink.messages} == {name}


def test_a_line_without_an_end_is_cut_and_says_so() -> None:
    at, kind, text = feed.plain(Line(0.0, "hook", "x" * 10_000))
    assert (at, kind) == ("00:00:00.000", "hook")
    assert len(text) < 2_100
    assert text.endswith("8,000 more")


def steps(*events: Any) -> list[tuple[str, str]]:
    """The steps of a change after some events."""
    return [(step["name"], step["is"]) for step in feed.steps_of(fold(events))]


def test_steps_that_did_not_come_are_left_out_once_they_are_passed() -> None:
    began = Started("web1", 0.0, "deploy")
    looked = PhaseEnded("web1", 1.0, Phase.LOOK, 1.0)
    check = PhaseBegan("web1", 2.0, Phase.CHECK)
    assert steps(began)[0] == ("look", "ahead")
    assert steps(began, looked, check)[:2] == [("look", "done"), ("check", "now")]
    done = Ended("web1", 3.0, Report("deploy", "web1", Outcome.DONE))
    assert steps(began, looked, PhaseEnded("web1", 2.0, Phase.CHECK, 1.0), done) == [
        ("look", "done"),
        ("check", "done"),
    ]


def test_the_step_that_failed_is_told() -> None:
    events = (
        Started("web1", 0.0, "deploy"),
        PhaseBegan("web1", 1.0, Phase.HOOKS),
        Log("web1", 1.5, "no", "hook"),
        Ended("web1", 2.0, Report("deploy", "web1", Outcome.NOT_DONE, error="the hook failed")),
    )
    told = steps(*events)
    assert told[0] == ("hooks", "failed")
    assert told[1] == ("check", "ahead")


def test_amounts_have_units_and_a_time_that_is_left() -> None:
    events = (
        Started("web1", 0.0, "deploy"),
        PhaseBegan("web1", 10.0, Phase.UPLOAD),
        Sent("web1", 11.0, 96, 143, 7_400_000, 12_000_000),
    )
    assert feed.amounts(fold(events)) == "7.4 MB of 12.0 MB · 96 of 143 files · 7.4 MB/s · 1 s left"


def test_what_visitors_see_is_said_at_every_moment(demo: opsnb.DemoProject, tmp_path: Path) -> None:
    server = talkative(demo, tmp_path, "web1", "sleep 0.5")
    first = server.deploy(demo.site("v1")).wait().release
    job = server.deploy(demo.site("v2"))
    sink = Sink(job)
    job.wait()
    sink.until("done")
    seen = list(dict.fromkeys(state["sees"] for state in sink.states if state["sees"]))
    assert seen[0] == f"Visitors still see {first}"
    assert seen[-1] == f"Visitors see {job.progress.release}"
    assert sink.states[-1]["end"]["switched"] == "the switch happened"
    server.close()
