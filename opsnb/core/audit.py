"""The audit log: one line of JSON for each act, each carrying the digest of the line before it.

Rule 1: a line is never changed; whoever changes, drops or swaps one breaks the chain after it.
Rule 2: what is about to happen is written before it does, and its result after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def line(previous: bytes, entry: Mapping[str, object]) -> bytes:
    """The next line of a log.

    Args:
        previous: The last line, without its line break; empty for the first.
        entry: What to write; plain data.
    """
    body = {**entry, "prev": digest(previous)}
    return json.dumps(body, ensure_ascii=True, sort_keys=True).encode() + b"\n"


def digest(text: bytes) -> str:
    """SHA-256 of a line without its line break, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where the chain does not hold.

    Attributes:
        number: The line, from 1.
        what: What is wrong with it.
    """

    number: int
    what: str


def read(log: bytes) -> list[dict[str, Any]]:
    """The entries of a log, oldest first; one that cannot be read says so under ``what``."""
    return [_entry(text) or {"what": "unreadable"} for text in log.splitlines()]


def verify(log: bytes) -> list[Fault]:
    """Where a log has been tampered with, or was cut off while it was written."""
    faults: list[Fault] = []
    previous = b""
    for number, text in enumerate(log.splitlines(), 1):
        entry = _entry(text)
        if entry is None:
            faults.append(Fault(number, "not an entry: it was cut off or changed"))
        elif entry.get("prev") != digest(previous):
            faults.append(Fault(number, "does not follow the line before it"))
        previous = text
    return faults


def _entry(text: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
