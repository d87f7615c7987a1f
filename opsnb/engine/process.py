"""A program on this machine, for what a deploy runs here: a build, a local hook, git.

Rule 1: it is over when the program itself has ended: what it left behind is not waited for, and
        where it is to be alone, is ended.
Rule 2: it has no terminal and no standard input, and its process group ends with its deadline and
        with whoever waits for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from opsnb.core.text import safe
from opsnb.errors import SourceError, StepTimedOut

BLOCK = 1 << 16
GRACE = 2.0  # seconds between asking a group to end and ending it
LAST = 0.2  # seconds to hear what was said before the end
WHOLE = 30.0  # the same, where nobody is left who could say more


async def run(
    argv: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    timeout: float,
    on_output: Callable[[bytes], None],
    on_error: Callable[[bytes], None] | None = None,
    *,
    alone: bool = False,
) -> int:
    """Run a program until it ends; what it says comes as it comes.

    Args:
        argv: The program and its arguments.
        directory: Where it runs.
        environment: All that it finds in its environment.
        timeout: Seconds until it is ended and has failed.
        on_output: Takes what it says.
        on_error: Takes what it says on its standard error; None for ``on_output``.
        alone: Whether it is to be the same for whoever runs it: what is left of its process group
            ends with it, and others may read what it writes.

    Returns:
        Its exit status; minus the signal's number when a signal ended it.

    Raises:
        SourceError: It cannot be started.
        StepTimedOut: It did not end in time, and was ended.
    """
    read, write = os.pipe()
    read_too, write_too = os.pipe() if on_error else (-1, write)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write,
            stderr=write_too,
            start_new_session=True,
            umask=0o022 if alone else -1,
        )
    except OSError as error:
        _close({read, read_too} - {-1})
        raise SourceError(f"{safe(argv[0])} cannot be started: {error.strerror}") from error
    finally:
        _close({write, write_too})
    # A pipe of our own: asyncio's would keep wait() until whoever was left behind closes it.
    hearing = [asyncio.create_task(_hear(read, on_output))]
    if on_error:
        hearing.append(asyncio.create_task(_hear(read_too, on_error)))
    try:
        async with asyncio.timeout(timeout):
            status = await process.wait()
        if alone:
            _end_group(process.pid)
        await asyncio.wait(hearing, timeout=WHOLE if alone else LAST)
        return status
    except TimeoutError:
        raise StepTimedOut(f"{safe(argv[0])} did not end within {timeout:g} s: ended") from None
    finally:
        await _end(process)
        for task in hearing:
            task.cancel()
        await asyncio.gather(*hearing, return_exceptions=True)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


async def _hear(descriptor: int, on_output: Callable[[bytes], None]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        while data := await reader.read(BLOCK):
            on_output(data)
    finally:
        transport.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what has not ended: asked first, and the whole group."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE)
            break
    # Whoever of the group paid no heed to being asked.
    _end_group(process.pid)


def _end_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
