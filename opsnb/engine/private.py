"""Directories of this machine that are the user's alone, and that one process has to itself.

Rule 1: whoever works in one holds its lock, which ends with the process however it ends: what
        nobody holds was left behind, and goes with the next one that is made.
Rule 2: what is removed is moved out of the way first, so that nobody finds half of it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from opsnb.engine import cache

LOCK = "lock"
GONE = "gone."


def directory(*parts: str) -> Path:
    """A directory of the cache; one in the system's temporary directory where that cannot be had.

    Args:
        parts: Its path in the cache.
    """
    spare = Path(tempfile.gettempdir()) / f"opsnb-{os.getuid()}"
    for above in (cache.folder(), spare):
        place = above.joinpath(*parts)
        with suppress(OSError):
            for up in [up for up in (*reversed(place.parents), place) if not up.exists()]:
                up.mkdir(mode=0o700, exist_ok=True)
            # Where everybody may write, it must be no link of somebody else's.
            status = above.lstat() if above is spare else above.stat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            if ours and os.access(place, os.W_OK | os.X_OK):
                return place
    return Path(tempfile.mkdtemp(prefix="opsnb-"))


def taken(place: Path, *, make: bool = True) -> int | None:
    """The lock on a file, for as long as its descriptor is open.

    Args:
        place: The file.
        make: Whether it is made where there is none.

    Returns:
        The descriptor; None when somebody else has the lock.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
    descriptor = os.open(place, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


class Workspace:
    """A directory that is removed when nobody has it any more, with this process at the latest."""

    def __init__(self) -> None:
        above = directory("work")
        # Between the making of one and its lock, nobody may take it for left behind.
        with _alone(above):
            left = _left(above)
            self.path = Path(tempfile.mkdtemp(dir=above, prefix="w."))
            lock = taken(self.path / LOCK)
        self._end = weakref.finalize(self, _ended, self.path, lock)
        for place in left:
            remove(place)

    def below(self, name: str) -> Path:
        """A new directory in it."""
        place = self.path / name
        place.mkdir(mode=0o700)
        return place

    def close(self) -> None:
        """Remove it now."""
        if alive := self._end.detach():
            _removed(*alive[2])


@contextmanager
def _alone(above: Path) -> Iterator[None]:
    descriptor = os.open(above / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _left(above: Path) -> list[Path]:
    """What dead processes left, out of everybody's way."""
    left = [place for place in above.iterdir() if place.name.startswith(GONE)]
    for place in above.glob("w.*"):
        with suppress(OSError):
            lock = taken(place / LOCK, make=False)
            if lock is not None:
                left.append(_aside(place))
                os.close(lock)
    return left


def _ended(place: Path, lock: int | None) -> None:
    """Remove a directory elsewhere than where it was let go of, which may be anywhere."""
    try:
        threading.Thread(target=_removed, args=(place, lock), name="opsnb removes").start()
    except RuntimeError:  # the interpreter ends, and begins no thread any more
        _removed(place, lock)


def _removed(place: Path, lock: int | None) -> None:
    remove(place)
    if lock is not None:
        os.close(lock)


def _aside(place: Path) -> Path:
    gone = place.with_name(f"{GONE}{secrets.token_hex(8)}")
    place.rename(gone)
    return gone


def remove(place: Path) -> None:
    """Remove a directory with everything in it, whatever modes a build has left.

    Args:
        place: The directory. That it is not there is as good.
    """
    with suppress(OSError):
        place = place if place.name.startswith(GONE) else _aside(place)
    shutil.rmtree(place, ignore_errors=True)
    if place.exists():
        _open(place)
        shutil.rmtree(place, ignore_errors=True)


def _open(place: Path) -> None:
    """Open directories to their owner, from the top down."""
    with suppress(OSError):
        place.chmod(0o700)
        with os.scandir(place) as found:
            below = [Path(item.path) for item in found if item.is_dir(follow_symlinks=False)]
        for directory_ in below:
            _open(directory_)
