"""Readers: visitors that open whole pages, as a browser does, and say what became of each.

Rule 1: a page is its HTML and everything that the HTML names to show it: style sheets, scripts,
        pictures. It is *good* when all of that came whole, and all of it from one release.
Rule 2: it is *failed* when a part did not come or came incomplete, and *mixed* when every part came
        but two releases are in it. The site's files say their version at their start and end.
Rule 3: whoever gets a page that is not good loads it again at once, as people do. If it is good
        then, the visitor was *between* two requests when the release changed.
Rule 4: readers go away by themselves, at the latest after ``max_seconds``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urljoin, urlsplit

from opsnb.embedded.visitors import versions

Kind = Literal["good", "between", "mixed", "failed"]
KINDS: tuple[Kind, ...] = ("good", "between", "mixed", "failed")
REQUEST_TIMEOUT = 5.0  # seconds
RATE = 6.0  # pages a second that one reader opens


@dataclass(frozen=True, slots=True)
class View:
    """A page as one visitor got it.

    Attributes:
        at: When it was asked for, seconds since the epoch.
        seconds: How long it took.
        path: The page.
        kind: What became of it.
        version: The release that the page itself named; empty when it did not come.
        why: What was wrong, as it was before the page was loaded again.
        where: With which files.
        requests: How many requests it took.
    """

    at: float
    seconds: float
    path: str
    kind: Kind
    version: str
    why: str
    where: str
    requests: int


@dataclass(frozen=True, slots=True)
class Part:
    """One answer.

    Attributes:
        path: What was asked for.
        fault: What was wrong with it; empty when it came whole.
        first: The version that it names at its start, where it names one.
        last: The version that it names at its end.
        body: Its content.
    """

    path: str
    fault: str = ""
    first: str = ""
    last: str = ""
    body: bytes = b""


class Readers:
    """People who open one page after the other.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`; they come once.

    Args:
        url: The site, ``http://host:port/``.
        pages: The pages they open, in turn.
        count: How many readers; each keeps one connection open.
        rate: Pages a second that each opens at most.
        dawdle: Seconds between a page's HTML and the rest of it: a slow browser.
        max_seconds: They go home after this long.
    """

    def __init__(
        self,
        url: str,
        pages: Sequence[str] = ("/",),
        *,
        count: int = 4,
        rate: float = RATE,
        dawdle: float = 0.0,
        max_seconds: float = 120.0,
    ) -> None:
        self._host = urlsplit(url).netloc
        self._pages = list(pages)
        self._pause = 1 / rate
        self._dawdle = dawdle
        self._max_seconds = max_seconds
        self._count = count
        self._home = threading.Event()
        self._views: list[list[View]] = [[] for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._read, args=(number,), name="opsnb-reader", daemon=True)
            for number in range(count)
        ]

    @property
    def views(self) -> list[View]:
        """What they have got so far, in the order in which it was asked for."""
        return sorted((v for views in self._views for v in list(views)), key=lambda view: view.at)

    def start(self) -> Self:
        """Begin to read.

        Returns:
            The readers themselves.
        """
        self._until = time.monotonic() + self._max_seconds
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> list[View]:
        """Send everybody home, once the page they are at has come.

        Returns:
            What they got in all.
        """
        self._home.set()
        for thread in self._threads:
            thread.join()
        return self.views

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self, number: int) -> None:
        """One reader, from coming to going."""
        browser = Browser(self._host, self._dawdle)
        # Readers begin apart, both in time and in the list of pages.
        page = number * len(self._pages) // self._count
        apart = max(self._pause, self._dawdle) / self._count
        due = time.monotonic() + number * apart
        try:
            while not self._home.wait(max(0.0, due - time.monotonic())):
                if time.monotonic() > self._until:
                    return
                self._views[number].append(browser.view(self._pages[page % len(self._pages)]))
                page += 1
                due = max(due + self._pause, time.monotonic())
        finally:
            browser.close()


class Browser:
    """What one reader opens pages with.

    Args:
        host: The site's address and port.
        dawdle: Seconds between a page's HTML and the rest of it.
    """

    def __init__(self, host: str, dawdle: float = 0.0) -> None:
        self._connection = HTTPConnection(host, timeout=REQUEST_TIMEOUT)
        self._dawdle = dawdle

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def view(self, path: str) -> View:
        """Open a page, and once more if it was not good.

        Args:
            path: The page.
        """
        at = time.time()
        first = self._open(path)
        kind, why, where = judge(first)
        requests = len(first)
        if kind != "good":
            again = self._open(path)
            requests += len(again)
            kind = "between" if judge(again)[0] == "good" else kind
        return View(at, time.time() - at, path, kind, first[0].first, why, where, requests)

    def _open(self, path: str) -> list[Part]:
        page = self.ask(path)
        if page.fault:
            return [page]
        time.sleep(self._dawdle)
        return [page, *(self.ask(urljoin(path, name)) for name in named(page.body))]

    def ask(self, path: str) -> Part:
        """Ask for one file.

        Args:
            path: Its path on the site.
        """
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            return Part(path, type(error).__name__)
        if answer.status != 200:
            return Part(path, f"status {answer.status}")
        return _whole(Part(path, body=body))


def _whole(part: Part) -> Part:
    """An answer with status 200, and whether it is all there."""
    first, last = versions(part.body)
    found = replace(part, first=first, last=last)
    if not part.body:
        return replace(found, fault="empty")
    begun = first and not last
    if begun or (part.path.endswith(".svg") and not part.body.rstrip().endswith(b"</svg>")):
        return replace(found, fault="cut short")
    return found


def judge(parts: Sequence[Part]) -> tuple[Kind, str, str]:
    """What became of a page, what was wrong with it, and with which files.

    Args:
        parts: Its answers, the HTML first.
    """
    for part in parts:
        if part.fault:
            what = "the page itself" if part is parts[0] else "a part of the page"
            return "failed", f"{what}: {part.fault}", part.path
    found: dict[str, str] = {}
    for part in parts:
        for version in filter(None, (part.first, part.last)):
            found.setdefault(version, part.path)
    if len(found) > 1:
        return "mixed", f"put together from {' and '.join(found)}", " with ".join(found.values())
    return "good", "", ""


class _Names(HTMLParser):
    """Collects what a page needs to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        shown = given.get("href") if tag == "link" else given.get("src")
        if shown and tag in ("link", "script", "img"):
            self.found[shown] = None


def named(page: bytes) -> list[str]:
    """What a page names to show it, each once.

    Args:
        page: Its HTML.
    """
    parser = _Names()
    parser.feed(page.decode("utf-8", "replace"))
    return list(parser.found)
