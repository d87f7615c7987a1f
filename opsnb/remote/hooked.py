"""What of a hook's output is its own.

Rule: it ends at a mark that nobody on the server can know, and that tells how the hook ended. What
comes after is said by something that it left running, and is not heard.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable


class Heard:
    """What a hook says, up to its mark.

    Args:
        on_output: Is told it, as it comes.

    Attributes:
        mark: A word that nobody on the server can know.
        status: The hook's exit status; None before the mark.
    """

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self.mark = secrets.token_hex(16).encode()
        self.status: int | None = None
        self._on_output = on_output
        # It begins with a byte that is rarely said: what could be its beginning must wait.
        self._first = b"\x01" + self.mark
        self._end = re.compile(self._first + rb" (\d{1,10})\n")
        self._begun = re.compile(self._first + rb"(?: \d{0,10})?")
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take output."""
        if self.status is not None:
            return
        self._rest += data
        found = self._end.search(self._rest)
        until = found.start() if found else self._plain()
        if until:
            self._on_output(self._rest[:until])
        self._rest = self._rest[until:]
        if found:
            self.status = int(found[1])

    def _plain(self) -> int:
        """How far the output goes that cannot be the beginning of the mark."""
        last = self._rest.rfind(b"\x01")
        tail = self._rest[last:]
        begun = last >= 0 and (self._first.startswith(tail) or self._begun.fullmatch(tail))
        return last if begun else len(self._rest)
