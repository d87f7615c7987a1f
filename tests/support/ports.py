"""Ports for servers that must be told one, before they listen on it."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"

_ANY = random.SystemRandom()
_TRIES = 100


def free_port() -> int:
    """A port of the loopback address that nobody listens on.

    It is none of those that systems give to whoever asks for any port (from 32768 on with Linux,
    from 49152 on elsewhere): between this answer and the server's start, a test beside this one
    would take such a port now and then.

    Raises:
        RuntimeError: A hundred were tried, and all were taken.
    """
    for _ in range(_TRIES):
        port = _ANY.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port is free on {HOST}")
