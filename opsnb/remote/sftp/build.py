"""A release that is being built by SFTP: files arrive, are copied, and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from opsnb.core.manifest import Kind, parents
from opsnb.core.text import safe
from opsnb.errors import OpsnbError, StepFailed
from opsnb.remote.sftp.untar import Bytes, Member, members
from opsnb.remote.sftp.wire import MANY, Item, Part, Wire, each

SMALL = 1 << 18  # bytes of a file that is written while others are


class Tree:
    """A release's directory.

    Args:
        wire: The session.
        root: The directory, relative to ``deploy_to``.
    """

    def __init__(self, wire: Wire, root: bytes) -> None:
        self._wire = wire
        self._root = root
        self._folders: set[bytes] = set()
        self._running: set[asyncio.Task[None]] = set()

    def at(self, path: bytes) -> bytes:
        """A path of the release, relative to ``deploy_to``."""
        return self._root + b"/" + path

    async def folder(self, path: bytes) -> None:
        """Make a directory and those above it, unless they are there; a link is none."""
        for place in [*reversed(list(parents(path))), path]:
            if not place or place in self._folders:
                continue
            found = await self._wire.lstat(self.at(place))
            if found is None:
                await self._wire.mkdir(self.at(place))
            elif found.kind != "d":
                raise StepFailed(f"{safe(place)} is no directory", 1)
            self._folders.add(place)

    async def holds(self, path: bytes) -> bool:
        """Whether a path is below directories of this tree, and below no link."""
        for place in reversed(list(parents(path))):
            if place not in self._folders:
                found = await self._wire.lstat(self.at(place))
                if found is None or found.kind != "d":
                    return False
                self._folders.add(place)
        return True

    async def unpack(self, stream: Bytes) -> None:
        """Make what a tar stream holds, in place of what stands there."""
        modes: dict[bytes, int] = {}
        try:
            async for member in members(stream):
                await self.folder(member.path.rpartition(b"/")[0])
                if member.kind is Kind.DIR:
                    await self._directory(member.path)
                    modes[member.path] = member.mode
                elif member.kind is Kind.LINK:
                    await self._clear(member.path)
                    await self._wire.symlink(member.target, self.at(member.path))
                else:
                    await self._receive(member, stream)
            await self._until(0)
        finally:
            await self._stop()
        await stream.drain()
        for path in sorted(modes, reverse=True):
            await self._wire.chmod(self.at(path), modes[path])

    async def _directory(self, path: bytes) -> None:
        found = await self._wire.lstat(self.at(path))
        if found is not None and found.kind != "d":
            await self._wire.remove(self.at(path))
        await self.folder(path)
        await self._wire.chmod(self.at(path), 0o755)

    async def _receive(self, member: Member, stream: Bytes) -> None:
        """Write a file; a small one while the next are read already."""
        if member.size <= SMALL:
            content = await stream.take(member.size)
            await self._until(MANY - 1)
            self._begin(self._small(member, content))
        else:
            await self._until(0)
            await self._clear(member.path)
            pieces = stream.pieces(member.size)
            how = {"mode": member.mode, "mtime": member.mtime}
            await self._wire.write(self.at(member.path), pieces, **how)

    async def _small(self, member: Member, content: bytes) -> None:
        path, how = self.at(member.path), {"mode": member.mode, "mtime": member.mtime}
        try:
            await self._wire.write(path, [content], **how)
        except StepFailed:
            # Mostly nothing stands there, so that is looked at only afterwards.
            await self._clear(member.path)
            await self._wire.write(path, [content], **how)

    async def _clear(self, path: bytes) -> None:
        """Remove what is no directory: a new file never goes into an old one, or through a link."""
        found = await self._wire.lstat(self.at(path))
        if found is not None:
            await self._wire.remove(self.at(path))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._running.add(asyncio.create_task(work))

    async def _until(self, most: int) -> None:
        """Wait until at the most so many are being written."""
        while len(self._running) > most:
            done, self._running = await asyncio.wait(
                self._running, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()

    async def _stop(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for task in self._running:
            with suppress(asyncio.CancelledError, OpsnbError):
                task.exception()

    async def copy(self, base: bytes, found: dict[bytes, Item], *, hardlink: bool) -> None:
        """Copy paths of another tree into this one, parents first."""
        for path, item in found.items():
            if item.kind == "d":
                await self.folder(path)
                await self._wire.chmod(self.at(path), item.mode | 0o700)

        async def one(path: bytes) -> None:
            old, new, item = base + b"/" + path, self.at(path), found[path]
            if item.kind == "l":
                await self._wire.symlink(await self._wire.readlink(old), new)
            elif item.kind != "f":
                raise StepFailed(f"{safe(path)} is neither file, directory nor link", 1)
            elif hardlink:
                await self._wire.hardlink(old, new)
            else:
                await self._wire.copy(old, new, item)

        await each(one, [path for path, item in found.items() if item.kind != "d"])


async def parts(stream: Bytes) -> AsyncIterator[Part]:
    """The steps that make a file of another; see ``patch`` of the agent."""
    while (line := await stream.line()) != b"end":
        match line.split(b" "):
            case [b"take", *words] if len(words) == 3:
                start, to, length = map(_whole, words)
                yield start, to, length, b""
            case [b"put", *words] if len(words) == 2:
                to, length = map(_whole, words)
                async for piece in stream.pieces(length):
                    yield 0, to, 0, piece
                    to += len(piece)
            case _:
                raise StepFailed("a step of a patch makes no sense", 1)


def _whole(word: bytes) -> int:
    if not word.isdigit():
        raise StepFailed("a step of a patch makes no sense", 1)
    return int(word)
