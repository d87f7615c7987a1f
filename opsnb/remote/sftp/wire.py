"""One SFTP session: what it can do, in opsnb's words and errors.

Rule 1: nothing is read that ``lstat`` does not call a regular file; nothing is removed through a
link.
Rule 2: a file is written under a name of its own, flushed, and only then renamed into place.
Rule 3: what a server lists is checked before it becomes a path.
"""

from __future__ import annotations

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from opsnb.core.manifest import check_name
from opsnb.core.text import safe
from opsnb.errors import Disconnected, OpsnbError, RemoteError, StepFailed
from opsnb.remote.ssh import SftpError, abilities
from opsnb.remote.sshpipes import LOST

if TYPE_CHECKING:
    import asyncssh

A = TypeVar("A")
B = TypeVar("B")
MANY = 32  # requests under way at once: each costs a round trip
SMALL = 1 << 15
BLOCK = 1 << 17  # what a server gives in one answer
LARGE = 8  # of these at once: whatever is under way comes before the next sign of life
COPIED = 16 << 20  # bytes of one request to copy: the server does nothing else meanwhile
MOST_TEXT = 256 << 20
MOST_NAMES = 1_000_000
MOST_DEEP = 4096  # bytes of a path, as Linux has it
ABSENT, LOST_CODES = 2, (6, 7)
Part = tuple[int, int, int, bytes]
NEEDED = ("posix-rename@openssh.com", "fsync@openssh.com", "statvfs@openssh.com")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on the server, links not followed.

    Attributes:
        kind: The letter that ``find`` gives its kind: ``f``, ``d``, ``l``, or another.
        mode: Its permission bits.
        size: Its size in bytes.
        mtime: When it was changed last, in whole seconds since the epoch, by the server's clock.
        uid: Its owner.
    """

    kind: str
    mode: int
    size: int
    mtime: int
    uid: int


class Wire:
    """An SFTP session.

    Args:
        client: The session.
        root: ``deploy_to``; paths are relative to it, and an empty one is itself.
    """

    def __init__(self, client: asyncssh.SFTPClient, root: bytes) -> None:
        self._client = client
        self._root = root
        self._large = asyncio.Semaphore(LARGE)
        self.closed = False

    def at(self, path: bytes) -> bytes:
        """A path as the server knows it."""
        return path if path.startswith(b"/") else self._root + b"/" + path if path else self._root

    @property
    def lacks(self) -> tuple[str, ...]:
        """What opsnb needs of the server and it does not have."""
        known = abilities(self._client)
        return tuple(f"{name} (an extension of SFTP)" for name in NEEDED if name not in known)

    async def close(self) -> None:
        """End the session. Never raises."""
        self.closed = True
        self._client.exit()
        with suppress(TimeoutError, *LOST):
            async with asyncio.timeout(2):
                await self._client.wait_closed()

    @asynccontextmanager
    async def _asked(self, what: str, path: bytes) -> AsyncIterator[None]:
        """What the server or the line says, as opsnb's own error."""
        try:
            yield
        except SftpError as error:
            if error.code in LOST_CODES:
                raise self._lost(error) from error
            said = f"cannot {what} {safe(path)}: {safe(error.reason)}"
            raise StepFailed(said, ABSENT if error.code == ABSENT else 1) from error
        except LOST as error:
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> Disconnected:
        self.closed = True
        return Disconnected(f"the connection to the server was lost: {safe(str(error))}")

    # --- looking -------------------------------------------------------------------------------

    async def lstat(self, path: bytes) -> Item | None:
        """What stands there; None when nothing does."""
        return await self._item(path, self._client.lstat)

    async def stat(self, path: bytes) -> Item | None:
        """What a path leads to; None when it leads nowhere."""
        return await self._item(path, self._client.stat)

    async def _item(
        self, path: bytes, ask: Callable[[bytes], Awaitable[asyncssh.SFTPAttrs]]
    ) -> Item | None:
        try:
            async with self._asked("look at", path):
                return _item(await ask(self.at(path)))
        except StepFailed as error:
            if error.status == ABSENT:
                return None
            raise

    async def names(self, path: bytes) -> dict[bytes, Item]:
        """What a directory holds, by name.

        Raises:
            RemoteError: The server says what no directory can hold.
        """
        found: dict[bytes, Item] = {}
        async with self._asked("list", path):
            async for entry in self._client.scandir(self.at(path)):
                name = entry.filename
                assert isinstance(name, bytes)  # noqa: S101 - as the path is
                if name in (b".", b".."):
                    continue
                try:
                    found[check_name(name)] = _item(entry.attrs)
                except ValueError as error:
                    raise RemoteError(f"the server's listing makes no sense: {error}") from error
                if len(found) > MOST_NAMES:
                    raise RemoteError(f"{safe(path)} holds more than {MOST_NAMES:,} things")
        return found

    async def walk(self, path: bytes) -> dict[bytes, Item]:
        """All that is below a directory, parents first, no link followed.

        Raises:
            RemoteError: The server says what no file system can hold.
        """
        found: dict[bytes, Item] = {}
        level = [b""]
        while level:
            listed = await each(self.names, [path + b"/" + below for below in level])
            found_here = {
                (above + b"/" if above else b"") + name: item
                for above, names in zip(level, listed, strict=True)
                for name, item in names.items()
            }
            found |= found_here
            if len(found) > MOST_NAMES or any(len(below) > MOST_DEEP for below in level):
                raise RemoteError(f"the server's listing of {safe(path)} has no end")
            level = [below for below, item in found_here.items() if item.kind == "d"]
        return found

    async def readlink(self, path: bytes) -> bytes:
        """Where a link leads to."""
        async with self._asked("read the link", path):
            target = await self._client.readlink(self.at(path))
            assert isinstance(target, bytes)  # noqa: S101 - as the path is
            return target

    async def real(self, path: bytes) -> bytes:
        """A path without links."""
        async with self._asked("resolve", path):
            found = await self._client.realpath(self.at(path))
            assert isinstance(found, bytes)  # noqa: S101 - as the path is
            return found

    async def room(self, path: bytes) -> tuple[int, int, int]:
        """Free blocks, bytes of one, and free inodes."""
        async with self._asked("measure", path):
            told = await self._client.statvfs(self.at(path))
            return told.bavail, told.frsize or told.bsize, told.favail

    async def file_system(self, path: bytes) -> int:
        """The number of the file system that a directory is on."""
        async with self._asked("measure", path):
            return (await self._client.statvfs(self.at(path))).fsid

    async def matching(self, pattern: str) -> list[bytes]:
        """Files whose names match a pattern."""
        try:
            async with self._asked("list", pattern.encode()):
                found = await self._client.glob(pattern.encode("utf-8", "surrogateescape"))
        except StepFailed:
            return []
        return sorted(path for path in found if isinstance(path, bytes))

    async def read(self, path: bytes) -> bytes | None:
        """What a file holds; None when there is none.

        Raises:
            RemoteError: It is larger than any that opsnb wrote.
        """
        item = await self.stat(path)
        if item is None:
            return None
        if item.kind != "f" or item.size > MOST_TEXT:
            raise RemoteError(f"{safe(path)} is no file of at most {MOST_TEXT:,} bytes")
        try:
            return await self.text(path)
        except StepFailed as error:
            if error.status == ABSENT:
                return None  # it has gone meanwhile
            raise

    async def text(self, path: bytes, offset: int = 0, most: int = MOST_TEXT) -> bytes:
        """What a file holds from some byte on, whatever size it says it has.

        Raises:
            RemoteError: It is more than that.
        """
        found = bytearray()
        async for piece in self.pieces(path, offset):
            found += piece
            if len(found) > most:
                raise RemoteError(f"{safe(path)} has no end")
        return bytes(found)

    async def tail(self, path: bytes, most: int) -> bytes:
        """The last bytes of a file; none when there is none."""
        item = await self.stat(path)
        if item is None:
            return b""
        return await self.text(path, max(0, item.size - most))

    async def pieces(self, path: bytes, offset: int = 0) -> AsyncIterator[bytes]:
        """What a file holds from some byte on, piece by piece."""
        async with (
            self._asked("read", path),
            await self._client.open(self.at(path), "rb") as file,
        ):
            piece = cast(bytes, await file.read(SMALL, offset))
            while piece:
                yield piece
                offset += len(piece)
                async with self._large:
                    piece = cast(bytes, await file.read(BLOCK, offset))

    async def digest(self, path: bytes) -> str:
        """The SHA-256 of a regular file, hexadecimal."""
        item = await self.lstat(path)
        if item is None or item.kind != "f":
            raise StepFailed(f"cannot hash {safe(path)}: it is no file", 1)
        made = hashlib.sha256()
        async for piece in self.pieces(path):
            made.update(piece)
        return made.hexdigest()

    # --- changing ------------------------------------------------------------------------------

    async def mkdir(self, path: bytes, mode: int = 0o755) -> None:
        """Make a directory with exactly that mode; it must not be there."""
        async with self._asked("make", path):
            await self._client.mkdir(self.at(path))
            await self._client.chmod(self.at(path), mode)

    async def ensure(self, path: bytes) -> None:
        """Make a directory unless it is there, with those above it."""
        found = await self.stat(path)
        if found is not None and found.kind == "d":
            return
        above = self.at(path).rpartition(b"/")[0]
        if above:
            await self.ensure(above)
        try:
            await self.mkdir(path)
        except StepFailed:
            found = await self.stat(path)
            if found is None or found.kind != "d":
                raise

    async def chmod(self, path: bytes, mode: int) -> None:
        """Set the permission bits of what is no link."""
        item = await self.lstat(path)
        if item is None or item.kind == "l":
            raise StepFailed(f"cannot set the mode of {safe(path)}", 1)
        async with self._asked("set the mode of", path):
            await self._client.chmod(self.at(path), mode)

    async def symlink(self, target: bytes, path: bytes) -> None:
        """Make a link; nothing may stand there."""
        async with self._asked("link", path):
            await self._client.symlink(target, self.at(path))

    async def hardlink(self, old: bytes, new: bytes) -> None:
        """Give a file a second name."""
        async with self._asked("link", new):
            await self._client.link(self.at(old), self.at(new))

    async def rename(self, old: bytes, new: bytes) -> None:
        """Rename at once, over what stands there: ``rename(2)``."""
        async with self._asked("rename to", new):
            await self._client.posix_rename(self.at(old), self.at(new))

    async def remove(self, path: bytes) -> None:
        """Remove a file or a link, unless it is gone."""
        try:
            async with self._asked("remove", path):
                await self._client.remove(self.at(path))
        except StepFailed as error:
            if error.status != ABSENT:
                raise

    async def rmtree(self, path: bytes, owner: int | None = None) -> None:
        """Remove whatever stands there, and what is below it; no link is followed.

        Args:
            path: What.
            owner: Our number, where somebody else may be at work below it. He is shut out of each
                directory before it is looked into, from above: a path leads where it led then.

        Raises:
            StepFailed: He could not be, among other causes.
        """
        item = await self.lstat(path)
        if item is None:
            return
        if item.kind != "d":
            await self.remove(path)
            return
        levels = [[(path, item)]]
        while levels[-1]:
            below = await each(partial(self._emptied, owner), levels[-1])
            levels.append([folder for folders in below for folder in folders])
            if len(levels[-1]) > MOST_NAMES:
                raise RemoteError(f"the server's listing of {safe(path)} has no end")
        for level in reversed(levels):
            await each(self._rmdir, [there for there, _item in level])

    async def _emptied(
        self, owner: int | None, folder: tuple[bytes, Item]
    ) -> list[tuple[bytes, Item]]:
        """Remove what a directory holds but for the directories in it, which are told."""
        path, item = folder
        if owner is not None and item.uid != owner:
            async with self._asked("take over", path):
                await self._client.chown(self.at(path), owner, owner)
        others = 0 if owner is None else 0o022
        if item.mode & (0o700 | others) != 0o700:
            await self.chmod(path, (item.mode | 0o700) & ~others)
        below = {path + b"/" + name: found for name, found in (await self.names(path)).items()}
        await each(self.remove, [there for there, found in below.items() if found.kind != "d"])
        folders = [(there, found) for there, found in below.items() if found.kind == "d"]
        if any(len(there) > MOST_DEEP + len(self._root) for there, _found in folders):
            raise RemoteError(f"the server's listing of {safe(path)} has no end")
        return folders

    async def _rmdir(self, path: bytes) -> None:
        async with self._asked("remove", path):
            await self._client.rmdir(self.at(path))

    async def write(
        self,
        path: bytes,
        content: Iterable[bytes] | AsyncIterator[bytes],
        *,
        mode: int = 0o644,
        mtime: int | None = None,
    ) -> None:
        """Write a new file, and flush it; nothing may stand there."""
        async with self.writing(path, mode=mode, mtime=mtime) as put:
            if isinstance(content, AsyncIterator):
                async for piece in content:
                    await put(piece)
            else:
                for piece in content:
                    await put(piece)

    @asynccontextmanager
    async def writing(
        self, path: bytes, *, mode: int = 0o644, mtime: int | None = None
    ) -> AsyncIterator[Callable[[bytes], Awaitable[object]]]:
        """A new file, for as long as it is written; what is written is flushed at the end."""
        async with (
            self._asked("write", path),
            await self._client.open(self.at(path), "xb") as file,
        ):

            async def put(piece: bytes) -> None:
                await self._write(file, piece, None)

            yield put
            await file.chmod(mode)
            if mtime is not None:
                await file.utime((mtime, mtime))
            await file.fsync()

    async def _write(self, file: asyncssh.SFTPClientFile, content: bytes, at: int | None) -> None:
        """Write at a place, or at the end of what was written."""
        if len(content) <= SMALL:
            await file.write(content, at)
            return
        for start in range(0, len(content), BLOCK):
            async with self._large:
                where = None if at is None else at + start
                await file.write(content[start : start + BLOCK], where)

    async def touch(self, path: bytes) -> None:
        """Write into a file that must be there: its time becomes the server's."""
        async with (
            self._asked("write", path),
            await self._client.open(self.at(path), "r+b") as file,
        ):
            await file.write(b".", 0)

    async def copy(self, old: bytes, new: bytes, item: Item) -> None:
        """Copy a file, with its mode and time; flushed."""

        async def whole() -> AsyncIterator[Part]:
            yield 0, 0, item.size, b""

        await self.compose(old, new, whole(), mode=item.mode, mtime=item.mtime)

    async def compose(
        self, old: bytes, new: bytes, parts: AsyncIterator[Part], *, mode: int, mtime: int
    ) -> None:
        """Make a new file of another, and of what is sent; flushed.

        Args:
            old: The other.
            new: The new one; nothing may stand there.
            parts: Where in the other, where in the new one, how many bytes, or else which.
            mode: Its permission bits.
            mtime: When it was changed last, in seconds since the epoch.
        """
        async with (
            self._asked("copy", old),
            await self._client.open(self.at(old), "rb") as source,
            await self._client.open(self.at(new), "xb") as made,
        ):
            async for start, to, length, content in parts:
                if content:
                    await self._write(made, content, to)
                else:
                    await self._copied(source, made, start, to, length)
            await made.chmod(mode)
            await made.utime((mtime, mtime))
            await made.fsync()

    async def _copied(
        self,
        source: asyncssh.SFTPClientFile,
        made: asyncssh.SFTPClientFile,
        start: int,
        to: int,
        length: int,
    ) -> None:
        """Copy on the server or, where it cannot, through here."""
        there = self._client.supports_remote_copy
        step = COPIED if there else BLOCK
        for at in range(0, length, step):
            more = min(step, length - at)
            async with self._large if length > SMALL else nullcontext():
                if there:
                    await self._client.remote_copy(source, made, start + at, more, to + at)
                else:
                    await made.write(await source.read(more, start + at), to + at)
        # OpenSSH's server says that all went well when the last of it could not be written.
        if length and ((await made.stat()).size or 0) < to + length:
            raise StepFailed("not written: is the disk full?", 1)


