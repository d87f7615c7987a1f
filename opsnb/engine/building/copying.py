"""A tree copied on this machine, by reference where the file system can do that.

Rule: nothing is opened that ``lstat`` does not call a regular file, and no link is followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FICLONE = 0x40049409  # of Linux
CHUNK = 1 << 20

Leave = Callable[[bytes, bool], bool]


def copy_tree(source: bytes, target: bytes, leave: Leave = lambda _path, _is_dir: False) -> None:
    """Copy a directory: files with their modes and times, directories, and links as they are.

    What is none of these (a socket, a FIFO) is left out.

    Args:
        source: The directory.
        target: Where it is to be; it may be there, and empty.
        leave: Whether a path, and all below it, is left out; told it and whether it is a directory.

    Raises:
        OSError: Something cannot be read or written.
    """
    Path(os.fsdecode(target)).mkdir(0o700, parents=True, exist_ok=True)
    _below(source, target, b"", leave)


def _below(source: bytes, target: bytes, here: bytes, leave: Leave) -> None:
    above = here + b"/" if here else b""
    with os.scandir(source + b"/" + here if here else source) as found:
        items = list(found)
    for item in items:
        path = above + item.name
        is_dir = item.is_dir(follow_symlinks=False)
        if leave(path, is_dir):
            continue
        status, place = item.stat(follow_symlinks=False), target + b"/" + path
        if is_dir:
            os.mkdir(place, 0o700)  # noqa: PTH102 - bytes
            _below(source, target, path, leave)
            _like(place, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(item.path), place)  # noqa: PTH115, PTH211 - bytes
        elif stat.S_ISREG(status.st_mode):
            copy_file(item.path, place)
            _like(place, status)


def _like(place: bytes, status: os.stat_result) -> None:
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.chmod(place, stat.S_IMODE(status.st_mode) & 0o777)  # noqa: PTH101 - bytes


def copy_file(source: bytes, target: bytes) -> None:
    """Copy a file's content.

    Args:
        source: A regular file.
        target: Where none is.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    reading = os.open(source, flags)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if not _cloned(reading, writing):
                _copied(reading, writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _cloned(reading: int, writing: int) -> bool:
    try:
        fcntl.ioctl(writing, FICLONE, reading)
    except OSError:
        return False
    return True


def _copied(reading: int, writing: int) -> None:
    with suppress(AttributeError):
        # Within the kernel, where it can.
        try:
            while os.copy_file_range(reading, writing, 1 << 30):
                pass
            return
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            os.lseek(reading, 0, os.SEEK_SET)
            os.ftruncate(writing, 0)
            os.lseek(writing, 0, os.SEEK_SET)
    while chunk := os.read(reading, CHUNK):
        left = memoryview(chunk)
        while left:
            left = left[os.write(writing, left) :]
