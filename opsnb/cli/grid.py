"""A table as lines of text: calm, aligned, and never cut where it matters.

Rule 1: a column that is empty from top to bottom is left out.
Rule 2: where the width does not suffice, the columns with the highest rank go first; those of
        rank 0 always stay, and the last column continues on further lines.
Rule 3: a cell that is much too long does not make every other row as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

GAP = 2
LEAST = 30  # columns that the last column must have before others go
WIDEST = 300  # that a column is filled up to


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: Its head.
        cells: Its cells, from the top.
        right: Whether it is aligned to the right, as numbers are.
        rank: How soon it goes when it is narrow; 0 for never.
    """

    title: str
    cells: Sequence[Text]
    right: bool = False
    rank: int = 0

    @property
    def width(self) -> int:
        """Terminal columns that its widest cell takes, or is allowed to."""
        return min(WIDEST, max(len(self.title), *(cell.cell_len for cell in self.cells)))


def draw(columns: Sequence[Column], console: Console) -> list[Text]:
    """Lay a table out.

    Args:
        columns: The columns, each with as many cells as the others, and at least one.
        console: Where it will be printed, for its width.

    Returns:
        Its lines, the head first.
    """
    shown = _fitting([c for c in columns if any(c.cells) or not c.rank], console.width)
    *fixed, last = shown
    left = max(LEAST, console.width - sum(column.width + GAP for column in fixed))
    heads = [Text(column.title, "dim") for column in shown]
    rows = [heads, *map(list, zip(*(column.cells for column in shown), strict=True))]
    return [line for row in rows for line in _row(row, fixed, last, left, console)]


def _fitting(columns: list[Column], width: int) -> list[Column]:
    while True:
        spare = [column for column in columns if column.rank]
        needed = sum(column.width + GAP for column in columns[:-1])
        needed += min(columns[-1].width, LEAST if columns[-1].rank else columns[-1].width)
        if needed <= width or not spare:
            return columns
        columns.remove(max(spare, key=lambda column: column.rank))


def _row(
    cells: Sequence[Text], fixed: Sequence[Column], last: Column, left: int, console: Console
) -> list[Text]:
    line = Text()
    for cell, column in zip(cells, fixed, strict=False):
        pad = " " * (column.width - cell.cell_len)
        line.append_text(Text.assemble(pad, cell) if column.right else Text.assemble(cell, pad))
        line.append(" " * GAP)
    indent = " " * sum(column.width + GAP for column in fixed)
    pad = " " * (last.width - cells[-1].cell_len) if last.right else ""
    wrapped = cells[-1].wrap(console, left) if cells[-1] and not pad else [Text(pad) + cells[-1]]
    first, *more = wrapped
    lines = [Text.assemble(line, first), *(Text.assemble(indent, rest) for rest in more)]
    for drawn in lines:
        drawn.rstrip()
    return lines
