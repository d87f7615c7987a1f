"""The lines of a web server's configuration that must change when a site is taken over. Pure.

Rule: only a line is named that says by itself what it serves; what is put together of variables or
spread over lines is told by :mod:`opsnb.core.webserver` in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import normpath

from opsnb.core.layout import CURRENT, RELEASES, SHARED
from opsnb.core.text import safe
from opsnb.core.webserver import Files

MOST = 50
LONGEST = 1000  # characters of a line
_ROOT = re.compile(
    r"""^\s*(root|alias|DocumentRoot|<Directory)\s+["']?(/[^"';>$]*?)/?["']?\s*[;>]?\s*$""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line to change.

    Attributes:
        path: The file.
        number: Which of its lines, from 1.
        old: The line, without the space around it.
        write: What to write instead.
    """

    path: str
    number: int
    old: str
    write: str

    def __str__(self) -> str:
        return f"{safe(self.path)}:{self.number}: {safe(self.old)} → {safe(self.write)}"


def lines(files: Files) -> tuple[Line, ...]:
    """The lines that name a directory of the site without going through ``current``.

    Args:
        files: What could be read of the configuration.
    """
    found = [
        line
        for path, text in sorted(files.texts.items())
        for number, row in enumerate(text.splitlines(), 1)
        if len(row) < LONGEST and (line := _line(path, number, row, files.places))
    ]
    return tuple(found[:MOST])


def through_current(files: Files) -> bool:
    """Whether a line serves ``current`` already."""
    return any(
        rest is not None and rest.partition("/")[0] == CURRENT
        for text in files.texts.values()
        for row in text.splitlines()
        if len(row) < LONGEST and (found := _ROOT.match(row))
        for rest in _below(found[2], files.places)
    )


def _below(root: str, places: tuple[str, ...]) -> Iterator[str]:
    """What follows ``deploy_to`` in a path, for each way to write it."""
    path = normpath(root)
    for place in places:
        if path == place or path.startswith(place + "/"):
            yield path[len(place) + 1 :]


def _line(path: str, number: int, row: str, places: tuple[str, ...]) -> Line | None:
    found = _ROOT.match(row)
    if found is None:
        return None
    rest = next(_below(found[2], places), None)
    first, _, more = (rest or "").partition("/")
    if rest is None or first in (CURRENT, SHARED):
        return None
    if first == RELEASES:
        rest = more.partition("/")[2]
    root = normpath(found[2])
    top = root[: len(root) - len(next(_below(found[2], places)))].rstrip("/")
    better = f"{top}/{CURRENT}/{rest}".rstrip("/")
    return Line(path, number, row.strip(), row.strip().replace(found[2], better, 1))
