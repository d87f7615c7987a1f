"""Fresh file systems of the benchmark's own: ext4 with a journal, in a file.

The file system of the machine may have no journal, or be full of deleted inodes: to create files
there can be ten times slower for minutes after a tree was removed, and whoever comes next pays.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INODE_EACH = "4096"  # bytes: trees of small files run out of inodes first


@contextmanager
def fresh(image: Path, gibibytes: int) -> Iterator[Path]:
    """Make an empty file system, mount it, and at the end unmount and remove it.

    Args:
        image: The file to make; it is sparse.
        gibibytes: How large it may grow.

    Yields:
        Where it is mounted, in a place that every account can reach.

    Raises:
        subprocess.CalledProcessError: It cannot be made or mounted; only root can.
    """
    image.parent.mkdir(parents=True, exist_ok=True)
    # One that a killed run left may still be mounted: it keeps its own.
    image.unlink(missing_ok=True)
    try:
        with image.open("wb") as file:
            file.truncate(gibibytes << 30)
        # Without discard: the file is new. Tables are written when used, and not behind our back.
        _run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-m", "0", "-i", _INODE_EACH, str(image))
        with _device(image) as device, _folder() as place:
            _run("mount", "-t", "ext4", "-o", "noinit_itable", device, str(place))
            try:
                place.chmod(0o755)
                yield place
            finally:
                _run("umount", str(place))
    finally:
        image.unlink(missing_ok=True)


@contextmanager
def _folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="opsnb-benchmark-", dir="/tmp"))
    try:
        yield place
    finally:
        place.rmdir()


@contextmanager
def _device(image: Path) -> Iterator[str]:
    # Direct: a flush reaches the disk, and nothing is held in memory twice.
    device = _run("losetup", "--find", "--show", "--direct-io=on", str(image))
    try:
        yield device
    finally:
        _run("losetup", "--detach", device)


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
