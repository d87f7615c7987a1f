"""What must hold on the disk after anything: the guarantees, checked without opsnb's help.

Each check gives sentences about what is broken; none means that it holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opsnb.core import audit
from opsnb.core.events import Outcome, Report
from opsnb.core.manifest import Kind, Manifest

COMPLETE = {"good", "bad", "unconfirmed"}
UNKNOWN = "G4: the server could be asked, and was not"


def snapshot(tree: Path) -> dict[str, tuple[object, ...]]:
    """Everything about a tree that one could notice: bytes, modes, times, inodes, owners."""
    return {str(path.relative_to(tree)): _seen(path) for path in sorted(tree.rglob("*"))}


def _seen(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    kept = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid)
    if stat.S_ISREG(status.st_mode):
        return (*kept, status.st_mtime_ns, status.st_ino, path.read_bytes())
    if stat.S_ISLNK(status.st_mode):
        return (*kept, path.readlink())
    return kept


def record(site: Path, name: str) -> dict[str, object] | None:
    """A release's record, read from the disk."""
    path = site / ".opsnb" / "records" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def live(site: Path) -> str:
    """The release that ``current`` resolves to; empty when it is not there."""
    current = site / "current"
    return current.resolve().name if current.is_symlink() else ""


def good(site: Path) -> set[str]:
    """The good releases that are there."""
    names = {path.stem for path in (site / ".opsnb" / "records").glob("*.json")}
    return {
        name
        for name in names
        if (site / "releases" / name).is_dir()
        if (known := record(site, name)) and known["state"] == "good"
    }


def whole(site: Path, name: str) -> Iterator[str]:
    """Whether a release holds all that its manifest says."""
    tree = site / "releases" / name
    known = record(site, name)
    if not tree.is_dir() or tree.is_symlink():
        yield f"{name} is no directory"
    elif known is None or known["state"] not in COMPLETE:
        yield f"{name} is live or offered, and its record says {known and known['state']}"
    else:
        manifest = Manifest.decode((site / ".opsnb" / "manifests" / name).read_bytes())
        for path, entry in manifest.items():
            found = Path(os.fsdecode(os.fsencode(tree) + b"/" + path))
            if entry.kind is Kind.FILE and (
                not found.is_file()
                or hashlib.sha256(found.read_bytes()).hexdigest() != entry.sha256
            ):
                yield f"{name}: {path!r} is not what the manifest says"
            if entry.kind is Kind.DIR and not found.is_dir():
                yield f"{name}: {path!r} is missing"


@dataclass(frozen=True)
class Before:
    """A site as it was before the fault.

    Attributes:
        site: Its path.
        live: The live release.
        tree: A snapshot of that release.
        shared: A snapshot of ``shared/``.
        kept: Snapshots of what nobody may touch, by path in the site.
    """

    site: Path
    live: str
    tree: dict[str, tuple[object, ...]]
    shared: dict[str, tuple[object, ...]]
    kept: dict[str, dict[str, tuple[object, ...]]]

    @classmethod
    def of(cls, site: Path, keep: tuple[str, ...] = ()) -> Before:
        """Remember a site."""
        name = live(site)
        return cls(
            site,
            name,
            snapshot(site / "releases" / name) if name else {},
            snapshot(site / "shared"),
            {path: snapshot(site / path) for path in keep},
        )

    def broken(self, offered: list[str], report: Report | None) -> list[str]:
        """What does not hold any more.

        Args:
            offered: The releases that a rollback would offer now.
            report: What the change says became of it; None when it died.
        """
        return [*self._broken(offered), *(self._untrue(report) if report else ())]

    def _untrue(self, report: Report) -> Iterator[str]:
        now = live(self.site)
        if report.live and report.live != now:
            yield f"G4: the report says {report.live} is live; it is {now}"
        if report.switched is False and now != self.live:
            yield f"G4: the report says not switched; live is {now}, was {self.live}"
        put_back = report.outcome is Outcome.RESTORED
        if report.switched and put_back != (now == self.live):
            yield f"G4: the report says switched, {report.outcome}; live is {now}"
        if report.outcome is Outcome.UNKNOWN:
            yield UNKNOWN

    def _broken(self, offered: list[str]) -> Iterator[str]:
        site, now = self.site, live(self.site)
        if self.live or (site / "current").is_symlink():
            yield from (f"G1: {fault}" for fault in whole(site, now))
        if self.live and now == self.live and snapshot(site / "releases" / now) != self.tree:
            yield "G2: the live release changed"
        if snapshot(site / "shared") != self.shared:
            yield "G5: shared/ changed"
        for path, tree in self.kept.items():
            if snapshot(site / path) != tree:
                yield f"G6: {path} changed"
        for name in offered:
            yield from (f"G9: {fault}" for fault in whole(site, name))
        log = site / ".opsnb" / "audit.jsonl"
        if log.exists():
            yield from (f"G10: line {f.number}: {f.what}" for f in audit.verify(log.read_bytes()))


def debris(site: Path) -> list[str]:
    """What a finished change must not leave."""
    ours = site / ".opsnb"
    left = [*ours.glob("tmp.*"), *(ours / "trash").iterdir(), *site.glob(".current.opsnb.*")]
    unfinished = [path for path in (ours / "records").iterdir() if not _ended(path)]
    intent = [ours / "intent.json"] if (ours / "intent.json").exists() else []
    marks = list((ours / "watch").glob("*"))
    return [str(path.relative_to(site)) for path in left + unfinished + intent + marks]


def _ended(record: Path) -> bool:
    """Whether a record is whole, and of a release that is finished."""
    try:
        return bool(json.loads(record.read_text())["state"] != "unfinished")
    except json.JSONDecodeError:
        return False
