"""The command line as a shell has it: real processes, on folders and on the embedded server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from opsnb.embedded.sshd import EmbeddedServer
from opsnb.server import Server

ROOT = Path(__file__).parents[2]
KEPT = ("PATH", "LANG", "TMPDIR", "OPSNB_LOGS", "OPSNB_CACHE")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
COLOR = re.compile(r"\x1b\[[0-9;]*m")
OPSNB = [sys.executable, "-W", "error", "-m", "opsnb"]

# The terminal becomes the controlling one, so that its Ctrl-C is a signal.
CONTROLLED = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
DEAF = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"


@dataclass
class Shell:
    """Runs ``opsnb`` in a folder of its own.

    Attributes:
        folder: The working directory.
        server: A deployment path in it, as ``file://``.
    """

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def server(self) -> str:
        return f"file://{self.folder}/srv"

    @property
    def deploy_to(self) -> Path:
        return self.folder / "srv"

    @property
    def env(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in KEPT if key in os.environ}
        base = {"PYTHONPATH": str(ROOT), "HOME": str(self.folder), "OPSNB_USER": "ann"}
        return {**kept, **base, "PYTHONIOENCODING": "utf-8", **self.extra}

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.program(*OPSNB, *args, **env)

    def program(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end in the folder, with more variables."""
        return subprocess.run(
            argv,
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*OPSNB, *args],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def json(self, *args: str) -> Any:
        ran = self(*args, "--json")
        assert ran.stderr == ""
        assert ran.stdout.isascii()
        return json.loads(ran.stdout)

    def events(self, *args: str) -> list[dict[str, Any]]:
        ran = self(*args, "--json")
        assert ran.stderr == ""
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def source(self, name: str, **files: str) -> str:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file, text in (files or {"index": name}).items():
            (folder / f"{file}.html").write_text(text)
        return name

    def deployed(self, *names: str) -> str:
        """Deploy sources, from this process since it is quicker; say which release is live."""
        server = Server(self.server)
        for name in names or ("v1",):
            server.deploy(self.folder / self.source(name)).wait(20)
        server.close()
        return self.live

    def rolled_back(self, why: str) -> str:
        """Roll back, from this process; say which release is live."""
        server = Server(self.server)
        server.rollback(why=why).wait(20)
        server.close()
        return self.live

    @property
    def live(self) -> str:
        current = self.deploy_to / "current"
        return current.readlink().name if current.is_symlink() else ""

    def config(self, text: str) -> None:
        (self.folder / "opsnb.toml").write_text(text.replace("{url}", self.server))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def sshd() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer().start()
    yield server
    server.stop()


def wait_for(seen: Callable[[], object], what: str, seconds: float = 15) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.02)


class Terminal:
    """``opsnb`` on a terminal of its own.

    Args:
        shell: Where it runs.
        args: Its arguments.
        columns: How wide the terminal is.
        deaf: Whether it ignores SIGHUP, as below ``nohup``.
        env: Variables beside the shell's.
    """

    def __init__(
        self,
        shell: Shell,
        args: Sequence[str],
        columns: int = 80,
        deaf: bool = False,
        **env: str,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", (DEAF if deaf else "") + CONTROLLED, *OPSNB, *args],
            cwd=shell.folder,
            env={**shell.env, "TERM": "xterm-256color", **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str, seconds: float = 15) -> str:
        """Read until a text has been seen."""
        over = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < over, f"{text!r} was not seen in {self.seen!r}"
            self._read(0.1)
        return self.seen

    def end(self, seconds: float = 30) -> int:
        """Read until it has ended; its exit status."""
        over = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < over, f"still running: {self.seen!r}"
            self._read(0.05)
        while self._read(0.05):
            continue
        os.close(self._master)
        return self.process.returncode

    def hang_up(self, seconds: float = 30) -> int:
        """Close the terminal, as a connection that breaks does; the exit status."""
        os.close(self._master)
        return self.process.wait(seconds)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody is at the other end any more
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    @property
    def text(self) -> str:
        """What was seen, without the terminal's sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", self.seen)


@pytest.fixture
def terminal(shell: Shell) -> Iterator[Callable[..., Terminal]]:
    begun: list[Terminal] = []

    def begin(*args: str, **options: Any) -> Terminal:
        begun.append(Terminal(shell, args, **options))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGKILL)
            one.process.wait()
