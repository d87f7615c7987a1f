"""Runs as charts: what visitors got, second by second.

Rule 1: a chart needs no network: it is put out as what JupyterLab draws by itself, Vega-Lite 5, and
        as a picture for every place that draws nothing (GitHub, nbconvert), and as text.
Rule 2: colour never says anything alone: each kind has a width, a sign and a word of its own.
Rule 3: nothing is assumed of the page's colour: bars are of a middle tone, and words are of the
        theme's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from opsnb.core.text import plural
from opsnb.embedded.readers import Kind
from opsnb.lesson.experiment import Run

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
MIME = "application/vnd.vegalite.v5+json"
WIDTH, HEIGHT = 640, 150
GREY = "#808080"
CHANGE, SWITCH = "the change begins, and ends", "the link moves"
TIPS = {"second": "Q", "what": "N", "pages": "Q"}
Layered = alt.LayerChart | alt.FacetChart
CONFIG = alt.Config(
    background="transparent",
    view=alt.ViewConfig(stroke=None),
    axis=alt.AxisConfig(gridColor=GREY, gridOpacity=0.25, domainColor=GREY, tickColor=GREY),
    title=alt.TitleConfig(anchor="start"),
    legend=alt.LegendConfig(symbolType="square", orient="bottom", title=None, labelLimit=400),
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of page is drawn.

    Attributes:
        sign: Its sign.
        word: What it is called.
        color: Its colour: at least 3:1 on white and on JupyterLab's dark ground.
        inset: How much narrower than a second its bar is, on each side, in seconds.
    """

    sign: str
    word: str
    color: str
    inset: float

    @property
    def name(self) -> str:
        """Sign and word."""
        return f"{self.sign} {self.word}"


LOOKS: Mapping[Kind, Look] = {
    "good": Look("●", "good", "#4c86c6", 0.06),
    "between": Look("○", "good when loaded again", "#2e9c8f", 0.14),
    "mixed": Look("▲", "mixed from two releases", "#c77700", 0.22),
    "failed": Look("×", "failed", "#b8348b", 0.34),
}


def chart(*runs: Run) -> alt.VConcatChart:
    """Draw runs below each other, on the same scales.

    Args:
        runs: What is drawn.
    """
    seconds = max(run.seconds for run in runs)
    most = max(sum(counts.values()) for run in runs for counts in run.per_second())
    drawn = [_panel(run, [0, seconds], [0, most * 1.2]) for run in runs]
    return alt.vconcat(*drawn, config=CONFIG)


def _panel(run: Run, seconds: list[float], pages: list[float]) -> Layered:
    """One run."""
    looks = LOOKS.values()
    names, colors = [look.name for look in looks], [look.color for look in looks]
    bars = (
        alt.Chart(alt.InlineData(values=_bars(run)))
        .mark_rect()
        .encode(
            x=_seconds_from("from", seconds, alt.Axis(tickMinStep=1, format="d", grid=False)),
            x2="to:Q",
            y=alt.Y("low:Q", title="pages", scale=alt.Scale(domain=pages, nice=False)),
            y2="high:Q",
            color=alt.Color("what:N", scale=alt.Scale(domain=names, range=colors)),
            tooltip=[alt.Tooltip(f"{name}:{kind}") for name, kind in TIPS.items()],
        )
    )
    layers = [bars, _signs(run, seconds), _lines(run, seconds)]
    title = alt.TitleParams(run.title, subtitle=told(run))
    return alt.layer(
        *layers,
        width=WIDTH,
        height=HEIGHT,
        title=title,
        resolve=alt.Resolve(axis={"x": "independent"}),
    )


def _seconds_from(field: str, seconds: list[float], axis: alt.Axis | None) -> alt.X:
    scale = alt.Scale(domain=seconds, nice=False)
    return alt.X(f"{field}:Q", title="second", scale=scale, axis=axis)


