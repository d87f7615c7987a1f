"""A git repository to release from, made by git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.sshd import require


class Repository:
    """A repository with a work tree.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        require("git")
        path.mkdir(parents=True)
        self("init", "--quiet", "--initial-branch=main")

    def __call__(self, *args: str, date: str = "2026-03-25T12:00:00Z") -> str:
        """Run git in it; what it says."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Lovelace",
            "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Ada Lovelace",
            "GIT_COMMITTER_EMAIL": "ada@example.com",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
        }
        argv = ["git", "-C", str(self.path), "-c", "protocol.file.allow=always", *args]
        ran = subprocess.run(argv, env=env, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.decode().strip()

    def commit(self, files: Mapping[str, str], message: str = "a change") -> str:
        """Write files and commit them; the commit's name."""
        for name, text in files.items():
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self("add", "--all")
        self("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self("rev-parse", "HEAD")
