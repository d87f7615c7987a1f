"""Plan cases as files: reads ``cases/*.toml`` into worlds, plans, and gives the facts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsnb.core import configfiles, layout, listing
from opsnb.core.configfiles import ConfigFile, beside, overlaid
from opsnb.core.links import Standing
from opsnb.core.listing import Base
from opsnb.core.manifest import Entry, Kind, Manifest
from opsnb.core.marks import Holder, Intent
from opsnb.core.plan import Plan, Unlisted, Wish
from opsnb.core.plan_config import wished, with_config
from opsnb.core.plan_deploy import plan_deploy
from opsnb.core.plan_rollback import plan_prune, plan_rollback
from opsnb.core.recovery import Recovery, plan_recovery
from opsnb.core.release import Current, CurrentKind, Release, Site, State, order
from opsnb.errors import OpsnbError
from tests.core import worlds

HOME = Path(__file__).parent / "cases"
DEPLOY_TO = "/srv/shop"
TOP = {"says", "verb", "now", "site", "live", "source", "shared", "config", "wish", "expect"}
TOP |= {"files", "standing"}
# A check is configured unless a case says otherwise: its absence is a warning of its own.
CONFIG = {"health": [{"command": "true"}]}

Facts = dict[str, Any]
# What a case expects where it says nothing.
DEPLOY: Facts = {
    "base": "",
    "hardlink": False,
    "drop": [],
    "send": [],
    "modes": {},
    "make": [],
    "seed": [],
    "links": [],
    "carried": [],
    "overwritten": [],
    "assets": {},
    "files": {},
    "prune": {},
    "warnings": [],
    "nothing": False,
}
ROLLBACK: Facts = {"marks_bad": "", "nothing": False, "warnings": []}
PRUNE: Facts = {"prune": {}, "nothing": False}
RECOVER: Facts = {"records": {}, "discard": [], "forget": [], "settled": "no switch was begun"}


def entry(text: str) -> Entry:
    """A path from a case's line."""
    if " -> " in text:
        path, _, target = text.partition(" -> ")
        return worlds.link(path, target)
    match = re.fullmatch(r"(.+?)(?:/|: (.*?))(?: @([0-7]+))?", text, re.DOTALL)
    assert match, f"not a path: {text!r}"
    path, content, mode = match.groups()
    if content is None:
        return worlds.folder(path, int(mode or "755", 8))
    return worlds.file(path, content, int(mode or "644", 8))


def tree(lines: Iterable[str]) -> Manifest:
    return worlds.tree(*map(entry, lines))


def found(item: Entry) -> bytes:
    """A path as the server's ``find`` tells it."""
    if item.kind is Kind.LINK:
        return b"l 777 %d 0 0 1 %s/%s" % (len(item.target), item.target, item.path)
    return b"%s %o %d 0 0 1 %s" % (item.kind.encode(), item.mode, item.size, item.path)


def lines(texts: Iterable[str]) -> bytes:
    return b"\0".join(found(entry(text)) for text in texts)


def release(text: str, live: str) -> Release:
    """A release from a case's line."""
    name, seq, state, *flags = text.split(" ")
    if seq == "-":
        return Release(name, None, "gone" not in flags, "link" not in flags, live=name == live)
    made = worlds.release(name, int(seq), State(state), live=name == live)
    assert made.record
    record = replace(made.record, pinned="pinned" in flags, adopted="adopted" in flags)
    if state == "bad":
        record = record.bad("ops", "2026-03-25T12:00:00Z", "no answer", left="left" in flags)
    return replace(made, record=record, present="gone" not in flags, real="link" not in flags)


