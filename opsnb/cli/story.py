"""``opsnb demo``: the whole story, on a server inside this process.

Rule 1: nothing is acted. Every line tells of what a real deploy over a real SSH connection did.
Rule 2: what was promised is checked: the exit status is 0 only when all of it came true.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from opsnb.cli import json_out
from opsnb.cli.brief import settled
from opsnb.cli.options import json_option
from opsnb.core import rows
from opsnb.core.events import Event, Outcome, Report
from opsnb.errors import OpsnbError

if TYPE_CHECKING:
    from opsnb.core.release import Site
    from opsnb.embedded.visitors import Tally, Visitors
    from opsnb.job import Job
    from opsnb.project import DemoProject
    from opsnb.server import Server

WHY = "the ferry book is missed"
READ = 1.0  # seconds to read what is going to happen, on a terminal
LOOK = 2.0  # seconds to look at what has happened
CROWD = 100.0  # requests per second


@dataclass(frozen=True)
class Step:
    """A step of the story, as it is announced.

    Attributes:
        title: What is done.
        told: Why, and what to look at.
        command: The command that a user would give.
        version: The version of the site that visitors see afterwards.
        outcome: How it must end.
    """

    title: str
    told: str
    command: str
    version: str
    outcome: Outcome = Outcome.DONE


STEPS = {
    "v1": Step(
        "The first release",
        "Version 1 of a bookshop's site goes to an empty server.",
        "opsnb deploy demo site/v1",
        "v1",
    ),
    "v2": Step(
        "The next release, while visitors are there",
        "Only what changed is sent; the rest is copied beside the live release.",
        "opsnb deploy demo site/v2",
        "v2",
    ),
    "v3": Step(
        "A broken release",
        "Version 3 fails its check after the switch: version 2 returns by itself.",
        "opsnb deploy demo site/v3",
        "v2",
        Outcome.RESTORED,
    ),
    "back": Step(
        "A rollback",
        "Back to a chosen release is one switch: nothing is built or sent.",
        f'opsnb rollback demo --to {{}} --why "{WHY}"',
        "v1",
    ),
}


@dataclass(frozen=True)
class Done:
    """A step as it happened.

    Attributes:
        step: What was announced.
        report: How it ended.
        events: Everything that was said.
        before: The site before it.
        after: The site after it.
        versions: Which version each release holds.
    """

    step: Step
    report: Report
    events: list[Event]
    before: Site
    after: Site
    versions: Mapping[str, str]

    @property
    def live(self) -> str:
        """The version that visitors see afterwards."""
        return self.versions.get(self.after.current.name, "")

    @property
    def as_told(self) -> bool:
        """Whether it went as announced."""
        return self.report.outcome is self.step.outcome and self.live == self.step.version


@dataclass
class Story:
    """The story on a demo server.

    Attributes:
        project: The demo.
        versions: Which version each release holds, so far.
        done: The steps so far.
        crowd: The visitors, once a first release is live.
        well: Whether all went as told; None until it is told.
    """

    project: DemoProject
    versions: dict[str, str] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    crowd: Visitors | None = None
    well: bool | None = None

    @property
    def server(self) -> Server:
        """The server of the demo."""
        return self.project.server("demo")

    def play(self, announce: Callable[[Step], None]) -> Iterator[Done]:
        """Do one step after the other; visitors come as soon as there is something to see.

        Args:
            announce: Told of each step before it is done.
        """
        from opsnb.embedded.visitors import Visitors  # noqa: PLC0415 - only the demo needs them

        for version in ("v1", "v2", "v3"):
            announce(STEPS[version])
            yield self._step(STEPS[version], version, self._deploy(version))
            if self.crowd is None:
                self.crowd = Visitors(self.project.web_url, rate=CROWD).start()
        first = self.done[0].report.release
        back = replace(STEPS["back"], command=STEPS["back"].command.format(first))
        announce(back)
        yield self._step(back, "v1", lambda: self.server.rollback(first, WHY))

    def _deploy(self, version: str) -> Callable[[], Job]:
        return lambda: self.server.deploy(self.project.site(version), revision=version)

    def _step(self, step: Step, version: str, start: Callable[[], Job]) -> Done:
        before = self.server.look()
        job = start()
        report = _report(job)
        self.versions.setdefault(report.release, version)
        after = self.server.look()
        done = Done(step, report, job.events, before, after, dict(self.versions))
        self.done.append(done)
        return done

    def tally(self) -> Tally | None:
        """What the visitors got; they go home."""
        return self.crowd.stop() if self.crowd else None


def _report(job: Job) -> Report:
    try:
        return job.wait()
    except OpsnbError as error:
        report: Report | None = error.report
        if report is None:
            raise
        return report


def as_told(story: Story, tally: Tally | None) -> bool:
    """Whether everything happened as it was announced.

    Args:
        story: The story, played to its end.
        tally: What the visitors got.
    """
    well = tally is not None and tally.served > 0 and tally.failed == 0 and tally.mixed == 0
    return well and len(story.done) == len(STEPS) and all(done.as_told for done in story.done)


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running for a browser, until Ctrl-C.")
@json_option
def demo(keep: bool, as_json: bool) -> int:
    """Watch the whole story on a server inside this process."""
    from opsnb.project import demo as begin  # noqa: PLC0415 - asyncssh only when it is needed

    settled()
    began = time.monotonic()
    with begin() as project:
        story = Story(project)
        try:
            if as_json:
                _as_json(story, began)
            else:
                _in_words(story)
            if keep:
                _stay(story, as_json)
        except KeyboardInterrupt:
            # Once the story is told, Ctrl-C is how it is meant to end.
            if story.well is None:
                raise
        finally:
            story.tally()
    return 0 if story.well else 1


def _as_json(story: Story, began: float) -> None:
    for _ in story.play(lambda step: None):
        continue
    tally = story.tally()
    story.well = as_told(story, tally)
    facts = {
        "as_told": story.well,
        "web_url": story.project.web_url,
        "server": story.server.url,
        "ssh_config": str(story.project.embedded.ssh_config),
        "seconds": round(time.monotonic() - began, 3),
        "steps": [_facts(done) for done in story.done],
        "releases": json_out.records(rows.releases(story.server.look(), datetime.now(UTC))),
        "visitors": _visitors(tally) if tally else None,
    }
    json_out.document(facts)


def _facts(done: Done) -> dict[str, object]:
    return {
        "title": done.step.title,
        "command": done.step.command,
        "as_told": done.as_told,
        "live_version": done.live,
        "report": done.report.to_dict(),
    }


def _visitors(tally: Tally) -> dict[str, object]:
    return {**asdict(tally), "by_version": dict(tally.by_version), "reasons": dict(tally.reasons)}


def _in_words(story: Story) -> None:
    from opsnb.cli import scene, show  # noqa: PLC0415 - rich only for a person

    page = show.out()

    def announce(step: Step) -> None:
        page.lines(scene.announced(len(story.done) + 1, step))
        wait(READ)

    def wait(seconds: float) -> None:
        if page.is_terminal:
            time.sleep(seconds)

    page.lines(scene.prologue(story.project))
    wait(LOOK)
    for done in story.play(announce):
        page.lines(scene.happened(done))
        wait(LOOK)
    tally = story.tally()
    story.well = as_told(story, tally)
    page.lines(scene.table(story.server, page))
    page.lines(scene.epilogue(tally, well=story.well))


def _stay(story: Story, as_json: bool) -> None:
    if not as_json:
        from opsnb.cli import scene, show  # noqa: PLC0415 - rich only for a person

        show.out().lines(scene.staying(story.project))
    while True:
        time.sleep(3600)