def _item(attrs: asyncssh.SFTPAttrs) -> Item:
    mode = attrs.permissions or 0
    kinds = {
        stat.S_IFREG: "f",
        stat.S_IFDIR: "d",
        stat.S_IFLNK: "l",
        stat.S_IFIFO: "p",
        stat.S_IFSOCK: "s",
        stat.S_IFCHR: "c",
        stat.S_IFBLK: "b",
    }
    kind = kinds.get(stat.S_IFMT(mode), "?")
    return Item(kind, stat.S_IMODE(mode), attrs.size or 0, int(attrs.mtime or 0), attrs.uid or 0)


async def each(act: Callable[[A], Awaitable[B]], items: Iterable[A]) -> list[B]:
    """Do something with each of many, some at a time, and give the answers in their order."""
    todo = iter(enumerate(items))
    done: dict[int, B] = {}

    async def work() -> None:
        for place, item in todo:
            done[place] = await act(item)

    tasks = [asyncio.create_task(work()) for _ in range(MANY)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        _heard(tasks)
    return [done[place] for place in sorted(done)]


def _heard(tasks: Iterable[asyncio.Task[None]]) -> None:
    """The first error was raised already; the others are no news."""
    for task in tasks:
        with suppress(asyncio.CancelledError, OpsnbError):
            task.exception()
