"""Capistrano 3, the package of Debian.

A local folder comes as a tarball by a plugin of the project, as Capistrano's guide describes (its
own ways all fetch from a repository): ``tar -czf``, upload, ``tar -x`` into the release. All else
is Capistrano's: directories, ``REVISION``, ``current`` (an absolute link), the log, the cleanup.
A rollback archives the release that was live and removes it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.benchmarks.tools import Command, Tool, Unsupported
from tests.benchmarks.tools.peer import Peer, found, run

# Without the two gems Net::SSH knows no ed25519 keys.
_PACKAGES = ("capistrano", "ruby-ed25519", "ruby-bcrypt-pbkdf")
_APT = ("apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120")


class Capistrano(Peer):
    """``cap bench deploy``."""

    name = "capistrano"

    def set_up(self) -> None:
        """Install the packages, if this is root."""
        if shutil.which("cap") and Path("/usr/share/doc/ruby-ed25519").exists():
            return
        if os.geteuid() != 0:
            raise RuntimeError(f"only root can apt-get install {' '.join(_PACKAGES)}")
        found("apt-get")
        run(*_APT, "update")
        install = (*_APT, "--no-install-recommends", "install")
        run(*install, *_PACKAGES, DEBIAN_FRONTEND="noninteractive")

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """``deploy``: with the cleanup at its end."""
        self.wait_for_a_new_name()
        return self._cap("deploy", TREE=tree, KEEP=keep)

    def rollback(self) -> Command:
        """``deploy:rollback``."""
        return self._cap("deploy:rollback")

    def releases(self) -> Command:
        """It has no such task."""
        raise Unsupported("Capistrano lists no releases")

    def prune(self, keep: int) -> Command:
        """``deploy:cleanup``."""
        return self._cap("deploy:cleanup", KEEP=keep)

    def _cap(self, task: str, **env: str | Path | int) -> Command:
        config = self.target.ssh_config
        return self.command(found("cap"), "bench", task, SSH_CONFIG=config, **env)


def tools() -> list[Tool]:
    """The one."""
    return [Capistrano()]
