"""Directories that a build made and the next one begins with: ``node_modules`` and its like.

Rule 1: they are known by what they depend on: the content of files, the commands, the environment.
Rule 2: only what a build that went well has left is kept, and it appears as a whole or not at all.
Rule 3: nothing here is ever needed: what is not as it was kept is as good as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsnb.core.settings.build import BuildSettings, Cached
from opsnb.engine import private
from opsnb.engine.building.copying import copy_tree

KEPT_KEYS = 3  # for each set of directories
KEPT_SETS = 30
MARK = "whole.json"


@dataclass(frozen=True)
class Shelf:
    """Where the directories of one build are kept.

    Attributes:
        where: What is built: builds of other sources have other shelves.
        settings: How it is built.
        tell: Is told what becomes of them, line by line.
    """

    where: str
    settings: BuildSettings
    tell: Callable[[str], None]

    def take(self, tree: Path) -> None:
        """Put what was kept into a clean copy, where its files are as they were then.

        Args:
            tree: The copy.
        """
        for cached in self.settings.cache:
            place = self._place(cached, tree)
            if place is None or not place.is_dir():
                self.tell(f"nothing kept for {_named(cached)}")
            elif _is_whole(place, cached) and _bring(place, cached, tree):
                os.utime(place)
                self.tell(f"taking {_named(cached)} as an earlier build left it")
            else:
                self.tell(f"what was kept for {_named(cached)} is not whole: it is made anew")
                private.remove(place)

    def keys(self, tree: Path) -> list[Path | None]:
        """Where each set of directories is to be kept, by the files as they are before a build.

        Args:
            tree: The clean copy.
        """
        return [self._place(cached, tree) for cached in self.settings.cache]

    def keep(self, tree: Path, places: Iterable[Path | None]) -> None:
        """Keep what a build has left.

        Args:
            tree: The copy, built.
            places: What :meth:`keys` gave before it was.
        """
        for cached, place in zip(self.settings.cache, places, strict=True):
            if place is not None and not (place.is_dir() and _is_whole(place, cached)):
                with suppress(OSError):
                    self._keep(cached, place, tree)

    def _keep(self, cached: Cached, place: Path, tree: Path) -> None:
        made = [path for path in cached.paths if _is_own(tree, path)]
        if not made:
            return
        new = Path(tempfile.mkdtemp(dir=place.parent, prefix="new."))
        try:
            for path in made:
                copy_tree(os.fsencode(tree / path), os.fsencode(new / _name(cached, path)))
            (new / MARK).write_text(json.dumps(_looks(new, cached)))
            private.remove(place)
            new.rename(place)
        finally:
            private.remove(new)
        _forget(place.parent, KEPT_KEYS)
        _forget(place.parent.parent, KEPT_SETS)

    def _place(self, cached: Cached, tree: Path) -> Path | None:
        settings = self.settings
        known: list[object] = [_content(tree, path) for path in cached.key]
        known += [settings.build, dict(settings.env), settings.container, platform.machine()]
        shelf = _digest([self.where, cached.paths])
        with suppress(OSError):
            above = private.directory("built", shelf)
            os.utime(above)
            return above / _digest(known)
        return None


def _digest(known: object) -> str:
    text = json.dumps(known, sort_keys=True, ensure_ascii=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _content(tree: Path, path: str) -> str:
    """The SHA-256 of a file that directories depend on; empty where there is none."""
    place = tree / path
    with suppress(OSError):
        if stat.S_ISREG(place.lstat().st_mode):
            return hashlib.sha256(place.read_bytes()).hexdigest()
    return ""


def _named(cached: Cached) -> str:
    return ", ".join(cached.paths)


def _name(cached: Cached, path: str) -> str:
    return str(cached.paths.index(path))


def _is_own(tree: Path, path: str) -> bool:
    """Whether a directory lies in the tree itself, and not behind a link."""
    place = tree / path
    return place.is_dir() and place.resolve() == _inside(tree, place)


def _bring(place: Path, cached: Cached, tree: Path) -> bool:
    try:
        for path in cached.paths:
            kept, target = place / _name(cached, path), tree / path
            if kept.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                # A commit may have a link there, which would lead the copy out of the tree.
                if target.is_symlink() or target.parent.resolve() != _inside(tree, target.parent):
                    raise NotADirectoryError(os.fspath(target))
                shutil.rmtree(target, ignore_errors=True)
                copy_tree(os.fsencode(kept), os.fsencode(target))
    except OSError:
        for path in cached.paths:
            if _is_own(tree, path):
                shutil.rmtree(tree / path, ignore_errors=True)
        return False
    return True


def _inside(tree: Path, place: Path) -> Path:
    """Where a place of a tree is, when no link is on the way."""
    return tree.resolve() / place.relative_to(tree)


def _is_whole(place: Path, cached: Cached) -> bool:
    """Whether what is kept looks as it did when it was."""
    try:
        return bool(json.loads((place / MARK).read_text()) == _looks(place, cached))
    except (OSError, ValueError, RecursionError):
        return False


def _looks(place: Path, cached: Cached) -> Mapping[str, str]:
    """How each directory looks: names, kinds, modes, sizes and times of all that is in it."""
    names = [_name(cached, path) for path in cached.paths]
    return {name: _look(os.fsencode(place / name)) for name in names if (place / name).is_dir()}


def _look(root: bytes) -> str:
    digest = hashlib.sha256()
    below = [root]
    while below:
        here = below.pop()
        with os.scandir(here) as found:
            items = sorted(found, key=lambda item: item.name)
        for item in items:
            status = item.stat(follow_symlinks=False)
            plain = stat.S_ISREG(status.st_mode)
            facts = (
                (status.st_mode, status.st_size, status.st_mtime_ns) if plain else (status.st_mode,)
            )
            digest.update(b"%b %b\0" % (item.path[len(root) :], repr(facts).encode()))
            if item.is_dir(follow_symlinks=False):
                below.append(item.path)
    return digest.hexdigest()


def _forget(above: Path, most: int) -> None:
    """Keep those that were used last."""
    kept = [place for place in above.iterdir() if not place.name.startswith(("new.", private.GONE))]
    ordered = sorted(kept, key=lambda place: place.stat().st_mtime_ns, reverse=True)
    for place in ordered[most:]:
        private.remove(place)
