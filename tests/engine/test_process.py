"""A program on this machine: its words, its deadline, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

import pytest

from opsnb.engine import process
from opsnb.errors import SourceError, StepTimedOut
from tests.support.process import gone, runs

ENV = {"PATH": os.environ["PATH"]}


async def said(script: str, folder: Path, timeout: float = 20) -> tuple[int, str]:
    heard: list[bytes] = []
    status = await process.run(["/bin/sh", "-c", script], folder, ENV, timeout, heard.append)
    return status, b"".join(heard).decode()


async def test_its_words_and_status_are_told(tmp_path: Path) -> None:
    assert await said("echo out; echo err >&2; pwd; exit 3", tmp_path) == (
        3,
        f"out\nerr\n{tmp_path}\n",
    )


async def test_it_finds_the_given_environment_and_no_other(tmp_path: Path) -> None:
    _, text = await said("env", tmp_path)
    names = {line.partition("=")[0] for line in text.splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH"}


async def test_it_cannot_read_a_terminal(tmp_path: Path) -> None:
    assert await said("read line || echo nothing; tty", tmp_path) == (1, "nothing\nnot a tty\n")


async def test_what_it_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the pipe for a minute; the program itself is over at once."""
    began = time.monotonic()
    status, text = await said("sleep 60 & echo $!; echo done", tmp_path)
    pid = int(text.split()[0])
    try:
        assert (status, text.split()[1]) == (0, "done")
        assert time.monotonic() - began < 30
        assert runs(pid)
    finally:
        os.kill(pid, 9)


async def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    heard: list[bytes] = []
    script = "trap '' TERM; sleep 60 & echo $!; sleep 60"
    with pytest.raises(StepTimedOut, match="did not end within 1 s"):
        await process.run(["/bin/sh", "-c", script], tmp_path, ENV, 1, heard.append)
    assert gone([int(heard[0])], 5)


async def test_a_cancellation_ends_it(tmp_path: Path) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    running = asyncio.create_task(
        process.run(["/bin/sh", "-c", "echo $$; sleep 60"], tmp_path, ENV, 60, heard.put_nowait)
    )
    pid = int(await heard.get())
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()
    assert gone([pid], 5)


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceError, match="no-such-program cannot be started"):
        await process.run(["no-such-program"], tmp_path, ENV, 5, lambda _: None)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_much_output_comes_whole(tmp_path: Path) -> None:
    heard: list[bytes] = []
    program = [sys.executable, "-c", "print('x' * 5_000_000)"]
    assert await process.run(program, tmp_path, ENV, 60, heard.append) == 0
    assert sum(map(len, heard)) == 5_000_001
