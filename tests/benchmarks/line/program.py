"""The program that carries the packets: compiled once, run for each line, asked what it counted."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.tools import CACHE

_SOURCE = Path(__file__).with_name("line.c")
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
_CLOSE_SECONDS = 10


@dataclass(frozen=True)
class Carried:
    """What went one way.

    Attributes:
        shortest: Seconds: the least that a packet took.
        latest: Seconds: the most that a packet came later than the line says, because this
            machine was busy.
        span: Seconds from the first arrival to the last handing over.
        packets: How many were handed over.
        bytes: Their size, with the headers of IP.
        lost: How many were lost at random.
        full: How many found the queue full.
        refused: How many the other end's kernel did not take.
        most: The most that waited for their turn at one time.
    """

    shortest: float
    latest: float
    span: float
    packets: int
    bytes: int
    lost: int
    full: int
    refused: int
    most: int


class Program:
    """The running program.

    Args:
        client: The path of the client's namespace.
        server: That of the server's.
        delay: Seconds each way.
        rate: Bits per second each way.
        queue: Packets that may wait.
        loss: The share that is lost.

    Raises:
        RuntimeError: It cannot be compiled, or makes no device; the text says why.
    """

    def __init__(
        self, client: Path, server: Path, delay: float, rate: int, queue: int, loss: float
    ) -> None:
        values = (round(delay * 1e9), rate, queue, round(loss * 1e6))
        self._process = subprocess.Popen(
            (compiled(), client, server, *map(str, values)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        if self._process.stdout.readline() != "ready\n":
            why = self._process.stderr.read().strip()
            self.close()
            raise RuntimeError(f"no line can be made here: {why}")

    def carried(self) -> tuple[Carried, Carried]:
        """The counters: to the server, and from it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return _carried(told["up"]), _carried(told["down"])

    def close(self) -> None:
        """End it, and its devices with it."""
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()


def _carried(told: dict[str, int]) -> Carried:
    shortest, latest, span = (told.pop(name) / 1e9 for name in ("shortest", "latest", "span"))
    return Carried(shortest, latest, span, **told)


def compiled() -> Path:
    """The program's file, compiled if it is not there yet.

    Raises:
        RuntimeError: There is no compiler, or it fails.
    """
    program = CACHE / f"line-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("a line needs a C compiler: apt-get install gcc libc6-dev")
    CACHE.mkdir(parents=True, exist_ok=True)
    new = program.with_suffix(".new")
    done = subprocess.run(
        (compiler, *_FLAGS, "-o", new, _SOURCE), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the line's program does not compile: {done.stderr.strip()}")
    return new.rename(program)
