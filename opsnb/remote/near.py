"""What listens on this machine: a connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from opsnb.core.text import safe
from opsnb.errors import RemoteError
from opsnb.remote.base import Line

READ = 65536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NearLine:
    """A connection to a socket of this machine.

    Args:
        streams: What reads from it and what writes to it.
    """

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams

    async def write(self, data: bytes) -> None:
        """See :meth:`Line.write`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise RemoteError(f"the connection was lost: {safe(str(error))}") from error

    async def read(self) -> bytes:
        """See :meth:`Line.read`."""
        try:
            return await self._reader.read(READ)
        except OSError as error:
            raise RemoteError(f"the connection was lost: {safe(str(error))}") from error

    async def close(self) -> None:
        """See :meth:`Line.close`."""
        with suppress(OSError):
            self._writer.transport.abort()


async def near(address: str) -> Line:
    """See :meth:`Remote.reach`, where the server is this machine."""
    opening: Awaitable[Streams]
    if address.startswith("/"):
        opening = asyncio.open_unix_connection(address)
    else:
        opening = asyncio.open_connection(*host_and_port(address))
    try:
        return NearLine(await opening)
    except OSError as error:
        said = safe(error.strerror or str(error))
        raise RemoteError(f"{safe(address)} takes no connection: {said}") from error


def host_and_port(address: str) -> tuple[str, int]:
    """``host:port``, or ``[address]:port`` for IPv6."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
