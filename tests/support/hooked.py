"""A real HTTP server on loopback that keeps what is posted to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Posted:
    """What was posted.

    Attributes:
        path: Where to.
        kind: Its content type.
        body: Its bytes.
    """

    path: str
    kind: str
    body: bytes


class HookServer:
    """Takes posts.

    Args:
        status: What it answers.
        location: Where it sends those who come, for a status that does.
        silent: Whether it answers nothing until it ends.
    """

    def __init__(self, status: int = 200, location: str = "", silent: bool = False) -> None:
        self.posts: list[Posted] = []
        self._over = threading.Event()
        posts, over = self.posts, self._over

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                posts.append(Posted(self.path, self.headers["Content-Type"], body))
                if silent:
                    over.wait(60)
                    return
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def url(self, path: str = "/hook") -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
