"""A site that opsnb made, and what other tools do to it, as steps of a shell.

Rule 1: a test first takes the naive step, written from the description of the bug, on a *copy* of
the site, and sees it break the copy. Otherwise it proves nothing.
Rule 2: then opsnb does the same on the site itself, which must be whole afterwards.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsnb.core.config import Settings
from opsnb.server import Server
from tests.support.sshd import require

SECONDS = 30.0
CLIENT = """
import sys
from opsnb.core.config import Settings
from opsnb.server import Server
settings = Settings.model_validate({"before_publish": [sys.argv[3]]})
Server(sys.argv[1], settings=settings).deploy(sys.argv[2]).wait()
"""


class Site:
    """A site on this machine, and its operators.

    Args:
        base: A folder for it.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.path = base / "site"
        self.source = base / "source"
        self.source.mkdir()
        self._servers: list[Server] = []
        self.server = self.operator(keep_releases=3, lock_wait=60)

    def operator(self, **said: object) -> Server:
        """One who works on the site, with settings of their own."""
        made = Server(f"file://{self.path}", settings=Settings.model_validate(said))
        self._servers.append(made)
        return made

    def write(self, text: str) -> Path:
        """A source whose page holds a text."""
        (self.source / "index").write_text(text)
        return self.source

    def deploy(self, *texts: str) -> list[str]:
        """Deploy pages one after the other; the releases' names."""
        return [self.server.deploy(self.write(text)).wait().release for text in texts]

    def copy(self) -> Path:
        """The site once more, for a naive step to break."""
        shutil.rmtree(self.base / "naive", ignore_errors=True)
        return shutil.copytree(self.path, self.base / "naive", symlinks=True)

    @contextmanager
    def another(self, hook: str) -> Iterator[subprocess.Popen[bytes]]:
        """An operator in a process of their own, whose deploy runs a hook. Ended at the end."""
        words = [f"file://{self.path}", str(self.source), hook]
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield client
        finally:
            client.kill()
            client.wait()

    def close(self) -> None:
        """Let every operator go home."""
        for server in self._servers:
            server.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def sh(folder: Path, script: str, *words: str) -> str:
    """Run a step in a folder; what it prints. It must exit with 0, as the naive ones do."""
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def page(site: Path) -> str:
    """What visitors see; empty when they see nothing."""
    index = site / "current" / "index"
    return index.read_text() if index.is_file() else ""


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def busybox() -> str:
    """BusyBox's path."""
    return require("busybox")
