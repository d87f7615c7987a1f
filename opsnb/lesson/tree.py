"""A site's files as they are on the disk at this moment, and how one moment differs from another.

Rule: everything is read from the disk. What is being written may be gone when it is looked at, and
then it is not in the picture.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opsnb.core.text import plural, safe

Sign = Literal[" ", "+", "~", "−"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a tree.

    Attributes:
        trunk: What leads to the name, in box-drawing characters.
        name: What stands there.
        words: What is to be said of it.
        note: What is less important: a change of it alone does not count as one.
        live: Whether it is what visitors see.
    """

    trunk: str
    name: str
    words: str = ""
    note: str = ""
    live: bool = False

    @property
    def key(self) -> str:
        """What it is the line of: the target of a link may change, the link is the same."""
        return self.name.partition(" → ")[0]

    @property
    def shape(self) -> tuple[str, str, bool]:
        """What counts as a change."""
        return self.name, self.words, self.live


Tree = tuple[Line, ...]


def shape(tree: Tree) -> tuple[tuple[str, str, bool], ...]:
    """What a tree looks like, but for its notes.

    Args:
        tree: The tree.
    """
    return tuple(line.shape for line in tree)


def site_tree(deploy_to: Path) -> Tree:
    """A released site: ``current``, ``releases/`` and ``shared/``.

    Args:
        deploy_to: The deployment path.
    """
    target = _target(deploy_to / "current")
    releases = _names(deploy_to / "releases")
    lines = [Line("├── ", f"current → {safe(target)}" if target else "current is not there")]
    lines.append(Line("├── ", "releases/"))
    for name in releases:
        corner = "└── " if name == releases[-1] else "├── "
        folder = deploy_to / "releases" / name
        live = target == f"releases/{name}"
        files = plural(sum(1 for _ in _files(folder)), "file")
        words = f"{_version(folder)} ● live" if live else _version(folder)
        lines.append(Line(f"│   {corner}", safe(name), words, files, live))
    lines.append(Line("└── ", "shared/"))
    shared = sorted(
        path.relative_to(deploy_to / "shared").as_posix() for path in _files(deploy_to / "shared")
    )
    lines += [Line("    └── " if path == shared[-1] else "    ├── ", safe(path)) for path in shared]
    return tuple(lines)


def folder_tree(folder: Path, old: Path, new: Path) -> Tree:
    """A document root: of each thing in it, how far it has come from one version to another.

    Args:
        folder: The document root.
        old: The old version's folder.
        new: The new version's folder.
    """
    names = sorted(set(_names(old)) | set(_names(new)))
    lines = [Line("", f"{safe(folder.name)}/")]
    for name in names:
        corner = "└── " if name == names[-1] else "├── "
        shown = safe(name) + ("/" if (new / name).is_dir() else "")
        lines.append(Line(corner, shown, _progress(folder / name, old / name, new / name)))
    return tuple(lines)


def _progress(here: Path, old: Path, new: Path) -> str:
    """How many of the files that differ are new, old, or neither: half written."""
    was, will, found = _contents(old), _contents(new), _contents(here)
    differ = [path for path in was | will if was.get(path) != will.get(path)]
    if not differ:
        return "the same in both"
    done = sum(found.get(path) == will.get(path) for path in differ)
    half = sum(found.get(path) not in (was.get(path), will.get(path)) for path in differ)
    said = ["half written"] if half else []
    if done == len(differ) or done == half == 0:
        return "new" if done else "old"
    return ", ".join([f"{done} of {len(differ)} new", *said])


def _contents(path: Path) -> dict[str, bytes]:
    """Every file below a path, or the file itself."""
    found = {}
    for file in [path] if path.is_file() else _files(path):
        with suppress(OSError):  # it went away meanwhile
            found[file.relative_to(path).as_posix()] = file.read_bytes()
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names alone
    except OSError:
        return []


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder; links are not followed."""
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in names)


def _version(release: Path) -> str:
    with suppress(OSError, ValueError):
        return safe(str(json.loads((release / "status.json").read_text("utf-8"))["version"]))
    return ""


def changes(before: Tree, after: Tree) -> list[tuple[Sign, Line]]:
    """One tree drawn as it differs from another: what came, changed, went, and all that stayed.

    Args:
        before: The earlier tree; an empty one to compare with nothing.
        after: The later tree.
    """
    old = {line.key: line for line in before}
    drawn = [(_sign(old.get(line.key), line, bool(before)), line) for line in after]
    for number, line in enumerate(before):
        if line.key not in {one.key for one in after}:
            drawn.insert(_place(drawn, before[:number]), ("−", line))
    return drawn


def _sign(old: Line | None, line: Line, compared: bool) -> Sign:
    if not compared or (old and old.shape == line.shape):
        return " "
    return "~" if old else "+"


def _place(drawn: Sequence[tuple[Sign, Line]], above: Tree) -> int:
    """Where a line that went belongs: below what stood above it."""
    keys = [line.key for _, line in drawn]
    return next((keys.index(line.key) + 1 for line in reversed(above) if line.key in keys), 0)
