"""opsnb, in the two ways it is used: a command afresh each time, and a session that stays open."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

from tests.benchmarks.tools import Command, Session, Target, Tool

_SESSION = Path(__file__).with_name("ours_session.py")


class _Ours:
    """What both ways have in common: a user's own cache, and a site that is opsnb's."""

    group = "opsnb"

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="opsnb-ours-"))
        weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)

    def missing(self) -> str:
        """Nothing: it is the package that is tested."""
        return ""

    def _prepare(self, target: Target) -> None:
        self._target = target
        if not (target.deploy_to / "releases").is_dir():
            # A new site: whoever deploys it first has no memory of its source either.
            shutil.rmtree(self._home)
            self._home.mkdir()
        elif not (target.deploy_to / ".opsnb").is_dir():
            command = self._cold("adopt", self._url, "--yes")
            subprocess.run(
                command.argv,
                env={**os.environ, **command.env},
                cwd=command.cwd,
                capture_output=True,
                check=True,
            )

    @property
    def _url(self) -> str:
        return f"ssh://bench{self._target.deploy_to}"

    @property
    def _env(self) -> dict[str, str]:
        return {"XDG_CACHE_HOME": str(self._home / "cache")}

    def _cold(self, *words: str) -> Command:
        config = ("--ssh-config", str(self._target.ssh_config))
        argv = (*self._target.enter, sys.executable, "-P", "-m", "opsnb", *config, *words)
        return Command(argv, self._env, self._home)


class Cold(_Ours):
    """``python -m opsnb …``: interpreter, connection and everything."""

    name = "opsnb cold"
    warm = False

    def open(self, target: Target) -> None:
        """Take over a site that was laid out."""
        self._prepare(target)

    def close(self) -> None:
        """Nothing is open."""

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """``opsnb deploy``."""
        return self._cold("deploy", self._url, str(tree), "--keep", str(keep), "--yes")

    def rollback(self) -> Command:
        """``opsnb rollback``."""
        return self._cold("rollback", self._url, "--yes")

    def releases(self) -> Command:
        """``opsnb usage``: the releases with what each takes."""
        return self._cold("usage", self._url)

    def prune(self, keep: int) -> Command:
        """``opsnb prune``."""
        return self._cold("prune", self._url, "--keep", str(keep), "--yes")


class Warm(_Ours):
    """An `opsnb.Server` in a process that stays, as in a notebook; it is connected."""

    name = "opsnb warm"
    warm = True

    def open(self, target: Target) -> None:
        """Start the process, and look at the site once."""
        self._prepare(target)
        argv = (
            *target.enter,
            sys.executable,
            "-P",
            str(_SESSION),
            self._url,
            str(target.ssh_config),
        )
        self._session = Session(argv, self._env, self._home)
        answer = self._session.ask(json.dumps({"do": "look"}))
        if answer.status != 0:
            raise RuntimeError(answer.output)

    def close(self) -> None:
        """End the process."""
        self._session.close()

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """``server.deploy(tree).wait()``."""
        return self._line(do="deploy", tree=str(tree), keep=keep)

    def rollback(self) -> Command:
        """``server.rollback().wait()``."""
        return self._line(do="rollback")

    def releases(self) -> Command:
        """``server.usage()``."""
        return self._line(do="releases")

    def prune(self, keep: int) -> Command:
        """``server.prune(keep).wait()``."""
        return self._line(do="prune", keep=keep)

    def _line(self, **values: str | int) -> Command:
        return Command(session=self._session, line=json.dumps(values))


def tools() -> list[Tool]:
    """Both ways."""
    return [Cold(), Warm()]
