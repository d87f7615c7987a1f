"""What the programs of a server do to the files of a site, call by call; and one call going wrong.

``calls.c`` beside this file says how. It is compiled once, by the C compiler of the machine.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path

from tests.support.sshd import require

VARIABLE = "OPSNB_TEST_CALLS"
MOST = 16384
FOR_EVER = 0xFFFFFFFF
_HEAD = struct.Struct("=IIIIiIII512s")
_ENTRY = struct.Struct("=16s16siiq")
_COUNT, _MET = 0, 28  # offsets of what every process counts


class Action(IntEnum):
    """What happens at a call."""

    COUNT = 0
    KILL = 1
    ERRNO = 2
    POWER = 3


class Kind(IntFlag):
    """Which calls are counted."""

    CHANGES = 1
    READS = 2
    PROGRAMS = 4


@dataclass(frozen=True)
class Made:
    """A call that was made.

    Attributes:
        what: Its name; ``exec`` is the beginning of a program.
        program: Who made it.
        session: The session of that program.
        at: When, in seconds of the monotonic clock.
    """

    what: str
    program: str
    session: int
    at: float

    def __str__(self) -> str:
        return f"{self.what} of {self.program}"


class Calls:
    """The count of one site's calls, shared with every program that was started with it.

    Args:
        folder: Where its file and the library are kept; every user of the server can reach it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "calls"
        self._file.write_bytes(bytes(_HEAD.size + MOST * _ENTRY.size))
        self._file.chmod(0o666)
        self.library = compiled(folder)
        with self._file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @property
    def environment(self) -> dict[str, str]:
        """What a program is started with to be counted, but for ``LD_PRELOAD``."""
        return {VARIABLE: str(self._file)}

    def arm(
        self,
        site: Path,
        action: Action = Action.COUNT,
        first: int = 0,
        last: int | None = None,
        *,
        error: int = 0,
        kinds: Kind = Kind.CHANGES | Kind.PROGRAMS,
        flags: int = 0,
    ) -> None:
        """Begin to count anew.

        Args:
            site: The site whose files count.
            action: What happens at the calls chosen.
            first: The number of the first of them, from 1.
            last: The number of the last; the first alone when none is given.
            error: The errno that they end with.
            kinds: Which calls are counted.
            flags: Of the shutdown of the file system, when the power is cut.
        """
        path = os.fsencode(site)
        self._map[_HEAD.size :] = bytes(MOST * _ENTRY.size)
        self._map[: _HEAD.size] = _HEAD.pack(
            0, action, first, first if last is None else last, error, kinds, flags, 0, path
        )

    def rest(self) -> None:
        """Let all calls pass from now on, and count them on."""
        self._map[4:8] = struct.pack("=I", Action.COUNT)

    @property
    def count(self) -> int:
        """How many calls were made."""
        return int(struct.unpack_from("=I", self._map, _COUNT)[0])

    @property
    def met(self) -> int:
        """The number of the last call that something happened at; 0 for none."""
        return int(struct.unpack_from("=I", self._map, _MET)[0])

    def made(self) -> list[Made]:
        """The calls, in order; at most :data:`MOST`."""
        found = []
        for number in range(min(self.count, MOST)):
            what, program, session, _, at = _ENTRY.unpack_from(
                self._map, _HEAD.size + number * _ENTRY.size
            )
            found.append(Made(_text(what), _text(program), session, at / 1e9))
        return found

    def call(self, number: int) -> str:
        """A call in words, by its number from 1."""
        made = self.made()
        return f"call {number}" + (f", {made[number - 1]}" if number <= len(made) else "")


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("latin-1")


def compiled(folder: Path) -> Path:
    """The library, compiled into a folder."""
    library = folder / "calls.so"
    source = Path(__file__).with_name("calls.c")
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    subprocess.run([require("gcc"), *flags, "-o", library, source, "-ldl"], check=True)
    library.chmod(0o755)
    return library


@contextmanager
def counting() -> Iterator[Calls]:
    """A count in a folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="opsnb-calls-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Calls(Path(folder))
