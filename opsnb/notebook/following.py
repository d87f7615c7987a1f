"""A change in a notebook: its live view where there is a front end, and its receipt everywhere.

Rule 1: the receipt is an output of its own, which is updated once: when the change has ended.
Rule 2: without a front end the lines are printed by whoever waits, in the cell that waits; the
        first thousand of them, for a notebook is read by people, and the file has them all.
"""

from __future__ import annotations

import sys
from weakref import WeakKeyDictionary

from IPython.display import DisplayHandle, display

from opsnb.core.lines import lines
from opsnb.job import Company, Job
from opsnb.notebook import objects
from opsnb.notebook.mode import face

PRINTED = 1000


class Receipt:
    """The plain output of a change.

    Args:
        job: The change.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._handle: DisplayHandle | None = None
        self._final = False

    def show(self) -> None:
        """Put it out, in the cell that runs."""
        self._final = self._job.done
        self._handle = display(self._content(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        """Put the end in its place, once."""
        if self._handle is not None and not self._final:
            self._final = True
            self._handle.update(self._content(), raw=True)  # type: ignore[no-untyped-call]

    def _content(self) -> dict[str, str]:
        drawn = objects.receipt(self._job)
        return {"text/plain": drawn.text, "text/html": drawn.html}


class Printer:
    """Keeps somebody company who waits without a front end: prints what happens.

    Args:
        job: The change.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told = 0
        self._printed = 0
        self._receipt = Receipt(job)

    def beat(self) -> None:
        """See :class:`opsnb.job.Company`."""
        events, self._told = self._job.since(self._told)
        for line in lines(events):
            self._print(str(line))

    def _print(self, line: str) -> None:
        if self._printed < PRINTED:
            sys.stdout.write(line + "\n")
        elif self._printed == PRINTED:
            where = self._job.log_file or "the job's events"
            sys.stdout.write(f"… more lines than a notebook should hold: see {where}\n")
        self._printed += 1

    def end(self) -> None:
        """See :class:`opsnb.job.Company`."""
        self.beat()
        sys.stdout.flush()
        self._receipt.show()


class Ledger:
    """The plain output of a console: the receipts of the changes that were made from it."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._handle: DisplayHandle | None = None

    def show(self) -> None:
        """Put it out, in the cell that runs."""
        self._handle = display(self._content(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def add(self, job: Job) -> None:
        """Add the receipt of a change, when it has ended.

        Args:
            job: The change.
        """
        if job not in self._jobs:
            self._jobs.append(job)
            job.when_done(self._settle)

    def _settle(self) -> None:
        if self._handle is not None:
            self._handle.update(self._content(), raw=True)  # type: ignore[no-untyped-call]

    def _content(self) -> dict[str, str]:
        drawn = objects.receipts([job for job in self._jobs if job.done])
        return {"text/plain": drawn.text, "text/html": drawn.html}


_shown: WeakKeyDictionary[Job, bool] = WeakKeyDictionary()


def show(job: Job) -> None:
    """Show a change in the cell that runs.

    Args:
        job: The change.
    """
    kind = face()
    if kind == "text":
        sys.stdout.write(objects.receipt(job).text + "\n")
        return
    _shown[job] = True
    if kind == "widget":
        from opsnb.notebook.jobview import JobView  # noqa: PLC0415 - widgets where they can be seen

        display(JobView(job))  # type: ignore[no-untyped-call]
    receipt = Receipt(job)
    receipt.show()
    job.when_done(receipt.settle)


def accompany(job: Job) -> Company | None:
    """What shows a change to somebody who waits for it.

    Args:
        job: The change.
    """
    if face() == "static":
        return Printer(job)
    if job not in _shown and not job.done:
        show(job)
    return None
