"""What runs over an SSH connection: the streams of a program, and a line to what listens there."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import cast

from opsnb.core.text import safe
from opsnb.errors import Disconnected, RemoteError
from opsnb.remote.libraries import no_compiler
from opsnb.remote.shell import Data

with no_compiler():
    import asyncssh

LOST = (OSError, asyncssh.Error)


def said(error: BaseException) -> str:
    """What went wrong on a connection, safe to show."""
    if isinstance(error, OSError) and error.errno:
        # The loop's own words name an address twice; the system's say what happened.
        return safe(os.strerror(error.errno) if error.errno > 0 else str(error))
    return safe(str(error) or type(error).__name__)


class SshPipes:
    """The streams of a program on the server.

    Args:
        process: The program, opened for bytes.
    """

    def __init__(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._process = process

    async def write(self, data: Data) -> None:
        """See :meth:`Pipes.write`."""
        try:
            # It copies what it is given, of whatever kind, before it returns.
            self._process.stdin.write(cast("bytes", data))
            await self._process.stdin.drain()
        except LOST as error:
            raise Disconnected(f"the connection to the server was lost: {said(error)}") from error

    async def read_out(self) -> bytes:
        """See :meth:`Pipes.read_out`."""
        return await self._read(self._process.stdout, 1 << 18)

    async def read_err(self) -> bytes:
        """See :meth:`Pipes.read_err`."""
        return await self._read(self._process.stderr, 1 << 16)

    async def _read(self, stream: asyncssh.SSHReader[bytes], most: int) -> bytes:
        try:
            return await stream.read(most)
        except LOST as error:
            raise Disconnected(f"the connection to the server was lost: {said(error)}") from error

    async def close(self) -> None:
        """See :meth:`Pipes.close`."""
        self._process.close()
        with suppress(TimeoutError, OSError, asyncssh.Error):
            async with asyncio.timeout(2):
                await self._process.wait_closed()


class SshLine:
    """A connection to what listens on the server.

    Args:
        reader: What reads from it, opened for bytes.
        writer: What writes to it.
    """

    def __init__(
        self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]
    ) -> None:
        self._reader, self._writer = reader, writer

    async def write(self, data: bytes) -> None:
        """See :meth:`Line.write`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except LOST as error:
            raise RemoteError(f"the connection was lost: {said(error)}") from error

    async def read(self) -> bytes:
        """See :meth:`Line.read`."""
        try:
            return await self._reader.read(1 << 16)
        except LOST as error:
            raise RemoteError(f"the connection was lost: {said(error)}") from error

    async def close(self) -> None:
        """See :meth:`Line.close`."""
        self._writer.channel.abort()
