"""``agent.sh`` as it is sent to a server: without what only people read, plain or packed.

Packed it is a fifth of what it is as it is written, and all of it is on its way at once: of a new
connection a system sends some 14 kB, and then waits until they have arrived.
"""

from __future__ import annotations

import zlib
from functools import cache
from importlib.resources import files

# What a shell is given as its program (-c), to read a packed script up to its last byte and run it.
# No single quote and no "!" may be in it: login shells of every kind pass it on.
READER = (
    'read x; read n; eval "$(dd bs=65536 count="$n" iflag=fullblock,count_bytes 2>/dev/null'
    ' | gzip -dc)"'
)
# Where a server starts a plain shell instead, whatever it is asked for, this is its whole script.
_NO_READER = b"exit 111\n"
_GZIP = 31


def script(head: bytes, *, packed: bool) -> bytes:
    """What a shell is sent to become the agent.

    Args:
        head: The lines that set the agent's variables.
        packed: Whether the shell was started with ``READER``.
    """
    plain = head + _bare()
    if not packed:
        return plain
    packing = zlib.compressobj(9, wbits=_GZIP)
    body = packing.compress(plain) + packing.flush()
    return _NO_READER + b"%d\n" % len(body) + body


@cache
def _bare() -> bytes:
    """The agent without comments and indentation."""
    text = files("opsnb.remote").joinpath("agent.sh").read_bytes()
    lines = (line.strip() for line in text.splitlines())
    return b"\n".join(line for line in lines if line and not line.startswith(b"#")) + b"\n"
