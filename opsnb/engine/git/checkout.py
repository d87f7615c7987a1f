"""A commit as files: exactly what it holds, in a directory of its own.

Rule 1: only git's own conversions are made (line ends, where .gitattributes asks for them); a
        filter is a program of somebody's, and none runs.
Rule 2: a submodule comes from where the commit says, if that is an address that opsnb would take
        from a person; from this machine only where the repository itself is on it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from opsnb.core.manifest import parents
from opsnb.core.origin import Commit
from opsnb.core.text import plural, safe
from opsnb.engine import private
from opsnb.engine.git.mirror import Mirror, Remote
from opsnb.engine.git.past import told
from opsnb.engine.git.program import GitFailed
from opsnb.engine.git.submodules import addresses, of_submodule
from opsnb.engine.private import Workspace
from opsnb.errors import SourceError

DEEPEST = 8  # submodules in submodules
NAMED = 5
AT_ONCE = 500  # paths that git is asked about at once


@dataclass(frozen=True)
class Wanted:
    """What is asked of a repository.

    Attributes:
        remote: The repository.
        ref: A branch, a tag or a commit; empty for what the repository itself names.
        submodules: Whether its submodules come along.
    """

    remote: Remote
    ref: str
    submodules: bool


@dataclass(frozen=True)
class CheckedOut:
    """A commit as files.

    Attributes:
        commit: The commit.
        repository: Where its history can be read.
        left_out: Paths that the commit keeps out of releases (``export-ignore``).
        notes: What the user should know.
    """

    commit: Commit
    repository: Path
    left_out: tuple[bytes, ...] = ()
    notes: tuple[str, ...] = ()


Tell = Callable[[str], None]


async def resolve(wanted: Wanted, tell: Tell) -> tuple[Mirror, Commit]:
    """The commit that is asked for now, and the copy of the repository that holds it.

    Raises:
        SourceError: There is none, or it cannot be fetched.
    """
    mirror = Mirror(wanted.remote, tell)
    async with mirror.held():
        try:
            return mirror, await _resolved(mirror, wanted.ref)
        except GitFailed:
            if not await mirror.broken():
                raise
            tell("the copy of the repository is broken: making it anew")
            await mirror.anew()
            return mirror, await _resolved(mirror, wanted.ref)


async def _resolved(mirror: Mirror, ref: str) -> Commit:
    name = await mirror.commit(ref)
    return (await told(mirror.git, name))[0]


async def check_out(
    mirror: Mirror, commit: Commit, wanted: Wanted, into: Path, space: Workspace, tell: Tell
) -> CheckedOut:
    """Write a commit's files.

    Args:
        mirror: The copy of the repository that holds it.
        commit: The commit.
        wanted: What is asked of the repository.
        into: An empty directory.
        space: Where there is room for what git needs besides.
        tell: Is told, line by line, what takes a while.

    Raises:
        SourceError: It cannot be checked out.
    """
    try:
        return await _written(mirror, commit, wanted, into, space, tell, 0)
    except GitFailed:
        async with mirror.held():
            if not await mirror.broken():
                raise
            tell("the copy of the repository is broken: making it anew")
            await mirror.anew()
            await mirror.commit(commit.id)
        return await _written(mirror, commit, wanted, into, space, tell, 0)


async def _written(
    mirror: Mirror,
    commit: Commit,
    wanted: Wanted,
    into: Path,
    space: Workspace,
    tell: Tell,
    depth: int,
) -> CheckedOut:
    index = {"GIT_INDEX_FILE": str(space.path / f"index{depth}"), "GIT_WORK_TREE": str(into)}
    git = mirror.git
    await git("read-tree", commit.id, **index)
    await git("checkout-index", "--all", "--force", "--quiet", **index)
    listed = await git("ls-files", "--stage", "-z", **index)
    links = _links(listed)
    notes: tuple[str, ...] = ()
    left_out = await _left_out(mirror, listed, into, index)
    if links and not wanted.submodules:
        named = ", ".join(safe(path) for path in list(links)[:NAMED])
        notes = (f"{plural(len(links), 'submodule')} left empty (submodules = true): {named}",)
    elif links:
        await _submodules(mirror, commit, wanted, into, space, tell, depth, links)
    return CheckedOut(commit, mirror.path, left_out, notes)


def _links(listed: bytes) -> dict[bytes, str]:
    """The submodules of a commit: by path, the commit of each."""
    found = {}
    for entry in listed.split(b"\0"):
        facts, _, path = entry.partition(b"\t")
        if facts.startswith(b"160000 "):
            found[path] = facts.split(b" ")[1].decode("ascii", "replace")
    return found


async def _left_out(
    mirror: Mirror, listed: bytes, into: Path, index: dict[str, str]
) -> tuple[bytes, ...]:
    """What .gitattributes marks with export-ignore, as it is for ``git archive``."""
    paths = [entry.partition(b"\t")[2] for entry in listed.split(b"\0") if entry]
    rules = [path for path in paths if path.rpartition(b"/")[2] == b".gitattributes"]
    if not any(b"export-ignore" in _text(into, path) for path in rules):
        return ()
    above = {up for path in paths for up in parents(path)}
    asked = [os.fsdecode(path) for path in (*sorted(above), *paths)]
    found: list[bytes] = []
    for at in range(0, len(asked), AT_ONCE):
        some = asked[at : at + AT_ONCE]
        told = await mirror.git(
            "check-attr", "--cached", "-z", "export-ignore", "--", *some, **index
        )
        parts = told.split(b"\0")
        pairs = zip(parts[::3], parts[2::3], strict=False)
        found += [path for path, value in pairs if value == b"set"]
    return tuple(found)


def _text(root: Path, path: bytes) -> bytes:
    place = root / os.fsdecode(path)
    return place.read_bytes() if place.is_file() and not place.is_symlink() else b""


async def _submodules(
    mirror: Mirror,
    commit: Commit,
    wanted: Wanted,
    into: Path,
    space: Workspace,
    tell: Tell,
    depth: int,
    links: dict[bytes, str],
) -> None:
    if depth >= DEEPEST:
        raise SourceError(f"submodules of {mirror.remote.shown} lie in each other too deep")
    urls = await addresses(mirror, commit)
    for path, name in links.items():
        if path not in urls:
            raise SourceError(f"{mirror.remote.shown} does not say where {safe(path)} comes from")
        remote = replace(mirror.remote, url=of_submodule(mirror.remote, urls[path], path))
        inner = replace(wanted, remote=remote, ref=name)
        below = _inside(into, path)
        there, found = await resolve(inner, tell)
        await _written(there, found, inner, below, space, tell, depth + 1)


def _inside(into: Path, path: bytes) -> Path:
    """The directory of a submodule, which no link of the commit's may lead away from."""
    below = into / os.fsdecode(path)
    if below.resolve() != into.resolve() / os.fsdecode(path):
        raise SourceError(f"the submodule {safe(path)} lies outside")
    below.mkdir(exist_ok=True)
    return below


async def without(root: Path, left_out: tuple[bytes, ...]) -> None:
    """Remove what a commit keeps out of releases."""
    await asyncio.to_thread(_remove, os.fsencode(root), left_out)


def _remove(root: bytes, paths: tuple[bytes, ...]) -> None:
    base = Path(os.fsdecode(root))
    for path in map(os.fsdecode, paths):
        place = base / path
        # A build may have put a link where a directory was: nothing is removed through it.
        if place.parent.resolve() != base.resolve() / Path(path).parent:
            continue
        if place.is_dir() and not place.is_symlink():
            private.remove(place)
        else:
            place.unlink(missing_ok=True)