def site(said: Mapping[str, Any], live: bool) -> Site:
    """A site from a case."""
    given = dict(said)
    name = given.pop("current", "20260325120000" if live else "")
    listed = given.pop("releases", ["20260325120000 1 good"] if live else [])
    releases = order([release(text, name) for text in listed])
    current = Current(CurrentKind.RELEASE, f"releases/{name}".encode(), name) if name else Current()
    if "current_kind" in given:
        kind, target = given.pop("current_kind"), given.pop("current_target", "")
        current = Current(CurrentKind(kind), target.encode())
    ours = given.pop("ours", bool(releases))
    entries = {"releases": "d", "shared": "d", ".opsnb": "d"} if ours else {}
    entries = given.pop("entries", entries)
    hold = given.pop("hold", None)
    intent = given.pop("intent", None)
    made = Site(
        DEPLOY_TO,
        exists=given.pop("exists", True),
        ours=ours,
        entries={path.encode(): kind for path, kind in entries.items()},
        current=current,
        releases=releases,
        counter=given.pop("counter", max((item.seq for item in releases), default=0)),
        free_bytes=given.pop("free_bytes", 10**12),
        free_inodes=given.pop("free_inodes", 10**9),
        user="deploy",
        writable=given.pop("writable", True),
        missing=tuple(given.pop("missing", ())),
        broken=tuple(given.pop("broken", ())),
        hold=Holder(**hold) if hold else None,
        intent=Intent(**intent) if intent else None,
    )
    assert not given, f"a site has no {set(given)}"
    return made


def base(said: Mapping[str, Any], name: str) -> Base:
    """A live release from a case, put together as the engine does it."""
    unknown = set(said) - {"source", "carried", "now", "gone", "links", "assets"}
    assert not unknown, f"a live release has no {unknown}"
    now = said.get("now", [])
    made = listing.base(
        name,
        DEPLOY_TO,
        tree(said.get("source", [])),
        carried=lines(said.get("carried", [])),
        links=[path.encode() for path in said.get("links", [])],
        now=lines(now),
        gone=lines(said.get("gone", [])),
        digests={item.path: item.sha256 for item in map(entry, now) if item.sha256},
    )
    left = {path.encode(): int(at.timestamp()) for path, at in said.get("assets", {}).items()}
    return replace(made, assets=left)


def run(case: Mapping[str, Any]) -> Facts:
    """What planning a case comes to, as the words that ``[expect]`` uses."""
    unknown = set(case) - TOP
    assert not unknown, f"a case has no {unknown}"
    where = site(case.get("site", {}), "live" in case)
    now = datetime.fromisoformat(case.get("now", "2026-03-25T14:00:00+00:00"))
    config = worlds.settings(**{**CONFIG, **case.get("config", {})})
    wish = case.get("wish", {})
    try:
        match case.get("verb", "deploy"):
            case "deploy":
                return deployed(_deploy(case, where, now))
            case "rollback":
                return rolled_back(plan_rollback(where, config, **wish))
            case "prune":
                return pruned(plan_prune(where, config.rules, now))
            case "recover":
                return recovered(plan_recovery(where, now))
    except OpsnbError as error:
        return {"refused": error.message, "error": type(error).__name__, "hint": error.hint}
    raise AssertionError("no such verb")


def config_file(path: str, to: Any = "release", content: str = "", mode: str = "640") -> ConfigFile:
    return configfiles.made(path, to, int(mode, 8), content.encode())


def standing(said: Mapping[str, Any]) -> Standing:
    """What is in shared/ where configuration files belong."""
    unknown = set(said) - {"found", "written", "odd"}
    assert not unknown, f"there is no {unknown}"
    trees = [{e.path: e for e in map(entry, said.get(key, []))} for key in ("found", "written")]
    return Standing(trees[0], {p.encode(): why for p, why in said.get("odd", {}).items()}, trees[1])


