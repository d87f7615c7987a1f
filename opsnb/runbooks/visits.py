"""The site from a visitor's side: a page is asked for, and the answer judged."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

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
    """

    url: str
    status: int
    seconds: float
    text: str

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
    began = time.monotonic()
    status, text = _fetch(url, timeout)
    return Visit(url, status, time.monotonic() - began, text)


def fault(check: Health, got: Visit, release: str) -> str:
    """What is wrong with the answer to a health check; empty when nothing is.

    Args:
        check: The check; one with a url.
        got: What was answered.
        release: The live release's name, for which ``{release}`` stands.
    """
    wanted = check.contains.replace("{release}", release)
    if not got.status:
        return f"did not answer: {safe(got.text)}"
    if got.status != check.status:
        return f"answered {got.status}, not {check.status}"
    return "" if wanted in got.text else f"does not contain {safe(wanted)!r}"


def root(url: str) -> str:
    """A site's front page, from one of its pages; empty for no page."""
    scheme, mark, rest = url.partition("://")
    host = rest.partition("?")[0].partition("/")[0]
    return f"{scheme}{mark}{host}" if mark else ""


def _fetch(url: str, timeout: float) -> tuple[int, str]:
    try:
        # The user's own site, at the address that the user gave.
        request = urllib.request.Request(url, headers={"User-Agent": "opsnb"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return answer.status, answer.read(READ).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(READ).decode("utf-8", "replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, str(getattr(error, "reason", error)) or type(error).__name__
