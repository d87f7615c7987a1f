"""Every plan case comes to exactly what its file says (see ``cases/README.md``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core import case as reading

FILES = sorted(reading.HOME.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_plan_is_what_the_case_says(path: Path) -> None:
    case = reading.load(path)
    facts, expect = reading.run(case), reading.expected(case)
    if "refused" not in expect:
        assert {key: facts.get(key) for key in expect} == expect, case["says"]
        return
    for key, part in expect.items():
        assert part in facts.get(key, ""), f"{case['says']}: {facts}"


def test_every_case_says_what_it_is_about_and_there_are_many() -> None:
    said = [reading.load(path)["says"] for path in FILES]
    assert len(said) >= 45
    assert len(set(said)) == len(said)


def test_the_control_a_case_that_expects_something_else_fails() -> None:
    case = reading.load(reading.HOME / "first_missing_path.toml")
    case["source"].append("more.html: three")
    facts, expect = reading.run(case), reading.expected(case)
    assert {key: facts.get(key) for key in expect} != expect


def test_the_control_a_case_with_an_unknown_word_fails() -> None:
    case = reading.load(reading.HOME / "first_missing_path.toml")
    with pytest.raises(AssertionError, match="sauce"):
        reading.run({**case, "sauce": []})
