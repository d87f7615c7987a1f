"""The lock of a server with a POSIX shell, and the steps that are taken under it.

Rule: a path that is to be written or removed lies inside its tree, whoever named it; it is looked
at here once more, since it may have come from what a server said.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from opsnb.core import layout
from opsnb.core.links import link_target
from opsnb.core.manifest import parents
from opsnb.core.release import Site
from opsnb.core.text import safe
from opsnb.errors import NotAsSeen, OpsnbError, RemoteError
from opsnb.remote import watchdog
from opsnb.remote.adopting import Adopting
from opsnb.remote.base import NOT_REMOVED, Brought, Finish, Patched
from opsnb.remote.hooked import Heard
from opsnb.remote.pack import Packer, Packing
from opsnb.remote.paths import inside
from opsnb.remote.placed import Placed
from opsnb.remote.replies import (
    LOCKED,
    OTHERWISE,
    as_payload,
    cut,
    good,
    holding_in,
    mended_in,
)
from opsnb.remote.shell import Call, Reply, Shell, quoted

if TYPE_CHECKING:
    from opsnb.core.watch import Guarded

QUICK = 60.0
BEAT = 3.0
SHORT = 4096  # bytes of a line that is an argument
CLOSED = 0o10000  # beyond every mode
LONG = 64 * 1024  # bytes of a file from which it is compressed on a slow line
WRITING = frozenset(("edit", "store", "store_packed"))  # what touches no release
FEW = 400  # files that one core hashes as fast as several

DIGEST = 64  # characters of a SHA-256

# How the agent's hashing programs tell of a file.
FEW_OR_LARGE, MANY = b"%s  ./%s\0", b"%s *./%s\n"


class Beside(Protocol):
    """What a change asks of its server beside its own shell."""

    async def ask(
        self,
        name: str,
        *args: str | bytes,
        payload: Iterable[bytes] | None = None,
        timeout: float = QUICK,
    ) -> Reply:
        """Call a function of the agent that only looks, on the shell for questions."""

    async def spare_shell(self) -> Shell | None:
        """A further shell on the same connection; None where the server allows no more."""

    async def give_back(self, shell: Shell) -> None:
        """Keep a shell whose lock has been given back for the next change, or close it."""

    def read(self, reply: Reply) -> Site:
        """What a look answered."""

    @property
    def packing(self) -> Packer:
        """See :attr:`opsnb.remote.base.Remote.packing`."""


class PosixHeld(Placed, Adopting):
    """The lock of a server, and the shell whose steps run under it.

    Args:
        remote: The server, for signs of life beside the steps.
        shell: The shell that is to hold the lock. It is asked for with the first step.
        holder: Who wants it, as the agent takes it.
        seen: What was seen before. Where that is no more, only the lock is taken, and not the
            step; None where that is so in any case.
        step_timeout: Seconds until a copying or flushing step has failed.
    """

    def __init__(
        self,
        remote: Beside,
        shell: Shell,
        holder: str,
        seen: Site | None,
        step_timeout: float,
    ) -> None:
        self.token = self._pid = 0
        self.seen = seen or Site("")
        self.mended = False
        self._remote = remote
        self._shell = shell
        self._step_timeout = step_timeout
        self._series = False
        self._known = bool(self.seen.fingerprint)
        known = self.seen.fingerprint.split() or [""]
        self._first = [
            _Step("take the lock", Call("take", (holder,)), self._taken),
            _Step("look", Call("look_unless", (*known,), regardless=False), self._looked),
        ]
        self._waiting: list[_Step] = []
        self._switches = 0
        self._gone = False
        self._alive = asyncio.create_task(self._beat())

    @property
    def broken(self) -> bool:
        """See :attr:`Held.broken`."""
        return self._shell.broken

    @property
    def unasked(self) -> bool:
        """See :attr:`Held.unasked`."""
        return bool(self._first)

    def _taken(self, reply: Reply) -> None:
        if reply.status == 0:
            self.token, self._pid = holding_in(reply.out)
            self.mended = mended_in(reply.out)

    def _looked(self, reply: Reply) -> None:
        """What is there now, if it was not as it had been seen."""
        if reply.status == OTHERWISE or (reply.status == 0 and not self._known):
            self.seen = self._remote.read(replace(reply, status=0))

    async def _beat(self) -> None:
        """Tell the server that we are alive, beside whatever step or question is running.

        A change that takes longer than a beat gets a shell of its own for this: the one for
        questions may be busy hashing for minutes. A server that allows no third session gets its
        signs of life between the questions.
        """
        pulse: Shell | None = None
        count = 0
        try:
            while not self._shell.broken:
                await asyncio.sleep(BEAT)
                if not self.token:
                    continue
                count += 1
                # A sign of life that cannot be given is no failure of the step that runs: the
                # agent counts the missing ones, and the step itself meets what is wrong.
                with suppress(OpsnbError):
                    pulse = pulse or await self._remote.spare_shell()
                    call = pulse.call if pulse and not pulse.broken else self._remote.ask
                    await call("alive", str(self.token), str(count), timeout=10)
        finally:
            if pulse:
                await pulse.close()

    @asynccontextmanager
    async def series(self) -> AsyncIterator[None]:
        """See :meth:`Held.series`."""
        self._series = True
        try:
            yield
            await self._take_all()
        finally:
            self._series = False
            self._waiting.clear()

    async def settle(self) -> None:
        """See :meth:`Held.settle`."""
        await self._take_all()

    def then(self, tell: Callable[[], None]) -> None:
        """See :meth:`Held.then`."""
        if waiting := self._first + self._waiting:
            waiting[-1].tell.append(tell)
        else:
            tell()

    async def _take_all(self, *, removing: bool = False) -> list[Reply]:
        """Send the steps that wait; their replies, when all went well.

        Args:
            removing: Whether the last may have left something that could not be removed.
        """
        first, self._first = self._first, []
        steps, self._waiting = first + self._waiting, []
        if not steps:
            return []

        well = True

        def answered(place: int, reply: Reply) -> None:
            nonlocal well
            # Whatever a server says of the steps after one that failed: they were not to be taken.
            well = well and reply.status == 0
            steps[place].read(reply)
            for tell in steps[place].tell if well else ():
                tell()

        replies = await self._shell.batch([step.call for step in steps], answered)
        if first:
            await self._ours(*replies[:2])
        for step, reply in zip(steps, replies, strict=True):
            if not (removing and reply is replies[-1] and reply.status == NOT_REMOVED):
                good(reply, step.what)
        return replies

    async def _ours(self, took: Reply, looked: Reply) -> None:
        """Go on only with the lock, and on the site that was seen, if one was.

        Raises:
            NotAsSeen: It was another, or the lock was not to be had.
        """
        if took.status == LOCKED:
            raise NotAsSeen(ours=False)
        if self._known and took.status:
            await self.close()
            raise NotAsSeen(ours=False)
        if self._known and looked.status:
            raise NotAsSeen(ours=looked.status == OTHERWISE)

    def _put(
        self,
        what: str,
        name: str,
        args: tuple[str | bytes, ...],
        payload: AsyncIterable[bytes] | Iterable[bytes] | None,
        packed: Packer = "",
    ) -> None:
        alone = not (self._first or self._waiting)
        call = Call(name, args, payload, self._step_timeout, regardless=alone, packed=packed)
        self._waiting.append(_Step(what, call))

    async def _answer(
        self,
        what: str,
        name: str,
        *args: str | bytes,
        packed: Packer = "",
    ) -> Reply:
        """Take a step, after those that wait, and give its reply."""
        self._put(what, name, args, None, packed)
        return (await self._take_all())[-1]

    async def _step(
        self,
        what: str,
        name: str,
        *args: str | bytes,
        payload: AsyncIterable[bytes] | Iterable[bytes] | None = None,
    ) -> None:
        """Take a step; within a series it may wait for the others."""
        self._put(what, name, args, payload)
        if not self._series:
            await self._take_all()

    async def _write(self, what: str, name: str, args: tuple[str, ...], content: bytes) -> None:
        """Take a step that writes something: what is one short line goes as an argument."""
        line = content.removesuffix(b"\n")
        if len(line) < min(len(content), SHORT) and b"\n" not in line and b"\0" not in line:
            await self._step(what, name, *args, line)
        else:
            await self._step(what, name, *args, payload=[content])

    async def begin(self, name: str, record: bytes) -> None:
        """See :meth:`Held.begin`."""
        await self._write("begin a release", "begin", (name,), record)

    async def open_up(self, name: str, base: str) -> None:
        """See :meth:`Held.open_up`."""
        await self._step("let others in", "open_up", name, base)

    async def copy(
        self, base: str, name: str, *, hardlink: bool, through: Iterable[bytes] = ()
    ) -> None:
        """See :meth:`Held.copy`."""
        how, what = "hardlink" if hardlink else "copy", f"copy release {safe(base)}"
        await self._step(what, "copy", base, name, how, payload=_downward(through))

    async def recycle(self, name: str, through: Iterable[bytes] = ()) -> None:
        """See :meth:`Held.recycle`."""
        what = "use the release kept aside"
        await self._step(what, "recycle", name, payload=_downward(through))

    async def bring(
        self, base: str, name: str, paths: Iterable[bytes], kind: Brought = "dirs"
    ) -> None:
        """See :meth:`Held.bring`."""
        what = f"copy files of release {safe(base)}"
        await self._step(what, "bring", base, name, kind, payload=as_payload(inside(paths)))

    async def drop(self, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.drop`."""
        dropped = as_payload(b"./" + path for path in inside(paths))
        await self._step("remove what went", "drop", name, payload=dropped)

    async def unpack(self, name: str, stream: AsyncIterable[bytes], how: Packer = "") -> None:
        """See :meth:`Held.unpack`."""
        await self._step("unpack the upload", "unpack", name, how, payload=stream)

    async def unpack_verified(
        self,
        name: str,
        stream: AsyncIterable[bytes],
        digests: Mapping[bytes, str],
        how: Packer = "",
    ) -> None:
        """See :meth:`Held.unpack_verified`."""
        if _many(digests):
            args = (name, how, _sum(digests, MANY))
            await self._step("unpack the upload", "unpack_verified", *args, payload=stream)
            return
        await self.unpack(name, stream, how)
        await self.verify(name, digests)

    async def patch(
        self, base: str, name: str, file: Patched, stream: AsyncIterable[bytes], how: Packer = ""
    ) -> None:
        """See :meth:`Held.patch`."""
        looks = (f"{file.mode:o}", str(file.mtime))
        what = f"patch {safe(inside([file.path])[0])}"
        await self._step(what, "patch", base, name, how, file.path, *looks, payload=stream)

    async def verify(self, name: str, digests: Mapping[bytes, str], *, large: bool = False) -> None:
        """See :meth:`Held.verify`."""
        how, shape = "large" if large else "few", FEW_OR_LARGE
        if not large and _many(digests):
            how, shape = "many", MANY
        paths = as_payload(b"./" + path for path in digests)
        args = (name, _sum(digests, shape), how)
        await self._step("verify the content", "verify", *args, payload=paths)

    async def modes(self, name: str, modes: Iterable[tuple[bytes, int]]) -> None:
        """See :meth:`Held.modes`."""
        # What nobody may go through comes last, and what is below before what is above.
        ordered = sorted(
            sorted(modes, reverse=True), key=lambda item: item[1] if item[1] & 0o100 else CLOSED
        )
        for mode, group in groupby(ordered, key=lambda item: item[1]):
            paths = as_payload(inside(path for path, _ in group))
            await self._step("set modes", "modes", name, f"{mode:o}", payload=paths)

    async def make_shared(self, path: bytes) -> None:
        """See :meth:`Held.make_shared`."""
        await self._step(
            "make a directory in shared/", "make_shared", payload=as_payload(inside([path]))
        )

    async def seed(self, name: str, path: bytes) -> None:
        """See :meth:`Held.seed`."""
        await self._step("seed shared/", "seed", name, payload=as_payload(inside([path])))

    async def link(self, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.link`."""
        links = inside(paths)
        above = sorted({up for path in links for up in parents(path)})
        await self._step("make directories", "make_dirs", name, payload=as_payload(above))
        ends = [part for path in links for part in (link_target(path), path)]
        await self._step("link shared paths", "link", name, payload=as_payload(ends))

    async def finish_like(self, name: str, base: str) -> Finish:
        """See :meth:`Held.finish_like`."""
        finish = await self.finish_reused(name, base, "")
        assert finish is not None  # noqa: S101 - only what was expected is not told
        return finish

    async def finish_reused(self, name: str, base: str, gist: str) -> Finish | None:
        """See :meth:`Held.finish_reused`."""
        told = (await self._finish(name, base, gist)).out
        if told == b"=":
            return None
        altered, unlike = cut(told)
        return Finish(unlike, altered)

    async def finish_as(self, name: str, gist: str) -> bytes | None:
        """See :meth:`Held.finish_as`."""
        told = (await self._finish(name, "", gist)).out
        return None if told == b"=" else told

    async def finish(self, name: str) -> bytes:
        """See :meth:`Held.finish`."""
        return (await self._finish(name, "")).out

    async def _finish(self, name: str, base: str, gist: str = "") -> Reply:
        """List a release, while the manifest is written that waits to be."""
        waits = bool(self._waiting) and self._waiting[-1].call.name in WRITING
        beside = [self._waiting.pop()] if waits else []
        what, packed = "list the release", self._remote.packing
        self._put(what, "finish", (name, base, gist), None, packed)
        self._waiting += [replace(step, call=replace(step.call, beside=True)) for step in beside]
        return (await self._take_all())[-1 - len(beside)]

    async def store(self, path: str, content: bytes) -> None:
        """See :meth:`Held.store`."""
        inside, how = path.removeprefix(layout.OURS + "/"), self._remote.packing
        if how and len(content) > LONG:
            args = (inside, how, hashlib.sha256(content).hexdigest())
            packed = _packed(content, how)
            await self._step(f"write {path}", "store_packed", *args, payload=packed)
            return
        await self._write(f"write {path}", "store", (inside,), content)

    async def edit(self, path: str, base: str, edits: bytes, digest: str) -> None:
        """See :meth:`Held.edit`."""
        new, old = (place.removeprefix(layout.OURS + "/") for place in (path, base))
        await self._step(f"write {path}", "edit", new, old, digest, payload=[edits])

    async def forget(self, paths: Iterable[str]) -> None:
        """See :meth:`Held.forget`."""
        inside = [path.removeprefix(layout.OURS + "/") for path in paths]
        await self._step("remove records", "forget", *inside)

    async def append_audit(self, line: bytes) -> None:
        """See :meth:`Held.append_audit`."""
        await self._write("write the audit log", "append", (), line)

    async def flush(self) -> None:
        """See :meth:`Held.flush`."""
        await self._step("flush to disk", "flush")

    async def publish(self, name: str, expected: bytes) -> None:
        """See :meth:`Held.publish`."""
        self._switches += 1
        what = f"publish {safe(name)}"
        await self._step(what, "publish", name, expected, str(self._switches))

    async def publish_guarded(self, name: str, expected: bytes, guarded: Guarded) -> None:
        """See :meth:`Held.publish_guarded`."""
        self._switches += 1
        mark = guarded.watch.encode().removesuffix(b"\n")
        args = (name, expected, str(self._switches), mark)
        script = watchdog.script({**guarded.told, "guard_group": str(self._pid)})
        await self._step(f"publish {safe(name)}", "publish_guarded", *args, payload=[script])

    async def disarm(self, token: int) -> None:
        """See :meth:`Held.disarm`."""
        await self._step("call the watchdog off", "disarm", str(token))

    async def hook(
        self,
        directory: str,
        command: str,
        environment: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
    ) -> int:
        """See :meth:`Held.hook`."""
        await self._take_all()
        # The values go as a part of the script: what stands in an argument, every user can see.
        heard = Heard(on_output)
        script = [
            b"export %s=%s\n" % (key.encode(), quoted(environment[key])) for key in environment
        ]
        script.append(b"opsnb_hook=%s\nopsnb_mark=%s\n" % (quoted(command), heard.mark))
        reply = await self._shell.call(
            "hook", directory, payload=script, timeout=timeout, on_output=heard.feed
        )
        if heard.status is None:
            good(reply, "run a hook")
            raise RemoteError("the server did not say how a hook ended")
        return heard.status

    async def place(self, directory: str, name: str, content: bytes) -> None:
        """See :meth:`Held.place`."""
        await self._step("put a script in place", "place", directory, name, payload=[content])

    async def unplace(self) -> None:
        """See :meth:`Held.unplace`."""
        await self._step("remove the script", "unplace")

    async def discard(self, names: Sequence[str]) -> bool:
        """See :meth:`Held.discard`."""
        return (await self._removing("discard", *names))[0]

    async def sweep(self) -> bool:
        """See :meth:`Held.sweep`."""
        return (await self._removing("sweep"))[0]

    async def retire(self, name: str) -> bool:
        """See :meth:`Held.retire`."""
        return (await self._removing("retire", name))[0]

    async def clear_spare(self) -> bool:
        """See :meth:`Held.clear_spare`."""
        return (await self._removing("clear_spare"))[0]

    async def remove_idle(self, names: Sequence[str], *, aside: bool) -> tuple[bool, list[str]]:
        """See :meth:`Held.remove_idle`."""
        how = "retire" if aside else "discard"
        well, out = await self._removing("idle", how, *names)
        told = {os.fsdecode(line) for line in out.splitlines()}
        return well, [name for name in names if name in told]

    async def remove_all(self, names: Sequence[str], *, aside: bool, idle: bool) -> None:
        """See :meth:`Held.remove_all`."""
        how = "retire" if aside else "discard"
        how_then = ("all_idle", how) if idle else (how,)
        await self._step("remove releases", *how_then, *names)

    async def _removing(self, name: str, *args: str) -> tuple[bool, bytes]:
        """Remove something, after the steps that wait: whether all could be, and what was said."""
        self._put("remove releases", name, args, None)
        reply = (await self._take_all(removing=True))[-1]
        return reply.status == 0, reply.out

    async def kill(self) -> None:
        """See :meth:`Held.kill`."""
        await self.close()
        if self.token:
            await self._remote.ask("end_change", str(self._pid), str(self.token), timeout=10)

    async def close(self) -> None:
        """End the shell, and with it the lock."""
        self._alive.cancel()
        await self._shell.close()

    async def let_go(self) -> None:
        """See :meth:`Held.let_go`."""
        await self._step("give the lock back", "drop_lock")
        self.then(self._mark_gone)

    def _mark_gone(self) -> None:
        self._gone = True

    async def release(self) -> None:
        """See :meth:`Held.release`."""
        self._alive.cancel()
        if not self._shell.broken:
            if self.token and not self._gone:
                await self._shell.call("drop_lock", timeout=QUICK)
            await self._remote.give_back(self._shell)


@dataclass
class _Step:
    """A step that waits to be sent.

    Attributes:
        what: What it does, for the message when it fails.
        call: The agent's function.
        read: Is given its reply, whatever that is.
        tell: What to call when it is done.
    """

    what: str
    call: Call
    read: Callable[[Reply], None] = lambda _reply: None
    tell: list[Callable[[], None]] = field(default_factory=list)


def _downward(paths: Iterable[bytes]) -> Iterable[bytes] | None:
    """Paths of a release for the agent's ``passable``, those above others first."""
    return as_payload(b"./" + path for path in sorted(inside(paths))) or None


def _many(digests: Mapping[bytes, str]) -> bool:
    """Whether they are hashed by programs that take many at once, and tell of each in a line."""
    names = b"\0".join(digests)
    return len(digests) >= FEW and b"\n" not in names and b"\\" not in names


def _packed(content: bytes, how: Packer) -> Iterator[bytes]:
    """A text compressed, when it is its turn: until then the line has what came before to carry."""
    packing = Packing(how)
    yield packing.pack(content)
    yield packing.rest()


def _sum(digests: Mapping[bytes, str], shape: bytes) -> str:
    """The SHA-256 of what such a program tells of files, in the order of their digests."""
    # Digests are all of one length: so sorted in a third of the time that pairs take.
    ordered = sorted(digest.encode() + path for path, digest in digests.items())
    told = b"".join(shape % (line[:DIGEST], line[DIGEST:]) for line in ordered)
    return hashlib.sha256(told).hexdigest()