def _deploy(case: Mapping[str, Any], where: Site, now: datetime) -> Plan:
    """Plan as the engine does: what must be listed of ``shared/`` is asked for, no more."""
    config = worlds.settings(**{**CONFIG, **case.get("config", {})})
    live = base(case["live"], where.current.name) if "live" in case else None
    files = [config_file(path, **file) for path, file in case.get("files", {}).items()]
    source = tree(case["source"])
    files = [replace(file, over=file.to == "release" and file.path in source) for file in files]
    more = {**case.get("wish", {}), "config": tuple(files)}
    wish = Wish(beside(source, files), "dist", config, by="ops", host="jump", **more)
    there = standing(case.get("standing", {}))
    wish = wished(where, live, wish, there)
    listings = {
        path.encode(): {name.rstrip("/").encode(): "d" if name[-1] == "/" else "f" for name in held}
        for path, held in case.get("shared", {}).items()
    }
    known = {b"": listings.get(b"", {})}
    while True:
        plan = plan_deploy(where, live, overlaid(known, files), wish, now)
        if not isinstance(plan, Unlisted):
            return with_config(plan, live, wish, there)
        assert not set(plan.paths) & set(known), "asked again for what is known"
        known |= {path: listings.get(path, {}) for path in plan.paths}


def _texts(paths: Iterable[bytes]) -> list[str]:
    return [path.decode() for path in paths]


def _moment(at: int) -> str:
    return layout.stamp(datetime.fromtimestamp(at, UTC))


def deployed(plan: Plan) -> Facts:
    build, difference = plan.build, plan.difference
    assert build
    assert plan.record
    assert (plan.record.name, plan.record.state) == (plan.name, State.UNFINISHED)
    assert plan.record.manifest == build.manifest.id
    return {
        "name": plan.name,
        "previous": plan.previous,
        "seq": plan.record.seq,
        "revision": plan.record.revision,
        "base": build.base,
        "hardlink": build.hardlink,
        "drop": _texts(build.drop),
        "send": _texts(build.send),
        "send_bytes": plan.send_bytes,
        "modes": {path.decode(): f"{mode:o}" for path, mode in build.modes},
        "make": _texts(build.make),
        "seed": _texts(build.seed),
        "links": _texts(build.links),
        "carried": _texts(plan.carried),
        "strict": build.carried is not None,
        "overwritten": _texts(plan.overwritten),
        "assets": {path.decode(): _moment(at) for path, at in plan.assets.left.items()},
        "files": {change.file.shown: change.how for change in plan.config},
        "until": _moment(plan.assets.until) if plan.assets.left else "",
        "added": _texts(difference.added),
        "changed": _texts(difference.changed),
        "mode_changes": _texts(difference.modes),
        "removed": _texts(difference.removed),
        "prune": plan.retention.remove,
        "keep": plan.retention.keep,
        "warnings": list(plan.warnings),
        "nothing": plan.nothing,
    }


def rolled_back(plan: Plan) -> Facts:
    assert plan.build is None
    assert not plan.retention.remove
    return {
        "name": plan.name,
        "previous": plan.previous,
        "marks_bad": plan.marks_bad,
        "why": plan.why,
        "nothing": plan.nothing,
        "warnings": list(plan.warnings),
    }


def pruned(plan: Plan) -> Facts:
    retention = plan.retention
    return {"prune": retention.remove, "keep": retention.keep, "nothing": plan.nothing}


def recovered(recovery: Recovery) -> Facts:
    settled = {None: "no switch was begun", True: "happened", False: "did not happen"}
    return {
        "records": {record.name: str(record.state) for record in recovery.records},
        "left": [r.name for r in recovery.records if r.verdict and r.verdict.left],
        "discard": list(recovery.discard),
        "forget": list(recovery.forget),
        "settled": settled[recovery.settled],
    }


def expected(case: Mapping[str, Any]) -> Facts:
    """All that a case expects: a refusal is described by the part of it that matters."""
    said = dict(case["expect"])
    if "refused" in said:
        return said
    defaults = {"deploy": DEPLOY, "rollback": ROLLBACK, "prune": PRUNE, "recover": RECOVER}
    return {**defaults[case.get("verb", "deploy")], **said}


def load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))
