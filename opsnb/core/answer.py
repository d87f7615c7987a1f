"""The answer of a site, and what is wrong with it. Pure.

Rule: whoever asked, and from where: an answer is judged here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opsnb.core.settings.health import Header, Health, Json
from opsnb.core.settings.web import RELEASE
from opsnb.core.text import safe, size

MOST = 1 << 20  # bytes of a body that are read and judged
SHOWN = 60  # characters of what was seen that are told


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered over HTTP.

    Attributes:
        status: The status.
        headers: Names and values, as they came.
        body: The body, or the first of it.
        cut: Whether there was more of it.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False

    def values(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def seen(self) -> str:
        """It in a few words."""
        return f"HTTP {self.status}, {size(len(self.body))}{' and more' if self.cut else ''}"


def for_release(text: str, release: str) -> str:
    """A text of a check, with the release that it is about."""
    return text.replace(RELEASE, release)


def fault(check: Health, answer: Answer, release: str) -> str:
    """What is wrong with an answer, in words that are safe to show; empty when nothing is.

    Args:
        check: What was asked.
        answer: What was answered.
        release: The release that it must come from, for which ``{release}`` stands.
    """
    return next(iter(_faults(check, answer, release)), "")


def _faults(check: Health, answer: Answer, release: str) -> Iterable[str]:
    if answer.status not in check.statuses:
        yield f"answered {answer.status}, not {' or '.join(map(str, check.statuses))}"
    if check.header.name:
        yield from _header(check.header, answer, release)
    wanted = for_release(check.contains, release)
    if wanted.encode() not in answer.body:
        beyond = f" in its first {size(len(answer.body))}" if answer.cut else ""
        yield f"does not contain {safe(wanted)!r}{beyond}"
    if check.json_.path:
        yield from _json(check.json_, answer, release)


def _header(header: Header, answer: Answer, release: str) -> Iterable[str]:
    values, name = answer.values(header.name), safe(header.name)
    if not values:
        yield f"has no header {name}"
        return
    contains = for_release(header.contains, release)
    pattern = re.compile(header.matches.replace(RELEASE, re.escape(release)))
    if not any(contains in value and pattern.search(value) for value in values):
        yield f"has {name}: {_short(values[0])}, not {safe(contains or header.matches)!r}"


def _json(wanted: Json, answer: Answer, release: str) -> Iterable[str]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        yield "is no JSON"
        return
    path = safe(wanted.path)
    for part in wanted.path.split("."):
        try:
            found = found[int(part)] if isinstance(found, list) else _member(found, part)
        except (LookupError, ValueError):
            yield f"has no {path} in its JSON"
            return
    equals = (
        for_release(wanted.equals, release) if isinstance(wanted.equals, str) else wanted.equals
    )
    # True is 1 in Python, and not in JSON.
    if json.dumps(found, sort_keys=True) != json.dumps(equals, sort_keys=True):
        yield f"has {path} = {_short(json.dumps(found))}, not {safe(json.dumps(equals))}"


def _member(found: Any, name: str) -> Any:
    if not isinstance(found, dict):
        raise LookupError(name)
    return found[name]


def _short(text: str) -> str:
    return safe(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")