def _signs(run: Run, seconds: list[float]) -> alt.Chart:
    """Above each second: how many pages were not good, by sign.

    They are the labels of an axis: a theme gives those its colour, and plain text it gives none.
    """
    labels = [_broken(counts) for counts in run.per_second()]
    axis = alt.Axis(
        orient="top",
        title=None,
        values=[second + 0.5 for second in range(len(labels))],
        labelExpr=f"{json.dumps(labels)}[floor(datum.value)]",
        labelOverlap=False,
        labelPadding=0,
        domain=False,
        ticks=False,
        grid=False,
    )
    nothing = alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_point(opacity=0)
    drawn: alt.Chart = nothing.encode(x=_seconds_from("at", seconds, axis))
    return drawn


def _lines(run: Run, seconds: list[float]) -> alt.Chart:
    """When the change began and ended, and when a link moved."""
    lines = [{"at": at, "line": CHANGE} for at in run.changing]
    lines += [{"at": at, "line": SWITCH} for at in run.switched]
    dash = alt.StrokeDash(
        "line:N",
        scale=alt.Scale(domain=[CHANGE, SWITCH], range=[[2, 3], [1, 0]]),
        legend=alt.Legend(symbolType="stroke"),
    )
    rules = alt.Chart(alt.InlineData(values=lines)).mark_rule(color=GREY, strokeWidth=2)
    drawn: alt.Chart = rules.encode(x=_seconds_from("at", seconds, None), strokeDash=dash)
    return drawn


def _bars(run: Run) -> list[dict[str, Any]]:
    """A bar for each kind in each second, one on top of the other."""
    bars = []
    for second, counts in enumerate(run.per_second()):
        high = 0
        for kind, pages in counts.items():
            low, high, look = high, high + pages, LOOKS[kind]
            span = {"from": second + look.inset, "to": second + 1 - look.inset}
            bar = {"second": second, "what": look.name, "pages": pages, "low": low, "high": high}
            bars.append({**bar, **span})
    return [bar for bar in bars if bar["pages"]]


def _broken(counts: Mapping[Kind, int]) -> str:
    signs = {kind: f"{LOOKS[kind].sign}{pages}" for kind, pages in counts.items() if pages}
    return " ".join(sign for kind, sign in signs.items() if kind != "good")


def told(run: Run) -> str:
    """A run in one line.

    Args:
        run: The run.
    """
    found = [f"{run.counts[kind]:,} {look.word}" for kind, look in LOOKS.items()]
    return f"{plural(run.pages, 'page')} opened: {', '.join(found)}"


def bundle(*runs: Run, picture: bool = True) -> dict[str, Any]:
    """What a cell puts out.

    Args:
        runs: What is drawn.
        picture: Whether to add a picture; it takes a while, so a chart that is drawn anew every
            second has it only in the end.
    """
    # altair says Vega-Lite 6, which JupyterLab does not draw; these charts are valid in 5, too.
    spec = {**chart(*runs).to_dict(), "$schema": SCHEMA}
    found: dict[str, Any] = {MIME: spec, "text/plain": text(*runs)}
    if picture:
        found["image/svg+xml"] = svg(spec)
    return found


def svg(spec: Mapping[str, Any]) -> str:
    """A chart as a picture, on white: nobody knows the colour of the page that shows it.

    Args:
        spec: The chart.
    """
    white = {**spec, "config": {**spec["config"], "background": "white"}, "padding": 8}
    latest = [v for v in vl_convert.get_vegalite_versions() if v.startswith("5.")][-1]
    return str(vl_convert.vegalite_to_svg(json.dumps(white), vl_version=latest))


def text(*runs: Run) -> str:
    """Runs as lines of text.

    Args:
        runs: What is told.
    """
    return "\n".join(line for run in runs for line in [f"{run.title}: {told(run)}", *_seconds(run)])


def _seconds(run: Run) -> list[str]:
    return [
        f"  {second:>3} s  {plural(sum(counts.values()), 'page')}  {_broken(counts)}".rstrip()
        for second, counts in enumerate(run.per_second())
    ]
