"""The lock of a server that is reached by SFTP alone, and the steps that are taken under it.

Rule: whatever becomes visible beyond the release that is being built comes out of the holder's own
directory by a rename, and whatever goes is renamed into it: see lock.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from opsnb.core import layout
from opsnb.core.links import link_target
from opsnb.core.manifest import parents
from opsnb.core.release import Site
from opsnb.core.text import safe
from opsnb.errors import (
    Disconnected,
    LockLost,
    NotReady,
    OpsnbError,
    RemoteError,
    StepFailed,
    StepTimedOut,
)
from opsnb.remote.adopting import NotAdopting
from opsnb.remote.base import NOT_REMOVED, Brought, Finish, Patched
from opsnb.remote.pack import Packer
from opsnb.remote.paths import inside
from opsnb.remote.placed import NotPlaced
from opsnb.remote.sftp import lock as locking
from opsnb.remote.sftp.build import Tree, parts
from opsnb.remote.sftp.editing import edited
from opsnb.remote.sftp.look import TAIL, last_line, lines_of, survey, unlike
from opsnb.remote.sftp.removing import mounted_below
from opsnb.remote.sftp.untar import Bytes
from opsnb.remote.sftp.wire import Wire, each

if TYPE_CHECKING:
    from opsnb.core.watch import Guarded

NO_SUCH, LIVE, OTHER, NOT_AS_MADE, CONTENT = 97, 95, 94, 90, 99
TRASH = b".opsnb/trash"
NO_SHELL = "this account has SFTP only: it can run nothing on the server"


class Beside(Protocol):
    """What a change asks of its server beside its own session."""

    async def let_go(self, place: bytes) -> None:
        """End a lock from outside of the session that took it."""

    def give_back(self, wire: Wire) -> None:
        """Keep a session whose lock has been given back for the next change."""

    async def session(self) -> Wire:
        """Begin a session."""


class SftpHeld(NotPlaced, NotAdopting):
    """The lock of a server, and the session whose steps run under it.

    A look that was taken under the lock is to be put into ``seen``.

    Args:
        remote: The server.
        wire: The session.
        taken: The lock.
        step_timeout: Seconds until a step has failed.
    """

    seen: Site

    def __init__(
        self, remote: Beside, wire: Wire, taken: locking.Taken, step_timeout: float
    ) -> None:
        self.token, self._place = taken.token, taken.place
        self._remote = remote
        self._wire = wire
        self._step_timeout = step_timeout
        self.mended = False
        self._gone = False
        self._alive = asyncio.create_task(self._beat())

    @property
    def broken(self) -> bool:
        """See :attr:`Held.broken`."""
        return self._wire.closed

    async def _beat(self) -> None:
        """Give a sign of life beside whatever step is running, for as long as the lock is ours.

        In a session of its own: a server does one thing after the other, and what a step has asked
        for may take longer than the dead are given.
        """
        own: Wire | None = None
        try:
            while not self._wire.closed:
                await asyncio.sleep(locking.BEAT)
                with suppress(OpsnbError):
                    own = (
                        own if own is not None and not own.closed else await self._remote.session()
                    )
                with suppress(OpsnbError):
                    await (own or self._wire).touch(self._place + b"/beat")
        finally:
            if own is not None:
                await own.close()

    # --- steps ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def series(self) -> AsyncIterator[None]:
        """See :meth:`Held.series`. Here each step is done before it returns."""
        yield

    async def settle(self) -> None:
        """See :meth:`Held.settle`."""

    def then(self, tell: Callable[[], None]) -> None:
        """See :meth:`Held.then`."""
        tell()

    @asynccontextmanager
    async def _step(self, what: str) -> AsyncIterator[None]:
        """A step: under the lock, with a deadline; one that is given up ends the session."""
        if self._wire.closed:
            raise Disconnected("the connection to the server is closed")
        try:
            async with asyncio.timeout(self._step_timeout):
                await self._fence()
                try:
                    yield
                except StepFailed as error:
                    await self._fence()
                    raise StepFailed(f"cannot {what}: {error.message}", error.status) from error
        except TimeoutError as error:
            await self._wire.close()
            said = f"to {what} did not end within {self._step_timeout:g} s"
            raise StepTimedOut(said) from error
        except asyncio.CancelledError:
            await self._wire.close()
            raise

    async def _fence(self) -> None:
        if self._gone or await self._wire.lstat(self._place) is None:
            raise LockLost(
                "somebody else has taken the lock: nothing more was done",
                "`opsnb log` says who; `opsnb releases` shows what is live now.",
            )

    def _new(self) -> bytes:
        """A path in the holder's directory that nothing has."""
        return self._place + b"/new." + secrets.token_hex(4).encode()

    async def _release(self, name: str) -> Tree:
        """A release, which must be a directory of its own."""
        path = layout.release(name).encode()
        found = await self._wire.lstat(path)
        if found is None or found.kind != "d":
            raise StepFailed(f"there is no release {safe(name)}", NO_SUCH)
        return Tree(self._wire, path)

    # --- building ------------------------------------------------------------------------------

    async def begin(self, name: str, record: bytes) -> None:
        """See :meth:`Held.begin`."""
        path = layout.release(name).encode()
        async with self._step("begin a release"):
            if await self._wire.lstat(path):
                raise StepFailed(f"releases/{safe(name)} is there already", 1)
            await self._put(layout.record(name), record)
            await self._folder(path, 0o700)

    async def open_up(self, name: str, base: str) -> None:
        """See :meth:`Held.open_up`."""
        async with self._step("let others in"):
            tree = await self._release(name)
            like = await self._wire.lstat(layout.release(base).encode()) if base else None
            await self._wire.chmod(tree.at(b"")[:-1], like.mode if like else 0o755)

    async def _folder(self, path: bytes, mode: int = 0o755) -> None:
        """Make a directory, through the holder's own."""
        new = self._new()
        await self._wire.mkdir(new, mode)
        try:
            await self._wire.rename(new, path)
        except StepFailed:
            with suppress(RemoteError):
                await self._wire.rmtree(new)
            raise

    async def copy(
        self, base: str, name: str, *, hardlink: bool, through: Iterable[bytes] = ()
    ) -> None:
        """See :meth:`Held.copy`. Here every later step looks for links itself."""
        inside(through)
        async with self._step(f"copy release {safe(base)}"):
            old, new = await self._release(base), await self._release(name)
            root = old.at(b"")[:-1]
            await new.copy(root, await self._wire.walk(root), hardlink=hardlink)

    async def recycle(self, name: str, through: Iterable[bytes] = ()) -> None:
        """See :meth:`Held.recycle`. Here none is kept aside."""
        inside(through)
        async with self._step("use the release kept aside"):
            raise StepFailed(f"none is kept aside for {safe(name)}", NO_SUCH)

    async def bring(
        self, base: str, name: str, paths: Iterable[bytes], kind: Brought = "dirs"
    ) -> None:
        """See :meth:`Held.bring`. Here every later step looks for links itself."""
        del kind
        listed = inside(paths)
        async with self._step(f"copy files of release {safe(base)}"):
            old, new = await self._release(base), await self._release(name)
            items = await each(lambda path: self._wire.lstat(old.at(path)), listed)
            found = {path: item for path, item in zip(listed, items, strict=True) if item}
            for path in found:
                await new.folder(path.rpartition(b"/")[0])
            await new.copy(old.at(b"")[:-1], found, hardlink=False)

    async def drop(self, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.drop`."""
        listed = inside(paths)
        async with self._step("remove what went"):
            tree = await self._release(name)
            for path in listed:
                if await tree.holds(path):
                    await self._remove(tree.at(path))

    async def _remove(self, path: bytes) -> None:
        """Remove what stands there and all below it, unless something is mounted there."""
        if await mounted_below(self._wire, path):
            raise StepFailed(f"something is mounted below {safe(path)}", 96)
        await self._wire.rmtree(path, await self._owner())

    async def _owner(self) -> int:
        """Who we are, by number: to whom our own directory belongs."""
        ours = await self._wire.lstat(self._place)
        return ours.uid if ours else -1

    async def unpack(self, name: str, stream: AsyncIterable[bytes], how: Packer = "") -> None:
        """See :meth:`Held.unpack`."""
        async with self._step("unpack the upload"):
            tree = await self._release(name)
            await tree.unpack(Bytes(stream, how))

    async def patch(
        self, base: str, name: str, file: Patched, stream: AsyncIterable[bytes], how: Packer = ""
    ) -> None:
        """See :meth:`Held.patch`."""
        inside([file.path])
        async with self._step(f"patch {safe(file.path)}"):
            old, new = layout.release(base).encode() + b"/" + file.path, self._new()
            found = await self._wire.lstat(old)
            try:
                if found is None or found.kind != "f":
                    raise StepFailed("it is no file", NOT_AS_MADE)
                told = parts(Bytes(stream, how))
                await self._wire.compose(old, new, told, mode=file.mode, mtime=file.mtime)
                tree = await self._release(name)
                await tree.folder(file.path.rpartition(b"/")[0])
                await self._wire.rename(new, tree.at(file.path))
            except StepFailed as error:
                await self._wire.remove(new)
                raise StepFailed(error.message, NOT_AS_MADE) from error

    async def unpack_verified(
        self,
        name: str,
        stream: AsyncIterable[bytes],
        digests: Mapping[bytes, str],
        how: Packer = "",
    ) -> None:
        """See :meth:`Held.unpack_verified`."""
        await self.unpack(name, stream, how)
        await self.verify(name, digests)

    async def verify(self, name: str, digests: Mapping[bytes, str], *, large: bool = False) -> None:
        """See :meth:`Held.verify`. Here the files are read back."""
        del large
        async with self._step("verify the content"):
            tree = await self._release(name)

            async def one(path: bytes) -> None:
                if await self._wire.lstat(tree.at(path)) is None:
                    raise StepFailed(f"{safe(path)} is missing", CONTENT)
                if await self._wire.digest(tree.at(path)) != digests[path]:
                    raise StepFailed("the content is not as planned", CONTENT)

            await each(one, list(digests))

    async def modes(self, name: str, modes: Iterable[tuple[bytes, int]]) -> None:
        """See :meth:`Held.modes`."""
        wanted = dict(modes)
        inside(wanted)
        async with self._step("set modes"):
            tree = await self._release(name)
            # What is below first: a directory may end up closed to us.
            for path in sorted(wanted, reverse=True):
                if not await tree.holds(path):
                    raise StepFailed(f"{safe(path)} is not in the release", 1)
                await self._wire.chmod(tree.at(path), wanted[path])

    async def make_shared(self, path: bytes) -> None:
        """See :meth:`Held.make_shared`."""
        inside([path])
        async with self._step("make a directory in shared/"):
            await self._shared_folder(path)

    async def _shared_folder(self, path: bytes) -> None:
        for place in [*reversed(list(parents(path))), path]:
            there = b"shared/" + place
            if await self._wire.stat(there) is not None:
                continue
            if await self._is_near(there.rpartition(b"/")[0]):
                await self._folder(there)
            else:
                await self._wire.mkdir(there)
        found = await self._wire.stat(b"shared/" + path)
        if found is None or found.kind != "d":
            raise StepFailed(f"shared/{safe(path)} is no directory", 1)

    async def _is_near(self, folder: bytes) -> bool:
        """Whether a rename from the holder's directory into another is possible."""
        wire = self._wire
        return await wire.file_system(folder) == await wire.file_system(self._place)

    async def seed(self, name: str, path: bytes) -> None:
        """See :meth:`Held.seed`."""
        inside([path])
        async with self._step("seed shared/"):
            there, old = b"shared/" + path, (await self._release(name)).at(path)
            if await self._wire.lstat(there):
                return
            for above in list(parents(path))[:1]:
                await self._shared_folder(above)
            new = self._new()
            await self._wire.rename(old, new)
            try:
                await self._wire.rename(new, there)
            except StepFailed:
                with suppress(RemoteError):
                    await self._wire.rename(new, old)
                raise

    async def link(self, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.link`."""
        links = inside(paths)
        async with self._step("link shared paths"):
            tree = await self._release(name)
            for path in links:
                await tree.folder(path.rpartition(b"/")[0])
                await self._wire.symlink(link_target(path), tree.at(path))

    async def finish(self, name: str) -> bytes:
        """See :meth:`Held.finish`."""
        async with self._step("list the release"):
            return b"".join(line + b"\0" for line in await self._listed(name))

    async def finish_like(self, name: str, base: str) -> Finish:
        """See :meth:`Held.finish_like`."""
        async with self._step("list the release"):
            here = await self._listed(name)
            there = lines_of(await self._wire.read(f".opsnb/stats/{base}".encode()))
            there = there or await survey(self._wire, (await self._release(base)).at(b"")[:-1])
            try:
                return Finish(unlike(here, there), b"")
            except ValueError as error:
                raise StepFailed(f"its listing makes no sense: {safe(str(error))}", 1) from error

    async def _listed(self, name: str) -> list[bytes]:
        """List a release, and keep the listing."""
        lines = await survey(self._wire, (await self._release(name)).at(b"")[:-1])
        await self._put(f".opsnb/stats/{name}", b"".join(line + b"\0" for line in lines))
        return lines

    # --- what is known -------------------------------------------------------------------------

    async def _put(self, path: str, content: bytes) -> None:
        # A digest of a file that holds a secret says whether a guess is right.
        mode = 0o600 if path.startswith(f"{layout.OURS}/manifests/") else 0o644
        await locking.put(self._wire, self._place, path.encode(), content, mode)

    async def store(self, path: str, content: bytes) -> None:
        """See :meth:`Held.store`."""
        async with self._step(f"write {path}"):
            await self._put(path, content)

    async def edit(self, path: str, base: str, edits: bytes, digest: str) -> None:
        """See :meth:`Held.edit`."""
        async with self._step(f"write {path}"):
            made = edited(await self._wire.read(base.encode()), edits)
            if made is None or hashlib.sha256(made).hexdigest() != digest:
                raise StepFailed(f"{base} is not what it was taken for", NOT_AS_MADE)
            await self._put(path, made)

    async def forget(self, paths: Iterable[str]) -> None:
        """See :meth:`Held.forget`."""
        async with self._step("remove records"):
            for path in paths:
                await self._away(path.encode())

    async def _away(self, path: bytes) -> None:
        """Remove a file through the holder's directory, unless it is gone."""
        if await self._wire.lstat(path) is not None:
            new = self._new()
            await self._wire.rename(path, new)
            await self._wire.remove(new)

    async def append_audit(self, line: bytes) -> None:
        """See :meth:`Held.append_audit`. The log is there as a whole, or as it was before."""
        path = f"{layout.OURS}/audit.jsonl".encode()
        async with self._step("write the audit log"):
            there = await self._wire.stat(path)
            if there is None:
                await self._put(path.decode(), line)
                return

            async def longer() -> AsyncIterator[tuple[int, int, int, bytes]]:
                yield 0, 0, there.size, b""
                yield 0, there.size, 0, line

            new = self._new()
            try:
                how = {"mode": there.mode, "mtime": there.mtime}
                await self._wire.compose(path, new, longer(), **how)
                await self._wire.rename(new, path)
            except StepFailed:
                with suppress(RemoteError):
                    await self._wire.remove(new)
                raise

    async def mend_log(self) -> None:
        """Put a last line aside that a power cut has torn: no line could follow it."""
        path = f"{layout.OURS}/audit.jsonl"
        async with self._step("mend the audit log"):
            tail = await self._wire.tail(path.encode(), TAIL)
            line = last_line(tail)
            if not tail or (tail.endswith(b"}\n") and line.startswith(b"{") and b"\0" not in line):
                return
            whole = await self._wire.read(path.encode()) or b""
            torn = f"{layout.OURS}/audit.torn"
            await self._put(torn, (await self._wire.read(torn.encode()) or b"") + line + b"\n")
            await self._put(path, whole[: whole.removesuffix(b"\n").rfind(b"\n") + 1])
            self.mended = True

    async def flush(self) -> None:
        """See :meth:`Held.flush`.

        What was written was flushed by then. This makes the renames last: where a file system
        keeps a journal, nothing can be flushed without all that came before it.
        """
        async with self._step("flush to disk"):
            await self._flushed()

    async def _flushed(self) -> None:
        new = self._new()
        await self._wire.write(new, [b"."])
        await self._wire.remove(new)

    # --- the switch ----------------------------------------------------------------------------

    async def publish(self, name: str, expected: bytes) -> None:
        """See :meth:`Held.publish`."""
        async with self._step(f"publish {safe(name)}"):
            await self._release(name)
            there, now = await self._wire.lstat(b"current"), b""
            if there is not None and there.kind != "l":
                raise StepFailed("current is no link", OTHER)
            if there is not None:
                now = await self._wire.readlink(b"current")
            if now != expected:
                raise StepFailed(f"current leads to {safe(now)}", OTHER)
            new, target = self._new(), layout.release(name).encode()
            await self._wire.symlink(target, new)
            if await self._wire.readlink(new) != target:
                raise StepFailed("the server makes links the wrong way round", 1)
            await self._wire.rename(new, layout.CURRENT.encode())
            try:
                await self._flushed()
            except StepFailed as error:
                # Also when the lock was lost by now: the switch has happened.
                raise RemoteError(f"the switch was not flushed: {error.message}") from error

    async def publish_guarded(self, name: str, expected: bytes, guarded: Guarded) -> None:
        """See :meth:`Held.publish_guarded`. Here nothing can be run: it was refused before."""
        raise NotReady(f"no watchdog for {safe(name)}", NO_SHELL)

    async def disarm(self, token: int) -> None:
        """See :meth:`Held.disarm`."""
        raise NotReady(f"no watchdog {token}", NO_SHELL)

    async def hook(
        self,
        directory: str,
        command: str,
        environment: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
        *,
        run_as: str = "",
        script: bytes | None = None,
    ) -> int:
        """See :meth:`Held.hook`. A plan with hooks is refused before; so is this."""
        del directory, command, environment, timeout, on_output, run_as, script
        raise NotReady(NO_SHELL, "Hooks need a login with a shell.")

    # --- removing ------------------------------------------------------------------------------

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

    async def place(self, directory: str, name: str, content: bytes) -> None:
        """See :meth:`Held.place`. A plan with one is refused before; so is this."""
        del directory, name, content
        raise NotReady(NO_SHELL, "PHP's cache is emptied over a login with a shell.")

    async def unplace(self) -> None:
        """See :meth:`Held.unplace`."""

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

    # --- the end -------------------------------------------------------------------------------

    def give_up(self) -> None:
        """Give no further sign of life."""
        self._alive.cancel()

    async def kill(self) -> None:
        """See :meth:`Held.kill`."""
        self.give_up()
        await self._wire.close()
        await self._remote.let_go(self._place)

    async def let_go(self) -> None:
        """See :meth:`Held.let_go`."""
        self._alive.cancel()
        try:
            async with asyncio.timeout(self._step_timeout):
                await locking.give_back(self._wire, self._place)
        except TimeoutError as error:
            await self._wire.close()
            said = f"to give the lock back did not end within {self._step_timeout:g} s"
            raise StepTimedOut(said) from error
        self._gone = True

    async def release(self) -> None:
        """See :meth:`Held.release`."""
        self._alive.cancel()
        if self._wire.closed:
            return
        if not self._gone:
            await self.let_go()
        self._remote.give_back(self._wire)


LINK = b".current.opsnb."
PLACED = b".opsnb/tmp.placed"
KNOWN = ("manifests", "stats", "carried")
