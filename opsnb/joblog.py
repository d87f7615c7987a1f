"""The whole log of each change, in a file on the operator's machine.

Rule 1: the file is the truth; what a view or a notebook shows is a part of it.
Rule 2: a log that cannot be kept never stops a change: that is said, once, and the change goes on.
Rule 3: only its owner can read it, and only the newest 500 are kept.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from opsnb.core.events import Event
from opsnb.core.lines import lines

KEPT = 500


def folder() -> Path:
    """Where the logs are: ``OPSNB_LOGS``, else ``opsnb/logs`` below the user's state folder."""
    given = os.environ.get("OPSNB_LOGS")
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(given or f"{state}/opsnb/logs").expanduser()


class JobLog:
    """The log file of one change.

    Args:
        verb: What kind of change.
        server: The server's name.

    Attributes:
        path: The file; None when there is none.
        fault: Why there is none; empty when there is one.
    """

    def __init__(self, verb: str, server: str) -> None:
        self.path: Path | None = None
        self.fault = ""
        self._file: TextIO | None = None
        try:
            self._open(verb, server)
        except OSError as error:
            self._give_up(error)

    def _open(self, verb: str, server: str) -> None:
        where = folder()
        # Also what is above it and has to be made: by itself that gets what the umask leaves.
        for directory in [up for up in (where, *where.parents) if not up.exists()][::-1]:
            directory.mkdir(mode=0o700, exist_ok=True)
        _thin_out(where)
        plain = re.sub(r"[^\w.-]", "_", server)[:60]
        stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{plain}-{verb}"
        path = where / f"{stem}-{os.getpid()}.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        # By lines: what a killed process had said is there.
        self._file = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
        self.path = path

    def _give_up(self, error: OSError) -> None:
        self.fault = f"the log is not kept in a file: {error.strerror or error}"
        broken, self.path, self._file = self._file, None, None
        if broken is not None:
            with suppress(OSError):  # it is closed all the same, without what it could not write
                broken.close()

    def add(self, event: Event) -> None:
        """Write what an event says."""
        if self._file is None:
            return
        try:
            self._file.writelines(f"{line}\n" for line in lines([event]))
        except OSError as error:
            self._give_up(error)

    def late(self, event: Event) -> None:
        """Write what is known only when the change may have ended; any thread may."""
        if self.path is None:
            return
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines([event])))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _thin_out(where: Path) -> None:
    names = sorted(entry.name for entry in os.scandir(where) if entry.name.endswith(".log"))
    for name in names[: max(0, len(names) - KEPT + 1)]:
        (where / name).unlink(missing_ok=True)
