"""Visitors under whose eyes releases change, and the judgement of what they got.

Rule 1: what counts is the whole answer. It is *failed* unless all of it came with status 200,
        *mixed* when it names more than one release, *stale* when it names one that cannot have
        been live between its question and its end.
Rule 2: a change counts from the moment it was begun to the moment it was acknowledged; only in
        between may both releases be seen.
Rule 3: visitors go home by themselves, at the latest after ``MAX_SECONDS``.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Self

from tests.support.sshd import HOST

MAX_SECONDS = 900.0
TIMEOUT = 20.0
NAME = re.compile(rb"release-(\w+)-")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one visitor got.

    Attributes:
        asked: When, by the monotonic clock.
        ended: When all of it had come.
        names: The releases that it names, in the order in which they stand.
        fault: Why it failed; empty when it did not.
    """

    asked: float
    ended: float
    names: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of the site, as its operator knows it.

    Attributes:
        begun: When it was asked for.
        acknowledged: When it was said to be done.
        name: What is live from then on.
    """

    begun: float
    acknowledged: float
    name: str


def read(body: bytes) -> tuple[str, ...]:
    """The releases that an answer names."""
    return tuple(found.decode() for found in NAME.findall(body))


def allowed(answer: Answer, switches: Sequence[Switch]) -> set[str]:
    """The releases that may have been live while an answer was made."""
    before = [switch.name for switch in switches if switch.acknowledged <= answer.asked]
    during = {
        switch.name
        for switch in switches
        if switch.acknowledged > answer.asked and switch.begun <= answer.ended
    }
    return {*before[-1:], *during}


def judge(answer: Answer, switches: Sequence[Switch], times: int) -> str:
    """What is wrong with an answer; empty when nothing is.

    Args:
        answer: The answer.
        switches: Every change, in their order.
        times: How often an answer must name its release.
    """
    if answer.fault:
        return f"failed: {answer.fault}"
    if len(set(answer.names)) > 1:
        return f"mixed: {' '.join(answer.names)}"
    if len(answer.names) != times:
        return f"failed: it names its release {len(answer.names)} times"
    if answer.names[0] not in allowed(answer, switches):
        return f"stale: {answer.names[0]}"
    return ""


def verdict(answers: Iterable[Answer], switches: Sequence[Switch], times: int) -> Counter[str]:
    """How many answers were good, failed, mixed and stale."""
    # An answer is near its own changes: all the others are left out before it is judged.
    found: Counter[str] = Counter()
    ordered, first = list(switches), 0
    for answer in sorted(answers, key=lambda each: each.asked):
        while first + 1 < len(ordered) and ordered[first + 1].acknowledged <= answer.asked:
            first += 1
        near = ordered[first : first + 200]
        found[judge(answer, near, times).partition(":")[0] or "good"] += 1
    return found


class Crowd:
    """Visitors of one page: some keep their connection, some come anew, some read slowly.

    Use it as a context manager.

    Args:
        port: The web server's, on loopback.
        path: The page.
        keep: Visitors who keep their connection.
        fresh: Visitors who make a new one for each question.
        slow: Visitors with a bad line, whose answer takes a second or two.
        pause: Seconds between two questions of one visitor.
    """

    def __init__(
        self,
        port: int,
        path: str,
        *,
        keep: int = 2,
        fresh: int = 2,
        slow: int = 0,
        pause: float = 0.008,
    ) -> None:
        self.answers: list[Answer] = []
        self._port, self._path, self._pause = port, path, pause
        self._home = threading.Event()
        kinds = [self._keep] * keep + [self._fresh] * fresh + [self._slow] * slow
        self._threads = [threading.Thread(target=kind, daemon=True) for kind in kinds]

    def __enter__(self) -> Self:
        self._until = time.monotonic() + MAX_SECONDS
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._home.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 10)

    def _goes_on(self) -> bool:
        return not self._home.wait(self._pause) and time.monotonic() < self._until

    def _keep(self) -> None:
        connection = HTTPConnection(HOST, self._port, timeout=TIMEOUT)
        while self._goes_on():
            self._ask(connection)
        connection.close()

    def _fresh(self) -> None:
        while self._goes_on():
            connection = HTTPConnection(HOST, self._port, timeout=TIMEOUT)
            self._ask(connection)
            connection.close()

    def _ask(self, connection: HTTPConnection) -> None:
        asked = time.monotonic()
        try:
            connection.request("GET", self._path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            connection.close()
            self._got(asked, b"", type(error).__name__)
            return
        self._got(asked, body, "" if answer.status == 200 else f"status {answer.status}")

    def _slow(self) -> None:
        """A line that carries little at a time, so that an answer lasts over several changes."""
        while self._goes_on():
            asked = time.monotonic()
            try:
                body = self._sip()
            except OSError as error:
                self._got(asked, b"", type(error).__name__)
                continue
            head, _, content = body.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            whole = head.startswith(b"HTTP/1.1 200") and length and int(length[1]) == len(content)
            self._got(asked, content, "" if whole else "cut short")

    def _sip(self) -> bytes:
        got = bytearray()
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(TIMEOUT)
            line.connect((HOST, self._port))
            line.sendall(
                f"GET {self._path} HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n".encode()
            )
            while piece := line.recv(16384):
                got += piece
                self._home.wait(0.02)
        return bytes(got)

    def _got(self, asked: float, body: bytes, fault: str) -> None:
        self.answers.append(Answer(asked, time.monotonic(), read(body), fault))
