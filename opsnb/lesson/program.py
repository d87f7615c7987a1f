"""A program that starts in ``current`` and stays: an application server, a worker, a shell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

# One question, one answer: status.json is a line of its own.
ANSWER = "while read -r question; do cat status.json; done"


class Program:
    """A process that was started in a folder and answers from the files that it finds there.

    Use it as a context manager, or call :meth:`close`.

    Args:
        folder: Where it starts, ``deploy_to/current``.

    Raises:
        OSError: It cannot be started there.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", ANSWER],
            cwd=folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def version(self) -> str:
        """The version of the site that it works with."""
        told, asked = self._process.stdout, self._process.stdin
        assert told is not None and asked is not None  # noqa: S101, PT018 - both are pipes
        asked.write("?\n")
        asked.flush()
        return str(json.loads(told.readline())["version"])

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
