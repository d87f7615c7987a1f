"""What a release is made of before it is files: a commit, its past, and a build. Pure.

Rule 1: what a commit says of itself was written by anybody: it is cut to a bound where it is read,
        and made safe where it is shown.
Rule 2: whether a commit comes before or after another is told by their history, never by a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

LISTED = 50  # commits that are told one by one
LONGEST = 200  # characters of an author or a subject
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LOGIN = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^/@]*)@")
DIRTY = "-dirty"
# What git is asked to tell of a commit, NUL after each part.
FORMAT = "%H%x00%an%x00%ct%x00%s%x00"

Way = Literal["same", "on", "back", "apart", "unknown"]


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit.

    Attributes:
        id: Its name, hexadecimal.
        author: Who wrote it.
        at: When it was made, UTC, ISO 8601.
        subject: The first line of its message.
    """

    id: str
    author: str = ""
    at: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """The way from the live release's revision to a proposed one.

    Attributes:
        live: The revision of the live release, as its record has it.
        way: ``same``; ``on`` to a later commit; ``back`` to an earlier one; ``apart`` where each
            has commits that the other lacks; ``unknown`` where the repository lacks the live one.
        commits: Commits that the proposed one has and the live one lacks, the newest first; those
            that are lost again, where it goes back.
        more: How many there are besides.
        lost: How many commits of the live one the proposed one lacks.
    """

    live: str
    way: Way
    commits: tuple[Commit, ...] = ()
    more: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the content of a release comes from.

    Attributes:
        commit: The commit it is; None where that is not known.
        ref: What was asked for: a branch, a tag, a commit.
        repository: Where the commits can be read, on this machine; empty for nowhere.
        build: The lines that were run.
        isolation: How far they could reach, in words; empty when nothing was run.
        seconds: How long they took.
        notes: What the user should know.
    """

    commit: Commit | None = None
    ref: str = ""
    repository: str = ""
    build: tuple[str, ...] = ()
    isolation: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def is_commit(text: str) -> bool:
    """Whether a text is the whole name of a commit."""
    return _ID.fullmatch(text) is not None


def commit_of(revision: str) -> str:
    """The commit that a revision names; empty when it names none."""
    text = revision.removesuffix(DIRTY)
    return text if is_commit(text) else ""


def commits(text: bytes) -> tuple[Commit, ...]:
    """Read what git told of commits in :data:`FORMAT`.

    Raises:
        ValueError: It is nothing like that.
    """
    parts = text.decode("utf-8", "replace").split("\0")
    fields = [part.lstrip("\n") for part in parts[:-1]]
    if len(fields) % 4:
        raise ValueError("git told of commits in a way that makes no sense")
    return tuple(_commit(fields[at : at + 4]) for at in range(0, len(fields), 4))


def _commit(fields: Sequence[str]) -> Commit:
    name, author, seconds, subject = fields
    if not is_commit(name):
        raise ValueError("git told of a commit without a name")
    return Commit(name, author[:LONGEST], _time(seconds), subject[:LONGEST])


def _time(seconds: str) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


def short(revision: str) -> str:
    """A revision as people write it: of a commit the first ten characters."""
    commit = commit_of(revision)
    return commit[:10] + revision[len(commit) :] if commit else revision


def without_login(url: str) -> str:
    """A repository's address to show and to record: without who logs in by HTTP.

    What stands there may be a token; where one logs in by SSH, it is an account's name.
    """
    found = _LOGIN.match(url)
    if found and found[1].lower() not in ("ssh://", "git+ssh://"):
        return found[1] + url[found.end() :]
    return url


def login(url: str) -> str:
    """Who logs in by HTTP, which may be a token; empty when nobody does."""
    found = _LOGIN.match(url)
    return found[2] if found and found[1].lower() != "ssh://" else ""
