"""What a command says, as lines within bounds. Pure.

Rule 1: what comes out is safe to show.
Rule 2: the first lines are shown at once; of what is more, the last ones at the end, and how much
stands between them is said. Nothing else is kept: a command may talk for ever.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from opsnb.core.text import plural, safe, size

SHOWN_LINES = 2_000
SHOWN_BYTES = 256 * 1024
TAIL = 40
LONGEST = 8_192


@dataclass(frozen=True, slots=True)
class Said:
    """A line that a command said.

    Attributes:
        text: The line, safe to show, without its line break.
        stream: ``out``, ``err``, or ``opsnb`` for a remark of ours.
    """

    text: str
    stream: Literal["out", "err", "opsnb"]


class Output:
    """Cuts a command's output into lines and keeps it within bounds.

    Args:
        shown_lines: How many lines are shown at once.
        shown_bytes: And how many bytes of them.
        tail: How many of the last ones are shown at the end.

    Attributes:
        cut: How many lines were left out.
        room: Bytes that may still be shown at once.
    """

    def __init__(
        self, shown_lines: int = SHOWN_LINES, shown_bytes: int = SHOWN_BYTES, tail: int = TAIL
    ) -> None:
        self._most, self._last = shown_lines, tail
        self.room = shown_bytes
        self._rests = {"out": b"", "err": b""}
        self._lines = 0
        self._tail: deque[tuple[Said, int]] = deque()
        self._cut_bytes = 0
        self.cut = 0

    def feed(self, stream: Literal["out", "err"], data: bytes) -> list[Said]:
        """Take output; the lines to show now.

        Args:
            stream: Where it came from.
            data: The bytes.
        """
        *lines, rest = (self._rests[stream] + data).split(b"\n")
        while len(rest) > LONGEST:
            lines, rest = [*lines, rest[:LONGEST]], rest[LONGEST:]
        self._rests[stream] = rest
        return [said for line in lines for said in self._take(stream, line)]

    def end(self) -> list[Said]:
        """No more will come; the lines to show now."""
        rests = [(stream, rest) for stream, rest in self._rests.items() if rest]
        shown = [said for stream, rest in rests for said in self._take(stream, rest)]
        self._rests = dict.fromkeys(self._rests, b"")
        tail = [said for said, _ in self._tail]
        self._tail.clear()
        if not self.cut:
            return shown + tail
        left_out = f"{plural(self.cut, 'line')} ({size(self._cut_bytes)})"
        return [*shown, Said(f"… {left_out} not shown …", "opsnb"), *tail]

    def _take(self, stream: str, line: bytes) -> list[Said]:
        pieces = [line[at : at + LONGEST] for at in range(0, len(line), LONGEST)] or [b""]
        return [said for piece in pieces if (said := self._one(stream, piece))]

    def _one(self, stream: str, line: bytes) -> Said | None:
        """A line to show now; None for one that is held back for the end."""
        # What a terminal would show of a line that was written over and over.
        last = line.rstrip(b"\r").rpartition(b"\r")[2]
        text = "\t".join(safe(part) for part in last.split(b"\t")).expandtabs()
        said = Said(text, "err" if stream == "err" else "out")
        self._lines += 1
        if self._lines <= self._most and len(line) < self.room and not self._tail:
            self.room -= len(line) + 1
            return said
        self._tail.append((said, len(line) + 1))
        if len(self._tail) > self._last:
            self.cut += 1
            self._cut_bytes += self._tail.popleft()[1]
        return None
