"""A file system small enough to fill up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.sshd import absent, require


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs on a folder that is made for it.

    Only root may do that, and not in every container: elsewhere the test is skipped. In CI it
    fails, since a test that never runs proves nothing.
    """
    folder.mkdir()
    mount = [require("mount"), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        folder.rmdir()
        absent(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([require("umount"), "-l", str(folder)], check=True)
