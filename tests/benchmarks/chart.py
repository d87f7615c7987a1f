"""The chart: how long opsnb takes, as a share of the best rsync script that flushes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from tests.benchmarks.results import Key, Record
from tests.benchmarks.table import Row
from tests.benchmarks.trees import TREES

_COLOURS = {"opsnb cold": "#7aa6c2", "opsnb warm": "#1f5f8b"}


def points(tables: dict[Key, list[Row]], cases: dict[Key, list[Record]]) -> list[dict[str, Any]]:
    """What is drawn: a bar for each case and way."""
    return [
        {"line": key[0], "case": _label(key, cases[key][0].title), "way": row.tool,
         "ratio": row.ratio, "text": f"{row.ratio:.2f}"}
        for key, table in tables.items()
        for row in table
        if row.group == "opsnb" and row.ratio is not None
    ]  # fmt: skip


def _label(key: Key, title: str) -> str:
    if key[1] in ("small", "site"):
        return title
    tree = TREES[key[1]].title if key[1] in TREES else key[1]
    return f"{tree}: {title}"


def draw(tables: dict[Key, list[Row]], cases: dict[Key, list[Record]], folder: Path) -> None:
    """Draw ``chart.svg`` and ``chart.png`` into a folder; nothing, when nothing is comparable."""
    data = points(tables, cases)
    if not data:
        return
    table = pd.DataFrame(data)
    order = list(dict.fromkeys(point["case"] for point in data))
    bars = alt.Chart(table).encode(
        y=alt.Y("case:N", sort=order, title=None, axis=alt.Axis(labelLimit=320)),
        yOffset=alt.YOffset("way:N"),
        x=alt.X("ratio:Q", title="time, as a share of the best rsync script that flushes"),
    )
    colour = alt.Color(
        "way:N", scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())), title=None
    )
    even = alt.Chart(table).mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(1))
    words: dict[str, Any] = {"align": "left", "dx": 3, "fontSize": 9}
    layers = alt.layer(
        bars.mark_bar().encode(color=colour),
        even,
        # What stands on the line of 1 is read on white.
        bars.mark_text(stroke="white", strokeWidth=4, **words).encode(text="text:N"),
        bars.mark_text(**words).encode(text="text:N"),
    ).properties(width=460)
    picture = layers.facet(row=alt.Row("line:N", title=None)).resolve_scale(y="independent")
    for name in ("chart.svg", "chart.png"):
        picture.save(str(folder / name), scale_factor=2)
