"""An application with an account of its own that swaps directories for links, run as a program.

``swapper.py SITE OUTSIDE UID`` takes that account, opens every directory of the site that it can
get hold of, and keeps it open wherever that is moved to and whoever closes it. In each, directories
that have a namesake in OUTSIDE become links to that, for a moment, without a pause, until the
standard input ends. Then it prints how often it did that.
"""

from __future__ import annotations

import os
import random
import select
import sys
from contextlib import suppress
from pathlib import Path

MOST = 200
LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Swapper:
    """The application.

    Args:
        site: The site.
        outside: Where links lead.
    """

    def __init__(self, site: Path, outside: Path) -> None:
        self._site, self._outside = site, outside
        self._names = sorted(path.name for path in outside.iterdir())
        self._open: dict[int, int] = {}
        self.swaps = 0

    def run(self) -> None:
        """Swap until nobody listens any more."""
        chance = random.Random(20260325)
        while not select.select([sys.stdin], [], [], 0)[0]:
            self._look()
            for inode, handle in list(self._open.items()):
                if os.fstat(handle).st_nlink == 0 or len(self._open) > MOST:
                    os.close(self._open.pop(inode))
                else:
                    self._swap(handle, chance.choice((0.0, 0.0002, 0.002)))

    def _look(self) -> None:
        """Get hold of what can be reached."""
        ours = self._site / ".opsnb"
        for folder in (self._site, self._site / "releases", ours / "trash", ours / "spare"):
            with suppress(OSError):
                for path in list(folder.iterdir()):
                    self._hold(path)

    def _hold(self, path: Path) -> None:
        for place in (path, path / "d0"):
            with suppress(OSError):
                handle = os.open(place, LOOK)
                inode = os.fstat(handle).st_ino
                if inode in self._open:
                    os.close(handle)
                else:
                    self._open[inode] = handle

    def _swap(self, folder: int, seconds: float) -> None:
        """All directories of one at once, and back."""
        swapped = [name for name in self._names if self._away(folder, name)]
        if swapped:
            select.select([], [], [], seconds)
        for name in swapped:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
            with suppress(OSError):
                os.rename(f".{name}", name, src_dir_fd=folder, dst_dir_fd=folder)

    def _away(self, folder: int, name: str) -> bool:
        try:
            os.close(os.open(name, LOOK, dir_fd=folder))
            os.rename(name, f".{name}", src_dir_fd=folder, dst_dir_fd=folder)
            os.symlink(self._outside / name, name, dir_fd=folder)
        except OSError:
            return False
        self.swaps += 1
        return True


if __name__ == "__main__":
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[3]))
    swapper = Swapper(Path(sys.argv[1]), Path(sys.argv[2]))
    swapper.run()
    print(swapper.swaps)
