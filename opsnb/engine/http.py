"""A question over HTTP, asked from this machine: it can be cancelled at once, and keeps little.

Rule 1: every await is one of asyncio's own: whoever cancels, or whose time is up, goes on at once.
Rule 2: certificates are verified, always.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import SplitResult, unquote, urlsplit

import h11

from opsnb.core.answer import MOST, Answer
from opsnb.core.asking import AGENT, Question, origin

READ = 65536
ERRORS = (OSError, h11.ProtocolError, ValueError, asyncio.IncompleteReadError)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(asked: Question) -> Answer:
    """Ask once, through the proxy that the environment names, if any.

    Args:
        asked: The question.

    Raises:
        OSError: There was no answer; one of :data:`ERRORS` also where it made no sense.
    """
    proxy = _proxy(asked.url)
    async with _connected(asked.url, proxy) as (reader, writer):
        line = h11.Connection(our_role=h11.CLIENT)
        writer.write(_request(line, asked, proxy))
        await writer.drain()
        return await _answer(line, reader)


async def reach(host: str, port: int) -> None:
    """Connect, and nothing else.

    Raises:
        OSError: Nothing took the connection.
    """
    _, writer = await asyncio.open_connection(host, port)
    writer.close()


def _request(line: h11.Connection, asked: Question, proxy: SplitResult | None) -> bytes:
    parts = urlsplit(asked.url)
    place = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    through = proxy is not None and parts.scheme == "http"
    headers = {"Host": parts.netloc, "User-Agent": AGENT, "Accept": "*/*"}
    headers |= {"Accept-Encoding": "identity", "Connection": "close"}
    if through:
        headers |= _login(proxy)
    if asked.method in ("POST", "PUT"):
        headers["Content-Length"] = "0"
    given = {name.title() for name, _ in asked.headers}
    own = [(name, text) for name, text in headers.items() if name not in given]
    request = h11.Request(
        method=asked.method,
        target=f"http://{parts.netloc}{place}" if through else place,
        headers=[*own, *asked.headers],
    )
    return (line.send(request) or b"") + (line.send(h11.EndOfMessage()) or b"")


async def _answer(line: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, body = 0, bytearray()
    headers: tuple[tuple[str, str], ...] = ()
    while True:
        event = line.next_event()
        if event is h11.NEED_DATA:
            line.receive_data(await reader.read(READ))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in event.headers.raw_items()
            )
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST:
                return Answer(status, headers, bytes(body[:MOST]), cut=True)
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return Answer(status, headers, bytes(body))


@asynccontextmanager
async def _connected(url: str, proxy: SplitResult | None) -> AsyncIterator[Streams]:
    scheme, host, port = origin(url)
    secure = ssl.create_default_context() if scheme == "https" else None
    if proxy is None:
        streams = await asyncio.open_connection(host, port, ssl=secure)
    else:
        streams = await asyncio.open_connection(proxy.hostname, proxy.port or 80)
    try:
        if proxy is not None and secure is not None:
            await _tunnel(streams, f"{_bracketed(host)}:{port}", proxy)
            await streams[1].start_tls(secure, server_hostname=host)
        yield streams
    finally:
        # The other side may never say that it has closed, too.
        streams[1].transport.abort()


async def _tunnel(streams: Streams, where: str, proxy: SplitResult) -> None:
    """Have a proxy connect us.

    Raises:
        OSError: It would not.
    """
    reader, writer = streams
    headers = {"Host": where, **_login(proxy)}
    lines = [f"CONNECT {where} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise OSError("the proxy's answer makes no sense") from error
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise OSError(f"the proxy answered {head.split(b' ', 2)[1:2]}")


def _proxy(url: str) -> SplitResult | None:
    """The proxy for an address, as this machine's environment has it."""
    parts = urlsplit(url)
    named = urllib.request.getproxies().get(parts.scheme, "")
    with suppress(ValueError):
        if named and not urllib.request.proxy_bypass(parts.netloc):
            proxy = urlsplit(named if "://" in named else f"http://{named}")
            return proxy if proxy.scheme == "http" and proxy.hostname else None
    return None


def _login(proxy: SplitResult | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
