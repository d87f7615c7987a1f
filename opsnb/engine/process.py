"""A program on this machine, for what a deploy runs here: a build, a local hook, git.

Rule 1: it is over when the program itself has ended: what it left behind is not waited for.
Rule 2: it has no terminal and no standard input, and its process group ends with its deadline and
        with whoever waits for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from opsnb.core.text import safe
from opsnb.errors import SourceError, StepTimedOut

BLOCK = 1 << 16
GRACE = 2.0  # seconds between asking a group to end and ending it
LAST = 0.2  # seconds to hear what was said before the end


async def run(
    argv: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    timeout: float,
    on_output: Callable[[bytes], None],
    on_error: Callable[[bytes], None] | None = None,
) -> int:
    """Run a program until it ends; what it says comes as it comes, both streams as one.

    Args:
        argv: The program and its arguments.
        directory: Where it runs.
        environment: All that it finds in its environment.
        timeout: Seconds until it is ended and has failed.
        on_output: Takes what it says.
        on_error: Takes what it says on its standard error, when that is to be told apart.

    Returns:
        Its exit status; minus the signal's number when a signal ended it.

    Raises:
        SourceError: It cannot be started.
        StepTimedOut: It did not end in time, and was ended.
    """
    read, write = os.pipe()
    complaints, complain = os.pipe() if on_error else (-1, write)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write,
            stderr=complain,
            start_new_session=True,
        )
    except OSError as error:
        for end in {read, complaints} - {-1}:
            os.close(end)
        raise SourceError(f"{safe(argv[0])} cannot be started: {error.strerror}") from error
    finally:
        for end in {write, complain}:
            os.close(end)
    # Pipes of our own: asyncio's would keep wait() until whoever was left behind closes them.
    hearing = [asyncio.create_task(_hear(read, on_output))]
    if on_error:
        hearing.append(asyncio.create_task(_hear(complaints, on_error)))
    try:
        async with asyncio.timeout(timeout):
            status = await process.wait()
        await asyncio.wait(hearing, timeout=LAST)
        return status
    except TimeoutError:
        raise StepTimedOut(f"{safe(argv[0])} did not end within {timeout:g} s: ended") from None
    finally:
        await _end(process)
        for task in hearing:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


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
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
