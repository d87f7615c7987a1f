"""Experiments as a notebook shows them: the chart grows while visitors come."""

from __future__ import annotations

from collections.abc import Callable

from IPython.display import DisplayHandle, display

from opsnb.lesson import experiment
from opsnb.lesson.chart import LOOKS, bundle
from opsnb.lesson.experiment import Run
from opsnb.lesson.pictures import Picture, table
from opsnb.lesson.shop import Place
from opsnb.notebook.mode import face


def watch(
    place: Place,
    change: Callable[[], object],
    *,
    title: str = "",
    visitors: int = 4,
    seconds: float = 0.0,
    slow: bool = True,
    dawdle: float = 0.0,
) -> Run:
    """Let visitors come, change a site meanwhile, count what they get, and draw it.

    Args:
        place: The site: ``shop.www`` or ``shop.live``.
        change: Changes it; when it gives back a job, that is waited for, also when it fails.
        title: What is done.
        visitors: How many visitors open pages at a time.
        seconds: How long they come at least; until the change has ended in any case.
        slow: Whether the change goes over the slow line.
        dawdle: Seconds that each visitor's browser takes between a page's HTML and the rest.
    """
    screen = _Screen()
    run = experiment.watch(
        place,
        change,
        title=title,
        visitors=visitors,
        seconds=seconds,
        slow=slow,
        dawdle=dawdle,
        show=screen.draw if face() == "widget" else None,
    )
    screen.draw(run, picture=True)
    return run


class _Screen:
    """One chart, drawn anew in its place."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def draw(self, run: Run, picture: bool = False) -> None:
        content = bundle(run, picture=picture)
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)  # type: ignore[no-untyped-call]


def compare(*runs: Run) -> Picture:
    """Draw runs on the same scales, and count.

    Args:
        runs: What is compared.

    Returns:
        What :func:`counts` gives.
    """
    display(bundle(*runs), raw=True)  # type: ignore[no-untyped-call]
    return counts(*runs)


def counts(*runs: Run) -> Picture:
    """What visitors got in each of some runs, as a table.

    Args:
        runs: What is compared.
    """
    return table([_row(run) for run in runs], label="what visitors got")


def _row(run: Run) -> dict[str, object]:
    pages = {look.name: run.counts[kind] for kind, look in LOOKS.items()}
    first, last = run.changing
    return {
        "": run.title,
        "pages opened": run.pages,
        **pages,
        "seconds in which pages broke": run.broken,
        "seconds the change took": last - first,
    }
