"""How releases and what is left leave a server that is reached by SFTP alone.

Rule 1: what goes is renamed into the holder's own directory first; what then remains is nobody's.
Rule 2: nothing is removed below which something is mounted.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from opsnb.core import layout
from opsnb.core.text import safe
from opsnb.errors import RemoteError, StepFailed
from opsnb.remote.base import NOT_REMOVED
from opsnb.remote.sftp.steps import Steps
from opsnb.remote.sftp.wire import Wire, each

LIVE = 95
TRASH = b".opsnb/trash"
LINK = b".current.opsnb."
PLACED = b".opsnb/tmp.placed"
KNOWN = ("manifests", "stats", "carried")
MOUNTS = b"/proc/self/mountinfo"
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Removing(Steps):
    """The steps that remove something."""

    async def discard(self, names: Sequence[str]) -> bool:
        """See :meth:`Held.discard`."""
        async with self._step("remove releases"):
            for name in names:
                if not await self._discard(name):
                    return False
            return await self._sweep()

    async def _discard(self, name: str) -> bool:
        path, record = layout.release(name).encode(), layout.record(name).encode()
        found = await self._wire.lstat(path)
        if found and found.kind == "d" and await self._wire.lstat(record):
            if await self._is_live(path):
                raise StepFailed(f"{safe(name)} is live", LIVE)
            if not await self._aside(path, found.mode):
                return False
        known_of = (layout.assets(name), *(f".opsnb/{kind}/{name}" for kind in KNOWN))
        for known in (record, *map(str.encode, known_of)):
            await self._away(known)
        return True

    async def _is_live(self, path: bytes) -> bool:
        there = await self._wire.stat(b"current")
        if there is None:
            return False
        return await self._wire.real(b"current") == await self._wire.real(path)

    async def _aside(self, path: bytes, mode: int) -> bool:
        """A release leaves by one rename; what then remains is nobody's."""
        if await mounted_below(self._wire, path):
            return False
        if mode & 0o700 != 0o700:
            await self._wire.chmod(path, mode | 0o700)
        try:
            await self._wire.rename(path, self._place + b"/gone." + secrets.token_hex(4).encode())
        except StepFailed:
            await self._fence()
            return False
        return True

    async def retire(self, name: str) -> bool:
        """See :meth:`Held.retire`. Nothing is kept aside: it could not be listed exactly."""
        return await self.discard([name])

    async def remove_idle(self, names: Sequence[str], *, aside: bool) -> tuple[bool, list[str]]:
        """See :meth:`Held.remove_idle`. SFTP tells nothing of processes."""
        del aside
        return await self.discard(names), []

    async def remove_all(self, names: Sequence[str], *, aside: bool, idle: bool) -> None:
        """See :meth:`Held.remove_all`."""
        del aside, idle
        if not await self.discard(names):
            raise StepFailed("not all of the releases could be removed", NOT_REMOVED)

    async def clear_spare(self) -> bool:
        """See :meth:`Held.clear_spare`."""
        async with self._step("remove the release kept aside"):
            found = await self._wire.lstat(b".opsnb/spare")
            if found and not await self._aside(b".opsnb/spare", found.mode):
                return False
            return await self._sweep()

    async def sweep(self) -> bool:
        """See :meth:`Held.sweep`."""
        async with self._step("clear what is left"):
            return await self._sweep()

    async def _sweep(self) -> bool:
        left = [name for name in await self._wire.names(b"") if name.startswith(LINK)]
        # Before what tells of them.
        left += layout.placed_in(await self._wire.read(PLACED) or b"")
        left += [
            b".opsnb/" + name
            for name in await self._wire.names(b".opsnb")
            if name.startswith(b"tmp.")
        ]
        trash = await self._wire.lstat(TRASH)
        if trash is not None and trash.kind == "d":
            left += [TRASH + b"/" + name for name in await self._wire.names(TRASH)]
        left += [
            self._place + b"/" + name
            for name in await self._wire.names(self._place)
            if name.startswith((b"gone.", b"new."))
        ]
        well = True
        for path in left:
            try:
                await self._remove(path)
            except StepFailed:
                await self._fence()
                well = False
        return well

    async def _remove(self, path: bytes) -> None:
        """Remove what stands there and all below it, unless something is mounted there."""
        if await mounted_below(self._wire, path):
            raise StepFailed(f"something is mounted below {safe(path)}", 96)
        await self._wire.rmtree(path, await self._owner())

    async def _owner(self) -> int:
        """Who we are, by number: to whom our own directory belongs."""
        ours = await self._wire.lstat(self._place)
        return ours.uid if ours else -1

    async def _away(self, path: bytes) -> None:
        """Remove a file through the holder's directory, unless it is gone."""
        if await self._wire.lstat(path) is not None:
            new = self._new()
            await self._wire.rename(path, new)
            await self._wire.remove(new)


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
