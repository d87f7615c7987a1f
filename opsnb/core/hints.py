"""What other tools wrote down of their releases: hints for records, and no more. Pure.

Rule: it is text of somebody else's: what makes no sense is left out, what is shown is made safe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from opsnb.core.text import safe

LONGEST = 200  # characters of what is taken over
MARKS = (
    "releases/*/REVISION",
    "releases/*/BAD_RELEASE",
    "revisions.log",
    ".dep/releases_log",
    ".dep/deploy.lock",
)
"""Where Capistrano, Deployer and Ansistrano write, below ``deploy_to``."""
_CAPISTRANO = re.compile(
    r"Branch (.{1,200}?) \(at (.{1,200}?)\) deployed as release (\S{1,200}) by (.{1,200})"
)


@dataclass(frozen=True, slots=True)
class Hint:
    """What is said of a release.

    Attributes:
        revision: What its source was.
        by: Who made it.
        at: When, as ISO 8601; empty when not said, or not readable.
        bad: Whether the tool calls it bad.
    """

    revision: str = ""
    by: str = ""
    at: str = ""
    bad: bool = False


def read(deploy_to: str, texts: Mapping[str, str]) -> dict[str, Hint]:
    """What is said of releases, by their names.

    Args:
        deploy_to: The deployment path.
        texts: The files of :data:`MARKS` that could be read, by path.
    """
    hints: dict[str, Hint] = {}
    named = {path.removeprefix(deploy_to + "/"): text for path, text in texts.items()}
    for name, hint in _capistrano(named.get("revisions.log", "").splitlines()):
        hints[name] = hint
    for name, hint in _deployer(named.get(".dep/releases_log", "").splitlines()):
        hints[name] = hint
    for path, text in named.items():
        parts = path.split("/")
        if len(parts) == 3 and parts[0] == "releases":
            known = hints.get(parts[1], Hint())
            if parts[2] == "REVISION" and (revision := _line(text.strip().partition("\n")[0])):
                hints[parts[1]] = replace(known, revision=revision)
            elif parts[2] == "BAD_RELEASE":
                hints[parts[1]] = replace(known, bad=True)
    return hints


def under_way(deploy_to: str, texts: Mapping[str, str]) -> bool:
    """Whether Deployer says that one of its deploys is under way."""
    return f"{deploy_to}/.dep/deploy.lock" in texts


def _capistrano(lines: Iterable[str]) -> Iterator[tuple[str, Hint]]:
    for line in lines:
        if found := _CAPISTRANO.fullmatch(line[:1000]):
            yield found[3], Hint(_line(found[2]), _line(found[4]))


def _deployer(lines: Iterable[str]) -> Iterator[tuple[str, Hint]]:
    for line in lines:
        try:
            told = json.loads(line[:4000])
            name = told["release_name"]
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(name, str):
            yield name, Hint(by=_line(told.get("user")), at=_time(told.get("created_at")))


def _line(value: object) -> str:
    return safe(value[:LONGEST]) if isinstance(value, str) else ""


def _time(value: object) -> str:
    """``2026-03-25T14:00:00+0000``, as Deployer writes it."""
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:?\d\d|Z)"
    return value if isinstance(value, str) and re.fullmatch(form, value, re.ASCII) else ""
