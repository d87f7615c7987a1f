"""A small web server in front of ``current``, as a visitor's browser meets it.

Rule 1: ``current`` is resolved once per request, and the file is opened inside the release that
        it named then; no answer is put together from two releases.
Rule 2: nothing outside ``deploy_to`` is served, whatever a path or a link says; links from a
        release into ``shared`` are.
Rule 3: nothing is cached, so what a visitor sees is what is live.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import Any, BinaryIO, Self, cast
from urllib.parse import unquote, urlsplit

from opsnb.errors import OpsnbError

JOIN_TIMEOUT = 5.0  # seconds
IDLE_TIMEOUT = 30  # seconds that a connection may be kept without a request

PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<body style="font:18px/1.6 Georgia,serif;max-width:32em;margin:18vh auto;padding:0 1.5em">
<h1 style="font-weight:400;margin:0">{title}</h1>
<p>{text}</p>
"""


class WebServer:
    """Serves the live release over HTTP: ``GET`` and ``HEAD``, nothing else.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`; both may be called
    again at any time.

    Args:
        document_root: The live link, ``deploy_to/current``; it need not exist yet.
        host: The address to listen on.
        port: The TCP port; 0 for a free one.
    """

    def __init__(self, document_root: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self._current = document_root
        self._address = (host, port)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._earlier = 0  # requests answered before the last stop

    @property
    def url(self) -> str:
        """Where it answers, with a slash at the end.

        Raises:
            OpsnbError: It has not been started.
        """
        if self._server is None:
            raise OpsnbError("The web server is not running.", "Call start() first.")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    @property
    def requests(self) -> int:
        """How many requests have been answered."""
        return self._earlier + (self._server.requests if self._server else 0)

    def start(self) -> Self:
        """Start listening; returns when visitors can come.

        Returns:
            The server itself.

        Raises:
            OSError: The address cannot be listened on.
        """
        if self._server is None:
            self._server = _Server(self._address, self._current)
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.02,), name="opsnb-web", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening, and close every connection."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.shutdown()
            thread.join()
            server.server_close()
            server.hang_up()
            self._earlier += server.requests

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can close them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], current: Path) -> None:
        self.current = current
        self.requests = 0
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would ask the name service for this machine's name
        TCPServer.server_bind(self)
        self.server_name, self.server_port = cast(tuple[str, int], self.server_address[:2])

    def count(self) -> None:
        with self._lock:
            self.requests += 1

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._open[request] = thread
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor that went away is no error; all else is shown as usual."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Close every connection that is still open, and wait for its thread."""
        with self._lock:
            connections = dict(self._open)
        for connection, thread in connections.items():
            with suppress(OSError):  # it closed by itself meanwhile
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(JOIN_TIMEOUT)


INDEX = ("index.html", "index.htm")  # as the library has them


class _Handler(SimpleHTTPRequestHandler):
    """Answers one visitor's requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_TIMEOUT
    _release = ""

    def send_head(self) -> BytesIO | BinaryIO | None:
        server = cast(_Server, self.server)
        server.count()
        del self.headers["If-Modified-Since"]  # a release may be older than the one before
        deploy_to = server.current.parent.resolve()
        release = _resolved(server.current)
        self._release = ""
        if release is None or not release.is_relative_to(deploy_to):
            return self._say(HTTPStatus.SERVICE_UNAVAILABLE, "No release is live yet.")
        self._release = release.name
        self.directory = str(release)
        if not self._inside(deploy_to):
            return self._say(HTTPStatus.NOT_FOUND, "There is no such page.")
        return super().send_head()

    def _inside(self, deploy_to: Path) -> bool:
        """Whether the request names something that exists, below ``deploy_to``."""
        asked = unquote(urlsplit(self.path).path)
        if ".." in asked.split("/") or "\0" in asked:
            return False
        target = _resolved(Path(self.translate_path(self.path)))
        if target is not None and target.is_dir():
            # The page that stands for a directory may be a link, too.
            pages = (target / name for name in INDEX)
            page = next((page for page in pages if page.exists()), target)
            target = _resolved(page)
        return target is not None and target.is_relative_to(deploy_to)

    def list_directory(self, path: Any) -> BytesIO | None:
        return self._say(HTTPStatus.NOT_FOUND, "There is no such page.")

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        if self._release:
            self.send_header("X-Release", self._release)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _say(self, status: HTTPStatus, text: str) -> BytesIO:
        """Answer with a plain page."""
        page = PAGE.format(title=f"{status.value} {status.phrase}", text=text).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        return BytesIO(page)


def _resolved(path: Path) -> Path | None:
    """Where a path leads in the end, or None when it leads nowhere."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: how Python 3.11 and 3.12 report a loop
        return None
