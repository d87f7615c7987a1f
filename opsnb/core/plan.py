"""What a plan is: everything that a change will do, before anything is done.

Rule 1: a plan is carried out exactly, or not at all: ``state_id`` says what it rests on.
Rule 2: it is data. ``plan_deploy.py`` and ``plan_rollback.py`` make it, the engine carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from opsnb.core.config import Settings
from opsnb.core.configfiles import ConfigChange, ConfigFile
from opsnb.core.hooks import Due
from opsnb.core.keepassets import Assets
from opsnb.core.manifest import Difference, Manifest, parents
from opsnb.core.origin import Origin, Past
from opsnb.core.release import Record
from opsnb.core.retention import Retention, Rules
from opsnb.core.settings.caches import Opcache, Purge
from opsnb.core.settings.health import Health
from opsnb.core.settings.hooks import Hook
from opsnb.core.spare import Reuse
from opsnb.core.text import safe

Verb = Literal["deploy", "rollback", "prune"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks a deploy for.

    Attributes:
        source: What the source holds.
        label: Where the source is, for the record.
        settings: What is configured for the server.
        revision: What the source was; empty when not known.
        by: Who asks.
        host: The machine they ask from.
        force: Whether to make a release that changes nothing.
        origin: Where its content comes from.
        once_at: The server that runs the hooks that run once in its environment; empty for this.
        config: Configuration files that were made for it; those for the release are in the source.
    """

    source: Manifest
    label: str
    settings: Settings
    revision: str = ""
    by: str = ""
    host: str = ""
    force: bool = False
    once_at: str = ""
    config: tuple[ConfigFile, ...] = ()
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True)
class Build:
    """How a new release comes to be.

    Attributes:
        base: The release to copy; empty to begin with nothing.
        hardlink: Whether unchanged files share their inode with it.
        drop: Paths to remove from the copy, links into ``shared/`` among them.
        send: Paths to send from the source, in the order of their names.
        modes: Paths whose mode is to be set, with the mode.
        make: Directories to make in ``shared/``.
        seed: Directories to move from the release to ``shared/``, once.
        links: Paths to link into ``shared/``.
        manifest: What the release holds of its source.
        carried: What it holds besides, from the release it copies; None when that may be anything.
        before: Hooks that may write into it before the switch.
        reuse: What the release kept aside loses and takes from the live one to become this one;
            None when the live one is copied instead.
    """

    base: str
    hardlink: bool
    drop: tuple[bytes, ...]
    send: tuple[bytes, ...]
    modes: tuple[tuple[bytes, int], ...]
    make: tuple[bytes, ...]
    seed: tuple[bytes, ...]
    links: tuple[bytes, ...]
    manifest: Manifest
    carried: frozenset[bytes] | None
    before: tuple[Hook, ...]
    reuse: Reuse | None = None

    @property
    def through(self) -> frozenset[bytes]:
        """Where what it begins as must hold no link: what is done below one is done elsewhere."""
        modes = [path for path, _ in self.modes]
        dropped = frozenset(self.reuse.drop if self.reuse else self.drop)
        brought = self.reuse.bring if self.reuse else ()
        done = {*self.send, *brought, *modes, *self.links, *self.seed}
        above = {up for path in done for up in parents(path)} | {*modes, *self.seed}
        kept = {path for path in above if not dropped.intersection((path, *parents(path)))}
        return frozenset(kept | {up for path in dropped for up in parents(path)})


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Everything that a change will do.

    Attributes:
        verb: What kind of change.
        name: The release that will be live; for a prune, the one that is.
        previous: The release that is live now; empty when none is.
        state_id: What the plan rests on (:attr:`Site.state_id`).
        build: How a new release is made; None for a rollback or a prune.
        record: The new release's record when it is finished; None likewise.
        difference: What visitors' files lose and gain against the live release.
        send_bytes: Bytes of content to send.
        carried: Paths that the application wrote in the live release and that stay.
        overwritten: Paths changed on the server that the source's version replaces.
        hooks: Hooks by their points, and those that are left out.
        opcache: How PHP's cache of compiled code is emptied after the switch; None for not at all.
        purge: The caches that are purged after it.
        health: What must answer, before the switch or after it.
        watchdog: Within how many seconds after the switch it must be confirmed, so that the server
            does not put the previous release back by itself; 0 for no such limit.
        retention: What is pruned, and what stays, with reasons.
        keep_releases: How many good releases the retention keeps.
        rules: What it was decided by.
        early: Those of its releases that go before the new one is made, to make room for it.
        needs: Bytes and inodes that the new one takes.
        unseen: What cannot be known of processes that may use what is pruned.
        marks_bad: The release that a rollback leaves and marks bad; empty for none, as when it
            goes forward again.
        aside: The pruned release that the next one is to be made of; empty for none.
        clears_spare: Whether the one that is aside is deleted: its room is needed, or no release
            will be made of it.
        assets: Files of earlier releases that the new one keeps for a while.
        config: Configuration files, and what becomes of each.
        origin: Where its content comes from.
        past: The commits between the live release and this one; None where neither is known.
        why: The reason given.
        nothing: Whether there is nothing to do.
        warnings: What the user should know before saying yes.
    """

    verb: Verb
    name: str
    previous: str
    state_id: str
    build: Build | None = None
    record: Record | None = None
    difference: Difference = Difference()
    send_bytes: int = 0
    carried: tuple[bytes, ...] = ()
    overwritten: tuple[bytes, ...] = ()
    hooks: tuple[Due, ...] = ()
    opcache: Opcache | None = None
    purge: tuple[Purge, ...] = ()
    health: tuple[Health, ...] = ()
    watchdog: int = 0
    retention: Retention = field(default_factory=lambda: Retention({}, {}))
    keep_releases: int = 0
    rules: Rules = Rules()
    early: tuple[str, ...] = ()
    needs: tuple[int, int] = (0, 0)
    unseen: str = ""
    marks_bad: str = ""
    aside: str = ""
    clears_spare: bool = False
    assets: Assets = field(default_factory=Assets)
    config: tuple[ConfigChange, ...] = ()
    origin: Origin = field(default_factory=Origin)
    past: Past | None = None
    why: str = ""
    nothing: bool = False
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Plan {self.verb} {safe(self.previous) or 'nothing'} → {safe(self.name)}>"

    @property
    def meaning(self) -> tuple[object, ...]:
        """What makes two plans the same plan, whatever second they were made in."""
        build = self.build
        steps = (
            (build.base, build.drop, build.send, build.modes, build.make, build.seed, build.links)
            if build
            else (self.name,)
        )
        config = tuple((change.file, change.how, change.before) for change in self.config)
        return (
            self.verb,
            self.previous,
            self.state_id,
            steps,
            self.retention.meaning,
            config,
        )


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A deploy cannot be planned yet: directories of ``shared/`` must be listed first."""

    paths: tuple[bytes, ...]
