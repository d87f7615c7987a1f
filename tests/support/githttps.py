"""Git over HTTPS, as a forge serves it: ``git http-backend`` behind TLS, with a login or not."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.sshd import require


@dataclass
class Forge:
    """A server of repositories.

    Attributes:
        root: The folder that holds them.
        certificate: What must be trusted to talk to it.
        login: User and password, with a colon between them, that it asks for; empty for none.
        port: Where it listens, on 127.0.0.1.
        asked: The path of each request that was answered with content.
    """

    root: Path
    certificate: Path
    login: str = ""
    port: int = 0
    asked: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        """The address of a repository."""
        return f"https://127.0.0.1:{self.port}/{name}"


@contextmanager
def forge(root: Path, private: Path, login: str = "") -> Iterator[Forge]:
    """Serve the repositories of a folder.

    Args:
        root: The folder.
        private: A folder for its key and its certificate.
        login: See :class:`Forge`.
    """
    key, certificate = private / "key.pem", private / "certificate.pem"
    _certified(key, certificate)
    made = Forge(root, certificate, login)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(made)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        made.port = server.server_port
        running = threading.Thread(target=server.serve_forever, daemon=True)
        running.start()
        try:
            yield made
        finally:
            server.shutdown()
            running.join()


def _certified(key: Path, certificate: Path) -> None:
    subprocess.run(
        [
            *(require("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "1"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )


def _handler(made: Forge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def _answer(self) -> None:
            wanted = f"Basic {base64.b64encode(made.login.encode()).decode()}"
            if made.login and self.headers["Authorization"] != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="forge"')
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            length = int(self.headers["Content-Length"] or 0)
            answer = subprocess.run(
                [require("git"), "http-backend"],
                input=self.rfile.read(length),
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(made.root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "safe.directory",
                    "GIT_CONFIG_VALUE_0": "*",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers["Content-Type"] or "",
                    "CONTENT_LENGTH": str(length),
                    "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
                    "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
                },
                capture_output=True,
                check=True,
            ).stdout
            head, _, body = answer.partition(b"\r\n\r\n")
            given = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(given.pop("Status", "200 OK").split()[0]))
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            made.asked.append(path)

    return Handler
