"""The lesson's pictures and tables, as HTML and as text.

Rule: both say the same; what changed has a sign and a word, not only a colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from opsnb.lesson.film import Film, Frame
from opsnb.lesson.tree import Line, Sign, Tree, changes
from opsnb.notebook.html import Html, page, tag

MOST = 6  # pictures of a film that are shown
KINDS: Mapping[Sign, str] = {"+": "came", "~": "changed", "−": "went", " ": ""}
LEGEND = "+ came    ~ changed    − went"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a cell puts out.

    Attributes:
        text: For a terminal.
        html: For a page.
    """

    text: str
    html: Html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude
        return {"text/plain": self.text, "text/html": self.html}

    def __str__(self) -> str:
        return self.text


@cache
def _style() -> Html:
    css = (Path(__file__).parent / "lesson.css").read_text("utf-8")
    return Html(f"<style>{css}</style>")


def film(shown: Film, most: int = MOST) -> Picture:
    """A site's files, each time they had changed; what changed is marked.

    Args:
        shown: The film.
        most: How many pictures at most.
    """
    frames = shown.pick(most)
    began = frames[0].at if frames else 0.0
    return _cards([(_title(frame, began), frame.tree) for frame in frames])


def _title(frame: Frame, began: float) -> str:
    after = f"{frame.at - began:.1f} s"
    return " · ".join(filter(None, [frame.label, "" if frame.label == "before" else after]))


def before_after(before: Tree, after: Tree) -> Picture:
    """Two trees beside each other; what changed is marked.

    Args:
        before: The earlier tree.
        after: The later one.
    """
    return _cards([("before", before), ("after", after)])


def _cards(cards: Sequence[tuple[str, Tree]]) -> Picture:
    text, drawn, last = [], [], Tree()
    for number, (said, tree) in enumerate(cards, 1):
        title, lines = f"{number} · {said}", changes(last, tree)
        text += [title, *(f"  {_text(sign, line)}" for sign, line in lines)]
        pre = tag("pre", [_html(sign, line) for sign, line in lines], class_="opsnb-tree")
        drawn.append(tag("li", tag("b", title), pre))
        last = tree
    content = [tag("ol", drawn, class_="opsnb-film"), tag("div", LEGEND, class_="opsnb-mute")]
    return Picture("\n".join(text), page(_style(), *content, label="the files, step by step"))


def _text(sign: Sign, line: Line) -> str:
    return "  ".join(filter(None, [f"{sign} {line.trunk}{line.name}", line.words, line.note]))


def _html(sign: Sign, line: Line) -> list[Html | str]:
    kind = KINDS[sign] or ("is-live" if line.live else "")
    note = tag("span", f"  {line.note}", class_="opsnb-note") if line.note else None
    words = f"  {line.words}" if line.words else ""
    shown = f"{sign} {line.trunk}{line.name}{words}"
    return [tag("span", shown, note, class_=f"opsnb-{kind}" if kind else None), "\n"]


def table(rows: Sequence[Mapping[str, object]], label: str = "counted") -> Picture:
    """Plain values as a table; numbers stand on the right.

    Args:
        rows: The rows, by column; all have the same columns.
        label: What it is, for those who do not see it.
    """
    heads = list(rows[0]) if rows else []
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    right = [all(isinstance(row[head], int | float) for row in rows) for head in heads]
    marks = ["opsnb-number" if number else None for number in right]
    head = [
        tag("th", name, scope="col", class_=mark) for name, mark in zip(heads, marks, strict=True)
    ]
    body = [
        tag("tr", [tag("td", cell, class_=mark) for cell, mark in zip(row, marks, strict=True)])
        for row in cells
    ]
    drawn = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="opsnb-counts")
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    text = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [heads, *cells]
    ]
    return Picture("\n".join(text), page(_style(), drawn, label=label))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
