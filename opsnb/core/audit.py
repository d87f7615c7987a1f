"""The audit log: one line of JSON for each act, each with a digest of itself and of the one before.

Rule 1: a line is never changed; whoever changes, drops or swaps one breaks the chain after it, and
whoever changes the last one breaks its own digest. (Whoever may write the file and knows how can
make a whole chain anew: a digest is no signature.)
Rule 2: what is about to happen is written before it does, and its result after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SELF = "self"
MENDED = (
    "the audit log's last line had been cut short, as by a power cut: it was put aside, into "
    ".opsnb/audit.torn"
)


def line(previous: bytes, entry: Mapping[str, object]) -> bytes:
    """The next line of a log.

    Args:
        previous: The last line, without its line break; empty for the first.
        entry: What to write; plain data.
    """
    body = {**entry, "prev": digest(previous)}
    return _text({**body, SELF: digest(_text(body))}) + b"\n"


def pieces(entry: Mapping[str, object]) -> tuple[str, str, str, str]:
    """A line that something without Python will write, cut where it has to fill something in.

    Args:
        entry: What to write, but for ``at``; plain data, with ``what``.

    Returns:
        What comes before the time, between that and the digest of the line before, and between that
        and ``"self": "DIGEST", ``; and the rest.
    """
    holes = {"at": '"at": "\0"', "prev": '"prev": "\0"', SELF: "\0"}
    items = [
        holes.get(key) or f"{json.dumps(key)}: {json.dumps(entry[key], sort_keys=True)}"
        for key in sorted({*entry, *holes})
    ]
    # No JSON has a NUL in it.
    before, between, after, rest = ("{" + ", ".join(items) + "}").split("\0")
    return before, between, after, rest.removeprefix(", ")


def _text(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=True, sort_keys=True).encode()


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
    previous, signed = b"", False
    for number, text in enumerate(log.splitlines(), 1):
        entry = _entry(text)
        if entry is None:
            faults.append(Fault(number, "not an entry: it was cut off or changed"))
        else:
            # Lines of an older opsnb have no digest of their own; none follows one that has.
            signed = signed or SELF in entry
            if entry.get("prev") != digest(previous):
                faults.append(Fault(number, "does not follow the line before it"))
            elif signed and not _is_itself(entry, text):
                faults.append(Fault(number, "is not what was written: its own digest differs"))
        previous = text
    return faults


def _is_itself(entry: Mapping[str, Any], text: bytes) -> bool:
    """Whether a line is what it was when it was written."""
    body = {key: value for key, value in entry.items() if key != SELF}
    try:
        return entry.get(SELF) == digest(_text(body)) and _text(entry) == text
    except RecursionError:
        return False


def _entry(text: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
