"""Releases, and the site they belong to, as they were found on the server.

Rule 1: a release is what its record says; a directory alone proves nothing.
Rule 2: releases are ordered by the counter in their records, never by a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from opsnb.core import layout
from opsnb.core.manifest import check_path
from opsnb.core.marks import Holder, Intent, Pending, Watch
from opsnb.core.text import safe
from opsnb.core.written import UNREADABLE, as_text, checked, known, release_name


class State(StrEnum):
    """What is known of a release.

    ``unfinished`` is being built, or was when its maker died; ``unconfirmed`` is complete, but no
    check has yet said that it works; ``good`` has been confirmed; ``bad`` has failed its checks or
    was left by a rollback; ``unrecorded`` was made by somebody else.
    """

    UNFINISHED = "unfinished"
    UNCONFIRMED = "unconfirmed"
    GOOD = "good"
    BAD = "bad"
    UNRECORDED = "unrecorded"


def _link(value: object) -> str:
    """A linked path: what a record says of it ends in what is removed from a copy."""
    text = as_text(value)
    check_path(unquote_to_bytes(text))
    return text


def _config(value: object) -> str:
    """A configuration file and its short digest."""
    text = as_text(value)
    path, _, digest = text.rpartition(" ")
    check_path(path.encode("utf-8", "surrogatepass"))
    if not re.fullmatch(r"[0-9a-f]{8}", digest):
        raise ValueError("no short digest")
    return text


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a release is bad.

    Attributes:
        by: Who said so.
        at: When, UTC, ISO 8601.
        why: The reason.
        left: True when it worked and was left by a rollback, false when it failed its checks.
    """

    by: str
    at: str
    why: str
    left: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What ``.opsnb`` knows of one release.

    Attributes:
        name: The release's name.
        seq: Its place in the order of releases, from 1.
        state: See :class:`State`; never ``unrecorded``.
        at: When its making began, UTC, ISO 8601.
        by: Who made it.
        host: The machine it was made from.
        revision: What the source was; empty when not known.
        source: Where the source was.
        author: Who wrote the commit that the source was; empty when not known.
        subject: What that commit says of itself, its first line.
        committed: When that commit was made, UTC, ISO 8601.
        previous: The release that was live when it was made; empty for the first.
        files: Regular files in its manifest.
        size: Bytes in those files.
        manifest: The manifest's id (SHA-256).
        links: Paths linked to ``shared/``, as text with ``%XX`` for what is not plain.
        config: Its configuration files, each as its path (``shared/`` before one that is there), a
            space and a short digest.
        assets: SHA-256 of what is known of its old assets; empty when it has none.
        pinned: Whether prune must leave it alone.
        adopted: Whether another tool made it.
        verdict: Why it is bad, when it is.
    """

    name: str
    seq: int
    state: State
    at: str = ""
    by: str = ""
    host: str = ""
    revision: str = ""
    source: str = ""
    author: str = ""
    subject: str = ""
    committed: str = ""
    previous: str = ""
    files: int = 0
    size: int = 0
    manifest: str = ""
    links: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    assets: str = ""
    pinned: bool = False
    adopted: bool = False
    verdict: Verdict | None = None

    def encode(self) -> bytes:
        """The record as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=True, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, line: str | bytes) -> Record:
        """Read a record's JSON.

        Raises:
            ValueError: It is not a record.
        """
        try:
            said = known(cls, json.loads(line))
            said["name"] = release_name(said["name"])
            said["links"] = tuple(map(_link, said.get("links", ())))
            said["config"] = tuple(map(_config, said.get("config", ())))
            said["state"] = State(said["state"])
            verdict = said.get("verdict")
            said["verdict"] = Verdict(**known(Verdict, verdict)) if verdict else None
            return checked(cls(**said))
        except UNREADABLE as error:
            raise ValueError(f"not a record: {safe(line[:200])}") from error

    def bad(self, by: str, at: str, why: str, *, left: bool) -> Record:
        """The same release, marked bad."""
        return replace(self, state=State.BAD, verdict=Verdict(by, at, why, left))

    def good(self) -> Record:
        """The same release, confirmed."""
        return replace(self, state=State.GOOD, verdict=None)


def of_commit(record: Record) -> dict[str, str]:
    """What a record says of a commit; nothing when it says nothing."""
    told = {"author": record.author, "subject": record.subject, "committed": record.committed}
    return told if record.subject or record.committed else {}


