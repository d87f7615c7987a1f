"""What has gone out of an upload, counted."""

from __future__ import annotations

import time
from collections.abc import Mapping

from opsnb.core.events import Sent
from opsnb.core.manifest import Entry, Kind
from opsnb.core.plan import Build
from opsnb.engine.change import Change

TELL_EVERY = 0.1


class Meter:
    """Counts what goes out, and tells of it now and then."""

    def __init__(
        self, change: Change, build: Build, total: int, entries: Mapping[bytes, Entry]
    ) -> None:
        self._change = change
        self._told = 0.0
        self._bytes_total = total
        self.files_total = sum(entries[path].kind is Kind.FILE for path in build.send)
        self.files = self.bytes = 0

    def sent(self, files: int, count: int) -> None:
        """Called from the thread that reads the files."""
        self.files += files
        self.bytes += count
        if time.monotonic() - self._told > TELL_EVERY:
            self.tell()

    def end(self) -> None:
        """All has arrived."""
        self.tell()
        self._change.files, self._change.size = self.files, self.bytes

    def tell(self) -> None:
        self._told = time.monotonic()
        actor = self._change.actor
        actor.emit(
            Sent(
                actor.server,
                actor.at(),
                self.files,
                self.files_total,
                self.bytes,
                max(self._bytes_total, self.bytes),
            )
        )
