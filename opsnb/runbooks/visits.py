"""The site from a visitor's side: a page is asked for, and the answer judged."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from opsnb.core import answer
from opsnb.core.answer import Answer
from opsnb.core.asking import Question, question
from opsnb.core.settings.health import Health
from opsnb.core.text import safe

READ = 1 << 20
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visitor got.

    Attributes:
        url: What was asked for.
        status: The HTTP status; 0 when there was no answer.
        seconds: How long it took.
        text: The beginning of the answer, at most 1 MiB, or what went wrong.
        headers: Names and values.
    """

    url: str
    status: int
    seconds: float
    text: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the page came."""
        return 200 <= self.status < 300

    @property
    def answer(self) -> str:
        """The answer in a few words."""
        what = f"HTTP {self.status}" if self.status else safe(self.text)
        return f"{what} in {self.seconds * 1000:.0f} ms"

    def __repr__(self) -> str:
        return f"<Visit {safe(self.url)}: {self.answer}>"


def visit(url: str, timeout: float = TIMEOUT) -> Visit:
    """Ask for a page, once.

    Args:
        url: Its address.
        timeout: Seconds that it may keep one waiting.
    """
    return _visited(Question(url), timeout, redirects=True)


def ask(check: Health, release: str, timeout: float = TIMEOUT) -> Visit:
    """Ask what a health check asks, once.

    Args:
        check: The check; one with a url, and without secrets.
        release: The live release's name, for which ``{release}`` stands.
        timeout: Seconds that it may keep one waiting.
    """
    return _visited(question(check, release, {}), timeout, redirects=check.redirects)


def _visited(asked: Question, timeout: float, *, redirects: bool) -> Visit:
    began = time.monotonic()
    status, text, headers = _fetch(asked, timeout, redirects=redirects)
    return Visit(asked.url, status, time.monotonic() - began, text, headers)


def fault(check: Health, got: Visit, release: str) -> str:
    """What is wrong with the answer to a health check; empty when nothing is.

    Args:
        check: The check; one with a url.
        got: What was answered.
        release: The live release's name, for which ``{release}`` stands.
    """
    if not got.status:
        return f"did not answer: {safe(got.text)}"
    judged = Answer(got.status, got.headers, got.text.encode("utf-8", "replace"))
    return answer.fault(check, judged, release)


def root(url: str) -> str:
    """A site's front page, from one of its pages; empty for no page."""
    scheme, mark, rest = url.partition("://")
    host = rest.partition("?")[0].partition("/")[0]
    return f"{scheme}{mark}{host}" if mark else ""


class _Nowhere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """See :class:`urllib.request.HTTPRedirectHandler`."""
        return


def _fetch(
    asked: Question, timeout: float, *, redirects: bool
) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    try:
        # The user's own site, at the address that the user gave.
        request = urllib.request.Request(  # noqa: S310
            asked.url, headers={"User-Agent": "opsnb", **dict(asked.headers)}, method=asked.method
        )
        opener = urllib.request.build_opener(*([] if redirects else [_Nowhere]))
        with opener.open(request, timeout=timeout) as got:
            text = got.read(READ).decode("utf-8", "replace")
            return got.status, text, tuple(got.headers.items())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(READ).decode("utf-8", "replace")
            return error.code, text, tuple(error.headers.items())
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, str(getattr(error, "reason", error)) or type(error).__name__, ()
