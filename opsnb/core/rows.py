"""The answers to questions as rows of plain values: what tables, JSON and the shell all show. Pure.

Rule 1: text that came from a server is made safe to show here (:func:`opsnb.core.text.safe`).
Rule 2: a value that is not known is None; times are aware, sizes are bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from opsnb.core import audit, layout
from opsnb.core.doctor import Finding
from opsnb.core.manifest import Difference, Manifest
from opsnb.core.release import Release, Site, State
from opsnb.core.retention import Retention, Rules, retain
from opsnb.core.text import safe
from opsnb.core.usage import Usage

Row = dict[str, object]


def releases(site: Site, now: datetime, rules: Rules | None = None) -> list[Row]:
    """What stands in ``releases/``, the newest first.

    Args:
        site: What a look told.
        now: The present time, aware, for the age.
        rules: What is to stay, to say what the next prune makes of each; None to say nothing.
    """
    found = retain(site, rules, now) if rules and site.ours else Retention({}, {})
    return [
        release_row(release, site, now) | {"retention": _fate(release, site, found)}
        for release in reversed(site.releases)
        if release.present
    ]


def _fate(release: Release, site: Site, found: Retention) -> str | None:
    """What the next prune makes of a release, and why; None when that was not asked."""
    if site.holder and release.state is State.UNFINISHED and release.name in found.remove:
        return "perhaps being made: a change is running"
    for word, reasons in (("stays", found.keep), ("goes", found.remove)):
        if release.name in reasons:
            return f"{word}: {safe(reasons[release.name])}"
    return None


def release_row(release: Release, site: Site, now: datetime) -> Row:
    """One release as a row of :func:`releases`."""
    record = release.record
    at = released(release)
    return {
        "name": safe(release.name),
        "state": str(release.state),
        "current": release.live,
        "revision": safe(record.revision) if record else None,
        "subject": safe(record.subject) if record else None,
        "author": safe(record.author) if record else None,
        "committed": _time(record.committed) if record else None,
        "by": safe(record.by) if record else None,
        "at": at,
        "age": now - at if at is not None else None,
        "files": record.files if record else None,
        "bytes": record.size if record else None,
        "pinned": release.pinned,
        "note": _note(release, site),
    }


def released(release: Release) -> datetime | None:
    """When a release was made, as far as that is known: by its record, or else by its name.

    Args:
        release: The release.
    """
    return _time(release.record.at if release.record else "", release.name)


def _time(text: str, name: str = "") -> datetime | None:
    """A record's time, or the one in a release's name."""
    if not text and layout.is_name(name):
        text = f"{name[:8]}T{name[8:]}Z"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    # What a table's nanoseconds cannot hold is not a time that anything was released at.
    return at if 1700 <= at.year <= 2200 else None


def _note(release: Release, site: Site) -> str:
    record = release.record
    if record is None:
        return f"no record: made by {site.made_by if not site.ours else 'another tool'}"
    if record.verdict:
        left = "left" if record.verdict.left else "failed"
        return f"{left}: {safe(record.verdict.why)} ({safe(record.verdict.by)})"
    return "adopted" if record.adopted else ""


def usage(site: Site, used: Iterable[Usage]) -> list[Row]:
    """What releases take on the disk, the newest first, what is kept aside, and ``shared/``."""
    rank = {release.name: number for number, release in enumerate(site.releases)}
    ordered = sorted(used, key=lambda item: (-rank.get(item.name, -1), item.name == "shared"))
    return [
        {
            "name": safe(item.name),
            "state": _state(site, item.name),
            "files": item.files,
            "apparent": item.apparent,
            "disk": item.disk,
            "own": item.own,
        }
        for item in ordered
    ]


def _state(site: Site, name: str) -> str:
    release = site.find(name)
    if release is None:
        return ""
    return "live" if release.live else str(release.state)


def diff(old: Manifest, new: Manifest, difference: Difference) -> list[Row]:
    """How one tree differs from another, by path."""
    kinds = {
        "added": difference.added,
        "changed": difference.changed,
        "mode": difference.modes,
        "removed": difference.removed,
    }
    rows: list[Row] = [
        {
            "path": safe(path),
            "change": change,
            "bytes_a": old[path].size if path in old else None,
            "bytes_b": new[path].size if path in new else None,
        }
        for change, paths in kinds.items()
        for path in paths
    ]
    return sorted(rows, key=lambda row: str(row["path"]))


LOGGED = ("at", "by", "host", "what", "release", "previous")


def log(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The audit log, oldest first."""
    return [_logged(entry) for entry in entries]


def _logged(entry: Mapping[str, Any]) -> Row:
    rest = {key: value for key, value in entry.items() if key not in (*LOGGED, "prev", audit.SELF)}
    row: Row = {key: safe(_plain(entry[key])) if key in entry else None for key in LOGGED}
    row["at"] = _time(_plain(entry.get("at", "")))
    row["details"] = safe(_told(rest)) if rest else ""
    return row


def _plain(value: object) -> str:
    return value if isinstance(value, str) else _told(value)


def _told(value: object) -> str:
    """What an entry says, as JSON; anybody may have written it, however deep."""
    try:
        return json.dumps(value, sort_keys=True)
    except RecursionError:
        return "…"


def check(findings: Iterable[Finding]) -> list[Row]:
    """What a doctor's look found."""
    return [{"item": f.item, "ok": f.ok, "found": safe(f.found), "hint": f.hint} for f in findings]
