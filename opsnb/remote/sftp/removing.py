"""What must not be removed: what is mounted below a directory."""

from __future__ import annotations

import re

from opsnb.errors import RemoteError, StepFailed
from opsnb.remote.sftp.wire import Wire, each

MOUNTS = b"/proc/self/mountinfo"
_OCTAL = re.compile(rb"\\([0-7]{3})")


async def mounted_below(wire: Wire, path: bytes) -> bool:
    """Whether something is mounted at a path or below it.

    Another file system shows itself. One directory of the same, mounted at a second place, is told
    by the kernel's own table alone, and that cannot be read where the account is locked up.
    """
    item = await wire.lstat(path)
    if item is None or item.kind != "d":
        return False
    real = await wire.real(path)
    if any(place == real or place.startswith(real + b"/") for place in await _mounts(wire)):
        return True
    below = await wire.walk(path)
    folders = [path + b"/" + name for name, found in below.items() if found.kind == "d"]
    try:
        numbers = set(await each(wire.file_system, [path, b".opsnb", *folders]))
    except StepFailed:
        return False  # a directory that is closed to us: its removal will say so
    return len(numbers) > 1


async def _mounts(wire: Wire) -> list[bytes]:
    """Where something is mounted, as far as can be known."""
    try:
        # It says that it is empty, so it is read without a look at its size.
        text = await wire.text(MOUNTS)
    except (StepFailed, RemoteError):
        return []
    fields = [line.split(b" ") for line in text.splitlines()]
    return [
        _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), words[4])
        for words in fields
        if len(words) > 4
    ]
