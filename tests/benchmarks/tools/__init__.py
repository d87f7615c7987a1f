"""What a tool is, to the benchmark, and which tools there are.

Rule 1: a tool *returns* what is to be run; `measure` runs it, so that all are timed alike.
Rule 2: a tool that cannot run here says why, and is reported so. Nothing is guessed.

A module beside this one offers its tools by a function ``tools() -> list[Tool]``, which makes new
ones at each call: several deploys at once need several.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

MODULES = ("ours", "script", "capistrano", "shipit", "ansible", "fabric")
"""The modules that offer tools, in the order of the tables."""

CACHE = Path(os.environ.get("OPSNB_BENCHMARKS_CACHE", "~/.cache/opsnb-benchmarks")).expanduser()
"""Where trees, downloaded packages and private environments are kept from run to run."""

_CLOSE_SECONDS = 10


class Unsupported(Exception):
    """A tool has no such operation; the text says why, and is reported."""


@dataclass(frozen=True)
class Target:
    """A site on a server, and the way there.

    Attributes:
        host: The address of sshd.
        port: Its port.
        user: The account there.
        ssh_config: An ssh_config with the alias ``bench``: port, user, key and known_hosts.
        deploy_to: The site's path on the server; the benchmark can read it too.
        enter: The words before a client's own that put it on the line, such as
            ``("ip", "netns", "exec", NAME)``; none on loopback.
        slow: Whether compression pays.
    """

    host: str
    port: int
    user: str
    ssh_config: Path
    deploy_to: Path
    enter: tuple[str, ...] = ()
    slow: bool = False


@dataclass(frozen=True)
class Answer:
    """What an operation came to.

    Attributes:
        status: Its exit status; 0 is success.
        output: What it printed, both streams.
    """

    status: int
    output: str


class Session:
    """A process that stays open between operations: a line to it, one JSON object back.

    The process reads a line from its standard input, does it, and prints
    ``{"status": 0, "output": "…"}`` on one line. It ends at the end of its input.

    Args:
        argv: The program.
        env: What to add to the environment.
        cwd: Where it runs.
    """

    def __init__(
        self, argv: tuple[str, ...], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, line: str) -> Answer:
        """Have one operation done, and wait for its end.

        Raises:
            RuntimeError: The process ended instead of answering.
        """
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        if not reply:
            raise RuntimeError(f"the session ended, status {self._process.wait()}, at: {line}")
        answer = json.loads(reply)
        return Answer(int(answer["status"]), str(answer["output"]))

    def close(self) -> None:
        """End the process: by the end of its input, or by force after 10 seconds."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True)
class Command:
    """One operation, to be timed: a fresh process, or a line for an open session.

    Attributes:
        argv: The fresh process, `Target.enter` included; empty for a session.
        env: What to add to the environment of the fresh process.
        cwd: Where the fresh process runs.
        session: The open session.
        line: What to ask it.
        running: The pids of client processes that were running before, such as a connection
            that is shared; their memory counts as the client's, with all below them.
    """

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    session: Session | None = None
    line: str = ""
    running: tuple[int, ...] = ()


class Tool(Protocol):
    """A way to deploy.

    Attributes:
        name: What the tables call it, such as ``rsync link-dest, mux, durable``.
        group: ``opsnb``, ``rsync`` or ``other``.
        warm: Whether it keeps something open between operations.
    """

    name: str
    group: str
    warm: bool

    def missing(self) -> str:
        """Why it cannot run here, or nothing; sets itself up first. Untimed."""
        ...

    def open(self, target: Target) -> None:
        """Get ready for a site: connect, write configuration. Untimed.

        The site is empty, or it is one that this tool made, or (for lists and prunes) one that
        was laid out for it: ``releases/YYYYMMDDHHMMSS`` and ``current``. `target` may lead
        through another port than before to the same site.
        """
        ...

    def close(self) -> None:
        """Let go of what `open` opened; the site stays. Untimed."""
        ...

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """Release a folder, and keep so many releases."""
        ...

    def rollback(self) -> Command:
        """Make the release before the live one the live one."""
        ...

    def releases(self) -> Command:
        """List the releases with their disk usage, and say which one is live."""
        ...

    def prune(self, keep: int) -> Command:
        """Remove all but the newest releases."""
        ...


def all_tools() -> list[Tool]:
    """A new one of each tool, in the order of the tables."""
    found: list[Tool] = []
    for name in MODULES:
        found += importlib.import_module(f"{__name__}.{name}").tools()
    return found


def tool_named(name: str) -> Tool:
    """A new one of the tool with this name.

    Raises:
        KeyError: There is none.
    """
    return {tool.name: tool for tool in all_tools()}[name]