@dataclass(frozen=True, slots=True)
class Release:
    """One directory below ``releases/``, and what is known of it.

    Attributes:
        name: The directory's name.
        record: Its record, or None when opsnb did not make it.
        present: Whether the directory is there (a record can outlive it for an instant).
        real: Whether it is a directory and not a link or a file.
        mtime: Its modification time, seconds since the epoch; only ever shown, never compared.
        live: Whether ``current`` points to it.
    """

    name: str
    record: Record | None = None
    present: bool = True
    real: bool = True
    mtime: float = 0.0
    live: bool = False

    @property
    def state(self) -> State:
        """What is known of it."""
        return self.record.state if self.record else State.UNRECORDED

    @property
    def seq(self) -> int:
        """Its place in the order; 0 when it has no record."""
        return self.record.seq if self.record else 0

    @property
    def pinned(self) -> bool:
        """Whether prune must leave it alone."""
        return self.record is not None and self.record.pinned

    @property
    def complete(self) -> bool:
        """Whether everything that belongs in it is there."""
        return self.present and self.state in (State.UNCONFIRMED, State.GOOD, State.BAD)


class CurrentKind(StrEnum):
    """What stands at ``current``."""

    NONE = "none"
    RELEASE = "release"
    DANGLING = "dangling"
    ELSEWHERE = "elsewhere"
    DIRECTORY = "directory"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Current:
    """The live link.

    Attributes:
        kind: What stands there.
        target: The link's text, as found.
        name: The release it resolves to; empty unless ``kind`` is ``release``.
    """

    kind: CurrentKind = CurrentKind.NONE
    target: bytes = b""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Everything one look at a server tells.

    Attributes:
        deploy_to: The deployment path.
        exists: Whether the path is there.
        ours: Whether ``.opsnb`` is there.
        entries: Names of what stands directly in ``deploy_to``, with the letter of its kind.
        current: The live link.
        releases: What stands in ``releases/`` and what has a record, oldest first.
        shared: Paths directly in ``shared/`` with the letter of their kind.
        counter: The highest ``seq`` given out.
        holder: Who has the lock now; None when it is free.
        hold: The hold or the freeze placed by hand, when there is one.
        lapsed: The one that has ended by itself and still lies there; see :meth:`at`.
        intent: A switch that nobody has settled, when there is one.
        watches: Marks of watchdogs, the latest last; more than one only where changes have died.
        pending: Configuration that a dead change has placed, or was about to, when there is some.
        debris: How many things in ``.opsnb`` a dead change left.
        free_bytes: Free space for this user, bytes.
        free_inodes: Free inodes; 0 where the file system does not count them.
        file_system: The kind of file system, as the server calls it.
        user: Who we are on the server.
        writable: Whether we may write in ``deploy_to``, or make it.
        closed: The directory of its own in it that we may not write to; empty for none.
        missing: Tools or abilities that a change needs and the server lacks.
        audit_tail: The last line of the audit log.
        torn: Whether lines of the audit log that a power cut had cut short were put aside.
        broken: Records that could not be read, by file name.
        spare: The release that is kept aside, when there is one.
        packers: What the server can unpack: ``zstd``, ``gzip``.
        tools: Programs that only some settings need, as far as they are there.
        commands: Whether commands can be run there; not where there is SFTP only.
        users: A process that uses a release, by the release's name, where that was asked for.
        unseen: Whether there are processes that could not be looked into.
        measured: Bytes that releases take on the disk, where that was asked for.
        adoption: What an adoption has made here, as it wrote it down; None without one.
        fingerprint: What the server itself knows it by again; empty where it was not asked for.
    """

    deploy_to: str
    exists: bool = False
    ours: bool = False
    entries: Mapping[bytes, str] = field(default_factory=dict)
    current: Current = Current()
    releases: tuple[Release, ...] = ()
    shared: Mapping[bytes, str] = field(default_factory=dict)
    counter: int = 0
    holder: Holder | None = None
    hold: Holder | None = None
    lapsed: Holder | None = None
    intent: Intent | None = None
    watches: tuple[Watch, ...] = ()
    pending: Pending | None = None
    debris: int = 0
    free_bytes: int = 0
    free_inodes: int = 0
    file_system: str = ""
    user: str = ""
    writable: bool = True
    closed: str = ""
    missing: tuple[str, ...] = ()
    audit_tail: bytes = b""
    torn: bool = False
    broken: tuple[str, ...] = ()
    spare: Record | None = None
    packers: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    commands: bool = True
    users: Mapping[str, str] = field(default_factory=dict)
    unseen: bool = False
    measured: Mapping[str, int] = field(default_factory=dict)
    adoption: bytes | None = None
    fingerprint: str = ""

    def at(self, now: datetime) -> Site:
        """The same at a time: a hold that has ended by itself holds nothing.

        Args:
            now: The present time, aware.
        """
        if self.hold is None or not self.hold.lapsed(now):
            return self
        return replace(self, hold=None, lapsed=self.hold)

    def find(self, name: str) -> Release | None:
        """The release of that name, when there is one."""
        return next((release for release in self.releases if release.name == name), None)

    @property
    def live(self) -> Release | None:
        """The release that visitors see."""
        return self.find(self.current.name) if self.current.name else None

    @property
    def watch(self) -> Watch | None:
        """The mark of the latest watchdog, when there is one."""
        return self.watches[-1] if self.watches else None

    @property
    def names(self) -> frozenset[str]:
        """Every release name that is taken."""
        return frozenset(release.name for release in self.releases)

    @property
    def remains(self) -> tuple[str, ...]:
        """Of the broken records, those of releases that are not there: what a power cut left."""
        names = self.names
        return tuple(name for name in self.broken if layout.is_name(name) and name not in names)

    @property
    def unread(self) -> tuple[str, ...]:
        """The other broken records, which nobody removes."""
        remains = self.remains
        return tuple(name for name in self.broken if name not in remains)

    @property
    def in_the_way(self) -> tuple[str, ...]:
        """What stands in ``deploy_to`` that a first deploy must not touch.

        Where opsnb has been and nothing of its own is left, an adoption was cut off.
        """
        if self.ours and (self.counter or self.broken or self.adoption):
            return ()
        own = (b"releases", b"shared", b".opsnb")
        foreign = [safe(path) for path in self.entries if path not in own]
        foreign = [name for name in foreign if not name.startswith(".current.opsnb.")]
        if self.ours and not foreign:
            return ()
        unknown = [layout.release(safe(release.name)) for release in self.releases]
        return tuple(sorted(foreign + unknown))

    @property
    def made_by(self) -> str:
        """The tool whose layout this is, ``another tool``, or nothing for nobody's."""
        return "opsnb" if self.ours else self.maker

    @property
    def maker(self) -> str:
        """The same, whoever has come since."""
        return _maker(self.entries, [release.name for release in self.releases])

    @property
    def state_id(self) -> str:
        """What a plan rests on, as one comparable text."""
        return json.dumps(
            [
                self.current.name,
                self.current.kind,
                [(r.name, r.seq, r.state, r.pinned, r.present) for r in self.releases],
            ]
        )


