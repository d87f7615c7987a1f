"""pandas: one DataFrame for each question.

Rule 1: the columns and their dtypes are the same whatever the server holds, also when it is empty.
Rule 2: the values are those of :mod:`opsnb.core.rows`, which are safe to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from opsnb.core import rows
from opsnb.core.doctor import Finding
from opsnb.core.manifest import Difference, Manifest
from opsnb.core.release import Site
from opsnb.core.retention import Rules
from opsnb.core.usage import Usage

RELEASES = {
    "name": "string",
    "state": "string",
    "current": "boolean",
    "revision": "string",
    "subject": "string",
    "author": "string",
    "committed": "datetime64[ns, UTC]",
    "by": "string",
    "at": "datetime64[ns, UTC]",
    "age": "timedelta64[ns]",
    "files": "Int64",
    "bytes": "Int64",
    "pinned": "boolean",
    "note": "string",
    "retention": "string",
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


def releases(site: Site, now: datetime, rules: Rules | None = None) -> pd.DataFrame:
    """What stands in ``releases/``, the newest first.

    Args:
        site: What a look told.
        now: The present time, aware, for the age.
        rules: What is to stay; None to say nothing of that.

    Returns:
        ``name`` string; ``state`` string (unfinished, unconfirmed, good, bad, unrecorded);
        ``current`` boolean; ``revision`` string; of its commit ``subject``, ``author`` string and
        ``committed`` datetime64[ns, UTC]; ``by`` string; ``at`` datetime64[ns, UTC]; ``age``
        timedelta64[ns]; ``files``, ``bytes`` Int64 (of the manifest; missing without a record);
        ``pinned`` boolean; ``note`` string (why a release is bad; who made it, if not opsnb);
        ``retention`` string (whether the next prune would leave it, and why; which processes use
        it is not asked for that).
    """
    return _frame(rows.releases(site, now, rules), RELEASES)


def usage(site: Site, used: Iterable[Usage]) -> pd.DataFrame:
    """What releases take on the disk, the newest first, then what is kept aside, and ``shared``.

    Returns:
        ``name``, ``state`` string; ``files`` Int64; ``apparent`` Int64, bytes of content;
        ``disk`` Int64, bytes on the disk; ``own`` Int64, bytes that pruning it would give back.
    """
    return _frame(rows.usage(site, used), USAGE)


def diff(old: Manifest, new: Manifest, difference: Difference) -> pd.DataFrame:
    """How one tree differs from another, by path.

    Returns:
        ``path`` string; ``change`` string (added, changed, mode, removed); ``bytes_a``,
        ``bytes_b`` Int64, the size of a file before and after (missing where it is not there).
    """
    return _frame(rows.diff(old, new, difference), DIFF)


def log(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The audit log, oldest first.

    Returns:
        ``at`` datetime64[ns, UTC]; ``by``, ``host``, ``what``, ``release``, ``previous`` string;
        ``details`` string, whatever else was written, as JSON.
    """
    return _frame(rows.log(entries), LOG)


def check(findings: Iterable[Finding]) -> pd.DataFrame:
    """What a doctor's look found.

    Returns:
        ``item`` string; ``ok`` boolean; ``found``, ``hint`` string.
    """
    return _frame(rows.check(findings), CHECK)
