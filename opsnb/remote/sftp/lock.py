"""The lock of a server that is reached by SFTP alone.

Whoever has the lock has a directory in ``.opsnb/held``, with a name that nobody else ever has. It
is made elsewhere and moved there, with all that is in it, by one ``rename(2)`` over
``.opsnb/held``: the kernel refuses that while anything is in there, so that of many who try one
wins.

Every step that matters goes through that directory: what is written is written in it and renamed
from it, what leaves is renamed into it. To take the lock away is to rename it away: the steps of a
robbed holder then find no such path, however late they come, and no clock is asked.

A sign of life is a byte that is written in it. It is held against a file that was written just
now, so that only the server's clock counts. A login with a shell has another lock (flock); each
looks for the other's after it has taken its own, so that at the most one goes on.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass

from opsnb.core.marks import Holder
from opsnb.errors import LockLost, NotReady, RemoteError, StepFailed
from opsnb.remote.sftp.wire import ABSENT, Item, Wire

BEAT = 3.0
DEAD = 40  # seconds without a sign of life; the agent's shell ends its own after 30
RECENT = 5.0  # seconds for which somebody who was seen alive is taken to be so
KILLED = 3.0  # seconds in which a robbed shell has noticed
HELD, TRASH, TOKEN = b".opsnb/held", b".opsnb/trash", b".opsnb/token"
RESERVE, ROOM = b".opsnb/reserve", 65536
SHELLS_HOLDER, SHELLS_BEAT = b".opsnb/holder.json", b".opsnb/beat"
FOLDERS = (b"", b"releases", b"shared", b".opsnb", TRASH)
OURS = (b"records", b"manifests", b"stats", b"carried")


@dataclass(frozen=True)
class Taken:
    """A lock that was taken.

    Attributes:
        place: The holder's own directory, relative to ``deploy_to``.
        token: Grows with each holder.
    """

    place: bytes
    token: int


class Lock:
    """The lock of one site, as one client sees it."""

    def __init__(self) -> None:
        self._alive: tuple[bytes, float] = (b"", 0.0)
        self._seen: tuple[tuple[bytes, int], float] = ((b"", 0), 0.0)

    async def holder(self, wire: Wire) -> bytes | None:
        """The description of whoever has the lock; None when it is free.

        A look writes nothing, so it cannot ask the server's clock: who is dead is told by having
        given no sign of life while this client was watching, and by taking the lock.
        """
        for place in await _holders(wire):
            if await self._gives_signs(wire, place, place + b"/beat"):
                return await wire.read(place + b"/holder.json") or b""
        text = await wire.read(SHELLS_HOLDER)
        if text is not None and await self._gives_signs(wire, SHELLS_HOLDER, SHELLS_BEAT):
            return text
        return None

    async def _gives_signs(self, wire: Wire, who: bytes, beat: bytes) -> bool:
        sign = await wire.lstat(beat)
        now = (who, sign.mtime if sign else 0)
        if now != self._seen[0]:
            self._seen = (now, time.monotonic())
        return time.monotonic() - self._seen[1] < DEAD

    async def take(self, wire: Wire, place: bytes, body: Holder) -> Taken | None:
        """Take the lock; None when somebody alive has it.

        Args:
            wire: The session.
            place: What :func:`place_of_its_own` gave; it may be there although this failed.
            body: Who takes it.

        Raises:
            NotReady: ``deploy_to`` cannot be written.
        """
        if await self._seen_alive(wire):
            return None
        try:
            return await self._take(wire, place, body)
        except StepFailed as error:
            await give_back(wire, place)
            if await _holders(wire):
                return None  # whoever has it has swept away what was being prepared
            if await wire.lstat(RESERVE):
                # A full disk must not keep anybody from pruning it or from going back.
                await wire.remove(RESERVE)
                return await self.take(wire, place, body)
            raise NotReady(
                f"cannot take the lock: {error.message}", "May this user write to deploy_to?"
            ) from error

    async def _take(self, wire: Wire, place: bytes, body: Holder) -> Taken | None:
        await _folders(wire)
        if not await self._enter(wire, place):
            return None
        if await _shell_is_alive(wire, place):
            await give_back(wire, place)
            return None
        taken = await _described(wire, place, body)
        with suppress(StepFailed):
            if await wire.lstat(RESERVE) is None:
                await put(wire, place, RESERVE, b" " * ROOM)
        return taken

    async def _seen_alive(self, wire: Wire) -> bool:
        """Whether the one who has it was seen alive a moment ago: who waits need not write."""
        who, until = self._alive
        return time.monotonic() < until and who in await _holders(wire)

    async def _enter(self, wire: Wire, place: bytes) -> bool:
        """Move a directory of our own into place; whether nobody alive has one there."""
        name = place.rpartition(b"/")[2]
        new = b".opsnb/tmp." + name
        await wire.mkdir(new)
        try:
            await wire.mkdir(new + b"/" + name)
            await wire.write(new + b"/" + name + b"/beat", [b"."])
            now = await wire.lstat(new + b"/" + name + b"/beat")
            for _try in range(3):
                if await _moved(wire, new, HELD):
                    return True
                if now is None or not await self._clear_dead(wire, now):
                    return False
            return False
        finally:
            with suppress(RemoteError):
                await wire.rmtree(new)

    async def _clear_dead(self, wire: Wire, now: Item) -> bool:
        """Move those away who have given no sign of life; whether nobody alive was met."""
        for place in await _holders(wire):
            sign = await wire.lstat(place + b"/beat") or await wire.lstat(place)
            # A sign from the future was given before the clock was set back.
            if sign is not None and abs(now.mtime - sign.mtime) < DEAD:
                self._alive = (place, time.monotonic() + RECENT)
                return False
            # Of several who do this one does it: the name is that of one holder only.
            await _moved(wire, place, TRASH + b"/" + place.rpartition(b"/")[2])
        return True


def place_of_its_own() -> bytes:
    """A holder's directory that nobody else ever has."""
    return HELD + b"/" + secrets.token_hex(8).encode()


