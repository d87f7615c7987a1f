"""Fabric, from PyPI, with the fabfile that people write.

A tarball is made here, put there by SFTP, unpacked into the release; then the link and the removal
of the oldest. Fabric has no deploy of its own. It takes any host key, which the others do not.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.tools import Command, Target, Tool
from tests.benchmarks.tools.peer import Peer, installed, with_pip

_PACKAGE = "fabric==3.2.3"


class Fabric(Peer):
    """``fab deploy``."""

    name = "fabric"

    def set_up(self) -> None:
        """Make an environment with the package."""
        self._fab = installed("fabric-3.2.3", _install) / "bin" / "fab"

    def open(self, target: Target) -> None:
        """Make the project."""
        self.set_up()
        super().open(target)

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """A task of the fabfile."""
        self.wait_for_a_new_name()
        return self._task("deploy", f"--tree={tree}", f"--keep={keep}")

    def rollback(self) -> Command:
        """A task of the fabfile."""
        return self._task("rollback")

    def releases(self) -> Command:
        """A task of the fabfile."""
        return self._task("releases")

    def prune(self, keep: int) -> Command:
        """A task of the fabfile."""
        return self._task("prune", f"--keep={keep}")

    def _task(self, *words: str) -> Command:
        return self.command(self._fab, "-S", self.target.ssh_config, "-H", "bench", *words)


def _install(folder: Path) -> None:
    with_pip(folder, _PACKAGE)


def tools() -> list[Tool]:
    """The one."""
    return [Fabric()]
