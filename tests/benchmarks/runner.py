"""Goes through the cases: every tool in turn in every round, each operation checked.

Rule: whatever a tool does wrong is its own loss. It is written down, and the others go on.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import measure
from tests.benchmarks.cases import Case, Rounds, Suite, edit_one
from tests.benchmarks.measure import Accounts, Sample
from tests.benchmarks.results import Record, Results, measured
from tests.benchmarks.stand import Stand
from tests.benchmarks.target import Line, Server
from tests.benchmarks.tools import Command, Tool, Unsupported

_OWN_FAULTS = (RuntimeError, OSError, subprocess.SubprocessError)
_TOLD = 300  # characters of what went wrong


@dataclass
class Lane:
    """One tool with its stands; several for deploys at once.

    Attributes:
        stands: The first is used for all but deploys at once.
        absent: Why it takes no part any more.
        lacks: Why it takes no part in this case.
    """

    stands: list[Stand]
    absent: str = ""
    lacks: str = ""

    @property
    def out(self) -> str:
        """Why it takes no part now; nothing, if it does."""
        return self.absent or self.lacks

    @property
    def tool(self) -> Tool:
        """The tool, for its name and kind."""
        return self.stands[0].tool

    @property
    def plain(self) -> bool:
        """Whether it is a script that does not flush."""
        return self.tool.name.endswith("plain")

    def rounds(self, rounds: Rounds) -> int:
        """In how many rounds it takes part."""
        if self.plain:
            return rounds.plain
        return rounds.other if self.tool.group == "other" else rounds.main


@dataclass
class Runner:
    """Runs suites on one line.

    Attributes:
        run: This run's name.
        line: The line.
        server: The server at its end.
        accounts: Who counts CPU time.
        results: Where to put what was measured.
        folder: Where to write it.
        rounds: How often a case is timed here, in place of its own number.
    """

    run: str
    line: Line
    server: Server
    accounts: Accounts
    results: Results
    folder: Path
    rounds: Callable[[Case], Rounds]
    _seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def suite(
        self,
        suite: Suite,
        tree: Path,
        make: Callable[[], list[Tool]],
        missing: dict[str, str],
    ) -> None:
        """Run all cases of a suite.

        Args:
            suite: Which one.
            tree: Its source, made.
            make: Makes the tools, new ones at each call.
            missing: Why some of them cannot run here, by their names.
        """
        sites = max(case.at_once for case in suite.cases)
        with self._lanes(suite, [make() for _ in range(sites)]) as lanes:
            for case in suite.cases:
                taking_part = [each for each in lanes if each.rounds(self.rounds(case)) > 0]
                for lane in taking_part:
                    lane.absent = lane.absent or missing.get(lane.tool.name, "")
                if not case.empty:
                    self._fill(taking_part, tree, suite.history, case.at_once)
                self.case(case, suite.tree, taking_part, tree)
                self.results.write(self.folder)

    @contextmanager
    def _lanes(self, suite: Suite, sets: list[list[Tool]]) -> Iterator[list[Lane]]:
        with ExitStack() as stack:
            lanes = []
            for number, tools in enumerate(zip(*sets, strict=True)):
                stands = [
                    Stand(tool, self.server, f"{number}-{site}", suite.keep)
                    for site, tool in enumerate(tools)
                ]
                for stand in stands:
                    stack.callback(stand.close)
                lanes.append(Lane(stands))
            yield lanes

    def _fill(self, lanes: list[Lane], tree: Path, history: int, sites: int) -> None:
        """Bring every site to so many releases, each different from the one before."""
        stands = [(lane, stand) for lane in lanes for stand in lane.stands[:sites]]
        while lacking := [
            (lane, stand) for lane, stand in stands if not lane.absent and stand.count < history
        ]:
            edit_one(tree, next(self._seeds))
            for lane, stand in lacking:
                with self._own_loss(lane):
                    before = stand.count
                    if before == 0:
                        stand.empty()
                    stand.perform(stand.deploy(tree))
                    if stand.count <= before:
                        raise RuntimeError("its deploy makes no release")

    def case(self, case: Case, name: str, lanes: list[Lane], tree: Path) -> None:
        """Time a case in all its rounds, and count it once."""
        rounds = self.rounds(case)
        last = max((lane.rounds(rounds) for lane in lanes), default=0)
        for number in range(last + case.counted):
            counted = number == last
            seed = next(self._seeds)
            turn = [
                lane
                for lane in _turned(lanes, number)
                if not lane.out and (lane.rounds(rounds) > number or counted)
            ]
            if counted:
                turn = [lane for lane in turn if not lane.plain]
            self._before(case, turn, tree, seed)
            case.change(tree, seed)
            for lane in turn:
                self._operate(case, name, lane, tree, number, counted)
            if case.references and not counted:
                self._refer(case, name, number)
        for lane in lanes:
            if lane.out:
                self._note(case, name, lane.tool, 0, absent=lane.out)
            lane.lacks = ""

    def _before(self, case: Case, lanes: list[Lane], tree: Path, seed: int) -> None:
        if case.before is None:
            return
        case.before(tree, seed)
        for lane in lanes:
            with self._own_loss(lane):
                for stand in lane.stands[: case.at_once]:
                    stand.perform(stand.deploy(tree))

    def _operate(
        self, case: Case, name: str, lane: Lane, tree: Path, number: int, counted: bool
    ) -> None:
        """Time one operation of one tool, or count it, and check what came of it."""
        # One connection is counted: the relay stands before one site.
        stands = lane.stands[: 1 if counted else case.at_once]
        with self._own_loss(lane):
            for stand in stands:
                case.ready(stand, tree)
            sample = (
                self._counted(case, stands[0], tree) if counted else self._timed(case, stands, tree)
            )
            wrong = [sample.output[-_TOLD:]] if sample.status != 0 else []
            for stand in stands:
                wrong = wrong or case.wrong(stand, tree, sample.output)
            self._note(case, name, lane.tool, number, sample, counted, tuple(wrong[:3]))

    def _timed(self, case: Case, stands: list[Stand], tree: Path) -> Sample:
        commands = [case.do(stand, tree) for stand in stands]
        if len(commands) == 1:
            return measure.run(commands[0], self.accounts)
        return measure.together(commands, self.accounts)

    def _counted(self, case: Case, stand: Stand, tree: Path) -> Sample:
        with stand.counted() as relay:
            return measure.count(case.do(stand, tree), relay)

    def _refer(self, case: Case, name: str, number: int) -> None:
        target = self.server.target("0-0")
        python = (sys.executable, "-I", "-c", "pass")
        ssh = (*target.enter, "ssh", "-F", str(target.ssh_config), "bench", "true")
        for tool, argv in (("ssh host true", ssh), ("python -c pass", python)):
            sample = measure.run(Command(argv), self.accounts)
            self._record(case, name, number, tool, "reference", False, **measured(sample))

    def _note(
        self,
        case: Case,
        name: str,
        tool: Tool,
        number: int,
        sample: Sample | None = None,
        counted: bool = False,
        wrong: tuple[str, ...] = (),
        absent: str = "",
    ) -> None:
        figures = measured(sample) if sample else {}
        self._record(
            case, name, number, tool.name, tool.group, tool.warm,
            counted=counted, wrong=wrong, absent=absent, **figures,
        )  # fmt: skip

    def _record(
        self, case: Case, tree: str, number: int, tool: str, group: str, warm: bool, **more: object
    ) -> None:
        record = Record(
            self.run, self.line.name, tree, case.name, case.title, tool, group, warm, number,
            **more,  # type: ignore[arg-type]
        )  # fmt: skip
        self.results.records.append(record)
        tell(record)

    @contextmanager
    def _own_loss(self, lane: Lane) -> Iterator[None]:
        try:
            yield
        except Unsupported as lack:
            lane.lacks = str(lack)
        except _OWN_FAULTS as fault:
            lane.absent = f"{fault}"[-_TOLD:] or type(fault).__name__


def _turned(lanes: list[Lane], number: int) -> list[Lane]:
    """The lanes in another order each round: nobody always comes after the same one."""
    start = number % len(lanes) if lanes else 0
    return lanes[start:] + lanes[:start]


def tell(record: Record) -> None:
    """One line about an operation, for whoever watches."""
    head = f"{record.line} {record.tree} {record.case} {record.round} {record.tool}"
    took = "" if record.seconds is None else f"{record.seconds:.3f} s"
    counted = f"{record.bytes_up} up, {record.round_trips} trips" if record.counted else ""
    print(head, took, counted, *record.wrong, record.absent, file=sys.stderr, flush=True)
