"""A runbook without a front end: executed cell by cell, told of as it goes, kept as a record.

Rule 1: the record is kept however it ends: each cell is written when it has run.
Rule 2: to stop is to interrupt the cell that runs, so that a change in it is aborted and cleans up.
Rule 3: the exit status is the runbook's: that of the error that stopped it.
Rule 4: what cannot be run is an error before anything runs, and leaves no record.
"""

from __future__ import annotations

from opsnb.headless.ended import status_of
from opsnb.headless.given import checked_kernel, parameters
from opsnb.headless.record import at, of_its_own
from opsnb.headless.run import Run
from opsnb.headless.told import CellBegan, CellEnded, CellSaid, RunReport, Told

__all__ = [
    "CellBegan",
    "CellEnded",
    "CellSaid",
    "Run",
    "RunReport",
    "Told",
    "at",
    "checked_kernel",
    "of_its_own",
    "parameters",
    "status_of",
]
