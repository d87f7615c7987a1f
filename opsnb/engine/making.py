"""How what is asked for becomes a folder: a commit checked out, a clean copy, a build.

Rule 1: everything happens in a private directory, which is there for as long as anybody has what
        was made in it.
Rule 2: the same commit, built in the same way, is built once while somebody has the result.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from opsnb.core.config import Settings
from opsnb.core.manifest import Kind, Manifest
from opsnb.core.origin import Commit, Origin, without_login
from opsnb.core.secrets import Secrets
from opsnb.core.settings.build import BuildSettings
from opsnb.core.settings.source import SourceSettings
from opsnb.core.text import safe
from opsnb.engine.building.copying import copy_tree
from opsnb.engine.building.isolation import Room, isolation
from opsnb.engine.building.kept import Shelf
from opsnb.engine.building.run import Build, output, refuse_links
from opsnb.engine.git.checkout import Wanted, check_out, resolve, without
from opsnb.engine.git.mirror import Remote, absolute, remote_of
from opsnb.engine.git.pointers import refuse_pointers
from opsnb.engine.hooks import KEPT, run_local
from opsnb.engine.ignore import Rules
from opsnb.engine.private import Workspace, remove
from opsnb.errors import SourceError

T = TypeVar("T")
REUSED_FOR = 3600.0  # seconds
Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Order:
    """What is to be made.

    Attributes:
        where: The folder; empty for the repository of the settings.
        settings: What is configured.
        ref: The branch, tag or commit of the repository.
        revision: What the source is, where that was said.
        by: Who asks.
        secrets: What its commands find in their environment and nobody is shown.
        hooks: The same for its hooks.
        again: Whether it is made even if it has been already.
    """

    where: str
    settings: Settings
    ref: str = ""
    revision: str = ""
    by: str = ""
    secrets: Secrets = field(default_factory=Secrets)
    hooks: Secrets = field(default_factory=Secrets)
    again: bool = False

    @property
    def builds(self) -> bool:
        """Whether anything is run."""
        return bool(self.settings.build or self.settings.before_build)


@dataclass(frozen=True, eq=False)
class Made:
    """A folder that was made to be released.

    Attributes:
        root: The folder.
        label: What the source is called, for the record.
        origin: Where its content comes from.
        room: Where it was made.
        space: Keeps it from being removed.
        at: When, on the clock of this process.
    """

    root: Path
    label: str
    origin: Origin
    room: Room
    space: Workspace
    at: float

    def check(self, manifest: Manifest) -> None:
        """Refuse what a server could not have.

        Args:
            manifest: What of it is to be released.

        Raises:
            BuildFailed: Links lead to what stays on this machine.
        """
        if self.origin.isolation:
            entries = [entry for entry in manifest.values() if entry.kind is Kind.LINK]
            refuse_links(self.room, self.root, {entry.path: entry.target for entry in entries})
        self._trim()

    def _trim(self) -> None:
        """Give back the room of what will not be released."""
        here = self.root
        while here.parent != self.space.path:
            for beside in here.parent.iterdir():
                if beside != here and beside.is_dir() and not beside.is_symlink():
                    remove(beside)
            here = here.parent


# What of the settings makes a difference to what is made.
_MATTER = {*SourceSettings.model_fields, *BuildSettings.model_fields, "before_build"}
# What somebody still has, by what it was made of.
_MADE: WeakValueDictionary[str, Made] = WeakValueDictionary()
_MAKING: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def make(order: Order, tell: Tell) -> Made:
    """Make what is asked for.

    Args:
        order: What.
        tell: Is told, line by line, what is done and what programs say.

    Raises:
        SourceError: The source cannot be had.
        ConfigError: It cannot be made as it is configured.
        BuildFailed: The build failed.
    """
    if order.where:
        return await _in_a_space(lambda space: _of_folder(order, space, tell))
    settings = order.settings
    wanted = Wanted(remote_of(settings), order.ref or settings.ref, settings.submodules)
    mirror, commit = await resolve(wanted, tell)
    tell(f"{commit.id[:10]} {safe(commit.subject)} ({safe(commit.author)}, {commit.at})")
    key = _key(order, commit, wanted.ref)
    # One at a time: whoever comes second finds what the first has made.
    alone = _MAKING.setdefault(key, asyncio.Lock())
    async with alone:
        before = _MADE.get(key)
        if before and not order.again and time.monotonic() - before.at < REUSED_FOR:
            tell(f"{commit.id[:10]} is made already: taking that")
            return before

        async def checked_out(space: Workspace) -> Made:
            tree = space.below("tree")
            found = await check_out(mirror, commit, wanted, tree, space, tell)
            origin = Origin(commit, wanted.ref, str(found.repository), notes=found.notes)
            for note in found.notes:
                tell(note)
            root = _below(tree, settings.subdirectory, wanted.remote)
            await asyncio.to_thread(refuse_pointers, root, settings.exclude)
            label = _label(order, wanted)
            made = await _built(order, origin, label, root, space, tell)
            if made.root == root:
                await without(tree, found.left_out)
            return made

        made = _MADE[key] = await _in_a_space(checked_out)
        return made


def _key(order: Order, commit: Commit, ref: str) -> str:
    said = order.settings.model_dump(mode="json", include=_MATTER)
    told = [commit.id, ref, order.revision, order.by, os.environ.get("PATH", "")]
    parts = [said, told, dict(order.secrets), dict(order.hooks)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _label(order: Order, wanted: Wanted) -> str:
    below = f":{order.settings.subdirectory}" if order.settings.subdirectory else ""
    return without_login(wanted.remote.url) + (f"#{wanted.ref}" if wanted.ref else "") + below


def _below(tree: Path, subdirectory: str, remote: Remote) -> Path:
    root = tree / subdirectory if subdirectory else tree
    if not root.is_dir() or not root.resolve().is_relative_to(tree.resolve()):
        raise SourceError(
            f"{remote.shown} has no directory {safe(subdirectory)} in that commit",
            "`subdirectory` in opsnb.toml names it.",
        )
    return root


async def _in_a_space(work: Callable[[Workspace], Awaitable[Made]]) -> Made:
    """Have something made in a directory that goes again when it cannot be."""
    space = await asyncio.to_thread(Workspace)
    try:
        return await work(space)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(space.close))
        raise


async def _of_folder(order: Order, space: Workspace, tell: Tell) -> Made:
    """Build a clean copy of a folder."""
    tree = space.path / "tree"
    tell(f"copying {safe(order.where)}")
    await asyncio.to_thread(_copied, absolute(order.where), tree, order.settings)
    return await _built(order, Origin(), order.where, tree, space, tell)


def _copied(folder: Path, tree: Path, settings: Settings) -> None:
    if not folder.is_dir():
        raise SourceError(f"the source {safe(str(folder))} is not a folder")
    cached = [path for cached in settings.cache for path in cached.paths]
    made = [*cached, settings.output] if settings.output != "." else cached
    listed = [*settings.build_exclude, *(f"/{_quoted(path)}" for path in made)]
    rules = Rules(folder, listed, own=False)

    def leave(path: bytes, is_dir: bool) -> bool:
        return rules.ignores(os.fsdecode(path), is_dir)

    try:
        copy_tree(os.fsencode(folder), os.fsencode(tree), leave)
    except OSError as error:
        name = safe(os.fsencode(error.filename or folder))
        raise SourceError(f"cannot copy {name}: {error.strerror}") from error


def _quoted(path: str) -> str:
    return "".join(f"\\{letter}" if letter in "*?[]\\ !#" else letter for letter in path)


async def _built(
    order: Order, origin: Origin, label: str, tree: Path, space: Workspace, tell: Tell
) -> Made:
    room = Room(space.path, space.path, space.path)
    if order.builds:
        room = Room(space.path, space.below("home"), space.below("tmp"))
        origin = await _run(order, origin, label, tree, room, tell)
    root, settings = tree, order.settings
    made = Made(tree, label, origin, room, space, time.monotonic())
    if order.builds and settings.output != ".":
        root = output(room, tree, settings.output)
    return replace(made, root=root)


async def _run(
    order: Order, origin: Origin, label: str, tree: Path, room: Room, tell: Tell
) -> Origin:
    """Run hooks and commands in a clean copy, with what earlier ones have left."""
    settings = order.settings
    reach = await isolation(settings)
    if settings.build:
        tell(f"building: {reach.said}")
    build = Build(settings, reach, room, tree, order.secrets, tell)
    told = _told(origin.commit, order)
    lines: list[str] = []
    shelf = Shelf(label, settings, lines.append)
    await asyncio.to_thread(shelf.take, tree)
    for line in lines:
        tell(line)
    if settings.before_build:
        own = {name: os.environ[name] for name in KEPT if name in os.environ}
        await run_local(settings.before_build, tree, {**own, **told}, tell, order.hooks)
    places = await asyncio.to_thread(shelf.keys, tree)
    seconds = await build.run(build.environment(told))
    await asyncio.to_thread(shelf.keep, tree, places)
    return replace(origin, build=settings.build, isolation=reach.said, seconds=seconds)


def _told(commit: Commit | None, order: Order) -> dict[str, str]:
    """What commands are told of what they build."""
    revision = order.revision or (commit.id if commit else "")
    told = {"OPSNB_REVISION": revision, "OPSNB_USER": order.by}
    if commit:
        with suppress(ValueError):
            seconds = datetime.fromisoformat(commit.at.replace("Z", "+00:00")).timestamp()
            told["SOURCE_DATE_EPOCH"] = str(int(seconds))
    return told
