"""Ansible (ansible-core, from PyPI) with the steps of Ansistrano's roles.

The roles themselves are on Galaxy, not on PyPI. What they do with their defaults is done here by
the same modules in the same order: `synchronize` into ``.shared-copy`` (it compresses), ``cp -pr``
into the release, ``REVISION``, the link by `file`, the oldest removed by the time of their change.
A rollback removes the release that was live. `synchronize` is that of the collection
``ansible.posix`` in PyPI's package ``ansible``; of that package only this collection is kept.

Not defaults: pipelining is on, and no facts are gathered. Each operation makes a connection of its
own and, as Ansible does, reuses it until its end.
"""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.benchmarks.tools import Command, Target, Tool
from tests.benchmarks.tools.peer import Peer, found, installed, run, with_pip

_CORE = "ansible-core==2.19.14"
_COLLECTIONS = "ansible==12.3.0"
_POSIX = "ansible_collections/ansible/posix/"
_LIST = "readlink current && du -sh releases/* chdir={}"


class Ansible(Peer):
    """``ansible-playbook deploy.yml``."""

    name = "ansible"

    def set_up(self) -> None:
        """Make an environment with ansible-core, and the collection beside it."""
        found("rsync")
        self._place = installed("ansible-2.19.14", _install)

    def open(self, target: Target) -> None:
        """Make the project, with a folder for connections."""
        self.set_up()
        super().open(target)
        self._operations = 0

    def close(self) -> None:
        """End the connections that Ansible left open, and remove the project."""
        for socket in self.folder.glob("connections-*/*"):
            exit_master = (self.folder / "bin" / "ssh", "-o", f"ControlPath={socket}", "-O", "exit")
            subprocess.run((*exit_master, "bench"), capture_output=True, check=False)
        super().close()

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """A playbook."""
        self.wait_for_a_new_name()
        return self._playbook("deploy.yml", TREE=tree, KEEP=keep)

    def rollback(self) -> Command:
        """A playbook."""
        return self._playbook("rollback.yml")

    def releases(self) -> Command:
        """``ansible -m shell``: there is no role for this."""
        return self._ansible(
            "ansible", "-m", "shell", "-a", _LIST.format(self.target.deploy_to), "bench"
        )

    def prune(self, keep: int) -> Command:
        """The last step of a deploy, by its tag."""
        return self._playbook("deploy.yml", "--tags", "cleanup", TREE="none", KEEP=keep)

    def _playbook(self, name: str, *words: str, **env: str | Path | int) -> Command:
        return self._ansible("ansible-playbook", name, *words, **env)

    def _ansible(self, program: str, *words: str, **env: str | Path | int) -> Command:
        self._operations += 1
        settings = {
            "ANSIBLE_CONFIG": self.folder / "ansible.cfg",
            "ANSIBLE_HOME": self.folder / "home",
            "ANSIBLE_COLLECTIONS_PATH": self._place / "collections",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.folder / f"connections-{self._operations}",
        }
        return self.command(self._place / "bin" / program, *words, **settings, **env)


def _install(folder: Path) -> None:
    with_pip(folder, _CORE)
    wheels = folder / "wheels"
    download = ("-m", "pip", "-q", "download", "--no-deps", "--only-binary=:all:", "-d", wheels)
    run(folder / "bin" / "python", *download, _COLLECTIONS)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as packed:
        wanted = [name for name in packed.namelist() if name.startswith(_POSIX)]
        packed.extractall(folder / "collections", wanted)
    wheel.unlink()


def tools() -> list[Tool]:
    """The one."""
    return [Ansible()]
