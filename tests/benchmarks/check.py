"""Whether a tool really did the job: the live release is the source, and nothing is broken.

Rule: what is looked at is the server's disk, never what the tool says.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

OWN = {"REVISION"}
"""What tools write into the top of a release by design."""


def releases(deploy_to: Path) -> list[str]:
    """The names of the releases, the oldest first."""
    folder = deploy_to / "releases"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def live(deploy_to: Path) -> Path:
    """The live release's folder.

    Raises:
        OSError: There is none.
    """
    return (deploy_to / "current").resolve(strict=True)


def deployed(deploy_to: Path, tree: Path, keep: int, relative: bool = True) -> list[str]:
    """What is wrong after a deploy; nothing, if all is well.

    Args:
        deploy_to: The site.
        tree: What was deployed.
        keep: How many releases may be there.
        relative: Whether ``current`` must be a relative link.
    """
    found = releases(deploy_to)
    wrong = [f"{len(found)} releases, not {keep} at most"] if len(found) > keep else []
    return wrong + linked(deploy_to, relative) or different(tree, live(deploy_to))


def linked(deploy_to: Path, relative: bool = True) -> list[str]:
    """What is wrong with ``current``: it is a link to a release that is there, and relative."""
    current = deploy_to / "current"
    if not current.is_symlink():
        return ["current is no link"]
    target = os.readlink(current)
    if relative and target.startswith("/"):
        return [f"current leads to {target}, which is not relative"]
    if not current.is_dir() or current.resolve().parent != (deploy_to / "releases").resolve():
        return [f"current leads to {target}, which is no release"]
    return []


def different(tree: Path, release: Path) -> list[str]:
    """How a release differs from a tree: paths, kinds, modes, content, where links lead."""
    wanted, found = _entries(str(tree)), _entries(str(release))
    wrong = [f"{path} is missing" for path in sorted(wanted.keys() - found.keys())]
    wrong += [f"{path} is too many" for path in sorted(found.keys() - wanted.keys() - OWN)]
    for path, (kind, mode) in wanted.items():
        if path in found and found[path] != (kind, mode):
            wrong.append(f"{path} is {found[path][0]} {found[path][1]:o}, not {kind} {mode:o}")
        elif path in found and not _same(kind, f"{tree}/{path}", f"{release}/{path}"):
            wrong.append(f"{path} has other content")
    return wrong


def _entries(top: str) -> dict[str, tuple[str, int]]:
    """Each path below, with its kind and mode; a link's mode says nothing."""
    found = {}
    left = [""]
    while left:
        below = left.pop()
        with os.scandir(f"{top}/{below}") as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                kind = stat.filemode(status.st_mode)[0]
                path = below + entry.name
                found[path] = (kind, 0 if kind == "l" else stat.S_IMODE(status.st_mode))
                if kind == "d":
                    left.append(path + "/")
    return found


def _same(kind: str, a: str, b: str) -> bool:
    if kind == "l":
        return os.readlink(a) == os.readlink(b)
    return kind != "-" or _content(a) == _content(b)


def _content(path: str) -> bytes:
    """A file's content; of a large one, its digest."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > 1 << 20:
            return hashlib.file_digest(file, "blake2b").digest()
        return file.read()
