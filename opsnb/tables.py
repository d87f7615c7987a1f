"""pandas: one DataFrame for each question.

Rule 1: the columns and their dtypes are the same whatever the server holds, also when it is empty.
Rule 2: text that came from a server is made safe to show (:func:`opsnb.core.text.safe`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from opsnb.core import layout
from opsnb.core.doctor import Finding
from opsnb.core.manifest import Difference, Manifest
from opsnb.core.release import Release, Site
from opsnb.core.text import safe
from opsnb.core.usage import Usage

RELEASES = {
    "name": "string",
    "state": "string",
    "current": "boolean",
    "revision": "string",
    "by": "string",
    "at": "datetime64[ns, UTC]",
    "age": "timedelta64[ns]",
    "files": "Int64",
    "bytes": "Int64",
    "pinned": "boolean",
    "note": "string",
}
USAGE = {
    "name": "string",
    "state": "string",
    "files": "Int64",
    "apparent": "Int64",
    "disk": "Int64",
    "own": "Int64",
}
DIFF = {"path": "string", "change": "string", "bytes_a": "Int64", "bytes_b": "Int64"}
LOG = {
    "at": "datetime64[ns, UTC]",
    "by": "string",
    "host": "string",
    "what": "string",
    "release": "string",
    "previous": "string",
    "details": "string",
}
CHECK = {"item": "string", "ok": "boolean", "found": "string", "hint": "string"}


def _frame(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> pd.DataFrame:
    data = {
        name: _column([row.get(name) for row in rows], dtype) for name, dtype in columns.items()
    }
    return pd.DataFrame(data)


def _column(values: list[Any], dtype: Any) -> Any:
    if dtype.startswith("datetime64"):
        return pd.DatetimeIndex(values, dtype=dtype)
    if dtype.startswith("timedelta64"):
        return pd.TimedeltaIndex(values, dtype=dtype)
    return pd.array(values, dtype=dtype)


def releases(site: Site, now: datetime) -> pd.DataFrame:
    """What stands in ``releases/``, the newest first.

    Args:
        site: What a look told.
        now: The present time, aware, for the age.

    Returns:
        ``name`` string; ``state`` string (unfinished, unconfirmed, good, bad, unrecorded);
        ``current`` boolean; ``revision``, ``by`` string; ``at`` datetime64[ns, UTC]; ``age``
        timedelta64[ns]; ``files``, ``bytes`` Int64 (of the manifest; missing without a record);
        ``pinned`` boolean; ``note`` string (why a release is bad; who made it, if not opsnb).
    """
    present = [release for release in reversed(site.releases) if release.present]
    return _frame([_release(release, site, now) for release in present], RELEASES)


def _release(release: Release, site: Site, now: datetime) -> dict[str, object]:
    record = release.record
    at = _time(record.at if record else "", release.name)
    return {
        "name": safe(release.name),
        "state": str(release.state),
        "current": release.live,
        "revision": safe(record.revision) if record else None,
        "by": safe(record.by) if record else None,
        "at": at,
        "age": now - at if at is not None else None,
        "files": record.files if record else None,
        "bytes": record.size if record else None,
        "pinned": release.pinned,
        "note": _note(release, site),
    }


def _time(text: str, name: str = "") -> datetime | None:
    """A record's time, or the one in a release's name."""
    if not text and layout.is_name(name):
        text = f"{name[:8]}T{name[8:]}Z"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _note(release: Release, site: Site) -> str:
    record = release.record
    if record is None:
        return f"no record: made by {site.made_by if not site.ours else 'another tool'}"
    if record.verdict:
        left = "left" if record.verdict.left else "failed"
        return f"{left}: {safe(record.verdict.why)} ({safe(record.verdict.by)})"
    return "adopted" if record.adopted else ""


def usage(site: Site, used: Iterable[Usage]) -> pd.DataFrame:
    """What releases and ``shared/`` take on the disk, the newest first, ``shared`` last.

    Returns:
        ``name``, ``state`` string; ``files`` Int64; ``apparent`` Int64, bytes of content;
        ``disk`` Int64, bytes on the disk; ``own`` Int64, bytes that pruning it would give back.
    """
    rows = [
        {
            "name": safe(item.name),
            "state": _state(site, item.name),
            "files": item.files,
            "apparent": item.apparent,
            "disk": item.disk,
            "own": item.own,
        }
        for item in used
    ]
    rank = {safe(release.name): number for number, release in enumerate(site.releases)}
    rows.sort(key=lambda row: -rank.get(str(row["name"]), -1))
    return _frame(rows, USAGE)


def _state(site: Site, name: str) -> str:
    release = site.find(name)
    if release is None:
        return ""
    return "live" if release.live else str(release.state)


def diff(old: Manifest, new: Manifest, difference: Difference) -> pd.DataFrame:
    """How one tree differs from another, by path.

    Returns:
        ``path`` string; ``change`` string (added, changed, mode, removed); ``bytes_a``,
        ``bytes_b`` Int64, the size of a file before and after (missing where it is not there).
    """
    kinds = {
        "added": difference.added,
        "changed": difference.changed,
        "mode": difference.modes,
        "removed": difference.removed,
    }
    rows = [
        {
            "path": safe(path),
            "change": change,
            "bytes_a": old[path].size if path in old else None,
            "bytes_b": new[path].size if path in new else None,
        }
        for change, paths in kinds.items()
        for path in paths
    ]
    return _frame(sorted(rows, key=lambda row: str(row["path"])), DIFF)


def log(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The audit log, oldest first.

    Returns:
        ``at`` datetime64[ns, UTC]; ``by``, ``host``, ``what``, ``release``, ``previous`` string;
        ``details`` string, whatever else was written, as JSON.
    """
    return _frame([_log_row(entry) for entry in entries], LOG)


def _log_row(entry: Mapping[str, Any]) -> dict[str, object]:
    known = {"at", "prev", *LOG}
    rest = {key: value for key, value in entry.items() if key not in known}
    row: dict[str, object] = {
        key: safe(str(entry[key])) for key in LOG if key in entry and key != "at"
    }
    row["at"] = _time(str(entry.get("at", "")))
    row["details"] = safe(json.dumps(rest, sort_keys=True)) if rest else ""
    return row


def check(findings: Iterable[Finding]) -> pd.DataFrame:
    """What a doctor's look found.

    Returns:
        ``item`` string; ``ok`` boolean; ``found``, ``hint`` string.
    """
    rows = [{"item": f.item, "ok": f.ok, "found": safe(f.found), "hint": f.hint} for f in findings]
    return _frame(rows, CHECK)
