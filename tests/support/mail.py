"""A real SMTP server on loopback, as small as it can be: it takes mail and keeps it."""

from __future__ import annotations

import email
import socketserver
import threading
from email.message import Message
from types import TracebackType
from typing import Self


class MailServer:
    """Takes mail from anybody.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        mails: What has come, oldest first.
    """

    def __init__(self) -> None:
        self.mails: list[Message] = []
        mails = self.mails

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 here")
                while line := self.rfile.readline():
                    verb = line[:4].upper().strip()
                    if verb == b"DATA":
                        self._say("354 go on")
                        mails.append(email.message_from_bytes(self._data()))
                        self._say("250 taken")
                    elif verb == b"QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 well")

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

            def _data(self) -> bytes:
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                return b"".join(lines)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Session)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
