"""Where the packets of an SSH connection begin and end, as far as anybody on the line can tell.

Of one direction: the greeting, a line, is the first; then packets whose lengths are in clear. Once
the keys are new, that is so with AES-GCM only, whose packets are followed by 16 bytes that say
whether they are whole.
"""

from __future__ import annotations

GREETING = b"SSH-"
NEW_KEYS = 21
TAG = 16
LONGEST = 1 << 20
CIPHERS = "aes128-gcm@openssh.com"


class Packets:
    """The packets of one direction.

    Attributes:
        ends: Where each ends that has begun, the greeting first: how many bytes come before.
    """

    def __init__(self) -> None:
        self.ends: list[int] = []
        self._ahead = bytearray()
        self._missing = 0
        self._clear = True

    def feed(self, data: bytes) -> None:
        """Take bytes as they pass.

        Raises:
            ValueError: These are no packets of that kind.
        """
        self._ahead += data
        while self._skipped() and (size := self._size()) is not None:
            self.ends.append(self.known + size)
            self._missing = size

    def _skipped(self) -> bool:
        """Whether the packet that has begun is over."""
        taken = min(self._missing, len(self._ahead))
        del self._ahead[:taken]
        self._missing -= taken
        return not self._missing

    def place(self, number: int, part: float) -> int | None:
        """A place in a packet, in bytes from the beginning; None when it has not begun.

        Args:
            number: The packet, from 0.
            part: How far in it: 0 is before its first byte, less than 1 before its last.
        """
        if number >= len(self.ends):
            return None
        begin = self.ends[number - 1] if number else 0
        size = self.ends[number] - begin
        return begin + (min(size - 1, max(1, int(size * part))) if part else 0)

    @property
    def known(self) -> int:
        """How many bytes belong to packets that have begun."""
        return self.ends[-1] if self.ends else 0

    def _size(self) -> int | None:
        """Of the next packet, once its head is there."""
        return self._packet() if self.ends else self._line()

    def _line(self) -> int | None:
        end = self._ahead.find(b"\n") + 1
        if end and not self._ahead.startswith(GREETING):
            raise ValueError("no greeting comes first")
        return end or None

    def _packet(self) -> int | None:
        if len(self._ahead) < 6:
            return None
        length = int.from_bytes(self._ahead[:4])
        if not 0 < length < LONGEST:
            raise ValueError(f"no packet has {length} bytes: which cipher is this?")
        size = 4 + length + (0 if self._clear else TAG)
        self._clear = self._clear and self._ahead[5] != NEW_KEYS
        return size
