"""The judgement itself: what it calls failed, mixed and stale. Without it no figure means much."""

from __future__ import annotations

import pytest

from tests.downtime.load import Answer, Switch, judge, read, verdict
from tests.downtime.operator import LARGE_FILLER, NAMED, NAMED_LARGE, page

SWITCHES = [Switch(0, 1, "a"), Switch(10, 11, "b"), Switch(20, 21, "c"), Switch(22, 23, "a")]


@pytest.mark.parametrize(
    ("asked", "ended", "name", "wrong"),
    [
        (2, 3, "a", ""),
        (2, 3, "b", "stale: b"),
        (9, 10.5, "a", ""),
        (9, 10.5, "b", ""),
        (10.5, 10.6, "a", ""),
        (10.5, 10.6, "b", ""),
        (11, 12, "a", "stale: a"),
        (11.1, 12, "b", ""),
        (11.1, 20.5, "c", ""),
        (11.1, 20.5, "a", "stale: a"),
        (11.1, 25, "a", ""),
        (19, 22.5, "b", ""),
        (21.5, 21.6, "b", "stale: b"),
        (24, 25, "c", "stale: c"),
        (24, 25, "a", ""),
        (24, 25, "z", "stale: z"),
    ],
)
def test_only_what_may_have_been_live_meanwhile_is_not_stale(
    asked: float, ended: float, name: str, wrong: str
) -> None:
    assert judge(Answer(asked, ended, (name,) * 3), SWITCHES, 3) == wrong


def test_an_answer_of_two_releases_is_mixed_and_a_short_one_failed() -> None:
    assert judge(Answer(2, 3, ("a", "a", "b")), SWITCHES, 3) == "mixed: a a b"
    assert judge(Answer(2, 3, ("a", "a")), SWITCHES, 3).startswith("failed")
    assert judge(Answer(2, 3, ()), SWITCHES, 3).startswith("failed")
    assert judge(Answer(2, 3, ("a",) * 3, "status 404"), SWITCHES, 3) == "failed: status 404"


def test_many_answers_are_judged_as_each_of_them_would_be() -> None:
    switches = [Switch(n, n + 0.5, f"r{n}") for n in range(300)]
    answers = [Answer(n + 0.6, n + 0.7, (f"r{n}",)) for n in range(300)]
    late = [Answer(n + 0.6, n + 0.7, (f"r{n - 1}",)) for n in range(1, 300)]
    assert verdict([*late, *answers], switches, 1) == {"good": 300, "stale": 299}


def test_the_pages_name_their_release_at_both_ends_and_in_between() -> None:
    for text, times in ((page("x"), NAMED), (page("x", NAMED_LARGE, LARGE_FILLER), NAMED_LARGE)):
        assert read(text.encode()) == ("x",) * times
        assert text.lstrip().startswith("<p>release-x-")
        assert text.rstrip().endswith("release-x-</p>")
    assert len(page("x")) > 6000
