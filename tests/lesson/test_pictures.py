"""Pictures say the same as HTML and as text, and nothing in them is code."""

from __future__ import annotations

import re

import pytest

from opsnb.lesson.film import Film, Frame
from opsnb.lesson.pictures import Picture, before_after, film, table
from opsnb.lesson.tree import Line, Tree

HOSTILE = "<img src=x onerror=alert(1)>"


def trees() -> tuple[Tree, Tree]:
    old = (Line("├── ", "current → 1"), Line("└── ", "1", "v1 ● live", "2 files", True))
    new = (Line("├── ", "current → 2"), Line("└── ", "2", "v2 ● live", "3 files", True))
    return old, new


def words(picture: Picture) -> str:
    bare = re.sub(r"<style>.*?</style>|<[^>]*>", "", picture.html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", bare)


def test_what_changed_has_a_sign_in_both() -> None:
    picture = before_after(*trees())
    assert picture.text.split("\n") == [
        "1 · before",
        "    ├── current → 1",
        "    └── 1  v1 ● live  2 files",
        "2 · after",
        "  ~ ├── current → 2",
        "  − └── 1  v1 ● live  2 files",
        "  + └── 2  v2 ● live  3 files",
    ]
    for line in picture.text.split("\n"):
        assert re.sub(r"\s+", " ", line.strip()) in words(picture)
    assert "+ came ~ changed − went" in words(picture)


def test_a_film_says_when_and_in_which_phase() -> None:
    old, new = trees()
    shown = film(Film((Frame(100.0, 99.0, old, "before"), Frame(102.5, 102.4, new, "publish"))))
    assert "1 · before" in shown.text
    assert "2 · publish · 2.5 s" in shown.text


def test_a_table_puts_numbers_on_the_right() -> None:
    picture = table(
        [{"what": "a", "pages": 1, "s": 0.25}, {"what": "bb", "pages": 1234, "s": 10.0}]
    )
    assert picture.text == "what  pages     s\na         1   0.2\nbb    1,234  10.0"
    assert picture.html.count('<td class="opsnb-number">') == 4
    assert "1,234" in picture.html


def test_a_table_without_rows_can_be_shown() -> None:
    assert table([]).text == ""
    assert "<table" in table([]).html


@pytest.mark.parametrize(
    "picture",
    [
        before_after((Line("", HOSTILE),), (Line("", HOSTILE, HOSTILE, HOSTILE),)),
        film(Film((Frame(0.0, 0.0, (), HOSTILE),))),
        table([{HOSTILE: HOSTILE}], label=HOSTILE),
    ],
)
def test_text_is_escaped(picture: Picture) -> None:
    assert "<img" not in picture.html
    assert "&lt;img" in picture.html


def test_a_notebook_gets_both() -> None:
    picture = table([{"a": 1}])
    assert picture._repr_mimebundle_() == {"text/plain": picture.text, "text/html": picture.html}
    assert str(picture) == picture.text
