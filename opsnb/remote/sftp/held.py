"""The steps that are taken under the lock of a server that is reached by SFTP alone.

Rule: whatever becomes visible beyond the release that is being built comes out of the holder's own
directory by a rename, and whatever goes is renamed into it: see lock.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from opsnb.core import layout
from opsnb.core.links import link_target
from opsnb.core.manifest import parents
from opsnb.core.text import safe
from opsnb.errors import NotReady, RemoteError, StepFailed
from opsnb.remote.adopting import NotAdopting
from opsnb.remote.base import Brought, Finish, Patched
from opsnb.remote.pack import Packer
from opsnb.remote.paths import inside
from opsnb.remote.placed import NotPlaced
from opsnb.remote.sftp import lock as locking
from opsnb.remote.sftp.build import parts
from opsnb.remote.sftp.editing import edited
from opsnb.remote.sftp.look import TAIL, last_line, lines_of, survey, unlike
from opsnb.remote.sftp.removing import Removing
from opsnb.remote.sftp.steps import NO_SUCH
from opsnb.remote.sftp.untar import Bytes
from opsnb.remote.sftp.wire import each

if TYPE_CHECKING:
    from opsnb.core.watch import Guarded

OTHER, NOT_AS_MADE, CONTENT = 94, 90, 99
NO_SHELL = "this account has SFTP only: it can run nothing on the server"


class SftpHeld(Removing, NotPlaced, NotAdopting):
    """The steps that are taken under the lock; see :class:`Steps`."""

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

    async def finish_as(self, name: str, gist: str) -> bytes | None:
        """See :meth:`Held.finish_as`. It is listed from here: there is nothing to be saved."""
        del gist
        return await self.finish(name)

    async def finish_reused(self, name: str, base: str, gist: str) -> Finish | None:
        """See :meth:`Held.finish_reused`. Here none is kept aside."""
        del gist
        return await self.finish_like(name, base)

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

    async def place(self, directory: str, name: str, content: bytes) -> None:
        """See :meth:`Held.place`. A plan with one is refused before; so is this."""
        del directory, name, content
        raise NotReady(NO_SHELL, "PHP's cache is emptied over a login with a shell.")

    async def unplace(self) -> None:
        """See :meth:`Held.unplace`."""
