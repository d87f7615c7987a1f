"""FastCGI, as much as it takes to have one script run: what is sent, and what comes back. Pure.

A request is records of eight bytes and content: begin, the variables, and an empty standard input.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

VERSION, RESPONDER, REQUEST = 1, 1, 1
BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
MOST = 65535  # bytes of a record's content
LIMIT = 1 << 20  # bytes of an answer
_HEAD = Struct(">BBHHBx")


def record(kind: int, content: bytes = b"") -> bytes:
    """One record.

    Args:
        kind: Its kind.
        content: At most 65,535 bytes.
    """
    return _HEAD.pack(VERSION, kind, REQUEST, len(content), 0) + content


def request(variables: Mapping[str, str]) -> bytes:
    """A whole request for a script, which reads nothing.

    Args:
        variables: What is told of it, as to a CGI program.

    Raises:
        ValueError: They are longer than a record.
    """
    pairs = b"".join(_pair(name.encode(), _raw(value)) for name, value in variables.items())
    if len(pairs) > MOST:
        raise ValueError("the variables are longer than a record of FastCGI")
    begin = RESPONDER.to_bytes(2, "big") + bytes(6)
    return record(BEGIN, begin) + record(PARAMS, pairs) + record(PARAMS) + record(STDIN)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pair(name: bytes, value: bytes) -> bytes:
    return _length(name) + _length(value) + name + value


def _length(text: bytes) -> bytes:
    size = len(text)
    return bytes([size]) if size < 128 else (size | 1 << 31).to_bytes(4, "big")


class Answer:
    """What comes back, in pieces of any size.

    Attributes:
        out: What the script said, its headers first.
        complaints: What it complained about.
        ended: Whether all of it has come.
    """

    def __init__(self) -> None:
        self.out = self.complaints = b""
        self.ended = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take a piece.

        Raises:
            ValueError: It is no FastCGI, or too much.
        """
        self._rest += data
        while len(self._rest) >= _HEAD.size and not self.ended:
            version, kind, _, length, padding = _HEAD.unpack(self._rest[: _HEAD.size])
            if version != VERSION:
                raise ValueError("what answers there does not speak FastCGI")
            whole = _HEAD.size + length + padding
            if len(self._rest) < whole:
                break
            self._take(kind, self._rest[_HEAD.size : _HEAD.size + length])
            self._rest = self._rest[whole:]

    def _take(self, kind: int, content: bytes) -> None:
        if kind == STDOUT:
            self.out += content
        elif kind == STDERR:
            self.complaints += content
        elif kind == END:
            self.ended = True
        if len(self.out) + len(self.complaints) > LIMIT:
            raise ValueError("the answer is too long")
