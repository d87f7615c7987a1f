"""Random changes, with random faults in them, against a small model of what the site must be.

The server is the embedded one, over SSH. The model knows what each release holds and which one is
live; it learns of a change only what its report said, so a report that is untrue is found out by
the next look at the disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from opsnb.core.config import Settings
from opsnb.core.events import Outcome, Report
from opsnb.core.release import rollback_targets
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import OpsnbError
from opsnb.server import Server
from tests.faults.conftest import Tell
from tests.faults.guarantees import debris, good, live, record, whole
from tests.faults.lab import WHOLE, in_memory
from tests.support.matrix import Row
from tests.support.proxy import Relay

KEEP = 3
PLAIN = Settings.model_validate({"keep_releases": KEEP})
FAILING = Settings.model_validate(
    {"keep_releases": KEEP, "health": [{"command": "false", "retries": 0}]}
)
EXAMPLES, STEPS = (150, 40) if WHOLE else (5, 14)


@dataclass
class Model:
    """What the site must look like.

    Attributes:
        live: The live release; empty before the first deploy.
        texts: What each release holds that was ever finished.
        good: Releases that were live and well.
        pinned: Releases that are pinned.
        precious: What ``shared/`` holds.
    """

    live: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    precious: str = "precious"

    def learn(self, report: Report, text: str, before: str) -> None:
        """Take in what a report says of a change that published something."""
        if text and report.release:
            self.texts[report.release] = text
        if report.outcome is Outcome.DONE:
            self.live = report.release
            self.good.add(report.release)
        elif report.switched and report.live:
            self.live = report.live
        elif report.switched is False:
            self.live = before


class Site(RuleBasedStateMachine):
    """A site, its operators and their bad luck."""

    runs = 0
    faults = 0

    def __init__(self) -> None:
        super().__init__()
        self.memory = in_memory()
        self.base = Path(self.memory.__enter__())
        self.sshd = EmbeddedServer().start()
        self.relay = Relay(self.sshd.port).__enter__()
        self.path = Path(self.sshd.root) / "site"
        (self.path / "shared" / "uploads").mkdir(parents=True)
        (self.path / "shared" / "uploads" / "photo").write_text("precious")
        self.model = Model()
        self.number = 0

    def teardown(self) -> None:
        """End what was begun."""
        self.relay.__exit__(None, None, None)
        self.sshd.stop()
        self.memory.__exit__(None, None, None)

    def server(self, settings: Settings = PLAIN, *, through: bool = False) -> Server:
        """A client of its own, directly or through the relay."""
        port = self.relay.port if through else self.sshd.port
        config = self.base / f"config{port}"
        config.write_text(
            f"Host site\n  HostName 127.0.0.1\n  Port {port}\n  User {self.sshd.user}\n"
            f"  IdentityFile {self.sshd.client_key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known(port)}\n"
        )
        return Server(f"ssh://site{self.path}", ssh_config=config, settings=settings)

    def known(self, port: int) -> Path:
        """A known_hosts that knows the server by another port, too."""
        known = self.base / f"known{port}"
        lines = Path(self.sshd.known_hosts).read_text()
        known.write_text(lines.replace(str(self.sshd.port), str(port)))
        return known

    def source(self) -> tuple[Path, str]:
        """A new version."""
        self.number += 1
        folder, text = self.base / "source", f"version {self.number}"
        folder.mkdir(exist_ok=True)
        (folder / "index").write_text(text)
        (folder / f"asset{self.number % 4}").write_text(text * 200)
        return folder, text

    def carry(self, server: Server, job: Any) -> Report:
        """Wait for a change, whatever becomes of it."""
        type(self).runs += 1
        try:
            job.wait()
        except OpsnbError:
            pass
        finally:
            server.close()
        assert job.report is not None
        return Report(**{name: getattr(job.report, name) for name in Report.__slots__})

    # --- what operators do -----------------------------------------------------------------------

    @rule()
    def deploy(self) -> None:
        """A deploy in which nothing goes wrong succeeds, whatever was before."""
        folder, text = self.source()
        server, before = self.server(), live(self.path)
        report = self.carry(server, server.deploy(folder))
        assert report.outcome is Outcome.DONE, report
        self.model.learn(report, text, before)
        assert debris(self.path) == []
        left = good(self.path) - self.model.pinned - {before, self.model.live}
        assert len(left) <= KEEP

    @rule()
    def deploy_the_same(self) -> None:
        """A deploy of what is live does nothing."""
        if not self.number or live(self.path) not in self.model.good:
            return
        server, before = self.server(), live(self.path)
        (self.base / "source" / "index").write_text(self.model.texts[before])
        report = self.carry(server, server.deploy(self.base / "source"))
        self.model.learn(report, self.model.texts[before], before)

    @rule()
    def deploy_what_fails_its_check(self) -> None:
        """What was live before is live again."""
        folder, text = self.source()
        server, before = self.server(FAILING), live(self.path)
        report = self.carry(server, server.deploy(folder))
        assert report.outcome is (Outcome.RESTORED if before else Outcome.NOT_RESTORED), report
        self.model.learn(report, text, before)
        self.model.good.discard(report.release)

    @rule()
    def roll_back(self) -> None:
        """To the good release before the live one, if there is one."""
        server, before = self.server(), live(self.path)
        report = self.carry(server, server.rollback())
        if report.outcome is Outcome.DONE:
            self.model.good.discard(before)
        self.model.learn(report, "", before)

    @rule(keep=st.integers(1, 4))
    def prune(self, keep: int) -> None:
        server = self.server()
        report = self.carry(server, server.prune(keep))
        assert report.outcome in (Outcome.DONE, Outcome.NOTHING, Outcome.NOT_DONE), report

    @rule(data=st.data())
    def pin_or_unpin(self, data: st.DataObject) -> None:
        names = sorted(good(self.path))
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        server = self.server()
        pinned = name in self.model.pinned
        report = self.carry(server, server.unpin(name) if pinned else server.pin(name))
        if report.outcome is Outcome.DONE:
            self.model.pinned ^= {name}

    # --- and what goes wrong ---------------------------------------------------------------------

    @rule(up=st.booleans(), at=st.integers(1, 60_000), verb=st.sampled_from(["deploy", "rollback"]))
    def the_line_is_cut(self, up: bool, at: int, verb: str) -> None:
        """At a byte; the report is believed, and nothing else."""
        type(self).faults += 1
        folder, text = self.source()
        server, before = self.server(through=True), live(self.path)
        self.relay.cut_after(**{"up" if up else "down": at})
        job = server.deploy(folder) if verb == "deploy" else server.rollback()
        report = self.carry(server, job)
        if verb == "rollback":
            text = ""
            if report.outcome is Outcome.DONE:
                self.model.good.discard(before)
        self.model.learn(report, text, before)
        if report.switched is None:
            self.model.live = live(self.path)
            assert self.model.live in (before, report.release)

    @rule(events=st.integers(1, 25))
    def somebody_aborts(self, events: int) -> None:
        """After so many events."""
        type(self).faults += 1
        folder, text = self.source()
        server, before = self.server(), live(self.path)
        job = server.deploy(folder)
        for number, _event in enumerate(job):
            if number == events:
                job.cancel()
        report = self.carry(server, job)
        self.model.learn(report, text, before)

    @rule(name=st.sampled_from([".current.opsnb.1.x", "releases/.tmp", ".opsnb/tmp.9"]))
    def somebody_leaves_debris(self, name: str) -> None:
        """As an older version, or another tool, might."""
        if (self.path / ".opsnb").is_dir() and name != "releases/.tmp":
            (self.path / name).touch()

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def what_is_live_is_what_was_said(self) -> None:
        """G1, G4."""
        assert live(self.path) == self.model.live
        if self.model.live:
            assert list(whole(self.path, self.model.live)) == []
            text = (self.path / "current" / "index").read_text()
            assert text == self.model.texts[self.model.live]

    @invariant()
    def what_is_offered_is_whole_and_was_live(self) -> None:
        """G9."""
        if not (self.path / ".opsnb").is_dir():
            return
        server = self.server()
        offered = [release.name for release in rollback_targets(server.look())]
        faults = server.verify_log()
        server.close()
        for name in offered:
            assert list(whole(self.path, name)) == []
            assert (self.path / "releases" / name / "index").read_text() == self.model.texts[name]
        assert faults == []

    @invariant()
    def what_is_pinned_or_precious_is_there(self) -> None:
        """G5, G6."""
        assert (self.path / "shared" / "uploads" / "photo").read_text() == self.model.precious
        for name in self.model.pinned:
            assert list(whole(self.path, name)) == []
            kept = record(self.path, name)
            assert kept is not None
            assert kept["pinned"]


class Forgetful(Site):
    """The control: a tool that says it is done and has published something else."""

    def carry(self, server: Server, job: Any) -> Report:
        """Wait for a change, and spoil what it did."""
        report = super().carry(server, job)
        if report.outcome is Outcome.DONE and report.switched:
            (self.path / "current" / "index").write_text("something else")
        return report


def play(machine: type[Site]) -> None:
    """Let a machine run."""
    machine.runs = machine.faults = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not WHOLE,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


def test_whatever_is_done_and_goes_wrong_the_site_is_as_the_model_says(tell: Tell) -> None:
    play(Site)
    tell(Row("random changes against a model", "embedded server", Site.faults, Site.runs, 0))
    assert Site.runs > 10


def test_the_control_a_tool_that_publishes_something_else_is_found_out(tell: Tell) -> None:
    with pytest.raises(AssertionError):
        play(Forgetful)
    tell(Row("random changes against a model", "control: another file is live", 1, 1, 1, True))
