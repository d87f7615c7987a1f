"""Charts say what was counted: in what JupyterLab draws by itself, as a picture, and as text."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from opsnb.embedded.readers import KINDS, Kind, View
from opsnb.lesson.chart import LOOKS, MIME, bundle, text, told
from opsnb.lesson.experiment import Run

GROUNDS = ("#ffffff", "#111111")  # JupyterLab's, light and dark


def view(at: float, kind: Kind = "good") -> View:
    return View(1000 + at, 0.01, "/", kind, "v1", "", "", 5)


def run(title: str = "in place") -> Run:
    kinds: list[Kind] = ["good", "good", "mixed", "failed", "between", "good"]
    views = [view(number * 0.4, kind) for number, kind in enumerate(kinds)]
    return Run(title, 1000.0, 3, (0.5, 2.5), (1.5,), views)


def parts(spec: Any, key: str) -> list[Any]:
    """Every value of a key, wherever it stands."""
    if isinstance(spec, dict):
        here = [spec[key]] if key in spec else []
        return here + [found for value in spec.values() for found in parts(value, key)]
    return (
        [found for value in spec for found in parts(value, key)] if isinstance(spec, list) else []
    )


def rows(spec: Any) -> list[dict[str, Any]]:
    named = [values for sets in parts(spec, "datasets") for values in sets.values()]
    flat = [row for values in [*parts(spec, "values"), *named] for row in values]
    found = [row for row in flat if isinstance(row, dict) and "pages" in row]
    assert found
    return found


def test_the_bars_are_what_was_counted() -> None:
    drawn = rows(bundle(run())[MIME])
    counted = {(row["second"], row["what"]): row["pages"] for row in drawn}
    expected = {
        (second, LOOKS[kind].name): pages
        for second, counts in enumerate(run().per_second())
        for kind, pages in counts.items()
        if pages
    }
    assert counted == expected
    assert sum(counted.values()) == run().pages
    assert all(row["high"] - row["low"] == row["pages"] for row in drawn)


def test_the_bars_of_a_second_stand_on_each_other() -> None:
    for second in range(3):
        bars = [row for row in rows(bundle(run())[MIME]) if row["second"] == second]
        assert [bar["low"] for bar in bars] == [0, *(bar["high"] for bar in bars)][: len(bars)]


def test_kinds_differ_in_sign_word_and_width_and_not_in_colour_alone() -> None:
    looks = [LOOKS[kind] for kind in KINDS]
    for distinct in ("sign", "word", "inset", "color"):
        assert len({getattr(look, distinct) for look in looks}) == len(KINDS)


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_stands_out_on_both_grounds(ground: str) -> None:
    for look in LOOKS.values():
        assert contrast(look.color, ground) >= 3
    # The control.
    assert contrast("#8fa9c4", "#ffffff") < 3


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_chart_asks_the_network_for_nothing() -> None:
    found = bundle(run(), run("released"))
    assert "url" not in [*parts(found[MIME], "data"), *found[MIME]]
    addresses = set(re.findall(r"https?://[^\"' ]+", json.dumps(found[MIME])))
    assert addresses == {"https://vega.github.io/schema/vega-lite/v5.json"}
    namespaces = set(re.findall(r"https?://[^\"' ]+", found["image/svg+xml"]))
    assert namespaces == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_words_of_a_chart_are_of_the_theme() -> None:
    """A text mark would be black on a dark page: there is none, and no ground."""
    spec = bundle(run(), picture=False)[MIME]
    marks = [mark if isinstance(mark, str) else mark["type"] for mark in parts(spec, "mark")]
    assert "text" not in marks
    assert {"rect", "rule", "point"} == set(marks)
    assert spec["config"]["background"] == "transparent"


def test_the_picture_is_svg_on_white_and_says_the_same() -> None:
    picture = bundle(run())["image/svg+xml"]
    said = " ".join(ElementTree.fromstring(picture).itertext())
    for words in (
        "in place",
        told(run()),
        "▲1",
        "the link moves",
        *(x.name for x in LOOKS.values()),
    ):
        assert words in said, words
    assert 'fill="white"' in picture
    assert "image/svg+xml" not in bundle(run(), picture=False)


def test_as_text_a_chart_is_its_seconds() -> None:
    assert text(run()).split("\n") == [
        "in place: 6 pages opened: 3 good, 1 good when loaded again, 1 mixed from two releases, "
        "1 failed",
        "    0 s  3 pages  ▲1",
        "    1 s  2 pages  ○1 ×1",
        "    2 s  1 page",
    ]
    assert bundle(run(), picture=False)["text/plain"] == text(run())


def test_a_run_in_which_nobody_came_can_be_drawn() -> None:
    assert bundle(Run("empty", 1000.0, 2))["image/svg+xml"].startswith("<svg")
