"""What the other tools have in common: a set-up in the cache, a project folder for each site.

Rule: a tool runs as its users run it, with its own defaults. What is not its default is said in
its module, and is to its advantage.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.tools import CACHE, Command, Target

_TEMPLATES = Path(__file__).with_name("templates")
_SET_UP_SECONDS = 900
_LOOK_SECONDS = 0.02
_TOLD = 300  # characters of what went wrong

# A user's own ~/.ssh/config is read by every program; the benchmark's is not at that place.
_SSH = """\
#!/bin/sh
exec {ssh} -F {config} "$@"
"""


class Peer:
    """A tool that is neither opsnb nor rsync alone. It connects afresh for each operation.

    Attributes:
        name: Also the name of its folder of templates.
    """

    name: str
    group = "other"
    warm = False

    def missing(self) -> str:
        """Why it cannot run here; it is set up first."""
        try:
            self.set_up()
        except (RuntimeError, OSError, subprocess.SubprocessError) as fault:
            return f"cannot be set up: {fault}"
        return ""

    def set_up(self) -> None:
        """Install it, if it is not here.

        Raises:
            RuntimeError: It cannot be had.
        """
        raise NotImplementedError

    def open(self, target: Target) -> None:
        """Make the project's folder: the templates, and an ``ssh`` that knows the server."""
        self.target = target
        self.folder = Path(tempfile.mkdtemp(prefix=f"opsnb-{self.name}-"))
        shutil.copytree(_TEMPLATES / self.name, self.folder, dirs_exist_ok=True)
        ssh = self.folder / "bin" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(_SSH.format(ssh=found("ssh"), config=target.ssh_config))
        ssh.chmod(0o755)

    def close(self) -> None:
        """Remove the project's folder."""
        shutil.rmtree(self.folder)

    def wait_for_a_new_name(self) -> None:
        """Let the second pass that the newest release is named after: a name is a second here."""
        releases = self.target.deploy_to / "releases"
        newest = max(os.listdir(releases), default="") if releases.is_dir() else ""
        while f"{datetime.now(UTC):%Y%m%d%H%M%S}" == newest:
            time.sleep(_LOOK_SECONDS)

    def command(self, *words: str | Path, **env: str | Path | int) -> Command:
        """A fresh process in the project's folder."""
        settings = {
            "PATH": f"{self.folder}/bin:{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "DEPLOY_TO": self.target.deploy_to,
            **env,
        }
        return Command(
            (*self.target.enter, *map(str, words)),
            {name: str(value) for name, value in settings.items()},
            self.folder,
        )


def installed(name: str, install: Callable[[Path], None]) -> Path:
    """A folder in the cache that was filled once; who comes meanwhile waits.

    Args:
        name: The folder's name, with the versions of what is in it.
        install: Fills it.

    Raises:
        RuntimeError: It cannot be filled.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / name
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / ".complete").touch()
    return folder


def with_pip(folder: Path, *requirements: str) -> None:
    """Make a private environment with these packages."""
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "-q", "install", *requirements)


def found(program: str) -> str:
    """The path of a program.

    Raises:
        RuntimeError: It is not here.
    """
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"{program} is not here")
    return path


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> None:
    """Run a step of a set-up, 15 minutes at most.

    Raises:
        RuntimeError: It failed; with the end of what it said.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SET_UP_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name}: {done.stdout.strip()[-_TOLD:]}")
