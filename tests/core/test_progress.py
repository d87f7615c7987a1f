"""One fold of the events is what every view shows, however the stream is cut."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.events import (
    Ended,
    Event,
    Log,
    Outcome,
    Phase,
    PhaseBegan,
    PhaseEnded,
    Planned,
    Report,
    Sent,
    Started,
    Switched,
    Warned,
)
from opsnb.core.progress import TAIL, fold, steps

REPORT = Report("deploy", "web1", Outcome.DONE, release="b", previous="a", live="b", switched=True)
STORY: list[Event] = [
    Started("web1", 100.0, "deploy"),
    PhaseBegan("web1", 100.0, Phase.LOOK),
    PhaseEnded("web1", 100.5, Phase.LOOK, 0.5),
    Planned("web1", 100.5, "b", "a", 2, 1000, 0, 1, ("z",)),
    PhaseBegan("web1", 101.0, Phase.UPLOAD),
    Sent("web1", 103.0, 1, 2, 500, 1000),
    Log("web1", 103.5, "a line"),
    Warned("web1", 103.5, "careful"),
    Sent("web1", 105.0, 2, 2, 1000, 1000),
    PhaseEnded("web1", 105.0, Phase.UPLOAD, 4.0),
    PhaseBegan("web1", 105.0, Phase.PUBLISH),
    Switched("web1", 105.1, "b", "a"),
    Ended("web1", 106.0, REPORT),
]


def test_a_story_is_told_as_it_goes() -> None:
    half = fold(STORY[:6])
    assert (half.verb, half.release, half.live, half.phase) == ("deploy", "b", "a", Phase.UPLOAD)
    assert (half.files, half.files_total, half.bytes, half.bytes_total) == (1, 2, 500, 1000)
    assert (half.rate, half.seconds_left) == (250.0, 2.0)
    assert not half.switched
    switched = fold(STORY[:-1])
    assert (switched.live, switched.switched, switched.report) == ("b", True, None)
    whole = fold(STORY)
    assert (whole.live, whole.switched, whole.phase, whole.report) == ("b", True, None, REPORT)
    assert whole.done == ((Phase.LOOK, 0.5), (Phase.UPLOAD, 4.0))
    assert (whole.tail, whole.warnings) == (("a line",), ("careful",))
    assert (whole.began, whole.at) == (100.0, 106.0)


def test_nothing_is_known_of_a_rate_before_the_upload() -> None:
    assert (fold(STORY[:4]).rate, fold(STORY[:4]).seconds_left) == (0.0, None)
    assert fold(STORY[:5]).seconds_left is None
    assert fold([]).report is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(STORY), max_size=20), st.integers(0, 20))
def test_a_stream_that_is_cut_anywhere_comes_to_the_same(events: list[Event], cut: int) -> None:
    assert fold(events[cut:], fold(events[:cut])) == fold(events)


def test_only_the_last_lines_are_kept() -> None:
    kept = fold(Log("web1", 1.0, str(number)) for number in range(3 * TAIL)).tail
    assert len(kept) == TAIL
    assert kept[-1] == str(3 * TAIL - 1)


def test_every_event_is_plain_data_with_its_name() -> None:
    for event in STORY:
        data = json.loads(json.dumps(event.to_dict()))
        assert data["event"] == ("Report" if isinstance(event, Ended) else type(event).__name__)
        assert (data["server"], data["at"]) == (event.server, event.at)


def test_the_last_event_is_the_report_itself() -> None:
    data = STORY[-1].to_dict()
    assert set(asdict(REPORT)) <= set(data)
    assert data["outcome"] == "done"
    assert data["phases"] == data["removed"] == {}


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (REPORT, "b is live"),
        (Report("prune", "w", Outcome.DONE), "old releases are removed"),
        (Report("mend", "w", Outcome.DONE), "mend: done"),
        (Report("pin", "w", Outcome.DONE, release="b"), "b is pinned: prune leaves it alone"),
        (Report("hold", "w", Outcome.DONE), "no change until `opsnb lock w release`"),
        (
            Report("freeze", "w", Outcome.DONE, typed="file:///s", until="2026-12-24T18:00:00Z"),
            "frozen: a rollback alone, until 2026-12-24T18:00:00Z, or until "
            "`opsnb unfreeze file:///s`",
        ),
        (Report("release", "w", Outcome.NOTHING, live="a"), "nothing to do: it is not held"),
        (Report("pin", "w", Outcome.NOTHING, release="{b}"), "nothing to do: {b} is pinned"),
        (Report("deploy", "w", Outcome.NOTHING, live="a"), "nothing to do; visitors see a"),
        (Report("deploy", "w", Outcome.NOTHING), "nothing to do; no release is live"),
        (Report("deploy", "w", Outcome.NOT_DONE, exit_status=10), "could not be reached"),
        (Report("deploy", "w", Outcome.NOT_DONE), "not done: nothing was changed"),
        (Report("deploy", "w", Outcome.NOT_DONE, live="a"), "did not happen; visitors see a"),
        (Report("deploy", "w", Outcome.RESTORED, release="b", live="a"), "put back: b failed"),
        (Report("deploy", "w", Outcome.NOT_RESTORED, release="b", live="b"), "not put back"),
        (Report("deploy", "w", Outcome.UNKNOWN, switched=None), "unknown: the server could not"),
        (Report("deploy", "w", Outcome.DONE, release="b\x1b"), "b\\x1b is live"),
    ],
)
def test_an_outcome_is_said_in_words_that_are_safe(report: Report, said: str) -> None:
    assert said in report.sentence
    assert said in str(report).splitlines()[0]


def test_a_report_as_text_is_its_sentence_and_what_to_know_a_line_for_each() -> None:
    assert str(Report("deploy", "w", Outcome.DONE, release="b")) == "b is live"
    failed = Report(
        "deploy", "w", Outcome.NOT_DONE, live="a", error="the hook failed", hint="one\ntwo\x1b",
        warnings=("mind the gap", "and the step"),
    )  # fmt: skip
    assert str(failed).splitlines() == [
        "not done: the switch did not happen; visitors see a",
        "the hook failed",
        "one",
        "two\\x1b",
        "mind the gap",
        "and the step",
    ]
    # For whoever looks for a mistake there is all of it.
    assert repr(failed).startswith("Report(verb='deploy'")


def test_a_source_is_a_step_only_where_it_is_made() -> None:
    assert steps("deploy")[0] is Phase.LOOK
    assert steps("deploy", [Phase.SOURCE])[:2] == (Phase.SOURCE, Phase.LOOK)
    assert steps("rollback") == (Phase.LOCK, Phase.PUBLISH, Phase.CONFIRM, Phase.RECORD)
