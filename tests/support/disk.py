"""File systems of the tests' own: one small enough to fill up, one whose power can be cut."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.sshd import absent, require


@contextmanager
def small_disk(folder: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    """Mount a tmpfs on a folder that is made for it.

    Args:
        folder: The folder.
        size: How many bytes fit, as mount takes it (``2m``).
        inodes: How many files fit; as many as usual when it is 0.

    Only root may do that, and not in every container: elsewhere the test is skipped. In CI it
    fails, since a test that never runs proves nothing.
    """
    folder.mkdir()
    options = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    mount = [require("mount"), "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        folder.rmdir()
        absent(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([require("umount"), "-l", str(folder)], check=True)


SHUTDOWN = 0x8004587D
"""The ioctl that ext4 and XFS have for their own tests: ``_IOR('X', 125, __u32)``."""

_SIZE = 320 << 20
_BUSY = 30.0  # seconds
_QUIET = {"ext4": ("-q", "-F"), "xfs": ("-q",)}


class Disk:
    """A file system in a file, which can be unmounted and mounted again, and lose its power.

    Args:
        image: The file; it is made, and removed at the end.
        place: Where it is mounted; made, and removed at the end.
        kind: ``ext4`` or ``xfs``.
        size: Bytes.
        options: More words for what makes it.
    """

    def __init__(
        self, image: Path, place: Path, kind: str, size: int = _SIZE, options: tuple[str, ...] = ()
    ) -> None:
        self._image, self.place, self._kind, self._device = image, place, kind, ""
        self._size, self._options, self._shared = size, options, False

    def __enter__(self) -> Self:
        with self._image.open("wb") as file:
            file.truncate(self._size)
        quiet = _QUIET[self._kind]
        made = [require(f"mkfs.{self._kind}"), *quiet, *self._options, str(self._image)]
        try:
            subprocess.run(made, check=True, capture_output=True)
            self.place.mkdir()
            # What is unmounted here goes from the namespaces, too, that others make meanwhile.
            for words in (("--bind", str(self.place)), ("--make-shared",)):
                self._mounted(*words, str(self.place))
            self._shared = True
            # One device for all mounts: two for one file would not see each other's blocks.
            self._device = self._attached()
            self.mount()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *ended: object) -> None:
        self.unmount()
        self._remove()

    def _attached(self) -> str:
        attach = [require("losetup"), "--find", "--show", str(self._image)]
        done = subprocess.run(attach, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            absent(f"a file cannot be made a disk here: {done.stderr.strip()}")
        return done.stdout.strip()

    def _mounted(self, *words: str) -> None:
        done = subprocess.run(
            [require("mount"), *words], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            absent(f"a file system cannot be mounted here: {done.stderr.strip()}")

    def _remove(self) -> None:
        if self._shared:
            self.unmount()
        if self._device:
            subprocess.run([require("losetup"), "--detach", self._device], check=True)
        if self.place.exists():
            self.place.rmdir()
        self._image.unlink()

    def mount(self) -> None:
        """Mount it; its journal is replayed if it has to be.

        Whoever made a private mount namespace meanwhile holds what was unmounted here for as long
        as that lives, and mounting gives the very same file system again, without its power.
        """
        over = time.monotonic() + _BUSY
        while True:
            self._mounted(self._device, str(self.place))
            try:
                self.place.chmod(0o755)
                return
            except OSError as error:
                if error.errno != errno.EIO or time.monotonic() > over:
                    raise
            self.unmount()
            time.sleep(0.05)

    def unmount(self) -> None:
        """Unmount it, as soon as what was killed on it has gone."""
        over = time.monotonic() + _BUSY
        while True:
            unmount = [require("umount"), str(self.place)]
            done = subprocess.run(unmount, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > over:
                raise RuntimeError(f"it cannot be unmounted: {done.stderr.strip()}")
            time.sleep(0.01)

    def flush(self) -> None:
        """Write all that it holds to the file."""
        subprocess.run([require("sync"), "-f", str(self.place)], check=True)

    def cut(self, flags: int) -> None:
        """Cut its power: from now on nothing is written any more.

        Args:
            flags: 1 when what its journal holds is written first, 2 when not even that is.
        """
        with _opened(self.place) as place:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("=I", flags))


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)
