"""Visitors: threads that ask a site for its pages, constantly, and count what they get.

Rule 1: a visit is *served* only when its whole answer arrived, with status 200, and not empty.
Rule 2: an answer is *mixed* when its first and its last line belong to different releases: the
        site names its version at the start (``release-version``) and at the end (``end v2``).
Rule 3: visitors go away by themselves, at the latest after ``max_seconds`` or ``max_count``.

They begin at once, so start them when a first release is live.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PATHS = ("/", "/assets/css/theme.css", "/assets/js/release.js", "/books/")
REQUEST_TIMEOUT = 5.0  # seconds

_FIRST = re.compile(rb"release-version\W+(?:content\W+)?(\w+)")
_LAST = re.compile(rb"(?:<!--|/\*) end (\w+) (?:-->|\*/)\s*\Z")


@dataclass(frozen=True)
class Tally:
    """What visitors got.

    Attributes:
        served: Answers that arrived whole, with status 200.
        failed: All others: no connection, an answer cut short or empty, another status.
        mixed: Those of the served whose start and end belong to different releases.
        by_version: Served answers by the version that they name at their start.
        reasons: Failures by what went wrong.
        seconds: How long the visitors have been coming.
    """

    served: int
    failed: int
    mixed: int
    by_version: Mapping[str, int]
    reasons: Mapping[str, int]
    seconds: float


class Visitors:
    """A crowd that visits a site until it is told to stop.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`; a crowd starts once.

    Args:
        url: The site, ``http://host:port/…``.
        paths: What they ask for, in turn, each beginning with a slash.
        rate: Requests per second, of all workers together.
        workers: Threads; each keeps one connection open.
        max_seconds: They go home after this long.
        max_count: They go home after this many requests.
    """

    def __init__(
        self,
        url: str,
        paths: Sequence[str] = PATHS,
        *,
        rate: float = 200.0,
        workers: int = 2,
        max_seconds: float = 300.0,
        max_count: int = 1_000_000,
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._paths = [parts.path.rstrip("/") + path for path in paths]
        self._pause = workers / rate
        self._max_seconds = max_seconds
        self._max_count = max_count
        self._home = threading.Event()
        self._lock = threading.Lock()
        self._asked = 0
        self._counts: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._began = 0.0
        self._ended: float | None = None
        self._threads = [
            threading.Thread(target=self._visit, args=(number,), name="opsnb-visitor", daemon=True)
            for number in range(workers)
        ]

    @property
    def tally(self) -> Tally:
        """What they have got so far."""
        with self._lock:
            return Tally(
                served=self._counts["served"],
                failed=self._counts["failed"],
                mixed=self._counts["mixed"],
                by_version=dict(self._versions),
                reasons=dict(self._reasons),
                seconds=self._seconds(),
            )

    def start(self) -> Self:
        """Begin to visit.

        Returns:
            The crowd itself.

        Raises:
            RuntimeError: It was started before.
        """
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> Tally:
        """Send everybody home, and wait for the answers on their way.

        Returns:
            What they got in all.
        """
        self._home.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._began and self._ended is None:
            self._ended = time.monotonic()
        return self.tally

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _seconds(self) -> float:
        if not self._began:
            return 0.0
        return (self._ended or time.monotonic()) - self._began

    def _visit(self, number: int) -> None:
        """One worker, from coming to going."""
        connection = HTTPConnection(self._host, timeout=REQUEST_TIMEOUT)
        due = self._began + number * self._pause / len(self._threads)
        try:
            while (turn := self._turn()) is not None:
                self._ask(connection, self._paths[turn % len(self._paths)])
                due = max(due + self._pause, time.monotonic() - 1.0)  # no burst after a pause
                self._home.wait(max(0.0, due - time.monotonic()))
        finally:
            connection.close()

    def _turn(self) -> int | None:
        """The number of the next request, or None when it is time to go."""
        with self._lock:
            over = self._asked >= self._max_count or self._seconds() >= self._max_seconds
            if over or self._home.is_set():
                return None
            self._asked += 1
            return self._asked - 1

    def _ask(self, connection: HTTPConnection, path: str) -> None:
        """One request, and its place in the tally."""
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            connection.close()
            self._failed(type(error).__name__)
            return
        if answer.status != 200:
            self._failed(f"status {answer.status}")
        elif not body:
            self._failed("empty")
        else:
            self._served(body)

    def _failed(self, reason: str) -> None:
        with self._lock:
            self._counts["failed"] += 1
            self._reasons[reason] += 1

    def _served(self, body: bytes) -> None:
        first, last = versions(body)
        with self._lock:
            self._counts["served"] += 1
            self._counts["mixed"] += first != last
            if first:
                self._versions[first] += 1


def versions(body: bytes) -> tuple[str, str]:
    """What an answer names at its start and at its end; nothing where it names none.

    Args:
        body: The whole answer.
    """
    return _version(_FIRST, body), _version(_LAST, body)


def _version(mark: re.Pattern[bytes], body: bytes) -> str:
    """The version that a mark names, or nothing."""
    found = mark.search(body)
    return found[1].decode("ascii", "replace") if found else ""
