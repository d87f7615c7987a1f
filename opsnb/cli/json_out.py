"""What a machine reads: one document for a question, one event a line for a change.

Rule 1: ASCII only, so that no byte of it moves a cursor; nulls are null, bytes are integers,
        times are ISO 8601 in UTC, lengths of time are seconds.
Rule 2: names and paths are made safe as everywhere; two texts that differ stay different.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opsnb.cli.streams import put
from opsnb.core.text import safe

if TYPE_CHECKING:
    from opsnb.core.configfiles import ConfigChange
    from opsnb.core.keepassets import Assets
    from opsnb.core.origin import Commit, Past
    from opsnb.core.plan import Plan
    from opsnb.core.rows import Row
    from opsnb.core.settings.caches import Purge
    from opsnb.core.settings.health import Health
    from opsnb.server import DeployPlan


def document(data: object) -> None:
    """Print the answer to a question.

    Args:
        data: Plain data.
    """
    put(json.dumps(data, ensure_ascii=True, indent=2) + "\n")


def line(data: Mapping[str, object]) -> None:
    """Print one event of a change, or an error.

    Args:
        data: Plain data.
    """
    put(json.dumps(data, ensure_ascii=True) + "\n")


def error(kind: str, message: str, hint: str, exit_status: int) -> None:
    """Print an error.

    Args:
        kind: The name of its class.
        message: What happened.
        hint: What to do next.
        exit_status: What a shell is told.
    """
    line({"error": kind, "message": message, "hint": hint, "exit_status": exit_status})


def records(rows: Iterable[Row]) -> list[dict[str, object]]:
    """A table as a list of records.

    Args:
        rows: What a question answered.
    """
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 3)
    return value


def deploy_plan(plan: DeployPlan) -> dict[str, object]:
    """Everything that a deploy would do.

    Args:
        plan: The plan.
    """
    wish = plan.wish
    asked = {"source": safe(wish.label), "revision": safe(wish.revision), **_origin(plan.plan)}
    return {**switch_plan(plan.plan, plan.server), **asked, **_build(plan.plan)}


def _origin(plan: Plan) -> dict[str, object]:
    """The commit, those that lie between, and the build."""
    origin, past = plan.origin, plan.past
    return {
        "commit": commit(origin.commit) if origin.commit else None,
        "commits": past_of(past) if past else None,
        "built": {
            "commands": [safe(command) for command in origin.build],
            "isolation": safe(origin.isolation),
            "seconds": round(origin.seconds, 3),
        },
        "notes": [safe(note) for note in origin.notes],
    }


def commit(told: Commit) -> dict[str, object]:
    """A commit.

    Args:
        told: The commit.
    """
    return {name: safe(value) for name, value in asdict(told).items()}


def past_of(past: Past) -> dict[str, object]:
    """The way from one commit to another.

    Args:
        past: The way.
    """
    return {
        "live": safe(past.live),
        "way": past.way,
        "listed": [commit(told) for told in past.commits],
        "more": past.more,
        "lost": past.lost,
    }


def switch_plan(plan: Plan, server: str) -> dict[str, object]:
    """Everything that a rollback or a prune would do, which is part of what a deploy would.

    Args:
        plan: The plan.
        server: The server's name.
    """
    return {
        "verb": plan.verb,
        "server": server,
        "nothing": plan.nothing,
        "release": safe(plan.name),
        "previous": safe(plan.previous),
        "hooks": _hooks(plan),
        "opcache": plan.opcache.model_dump() if plan.opcache else None,
        "purge": [_purge(purge) for purge in plan.purge],
        "health": [_check(check) for check in plan.health],
        "watchdog": plan.watchdog,
        "keep_releases": plan.keep_releases,
        "keep": _reasons(plan.retention.keep),
        "remove": _reasons(plan.retention.remove),
        "remove_first": [safe(name) for name in plan.early],
        "clears_spare": plan.clears_spare,
        "marks_bad": safe(plan.marks_bad),
        "why": safe(plan.why),
        "warnings": [safe(warning) for warning in plan.warnings],
        **_changes(plan),
    }


def _changes(plan: Plan) -> dict[str, object]:
    """What visitors' files gain and lose."""
    difference = plan.difference
    lists = {
        "added": paths(difference.added),
        "changed": paths(difference.changed),
        "removed": paths(difference.removed),
        "modes": paths(difference.modes),
    }
    counts = {name: len(listed) for name, listed in lists.items()}
    return {"counts": {**counts, "unchanged": difference.unchanged}, **lists}


def _build(plan: Plan) -> dict[str, object]:
    build = plan.build
    return {
        "send": paths(build.send) if build else [],
        "send_bytes": plan.send_bytes,
        "base": safe(build.base) if build else "",
        "hardlink": build.hardlink if build else False,
        "links": paths(build.links) if build else [],
        "make_shared": paths(build.make) if build else [],
        "fill_shared": paths(build.seed) if build else [],
        "carried": paths(plan.carried),
        "overwritten": paths(plan.overwritten),
        "assets": _assets(plan.assets),
        "config": [_config(change) for change in plan.config],
    }


def _assets(assets: Assets) -> dict[str, object]:
    until = datetime.fromtimestamp(assets.until, UTC) if assets.left else None
    return {"files": len(assets.left), "bytes": assets.size, "until": _plain(until)}


def _config(change: ConfigChange) -> dict[str, object]:
    file = change.file
    told = {"path": safe(file.path), "to": file.to, "mode": f"{file.mode:o}"}
    return {**told, "digest": file.digest, "how": change.how}


def paths(listed: Iterable[bytes]) -> list[str]:
    """Paths as text.

    Args:
        listed: Paths as the server has them.
    """
    return [safe(path) for path in listed]


def _hooks(plan: Plan) -> list[dict[str, object]]:
    return [
        {
            "when": due.point,
            "command": safe(due.hook.text),
            "where": due.hook.where,
            "run_as": safe(due.hook.run_as),
            "ignore_failure": due.hook.ignore_failure,
            "timeout": due.hook.timeout,
            "skipped": due.skipped,
        }
        for due in plan.hooks
    ]


def _check(check: Health) -> dict[str, object]:
    """A check as it is configured; of the headers of its question only the names."""
    return check.model_dump(by_alias=True) | {"headers": list(check.headers)}


def _purge(purge: Purge) -> dict[str, object]:
    """A purge as it is configured; of its headers only the names."""
    return purge.model_dump(by_alias=True) | {"headers": list(purge.headers)}


def _reasons(reasons: Mapping[str, str]) -> dict[str, str]:
    return {safe(name): safe(why) for name, why in reasons.items()}
