"""Files of Git LFS, of which a repository holds a pointer only: found, named and refused."""

from __future__ import annotations

import os
from pathlib import Path

from opsnb.core.text import plural, safe
from opsnb.engine.ignore import Rules
from opsnb.errors import SourceError

POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_SIZE = 1024  # bytes; none is larger
NAMED = 5


def refuse_pointers(root: Path, exclude: tuple[str, ...]) -> None:
    """Refuse what stands for a file of Git LFS and is none.

    Args:
        root: The directory to look through.
        exclude: Gitignore rules of what is not released.

    Raises:
        SourceError: There are such.
    """
    found = sorted(_pointers(os.fsencode(root), Rules(root, exclude)))
    if not found:
        return
    named = ", ".join(safe(path) for path in found[:NAMED])
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    raise SourceError(
        f"{plural(len(found), 'file')} of the commit lie in Git LFS, which opsnb does not fetch: "
        f"{named}{more}",
        "Keep them in git itself, leave them out with `exclude`, or release a folder that holds "
        "them (`git lfs pull`, then `source`).",
    )


def _pointers(root: bytes, rules: Rules) -> list[bytes]:
    found, below = [], [b""]
    while below:
        here = below.pop()
        with os.scandir(root + b"/" + here if here else root) as listed:
            for item in listed:
                path = here + b"/" + item.name if here else item.name
                is_dir = item.is_dir(follow_symlinks=False)
                if rules.ignores(os.fsdecode(path), is_dir):
                    continue
                if is_dir:
                    below.append(path)
                elif item.is_file(follow_symlinks=False) and _is_pointer(item):
                    found.append(path)
    return found


def _is_pointer(item: os.DirEntry[bytes]) -> bool:
    if item.stat(follow_symlinks=False).st_size > POINTER_SIZE:
        return False
    with open(item.path, "rb") as file:  # noqa: PTH123 - bytes
        return file.read(len(POINTER)) == POINTER