def _maker(entries: Mapping[bytes, str], names: list[str]) -> str:
    """The tool that laid a site out, by the names that stand there."""
    with_zone = [name for name in names if name.endswith("Z") and layout.is_name(name[:-1])]
    marks = {
        "": not names,
        "Deployer": b".dep" in entries,
        "Capistrano": b"revisions.log" in entries,
        "Ansistrano": len(with_zone) == len(names),
        "Capistrano ": b"repo" in entries,
        "Envoyer": b"storage" in entries and all(map(layout.is_name, names)),
    }
    return next((tool.strip() for tool, found in marks.items() if found), "another tool")


def order(releases: list[Release]) -> tuple[Release, ...]:
    """Releases oldest first: those without a record by name, then the others by counter.

    Names that are numbers (Deployer's 1, 2, … 10) are in the order of the numbers.
    """
    return tuple(
        sorted(
            releases,
            key=lambda r: (
                r.seq,
                int(r.name) if _counts(r.name) else 0,
                r.name,
            ),
        )
    )


def _counts(name: str) -> bool:
    return len(name) < 40 and name.isascii() and name.isdigit()


def rollback_targets(site: Site) -> tuple[Release, ...]:
    """Good releases older than the live one, the newest first.

    With no live release (``current`` is missing or dangling) every good release is a target.
    """
    live = site.live
    before = live.seq if live and live.record else float("inf")
    good = [r for r in site.releases if r.present and r.real and r.state is State.GOOD]
    return tuple(reversed([r for r in good if r.seq < before and not r.live]))
