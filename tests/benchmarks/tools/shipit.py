"""Shipit with shipit-deploy, from npm.

The release begins as ``cp -a`` of the one before, and is brought up to date by ``rsync --archive
--compress --del``, all as shipit-deploy does it. Since it asks git for a revision, the project is a
repository with one commit; what is deployed is the folder, by its option ``rsyncFrom``. There is no
``shared/``: that is another package's.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.tools import Command, Target, Tool, Unsupported
from tests.benchmarks.tools.peer import Peer, found, installed, run

_PACKAGES = ("shipit-cli@5.3.0", "shipit-deploy@5.3.0")
_COMMIT = (
    ("init", "-q"),
    ("-c", "user.name=bench", "-c", "user.email=bench@localhost",
     "commit", "-q", "--allow-empty", "-m", "Nothing"),
)  # fmt: skip


class Shipit(Peer):
    """``shipit bench deploy``."""

    name = "shipit"

    def set_up(self) -> None:
        """Install the packages from npm into a folder of their own."""
        for program in ("node", "npm", "git", "rsync"):
            found(program)
        self._modules = installed("shipit-5.3.0", _install) / "node_modules"

    def open(self, target: Target) -> None:
        """Make the project, with its repository."""
        self.set_up()
        super().open(target)
        for words in _COMMIT:
            run("git", *words, cwd=self.folder, GIT_CONFIG_GLOBAL="/dev/null")

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """``deploy``: with the cleaning at its end."""
        self.wait_for_a_new_name()
        return self._shipit("deploy", TREE=tree, KEEP=keep)

    def rollback(self) -> Command:
        """``rollback``."""
        return self._shipit("rollback")

    def releases(self) -> Command:
        """It has no such task."""
        raise Unsupported("Shipit lists no releases")

    def prune(self, keep: int) -> Command:
        """``deploy:clean``."""
        return self._shipit("deploy:init", "deploy:clean", KEEP=keep)

    def _shipit(self, *tasks: str, **env: str | Path | int) -> Command:
        env |= {"NODE_PATH": self._modules, "USER_THERE": self.target.user}
        return self.command(self._modules / ".bin" / "shipit", "bench", *tasks, **env)


def _install(folder: Path) -> None:
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
    run("npm", "install", "--prefix", folder, *quiet, *_PACKAGES, cwd=folder)


def tools() -> list[Tool]:
    """The one."""
    return [Shipit()]
