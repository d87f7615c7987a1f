"""What the console shows, as plain data. Pure: it is given everything, also the time.

Rule 1: every text is safe to show; the front end writes texts and no HTML.
Rule 2: what a row cannot do comes with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from opsnb.core import facts, rows, tree
from opsnb.core.config import Settings
from opsnb.core.doctor import examine
from opsnb.core.manifest import Difference
from opsnb.core.origin import short, without_login
from opsnb.core.plan import Plan
from opsnb.core.plan_rollback import plan_rollback
from opsnb.core.release import Release, Site
from opsnb.core.text import age, plural, safe, size
from opsnb.core.usage import Usage
from opsnb.errors import OpsnbError
from opsnb.project import Project
from opsnb.server import Server

Picture = dict[str, Any]
LISTED = 300


def place(project: Project, server: Server, *, unlocked: bool) -> Picture:
    """Where the console stands, and where else it can go.

    Args:
        project: The project.
        server: The server that is picked.
        unlocked: Whether changes are allowed.
    """
    tables = project.config.servers
    environments = list(dict.fromkeys(table.environment for table in tables.values()))
    here = server.environment_name
    return {
        "project": safe(project.name),
        "environments": [_environment(project, name) for name in environments],
        "environment": here,
        "servers": [name for name, table in tables.items() if table.environment == here],
        "server": server.name,
        "address": safe(server.url),
        "confirm": server.environment.confirm,
        "unlocked": unlocked,
        "barred": f"Nothing can be changed: {barred}." if (barred := server.read_only) else "",
        "source": server.settings.source,
        "git": _repository(server),
        "sources": [str(path) for path in project.sources],
        "keep": server.settings.keep_releases,
        "checks": len(server.settings.health),
    }


def _repository(server: Server) -> str:
    """The repository that is released when no folder is named; empty for none."""
    ref = server.settings.ref
    return safe(without_login(server.settings.git) + (f"#{ref}" if ref else ""))


def _environment(project: Project, name: str) -> Picture:
    found = project.config.environments.get(name)
    guarded = found is not None and found.confirm == "type-name"
    color = (found.color if found else "") or ("red" if guarded else "grey")
    word = safe(name) or "no environment"
    return {"name": name, "word": word, "guarded": guarded, "color": color}


# --- a site ------------------------------------------------------------------------------------


def site(
    seen: Site,
    settings: Settings,
    now: datetime,
    used: Iterable[Usage] | None = None,
    drift: Sequence[str] | None = None,
    held: Sequence[str] = (),
) -> Picture:
    """A site: its releases, what they take, its tree, and what to beware of.

    Args:
        seen: What a look told.
        settings: What is configured for the server.
        now: The time of the look, aware.
        used: What the releases take on the disk; None when that is not known yet.
        drift: What changed in the live release; None when that is not known.
        held: What is configured and holds a deploy back now.
    """
    by_name = {item.name: item for item in used or ()}
    most = max((item.disk for item in by_name.values()), default=0)
    releases = [release for release in reversed(seen.releases) if release.present]
    sizes = {name: item.disk for name, item in by_name.items()}
    return {
        "at": now.timestamp(),
        "clock": f"{now:%H:%M:%S} UTC",
        "live": safe(seen.current.name),
        "releases": [
            _release(release, seen, settings, now, by_name.get(release.name), most)
            for release in releases
        ],
        "measured": used is not None,
        "shared": _shared(by_name.get("shared"), most),
        "tree": [_branch(branch) for branch in tree.tree(seen, now, sizes)],
        "facts": _facts(seen, used, drift),
        "warnings": [*_held(held), *_warnings(seen, drift)],
        "drift": list(drift or ())[:LISTED],
        "hold": str(seen.hold) if seen.hold else "",
        "frozen": seen.hold is not None and seen.hold.freezes,
        "holder": str(seen.holder) if seen.holder else "",
        "ours": seen.ours,
        "foreign": "" if seen.ours else seen.made_by,
    }


def _release(
    release: Release,
    seen: Site,
    settings: Settings,
    now: datetime,
    used: Usage | None,
    most: int,
) -> Picture:
    row: Mapping[str, Any] = rows.release_row(release, seen, now)
    at, old = row["at"], row["age"]
    files = row["files"] if used is None else used.files
    return {
        "name": row["name"],
        "state": row["state"],
        "live": release.live,
        "pinned": release.pinned,
        "revision": short(row["revision"] or ""),
        "subject": row["subject"] or "",
        "by": row["by"] or "",
        "when": f"{at:%d %b %H:%M}" if at else "",
        "age": age(old.total_seconds()) if old is not None else "",
        "files": "" if files is None else f"{files:,}",
        "note": row["note"],
        "disk": _bar(used, most),
        "back": "" if release.live else _why_not(release, seen, settings),
        "recorded": release.record is not None,
    }


def _bar(used: Usage | None, most: int) -> Picture | None:
    """Own and shared bytes as shares of the largest: what removing it gives back, and the rest."""
    if used is None:
        return None
    scale = most or 1
    return {
        "own": used.own / scale,
        "rest": max(0, used.disk - used.own) / scale,
        "words": _of(size(used.own), size(used.disk)),
    }


def _of(part: str, whole: str) -> str:
    """``3.1 / 86 MB``: one unit where both have the same."""
    number, unit = part.split(" ")
    return f"{number} / {whole}" if whole.endswith(f" {unit}") else f"{part} / {whole}"


def _shared(used: Usage | None, most: int) -> Picture | None:
    bar = _bar(used, most)
    return {**bar, "words": size(used.disk), "files": f"{used.files:,}"} if bar and used else None


def _why_not(release: Release, seen: Site, settings: Settings) -> str:
    """Why a rollback cannot go there; empty when it can."""
    try:
        plan_rollback(seen, settings, release.name)
    except OpsnbError as error:
        return safe(error.message)
    return ""


def _branch(branch: tree.Branch) -> Picture:
    return {
        "trunk": branch.trunk,
        "name": branch.name,
        "kind": branch.kind,
        # Without the size: the table beside it has that.
        "words": list(branch.words[:2]) if branch.trunk.startswith("│") else list(branch.words),
    }


def _facts(seen: Site, used: Iterable[Usage] | None, drift: Sequence[str] | None) -> list[str]:
    said = ["locked" if seen.hold or seen.holder else "lock free"]
    if used is not None and seen.live is not None:
        said.append("drift not known" if drift is None else _drifted(drift))
    return [*said, f"{size(seen.free_bytes)} free"]


def _drifted(drift: Sequence[str]) -> str:
    return f"{plural(len(drift), 'path')} drifted" if drift else "no drift"


def _held(held: Sequence[str]) -> list[Picture]:
    return [{"title": "Held back", "text": safe(text), "hint": ""} for text in held]


def _warnings(seen: Site, drift: Sequence[str] | None) -> list[Picture]:
    said = []
    if seen.hold and seen.hold.freezes:
        said.append(("Frozen", f"{seen.hold}", "No change but a rollback until it is unfrozen."))
    elif seen.hold:
        said.append(("Held back", f"{seen.hold}", "No change until the hold is released."))
    if seen.holder:
        said.append(("A change is running", f"{seen.holder}", "Wait for it, or ask who began it."))
    if seen.intent:
        name = safe(seen.intent.name)
        said.append(("Unsettled", f"a switch to {name} was begun", "The next change settles it."))
    if drift:
        shown = ", ".join(drift[:3]) + (f" and {len(drift) - 3} more" if len(drift) > 3 else "")
        said.append(
            ("Drift", f"changed in the live release by hand or by the application: {shown}", "")
        )
    faults = [f for f in examine(seen) if not f.ok and f.item not in ("lock", "ready")]
    said += [(f.item, safe(f.found), safe(f.hint)) for f in faults]
    return [{"title": title, "text": text, "hint": hint} for title, text, hint in said]


# --- plans -------------------------------------------------------------------------------------


def plan(made: Plan, server: str, differs: Difference | None = None, refused: str = "") -> Picture:
    """A plan: counts, everything it does, the lists of paths, and what moves.

    Args:
        made: The plan.
        server: The server's name.
        differs: What visitors' files gain and lose, where the plan itself does not say.
        refused: Why it cannot be carried out now; empty when it can.
    """
    found = made.difference if differs is None else differs
    changes = facts.changes(found)
    return {
        "verb": made.verb,
        "name": safe(made.name),
        "previous": safe(made.previous),
        "nothing": facts.nothing(made, server) if made.nothing else "",
        "facts": [] if made.nothing else [_fact(fact) for fact in facts.plan_facts(made)],
        "changes": [_change(change) for change in changes],
        "unchanged": f"{found.unchanged:,}",
        "compared": made.build is not None or differs is not None,
        "moves": made.verb != "prune" and not made.nothing,
        "marks_bad": safe(made.marks_bad),
        "refused": safe(refused),
        "removes": _reasons(made.retention.remove),
        "keeps": _reasons(made.retention.keep) if made.verb == "prune" else [],
        "warnings": [safe(warning) for warning in made.warnings],
    }


def _reasons(reasons: Mapping[str, str]) -> list[Picture]:
    return [{"name": safe(name), "why": safe(why)} for name, why in reasons.items()]


def _fact(fact: facts.Fact) -> Picture:
    return {"title": fact.title, "text": fact.text, "kind": fact.kind}


def _change(change: facts.Change) -> Picture:
    shown = list(change.paths[:LISTED])
    return {
        "sign": change.sign,
        "word": change.word,
        "count": f"{len(change.paths):,}",
        "paths": shown,
        "more": len(change.paths) - len(shown),
    }


def diff(old: str, new: str, found: Difference) -> Picture:
    """How one release differs from another.

    Args:
        old: The one's name.
        new: The other's.
        found: How they differ.
    """
    changes = [_change(change) for change in facts.changes(found)]
    return {
        "old": safe(old),
        "new": safe(new),
        "changes": changes,
        "unchanged": f"{found.unchanged:,}",
    }


# --- the audit log -----------------------------------------------------------------------------


def audit(entries: Sequence[Mapping[str, Any]], faults: int) -> Picture:
    """The audit log, the newest first, and whether it holds.

    Args:
        entries: Its entries, oldest first.
        faults: How many lines do not follow from the one before.
    """
    listed = [_entry(row) for row in reversed(rows.log(entries))]
    said = "each line follows from the one before it"
    if faults:
        said = f"{plural(faults, 'line')} do not follow from the one before: it was tampered with"
    return {"entries": listed[:LISTED], "count": len(listed), "holds": not faults, "verdict": said}


def _entry(row: Mapping[str, Any]) -> Picture:
    at = row["at"]
    words = ("by", "host", "what", "release", "previous", "details")
    return {"at": f"{at:%Y-%m-%d %H:%M:%S}" if at else "", **{w: row[w] or "" for w in words}}
