"""A running change in words, and what is drawn of it on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from opsnb.cli import show
from opsnb.core.events import Event, Log, Phase, PhaseEnded, Planned, Sent, Started, Warned
from opsnb.core.progress import Progress, steps
from opsnb.core.text import age, plural, safe, size

if TYPE_CHECKING:
    from opsnb.core.events import Report
    from opsnb.job import Job
    from opsnb.server import Server

EVERY = 5.0  # seconds between two lines about an upload, without a terminal
STREAMS = {"hook": "│ ", "check": "│ ", "opsnb": ""}
SPIN = "◐◓◑◒"


class Words:
    """Tells a person: lines on standard error, and a live display below them on a terminal.

    Args:
        server: The server.
        clock: Seconds; to pace the lines about an upload.
    """

    def __init__(self, server: Server, clock: Callable[[], float]) -> None:
        self._server = server
        self._page = show.err()
        self._drawn = self._page.is_terminal and not self._page.is_dumb_terminal
        self._clock = clock
        self._told = clock()

    def watch(self, job: Job) -> AbstractContextManager[object]:
        """See :meth:`Teller.watch`."""
        if not self._drawn:
            return nullcontext()
        return Live(
            console=self._page,
            get_renderable=lambda: draw(job.progress, time.time(), self._page),
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def tell(self, event: Event) -> None:
        """See :meth:`Teller.tell`."""
        match event:
            case Started():
                self._say(Text.assemble((f"{event.verb} ", "bold"), show.where(self._server)))
            case Planned():
                self._say(_planned(event))
            case PhaseEnded():
                self._say(_ended(event))
            case Log():
                self._say(Text(f"    {STREAMS[event.stream]}{event.text}", "dim"))
            case Warned():
                self._say(show.note(event.text))
            case Sent() if not self._drawn:
                self._sent(event)

    def end(self, report: Report) -> None:
        """See :meth:`Teller.end`."""
        page = show.err() if report.error else show.out()
        page.lines(show.report(report))

    def _say(self, line: Text) -> None:
        self._page.lines([line])

    def _sent(self, event: Sent) -> None:
        now = self._clock()
        if now - self._told >= EVERY:
            self._told = now
            done = f"{size(event.bytes)} of {size(event.bytes_total)}"
            self._say(Text(f"    sent {done}, {event.files:,} of {event.files_total:,} files"))


def _ended(event: PhaseEnded) -> Text:
    return Text.assemble(
        ("  ✓ ", "green"), f"{event.phase.value:<8}", (f"{event.seconds:7.2f} s", "dim")
    )


def _planned(event: Planned) -> Text:
    if not event.release or event.release == event.live:
        switch = f"live: {safe(event.live)}"
    else:
        switch = f"{safe(event.live) or 'nothing'} → {safe(event.release)}"
    facts = [switch]
    if event.send_files:
        facts.append(f"send {plural(event.send_files, 'path')}, {size(event.send_bytes)}")
    if event.removed:
        facts.append(f"{plural(event.removed, 'path')} fewer")
    if event.prune:
        facts.append(f"then remove {plural(len(event.prune), 'old release')}")
    return Text("    " + " · ".join(facts))


# --- drawn while it runs -----------------------------------------------------------------------


def draw(progress: Progress, now: float, page: show.Page) -> Group:
    """A running change at one moment.

    Args:
        progress: How far it is.
        now: Seconds since the epoch.
        page: Where it is drawn.
    """
    lines: list[Text | Table] = [page.plain(_dots(progress, now))]
    if progress.phase is Phase.UPLOAD and progress.bytes_total:
        lines += [_bar(progress), page.plain(_amounts(progress))]
    return Group(*lines)


def _dots(progress: Progress, now: float) -> Text:
    """The steps as a row: those that are over, the one that runs, those that may come."""
    done = {phase for phase, _ in progress.done}
    here = (*done, progress.phase)
    listed = steps(progress.verb, here)
    last = max((number for number, phase in enumerate(listed) if phase in here), default=-1)
    row = Text("  ")
    for number, phase in enumerate(listed):
        if phase is progress.phase:
            row.append(f"{SPIN[int(now * 5) % len(SPIN)]} ", "bold cyan")
        elif phase in done:
            row.append("● ", "green")
        elif number > last:
            row.append("○ ", "dim")
    doing = progress.phase.value if progress.phase else "…"
    row.append(f" {doing}", "bold")
    return row.append(f"  {max(0.0, now - progress.began):.0f} s", "dim")


def _bar(progress: Progress) -> Table:
    total = float(progress.bytes_total)
    bar = ProgressBar(total=total, completed=progress.bytes, complete_style="cyan")
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=0)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row("", bar, f"{progress.bytes / total:4.0%}")
    return grid


def _amounts(progress: Progress) -> Text:
    facts = [
        f"{size(progress.bytes)} of {size(progress.bytes_total)}",
        f"{progress.files:,} of {progress.files_total:,} files",
    ]
    if progress.rate:
        facts.append(f"{size(progress.rate)}/s")
    if progress.seconds_left is not None:
        facts.append(f"{age(progress.seconds_left)} left")
    return Text("  " + " · ".join(facts), no_wrap=True, overflow="ellipsis")
