"""The report's arithmetic: ratios are of rounds side by side, to the best script of the kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import report, table
from tests.benchmarks.results import Record, Results
from tests.benchmarks.runner import tell

RECORD = Record("run 1", "loopback", "small", "one", "one file", "opsnb cold", "opsnb", False, 0)


def _times(tool: str, group: str, warm: bool, *seconds: float) -> list[Record]:
    return [
        replace(RECORD, tool=tool, group=group, warm=warm, round=number, seconds=each)
        for number, each in enumerate(seconds)
    ]


RECORDS = [
    *_times("opsnb cold", "opsnb", False, 1.0, 4.0, 2.0),
    *_times("opsnb warm", "opsnb", True, 0.5, 0.5, 0.5),
    *_times("rsync a, cold, durable", "rsync", False, 2.0, 4.0, 8.0),
    *_times("rsync b, cold, durable", "rsync", False, 9.0, 9.0, 9.0),
    *_times("rsync a, cold, plain", "rsync", False, 1.0, 1.0, 1.0),
    *_times("rsync a, mux, durable", "rsync", True, 1.0, 2.0),
    *_times("ssh host true", "reference", False, 0.2),
    *_times("fabric", "other", False, 30.0, 20.0),
]


def _rows(records: list[Record]) -> dict[str, table.Row]:
    return {row.tool: row for row in table.rows(records)}


def test_a_ratio_is_the_median_of_ratios_and_not_of_times() -> None:
    cold = _rows(RECORDS)["opsnb cold"]
    assert (cold.seconds, cold.least, cold.most) == (2.0, 1.0, 4.0)
    assert cold.ratio == 0.5  # of 1/2, 4/4 and 2/8; the medians would give 2/4
    assert cold.ratio_plain == 2.0


def test_each_is_compared_with_its_own_kind_in_the_rounds_that_both_have() -> None:
    found = _rows(RECORDS)
    assert found["opsnb warm"].ratio == pytest.approx(0.375)
    assert found["opsnb warm"].ratio_plain is None
    assert found["rsync a, cold, durable"].ratio == 1.0
    assert found["ssh host true"].ratio is None


def test_what_went_wrong_does_not_count_and_is_told() -> None:
    wrong = replace(RECORD, round=3, seconds=0.001, wrong=("a is missing",))
    absent = replace(RECORD, tool="shipit", group="other", absent="no node")
    counted = replace(RECORD, round=4, seconds=9.0, counted=True, bytes_up=7)
    found = _rows([*RECORDS, wrong, absent, counted])
    assert found["opsnb cold"].seconds == 2.0
    assert found["opsnb cold"].bytes_up == 7
    assert found["opsnb cold"].trouble == ("round 4: a is missing",)
    assert found["shipit"].trouble == ("no node",)


def test_runs_are_not_mixed_and_the_fullest_wins() -> None:
    later = [replace(each, run="run 2") for each in _times("opsnb cold", "opsnb", False, 7.0)]
    cases = Results({}, [*RECORDS, *later]).cases()
    assert {each.run for each in cases[RECORD.key]} == {"run 1"}
    again = [replace(each, run="run 2") for each in RECORDS]
    cases = Results({}, [*RECORDS, *again]).cases()
    assert {each.run for each in cases[RECORD.key]} == {"run 2"}


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    wrong = replace(RECORD, wrong=("a", "b"))
    Results({"run 1": {"rsync": "3"}}, [*RECORDS, wrong]).write(tmp_path)
    read = Results.read(tmp_path)
    assert read.records == [*RECORDS, wrong]
    assert read.machines == {"run 1": {"rsync": "3"}}
    assert Results.read(tmp_path / "none").records == []


def test_the_report_and_its_chart_are_written_from_the_results_alone(tmp_path: Path) -> None:
    Results({"run 1": {"rsync": "3.5"}}, RECORDS).write(tmp_path)
    report.write(tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "- rsync: 3.5" in text
    assert "| 0.50 | 2.00 | ≤ 0.45 | 0.38 |" in text
    assert "fabric: 12.5 ×" in text
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_units() -> None:
    assert [report.seconds(s) for s in (0.0123, 0.9999, 12.34, None)] == [
        "12 ms", "1 s", "12.3 s", "",
    ]  # fmt: skip
    assert [report.size(n) for n in (999, 1000, 1_234_567, None)] == [
        "999 B", "1 kB", "1.23 MB", "",
    ]  # fmt: skip


def test_one_line_tells_an_operation(capsys: pytest.CaptureFixture[str]) -> None:
    tell(replace(RECORD, seconds=1.5, wrong=("a is missing",)))
    assert "loopback small one 0 opsnb cold 1.500 s" in capsys.readouterr().err