async def _holders(wire: Wire) -> list[bytes]:
    try:
        return [HELD + b"/" + name for name in await wire.names(HELD)]
    except StepFailed as error:
        if error.status == ABSENT:
            return []
        raise


async def _folders(wire: Wire) -> None:
    """Make what is missing of the site."""
    for path in (*FOLDERS, *(b".opsnb/" + name for name in OURS)):
        await wire.ensure(path)


async def _moved(wire: Wire, old: bytes, new: bytes) -> bool:
    """Rename; whether that was possible."""
    try:
        await wire.rename(old, new)
    except StepFailed:
        return False
    return True


async def _described(wire: Wire, place: bytes, body: Holder) -> Taken:
    """Take a number that nobody had, and say who we are."""
    told = (await wire.read(TOKEN) or b"").strip()
    token = int(told) + 1 if told.isdigit() and len(told) < 18 else 1
    await put(wire, place, TOKEN, b"%d\n" % token)
    fields = {**json.loads(body.encode()), "token": token, "pid": 0}
    await wire.write(place + b"/holder.json", [json.dumps(fields).encode() + b"\n"])
    return Taken(place, token)


async def put(wire: Wire, place: bytes, path: bytes, content: bytes, mode: int = 0o644) -> None:
    """Write a file through a holder's directory, so that it appears as a whole, if at all."""
    new = place + b"/new." + secrets.token_hex(4).encode()
    try:
        await wire.write(new, [content], mode=mode)
        await wire.rename(new, path)
    except StepFailed:
        with suppress(RemoteError):
            await wire.remove(new)
        raise


async def _shell_is_alive(wire: Wire, place: bytes) -> bool:
    """Whether somebody with a shell has the other lock: it is described, and gives signs."""
    if await wire.lstat(SHELLS_HOLDER) is None:
        return False
    sign, now = await wire.lstat(SHELLS_BEAT), await wire.lstat(place + b"/beat")
    return sign is not None and now is not None and abs(now.mtime - sign.mtime) < DEAD


async def give_back(wire: Wire, place: bytes) -> None:
    """Let go of a holder's directory, unless somebody took it."""
    gone = TRASH + b"/" + place.rpartition(b"/")[2]
    if await _moved(wire, place, gone):
        with suppress(StepFailed):
            # A release may be left in it into which others write, or from which they were shut out.
            ours = await wire.lstat(gone)
            await wire.rmtree(gone, ours.uid if ours else -1)


async def rob(wire: Wire, holder: Holder) -> None:
    """Take the lock away from a holder.

    Raises:
        LockLost: It has changed hands meanwhile.
    """
    for place in await _holders(wire):
        if await _token_in(wire, place + b"/holder.json") == holder.token:
            await _moved(wire, place, TRASH + b"/" + place.rpartition(b"/")[2])
            return
    if await _token_in(wire, SHELLS_HOLDER) != holder.token:
        raise LockLost("the lock has changed hands meanwhile: look again")
    new = b".opsnb/tmp." + secrets.token_hex(8).encode()
    await wire.write(new, [b"%d\n" % (holder.token + 1)])
    await wire.rename(new, TOKEN)
    await asyncio.sleep(KILLED)
    # Somebody with a shell may have been waiting for it: by now this is theirs.
    if await _token_in(wire, SHELLS_HOLDER) == holder.token:
        await wire.remove(SHELLS_HOLDER)


async def _token_in(wire: Wire, path: bytes) -> int:
    try:
        return Holder.decode(await wire.read(path) or b"").token
    except ValueError:
        return 0
