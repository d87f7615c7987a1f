"""What is told of a runbook that runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Base of what is told."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON, the event's name under ``event``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class CellBegan(Event):
    """A cell begins to run.

    Attributes:
        cell: Its number among the code cells, from 1.
        cells: How many code cells there are.
        section: The heading that it stands below.
        line: Its first line.
    """

    cell: int
    cells: int
    section: str
    line: str


@dataclass(frozen=True, slots=True)
class CellSaid(Event):
    """A cell has put something out.

    Attributes:
        cell: Its number.
        text: Lines, safe to show.
    """

    cell: int
    text: str


@dataclass(frozen=True, slots=True)
class CellEnded(Event):
    """A cell has ended.

    Attributes:
        cell: Its number.
        ok: Whether it ended well.
        seconds: How long it took.
    """

    cell: int
    ok: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class RunReport(Event):
    """How a runbook ended.

    Attributes:
        notebook: The notebook.
        record: The executed notebook.
        page: The record as an HTML page; empty when it could not be made.
        ran: Code cells that were run.
        cells: Code cells that there are.
        seconds: How long it took.
        error: What stopped it, by the name of its class; empty when nothing did.
        message: What stopped it, in words.
        exit_status: What a shell is told.
        page_error: Why there is no page; empty when there is one.
    """

    notebook: str
    record: str
    page: str
    ran: int
    cells: int
    seconds: float
    error: str = ""
    message: str = ""
    exit_status: int = 0
    page_error: str = ""


Told = CellBegan | CellSaid | CellEnded
