"""A server with a POSIX shell and GNU tools: the calls of ``agent.sh``, typed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from urllib.parse import quote_from_bytes

from opsnb.core import layout
from opsnb.core.links import Listing, link_target
from opsnb.core.manifest import parents
from opsnb.core.release import Holder, Site
from opsnb.core.text import safe
from opsnb.core.usage import Usage
from opsnb.errors import (
    ConnectError,
    Disconnected,
    LockLost,
    NotReady,
    OpsnbError,
    RemoteError,
    StepFailed,
)
from opsnb.remote.base import Aside, Changes, Exit, Finish, Glance, Held, OnOutput
from opsnb.remote.command import Command
from opsnb.remote.looked import read_site
from opsnb.remote.pack import Packer
from opsnb.remote.shell import Call, Pipes, Reply, Shell

LOCKED, LOCK_LOST, CHANGED_HANDS, NOT_REMOVED, NO_RELEASE = 91, 92, 93, 96, 97
QUICK = 60.0
BEAT = 3.0
FEW = 400  # files that one core hashes as fast as several

Dial = Callable[[], Awaitable[Pipes]]


class PosixRemote:
    """A server that runs our agent.

    Args:
        deploy_to: The deployment path.
        dial: Opens a ``/bin/sh -s`` on the server; connects first when it has to.
        hang_up: Closes the connection.
        step_timeout: Seconds until a copying or flushing step has failed.
        connect_timeout: Seconds until connecting has failed.
        round_trip: Tells how many seconds it is to the server and back.
    """

    def __init__(
        self,
        deploy_to: str,
        dial: Dial,
        hang_up: Callable[[], Awaitable[None]],
        step_timeout: float = 1800,
        connect_timeout: float = 15,
        round_trip: Callable[[], float | None] = lambda: 0.0,
    ) -> None:
        self.deploy_to = deploy_to
        self._round_trip = round_trip
        self._dial = dial
        self._hang_up = hang_up
        self._step_timeout = step_timeout
        self._connect_timeout = connect_timeout
        self._shell: Shell | None = None
        self._next: asyncio.Task[Shell] | None = None
        self._opening = asyncio.Lock()

    @property
    def round_trip(self) -> float | None:
        """See :attr:`Remote.round_trip`."""
        return self._round_trip()

    async def _open(self) -> Shell:
        shell = Shell(await self._dial(), self.deploy_to)
        await shell.open(self._connect_timeout)
        return shell

    async def spare_shell(self) -> Shell | None:
        """A further shell on the same connection; None where the server allows no more."""
        try:
            return await self._open()
        except ConnectError:
            return None

    def _stand_by(self) -> None:
        """Open the shell of the next change already, so that it need not wait for it."""
        if self._next is None:
            self._next = asyncio.create_task(self._open())
            # Whoever needs it meets the error; nobody need.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _shell_of_change(self) -> Shell:
        """A shell for a change: the one that stands by, if it still does."""
        opening, self._next = self._next, None
        if opening is not None:
            with suppress(OpsnbError):
                shell = await opening
                if not shell.broken:
                    return shell
        return await self._open()

    def give_back(self, shell: Shell) -> None:
        """Keep a shell whose lock has been given back for the next change."""
        if self._next is None and not shell.broken:
            self._next = asyncio.create_task(_at_hand(shell))

    async def ask(
        self,
        name: str,
        *args: str | bytes,
        payload: Iterable[bytes] | None = None,
        timeout: float = QUICK,
    ) -> Reply:
        """Call a function of the agent that only looks, on the shell for questions."""
        return (await self.asks([Call(name, args, payload, timeout)]))[0]

    async def asks(self, calls: Sequence[Call]) -> list[Reply]:
        """Call functions of the agent that only look, sent together."""
        for attempt in (1, 2):
            fresh = self._shell is None or self._shell.broken
            async with self._opening:
                if self._shell is None or self._shell.broken:
                    self._shell = await self._open()
                shell = self._shell
            try:
                return await shell.batch(calls)
            except Disconnected:
                # An idle connection that died meanwhile: a question may be asked again.
                await self._hang_up()
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def look(self) -> Site:
        """See :meth:`Remote.look`."""
        reply = _good(await self.ask("look"), "look")
        return read_site(reply.out, self.deploy_to)

    async def glance(self) -> Glance:
        """See :meth:`Remote.glance`."""
        looks = [Call("look"), Call("live", timeout=self._step_timeout)]
        look, live = await self.asks(looks)
        self._stand_by()
        site = read_site(_good(look, "look").out, self.deploy_to)
        out = _good(live, "list").out
        if not out.endswith(b"."):
            raise RemoteError(f"cannot list the live release: {live.complaint or 'cut short'}")
        name, _, changes = out[:-1].partition(b"\0")
        return Glance(site, os.fsdecode(name), _changes(changes))

    async def manifest(self, name: str) -> bytes:
        """See :meth:`Remote.manifest`."""
        return _whole(await self.ask("manifest", name, timeout=self._step_timeout))

    async def spare_manifest(self) -> bytes:
        """See :meth:`Remote.spare_manifest`."""
        return _whole(await self.ask("spare_manifest", timeout=self._step_timeout))

    async def changes(self, name: str) -> Changes:
        """See :meth:`Remote.changes`."""
        return _changes(
            _good(await self.ask("changes", name, timeout=self._step_timeout), "list").out
        )

    async def hashes(self, name: str, paths: Sequence[bytes]) -> dict[bytes, str]:
        """See :meth:`Remote.hashes`."""
        reply = await self.ask("hashes", name, payload=_listed(paths), timeout=self._step_timeout)
        return _digests(_good(reply, "hash files").out)

    async def shared(self, paths: Iterable[bytes]) -> dict[bytes, Listing]:
        """See :meth:`Remote.shared`."""
        asked = list(paths)
        reply = _good(await self.ask("shared", payload=_listed(asked)), "list shared/")
        listings: list[Listing] = []
        listed: dict[bytes, str] = {}
        for item in reply.out.split(b"\0")[:-1]:
            if item:
                listed[item[1:]] = chr(item[0])
            else:
                listings.append(listed)
                listed = {}
        if len(listings) != len(asked):
            raise RemoteError("the server's listing of shared/ is cut short")
        return dict(zip(asked, listings, strict=True))

    async def usage(self) -> list[Usage]:
        """See :meth:`Remote.usage`."""
        reply = _good(await self.ask("usage", timeout=self._step_timeout), "measure")
        rows = [line.split(b"\t") for line in reply.out.splitlines() if line.count(b"\t") == 4]
        return [
            Usage(row[0].decode("utf-8", "surrogateescape"), *map(int, row[1:])) for row in rows
        ]

    async def audit(self) -> bytes:
        """See :meth:`Remote.audit`."""
        return _good(await self.ask("audit"), "read the log").out

    async def run(self, script: str, directory: str, timeout: float, on_output: OnOutput) -> Exit:
        """See :meth:`Remote.run`."""
        command = Command(await self._dial(), on_output)
        return await command.run(script, self.deploy_to, directory, timeout, self._connect_timeout)

    async def lock(self, who: str, host: str, since: str, why: str, base: str = "") -> Held | None:
        """See :meth:`Remote.lock`."""
        body = Holder(who, host, since, why).encode().decode().strip().removeprefix("{")
        body = body.replace('"pid": 0, ', "").replace(', "token": 0', "")
        shell = await self._shell_of_change()
        try:
            calls = [Call("take", (body,)), Call("look", regardless=False)]
            if base:
                calls.append(Call("spare", (base,), regardless=False))
            took, look, *spare = await shell.batch(calls)
            if took.status == LOCKED:
                self.give_back(shell)
                return None
            token, pid = (int(word) for word in _good(took, "take the lock").out.split())
            site = read_site(_good(look, "look").out, self.deploy_to)
        except BaseException:
            await shell.close()
            raise
        held = PosixHeld(self, shell, (token, pid), site, self._step_timeout)
        held.aside = _aside(spare[0]) if spare else None
        return held

    async def break_lock(self, holder: Holder) -> None:
        """See :meth:`Remote.break_lock`."""
        reply = await self.ask("break_lock", str(holder.pid), str(holder.token))
        if reply.status == CHANGED_HANDS:
            raise LockLost("the lock has changed hands meanwhile: look again")
        _good(reply, "break the lock")

    async def close(self) -> None:
        """See :meth:`Remote.close`."""
        shell, self._shell = self._shell, None
        opening, self._next = self._next, None
        if opening:
            opening.cancel()
            with suppress(asyncio.CancelledError, OpsnbError):
                await (await opening).close()
        if shell:
            await shell.close()
        await self._hang_up()


class PosixHeld:
    """The lock of a server, and the shell whose steps run under it.

    Args:
        remote: The server, for signs of life beside the steps.
        shell: The shell that holds the lock.
        ids: The fencing token, and the shell's process group on the server.
        seen: A look that was taken under the lock.
        step_timeout: Seconds until a copying or flushing step has failed.
    """

    def __init__(
        self,
        remote: PosixRemote,
        shell: Shell,
        ids: tuple[int, int],
        seen: Site,
        step_timeout: float,
    ) -> None:
        self.token, self._pid = ids
        self.seen = seen
        self.aside: Aside | None = None
        self._remote = remote
        self._shell = shell
        self._step_timeout = step_timeout
        self._series = False
        self._waiting: list[_Step] = []
        self._switches = 0
        self._hooked = False
        self._gone = False
        self._alive = asyncio.create_task(self._beat())

    @property
    def broken(self) -> bool:
        """See :attr:`Held.broken`."""
        return self._shell.broken

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

    def then(self, tell: Callable[[], None]) -> None:
        """See :meth:`Held.then`."""
        if self._waiting:
            self._waiting[-1].tell.append(tell)
        else:
            tell()

    async def _take_all(self) -> list[Reply]:
        """Send the steps that wait; their replies, when all went well."""
        steps, self._waiting = self._waiting, []
        if not steps:
            return []

        def answered(place: int, reply: Reply) -> None:
            if reply.status == 0:
                for tell in steps[place].tell:
                    tell()

        replies = await self._shell.batch([step.call for step in steps], answered)
        return [_good(reply, step.what) for step, reply in zip(steps, replies, strict=True)]

    def _put(
        self,
        what: str,
        name: str,
        args: tuple[str | bytes, ...],
        payload: AsyncIterable[bytes] | Iterable[bytes] | None,
    ) -> None:
        alone = not self._waiting
        call = Call(name, args, payload, self._step_timeout, regardless=alone)
        self._waiting.append(_Step(what, call))

    async def _answer(
        self,
        what: str,
        name: str,
        *args: str | bytes,
        payload: AsyncIterable[bytes] | Iterable[bytes] | None = None,
    ) -> Reply:
        """Take a step, after those that wait, and give its reply."""
        self._put(what, name, args, payload)
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

    async def begin(self, name: str, record: bytes) -> None:
        """See :meth:`Held.begin`."""
        await self._step("begin a release", "begin", name, payload=[record])

    async def copy(self, base: str, name: str, *, hardlink: bool) -> None:
        """See :meth:`Held.copy`."""
        how = "hardlink" if hardlink else "copy"
        await self._step(f"copy release {safe(base)}", "copy", base, name, how)

    async def recycle(self, name: str) -> None:
        """See :meth:`Held.recycle`."""
        await self._step("use the release kept aside", "recycle", name)

    async def bring(self, base: str, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.bring`."""
        what = f"copy files of release {safe(base)}"
        await self._step(what, "bring", base, name, payload=_listed(paths))

    async def drop(self, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.drop`."""
        await self._step("remove what went", "drop", name, payload=_listed(paths))

    async def unpack(self, name: str, stream: AsyncIterable[bytes], how: Packer = "") -> None:
        """See :meth:`Held.unpack`."""
        await self._step("unpack the upload", "unpack", name, how, payload=stream)

    async def verify(self, name: str, digests: Mapping[bytes, str], *, whole: bool) -> None:
        """See :meth:`Held.verify`."""
        total = hashlib.sha256()
        for path, digest in sorted(digests.items(), key=lambda item: (item[1], item[0])):
            total.update(digest.encode() + b"  " + path + b"\0")
        paths = () if whole else _listed(digests)
        which = "all" if whole else "few" if len(digests) < FEW else "many"
        args = (name, total.hexdigest(), which)
        await self._step("verify the content", "verify", *args, payload=paths)

    async def modes(self, name: str, modes: Iterable[tuple[bytes, int]]) -> None:
        """See :meth:`Held.modes`."""
        ordered = sorted(modes, key=lambda item: (item[1], item[0]))
        for mode, group in groupby(ordered, key=lambda item: item[1]):
            paths = _listed(path for path, _ in group)
            await self._step("set modes", "modes", name, f"{mode:o}", payload=paths)

    async def make_shared(self, path: bytes) -> None:
        """See :meth:`Held.make_shared`."""
        await self._step("make a directory in shared/", "make_shared", payload=_listed([path]))

    async def seed(self, name: str, path: bytes) -> None:
        """See :meth:`Held.seed`."""
        await self._step("seed shared/", "seed", name, payload=_listed([path]))

    async def link(self, name: str, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.link`."""
        links = list(paths)
        above = sorted({up for path in links for up in parents(path)})
        await self._step("make directories", "make_dirs", name, payload=_listed(above))
        ends = [part for path in links for part in (link_target(path), path)]
        await self._step("link shared paths", "link", name, payload=_listed(ends))

    async def finish_like(self, name: str, base: str) -> Finish:
        """See :meth:`Held.finish_like`."""
        reply = await self._answer("list the release", "finish", name, base)
        altered, unlike = _cut(reply.out)
        return Finish(unlike, altered)

    async def finish(self, name: str) -> bytes:
        """See :meth:`Held.finish`."""
        reply = await self._answer("list the release", "finish", name, "")
        if not self._hooked:
            return reply.out
        # What a hook left running may be talking between the answers of this shell.
        asked = await self._remote.ask("stats", name, timeout=self._step_timeout)
        return _good(asked, "list the release").out

    async def store(self, path: str, content: bytes) -> None:
        """See :meth:`Held.store`."""
        inside = path.removeprefix(layout.OURS + "/")
        await self._step(f"write {path}", "store", inside, payload=[content])

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
        await self._step("write the audit log", "append", payload=[line])

    async def flush(self) -> None:
        """See :meth:`Held.flush`."""
        await self._step("flush to disk", "flush")

    async def publish(self, name: str, expected: bytes) -> None:
        """See :meth:`Held.publish`."""
        self._switches += 1
        what = f"publish {safe(name)}"
        await self._step(what, "publish", name, expected, str(self._switches))

    async def hook(
        self,
        directory: str,
        command: str,
        environment: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
    ) -> int:
        """See :meth:`Held.hook`."""
        pairs_ = [f"{key}={value}" for key, value in environment.items()]
        line = [command.encode("utf-8", "surrogateescape")]
        self._hooked = True
        await self._take_all()
        reply = await self._shell.call(
            "hook", directory, *pairs_, payload=line, timeout=timeout, on_output=on_output
        )
        if reply.status == LOCK_LOST:
            # The hook's own status may be the same: the lock itself knows.
            await self._step("run a hook", "fence")
        return reply.status

    async def discard(self, names: Sequence[str]) -> bool:
        """See :meth:`Held.discard`."""
        return await self._removing("discard", *names)

    async def sweep(self) -> bool:
        """See :meth:`Held.sweep`."""
        return await self._removing("sweep")

    async def retire(self, name: str) -> bool:
        """See :meth:`Held.retire`."""
        return await self._removing("retire", name)

    async def clear_spare(self) -> None:
        """See :meth:`Held.clear_spare`."""
        await self._step("delete the release kept aside", "clear_spare")

    async def _removing(self, name: str, *names: str) -> bool:
        await self._take_all()
        reply = await self._shell.call(name, *names, timeout=self._step_timeout)
        return reply.status != NOT_REMOVED and bool(_good(reply, "remove releases"))

    async def kill(self) -> None:
        """See :meth:`Held.kill`."""
        self._alive.cancel()
        await self._shell.close()
        await self._remote.ask("end_change", str(self._pid), str(self.token), timeout=10)

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
            if not self._gone:
                await self._shell.call("drop_lock", timeout=QUICK)
            if self._hooked:
                # What a hook left running may talk in between.
                await self._shell.close()
            else:
                self._remote.give_back(self._shell)


@dataclass
class _Step:
    """A step that waits to be sent.

    Attributes:
        what: What it does, for the message when it fails.
        call: The agent's function.
        tell: What to call when it is done.
    """

    what: str
    call: Call
    tell: list[Callable[[], None]] = field(default_factory=list)


async def _at_hand(shell: Shell) -> Shell:
    return shell


def _aside(reply: Reply) -> Aside | None:
    record, _, unlike = _good(reply, "look at what is kept aside").out.partition(b"\0")
    return Aside(record, unlike) if record else None


def _cut(out: bytes) -> tuple[bytes, bytes]:
    """What stands before an empty line, and what after it."""
    if out.startswith(b"\0"):
        return b"", out[1:]
    before, _, after = out.partition(b"\0\0")
    return before, after


def _changes(out: bytes) -> Changes:
    carried, rest = _cut(out)
    lines = [line for line in rest.split(b"\0") if line]
    return Changes(
        carried,
        b"\0".join(line[1:] for line in lines if line.startswith(b"\t")),
        b"\0".join(line for line in lines if not line.startswith(b"\t")),
    )


def _whole(reply: Reply) -> bytes:
    """What a file holds; nothing when there is none."""
    return reply.out if reply.status == 0 else b""


def _good(reply: Reply, what: str) -> Reply:
    """The reply itself, when its status is 0.

    Raises:
        LockLost: The lock is somebody else's.
        NotReady: ``deploy_to`` cannot be written.
        StepFailed: Anything else.
    """
    if reply.status == 0:
        return reply
    if reply.status == LOCK_LOST:
        raise LockLost(
            "somebody else has taken the lock: nothing more was done",
            "`opsnb log` says who; `opsnb releases` shows what is live now.",
        )
    said = f": {reply.complaint}" if reply.complaint else ""
    if what == "take the lock":
        raise NotReady(f"cannot take the lock{said}", "May this user write to deploy_to?")
    raise StepFailed(f"cannot {what}{said} (status {reply.status})", reply.status)


def _listed(paths: Iterable[bytes]) -> Iterable[bytes]:
    """Names as a payload: each ended by NUL."""
    joined = b"".join(path + b"\0" for path in paths)
    return [joined] if joined else []


def _digests(out: bytes) -> dict[bytes, str]:
    """What ``sha256sum -z`` printed."""
    lines = [line for line in out.split(b"\0") if line]
    if any(len(line) < 67 for line in lines):
        shown = quote_from_bytes(lines[-1][:80])
        raise RemoteError(f"the server's digests make no sense: {shown}")
    return {line[66:]: line[:64].decode("ascii", "replace") for line in lines}
