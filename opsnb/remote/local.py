"""A folder of this machine as a server: the same agent, without a network."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import suppress

from opsnb.errors import Disconnected
from opsnb.remote.posix import PosixRemote
from opsnb.remote.shell import Data, Pipes


class LocalPipes:
    """The streams of a ``/bin/sh`` on this machine.

    Args:
        process: The shell, started in a session of its own.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def write(self, data: Data) -> None:
        """See :meth:`Pipes.write`."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was started with three pipes
        try:
            stdin.write(data)
            await stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise Disconnected("the local shell has ended") from error

    async def read_out(self) -> bytes:
        """See :meth:`Pipes.read_out`."""
        assert self._process.stdout is not None  # noqa: S101 - as above
        return await self._process.stdout.read(1 << 18)

    async def read_err(self) -> bytes:
        """See :meth:`Pipes.read_err`."""
        assert self._process.stderr is not None  # noqa: S101 - as above
        return await self._process.stderr.read(1 << 16)

    async def close(self) -> None:
        """See :meth:`Pipes.close`. The whole session ends with it."""
        if self._process.stdin:
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # A process that a hook left in a session of its own may keep its ends of the pipes for
        # ever, and wait() waits for those; asyncio has no public way to close ours. Closing them
        # before the shell has been reaped would reap it behind asyncio's back.
        while self._process.returncode is None:  # noqa: ASYNC110 - no other way to be told
            await asyncio.sleep(0.002)
        self._process._transport.close()  # type: ignore[attr-defined]
        await self._process.wait()


def local_remote(deploy_to: str, step_timeout: float, connect_timeout: float) -> PosixRemote:
    """A server that is a folder of this machine.

    Args:
        deploy_to: The deployment path.
        step_timeout: Seconds until a copying or flushing step has failed.
        connect_timeout: Seconds until the shell has failed to start.
    """

    async def dial(program: str) -> Pipes:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            *(("-c", program) if program else ("-s",)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd=tempfile.gettempdir(),
        )
        return LocalPipes(process)

    async def hang_up() -> None:
        return

    return PosixRemote(deploy_to, dial, hang_up, step_timeout, connect_timeout)
