"""What was measured, kept in ``results.json``: each case is written as it ends.

Several runs may go into one file. For each case the report takes the run with the most tools, of
those the newest: figures of two runs are never compared with each other.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Sample

Key = tuple[str, str, str]
"""A line, a tree, a case."""


@dataclass(frozen=True)
class Record:
    """One operation of one tool.

    Attributes:
        run: Which run, by its start.
        line: Which line.
        tree: Which tree.
        case: Which case.
        title: What the case is called in the report.
        tool: Which tool.
        group: Its group.
        warm: Whether it keeps something open.
        round: Which round; of two tools, those of one round ran side by side.
        counted: Whether this was the pass that counts bytes; its time is none to compare.
        seconds, client_cpu, server_cpu, peak_memory, bytes_up, bytes_down, round_trips: As in
            `measure.Sample`.
        wrong: What was wrong afterwards; its time does not count then.
        absent: Why it did not run at all.
    """

    run: str
    line: str
    tree: str
    case: str
    title: str
    tool: str
    group: str
    warm: bool
    round: int
    counted: bool = False
    seconds: float | None = None
    client_cpu: float | None = None
    server_cpu: float | None = None
    peak_memory: int | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    round_trips: int | None = None
    wrong: tuple[str, ...] = ()
    absent: str = ""

    @property
    def key(self) -> Key:
        """Which case."""
        return self.line, self.tree, self.case

    @property
    def counts(self) -> bool:
        """Whether its time counts."""
        return not (self.wrong or self.absent or self.counted)


_MEASURED = set(Sample.__dataclass_fields__) - {"status", "output"}


def measured(sample: Sample) -> dict[str, Any]:
    """The figures of a sample, as a record has them."""
    return {name: value for name, value in asdict(sample).items() if name in _MEASURED}


@dataclass
class Results:
    """Everything that was measured.

    Attributes:
        machines: For each run, where it was made: what the report says about the machine.
        records: All operations.
    """

    machines: dict[str, dict[str, str]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Results:
        """What is in a folder's ``results.json``; nothing if there is none."""
        file = folder / "results.json"
        if not file.exists():
            return cls()
        known = json.loads(file.read_text())
        records = [Record(**{**r, "wrong": tuple(r["wrong"])}) for r in known["records"]]
        return cls(known["machines"], records)

    def write(self, folder: Path) -> None:
        """Write ``results.json`` anew, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        text = {"machines": self.machines, "records": [asdict(each) for each in self.records]}
        part = folder / "results.json.part"
        part.write_text(json.dumps(text, indent=1) + "\n")
        part.replace(folder / "results.json")

    def cases(self) -> dict[Key, list[Record]]:
        """The records of each case, from one run, in the order of their first appearance."""
        runs: dict[Key, dict[str, list[Record]]] = {}
        for record in self.records:
            runs.setdefault(record.key, {}).setdefault(record.run, []).append(record)
        return {key: max(of.values(), key=_weight) for key, of in runs.items()}


def _weight(records: list[Record]) -> tuple[int, str]:
    return len({each.tool for each in records if each.counts}), records[0].run
