"""A question over HTTP, asked from this machine, of which little matters but the status.

Rule 1: whoever cancels, or whose time is up, goes on at once.
Rule 2: certificates are verified, always.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from opsnb.core.caches import AGENT, Question

READ, MOST = 65536, 1 << 18


async def ask(asked: Question, timeout: float, enough: Callable[[bytes], object]) -> bytes:
    """Ask once, and follow nothing.

    Args:
        asked: The question.
        timeout: Seconds until it has failed.
        enough: Whether what has come is all that matters: not everybody hangs up.

    Returns:
        The answer as it came, its first 256 KiB.

    Raises:
        OSError: There was none in time.
    """
    parts = urlsplit(asked.url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
        try:
            writer.write(_request(asked))
            await writer.drain()
            answer = b""
            while len(answer) < MOST and not enough(answer) and (piece := await reader.read(READ)):
                answer += piece
            return answer
        finally:
            # The other side may never say that it has closed, too.
            writer.transport.abort()


def _request(asked: Question) -> bytes:
    parts = urlsplit(asked.url)
    place = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, "User-Agent": AGENT, "Accept": "*/*"}
    headers |= {"Content-Length": "0"} if asked.method in ("POST", "PUT") else {}
    headers |= {"Connection": "close", **asked.headers}
    lines = [f"{asked.method} {place} HTTP/1.1"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
