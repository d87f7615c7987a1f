"""A server with a POSIX shell and GNU tools: the calls of ``agent.sh``, typed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import suppress
from dataclasses import replace

from opsnb.core.links import Listing, Standing
from opsnb.core.marks import Holder
from opsnb.core.release import Site
from opsnb.core.usage import Usage
from opsnb.errors import (
    ConnectError,
    Disconnected,
    LockLost,
    NotAsSeen,
    NotReady,
    OpsnbError,
    RemoteError,
    StepTimedOut,
)
from opsnb.remote.agent import READER
from opsnb.remote.base import Changes, Exit, Glance, Held, Line, OnOutput, Texts, Theirs
from opsnb.remote.command import Command
from opsnb.remote.held import QUICK, PosixHeld
from opsnb.remote.looked import seen
from opsnb.remote.near import near
from opsnb.remote.pack import Packer, packer
from opsnb.remote.placed import standing_in
from opsnb.remote.replies import (
    CHANGED_HANDS,
    as_payload,
    aside_in,
    changes_in,
    digests_in,
    fingerprint_in,
    good,
    listings_in,
    measured_in,
    texts_in,
    usage_in,
    users_in,
    whole,
)
from opsnb.remote.shell import Call, Pipes, Reply, Shell

EARLY = 0.01  # seconds to the server and back from which the next shell is opened beside a look
KNOWN = Call("fingerprint")  # before a look: what comes between them is no part of it then
Dial = Callable[[str], Awaitable[Pipes]]
Reach = Callable[[str], Awaitable[Line]]


class PosixRemote:
    """A server that runs our agent.

    Args:
        deploy_to: The deployment path.
        dial: Opens a ``/bin/sh`` on the server, with a program (``-c``), or one that reads it
            (``-s``) when that is empty; connects first when it has to.
        hang_up: Closes the connection.
        step_timeout: Seconds until a copying or flushing step has failed.
        connect_timeout: Seconds until connecting has failed.
        round_trip: Tells how many seconds it is to the server and back.
        reach: Connects to what listens on the server.
    """

    def __init__(
        self,
        deploy_to: str,
        dial: Dial,
        hang_up: Callable[[], Awaitable[None]],
        step_timeout: float = 1800,
        connect_timeout: float = 15,
        round_trip: Callable[[], float | None] = lambda: 0.0,
        reach: Reach = near,
    ) -> None:
        self._reach = reach
        self.deploy_to = deploy_to
        self._round_trip = round_trip
        self._dial = dial
        self._hang_up = hang_up
        self._step_timeout = step_timeout
        self._connect_timeout = connect_timeout
        self._shell: Shell | None = None
        self._next: asyncio.Future[Shell] | None = None
        self._opening = asyncio.Lock()
        self._packers: frozenset[str] = frozenset()
        self._plain = False

    @property
    def packing(self) -> Packer:
        """See :attr:`Remote.packing`."""
        return packer(self._packers, self.round_trip)

    @property
    def round_trip(self) -> float | None:
        """Seconds to the server and back; None when that is not known."""
        return self._round_trip()

    async def _open(self, *, ahead: bool = False) -> Shell:
        """A further shell.

        Args:
            ahead: Whether a packed one may be returned before it is ready: its first calls may
                then raise NotReady.
        """
        if not self._plain:
            shell = Shell(await self._dial(READER), self.deploy_to, packed=True)
            try:
                await shell.begin(self._connect_timeout)
                if not ahead:
                    await shell.ready()
                return shell
            except NotReady:
                if not shell.refused:
                    raise
                self._plain = True
        shell = Shell(await self._dial(""), self.deploy_to)
        await shell.open(self._connect_timeout)
        return shell

    async def spare_shell(self) -> Shell | None:
        """A further shell beside the others; None where the server allows or runs no more."""
        try:
            return await self._open()
        except (ConnectError, NotReady, StepTimedOut):
            return None

    async def connect(self) -> None:
        """Connect, and open the shell for questions, unless that was done."""
        async with self._opening:
            await self._shell_of_questions()

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
                if not shell.ended:
                    return shell
                await shell.close()
        return await self._open()

    async def _drop_next(self) -> None:
        """Close the shell that stands by: what broke another one may have met it, too."""
        opening, self._next = self._next, None
        if opening is None:
            return
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().close()

    async def give_back(self, shell: Shell) -> None:
        """Keep a shell whose lock has been given back for the next change, or close it."""
        if self._next is not None or shell.broken:
            await shell.close()
            return
        self._next = asyncio.get_running_loop().create_future()
        self._next.set_result(shell)

    async def ask(
        self,
        name: str,
        *args: str | bytes,
        payload: Iterable[bytes] | None = None,
        timeout: float = QUICK,
        packed: Packer = "",
    ) -> Reply:
        """Call a function of the agent that only looks, on the shell for questions."""
        return (await self.asks([Call(name, args, payload, timeout, packed=packed)]))[0]

    async def _long(self, name: str, *args: str) -> Reply:
        """The same of one whose answer may be long."""
        return await self.ask(name, *args, timeout=self._step_timeout, packed=self.packing)

    async def asks(self, calls: Sequence[Call]) -> list[Reply]:
        """Call functions of the agent that may be called twice, sent together."""
        again = False
        while True:
            async with self._opening:
                shell, fresh = await self._shell_of_questions()
            try:
                return await shell.batch(calls)
            except NotReady:
                if not (shell.packed and shell.refused):
                    raise
                self._plain = True
                calls = [replace(call, packed="") for call in calls]
            except Disconnected:
                # An idle connection that died meanwhile, or a shell that another question was
                # given up on: this one may be asked again.
                if fresh or again:
                    raise
                again = True

    async def _shell_of_questions(self) -> tuple[Shell, bool]:
        """The shell for questions, and whether it is a new one."""
        if self._shell is not None and not self._shell.broken:
            return self._shell, False
        if self._shell is not None:
            self._plain = self._plain or self._shell.refused
            await self._drop_next()
        self._shell = await self._open(ahead=True)
        return self._shell, True

    async def look(self, *, fingerprint: bool = False) -> Site:
        """See :meth:`Remote.look`."""
        *known, look = await self.asks([*([KNOWN] if fingerprint else []), Call("look")])
        return self._read_with(look, *known)

    def read(self, reply: Reply) -> Site:
        """What a look answered."""
        site = seen(good(reply, "look").out, self.deploy_to)
        self._packers = site.packers
        return site

    def _read_with(self, look: Reply, known: Reply | None = None) -> Site:
        """The same with what the server knows it by again; nothing where it could not say."""
        site = self.read(look)
        return replace(site, fingerprint=fingerprint_in(known)) if known else site

    async def state(self, *, users: bool = False, sizes: bool = False) -> Site:
        """See :meth:`Remote.state`."""
        names = ["used"] * users + ["usage"] * sizes
        others = [Call(name, timeout=self._step_timeout) for name in names]
        look, *replies = await self.asks([Call("look"), *others])
        site = self.read(look)
        if users:
            found, unseen = users_in(good(replies[0], "look for processes").out)
            site = replace(site, users=found, unseen=unseen)
        if sizes:
            used = usage_in(good(replies[-1], "measure").out)
            site = replace(site, measured=measured_in(used, site.current.name))
        return site

    async def glance(self) -> Glance:
        """See :meth:`Remote.glance`."""
        await self.connect()
        # Before the first look nothing is known, but that who unpacks the agent has gzip.
        packers = self._packers or ({"gzip"} if not self._plain else set())
        how = packer(packers, self.round_trip)
        others = [
            Call("live", timeout=self._step_timeout, packed=how),
            Call("aside", timeout=self._step_timeout, packed=how, beside=True),
        ]
        if (self.round_trip or 0.0) > EARLY:
            self._stand_by()
        known, look, live, aside = await self.asks([KNOWN, Call("look"), *others])
        self._stand_by()
        site = self._read_with(look, known)
        out = good(live, "list").out
        if not out.endswith(b"."):
            raise RemoteError(f"cannot list the live release: {live.complaint or 'cut short'}")
        name, _, changes = out[:-1].partition(b"\0")
        return Glance(site, os.fsdecode(name), changes_in(changes), aside_in(aside, name))

    async def manifest(self, name: str) -> bytes:
        """See :meth:`Remote.manifest`."""
        return whole(await self._long("manifest", name))

    async def spare_manifest(self) -> bytes:
        """See :meth:`Remote.spare_manifest`."""
        return whole(await self._long("spare_manifest"))

    async def changes(self, name: str) -> Changes:
        """See :meth:`Remote.changes`."""
        return changes_in(good(await self._long("changes", name), "list").out)

    async def hashes(self, name: str, paths: Sequence[bytes]) -> dict[bytes, str]:
        """See :meth:`Remote.hashes`."""
        reply = await self.ask(
            "hashes", name, payload=as_payload(paths), timeout=self._step_timeout
        )
        return digests_in(good(reply, "hash files").out)

    async def shared(self, paths: Iterable[bytes]) -> dict[bytes, Listing]:
        """See :meth:`Remote.shared`."""
        asked = list(paths)
        reply = good(await self.ask("shared", payload=as_payload(asked)), "list shared/")
        listings = listings_in(reply.out)
        if len(listings) != len(asked):
            raise RemoteError("the server's listing of shared/ is cut short")
        return dict(zip(asked, listings, strict=True))

    async def fetch(self, name: str, paths: Sequence[bytes], take: Callable[[bytes], None]) -> None:
        """See :meth:`Remote.fetch`. On a shell of its own: it may take long."""
        shell = await self._open()
        try:
            timeout, payload = self._step_timeout, as_payload(paths)
            call = shell.call("fetch", name, payload=payload, timeout=timeout, on_output=take)
            good(await call, "read files")
        finally:
            await shell.close()

    async def standing(self, paths: Sequence[bytes]) -> Standing:
        """See :meth:`Remote.standing`."""
        reply = good(await self.ask("standing", *paths), "look at configuration files")
        return standing_in(reply.out, paths)

    async def usage(self) -> tuple[Site, list[Usage]]:
        """See :meth:`Remote.usage`."""
        calls = [Call("look"), Call("usage", timeout=self._step_timeout)]
        look, usage = await self.asks(calls)
        used = usage_in(good(usage, "measure").out)
        return self.read(look), used

    async def audit(self) -> bytes:
        """See :meth:`Remote.audit`."""
        return good(await self._long("audit"), "read the log").out

    async def texts(self, patterns: Sequence[str]) -> Texts:
        """See :meth:`Remote.texts`."""
        return texts_in(good(await self.ask("texts", *patterns), "read files").out)

    async def theirs(self, kind: str) -> Theirs:
        """See :meth:`Remote.theirs`."""
        long = self._step_timeout
        asked = [Call("able", timeout=long), Call("there", (kind,), timeout=long)]
        asked += [Call("kept", ("adopted",))]
        asked += [Call("shared_there", timeout=long), Call("kept", ("adopted.shared",))]
        able, *rest = [good(reply, "look").out for reply in await self.asks(asked)]
        return Theirs(frozenset(able.decode("ascii", "replace").split()), *rest)

    async def run(self, script: str, directory: str, timeout: float, on_output: OnOutput) -> Exit:
        """See :meth:`Remote.run`."""
        command = Command(await self._dial(""), on_output)
        return await command.run(script, self.deploy_to, directory, timeout, self._connect_timeout)

    async def reach(self, address: str) -> Line:
        """See :meth:`Remote.reach`."""
        return await self._reach(address)

    async def lock(
        self, who: str, host: str, since: str, why: str, seen: Site | None = None
    ) -> Held | None:
        """See :meth:`Remote.lock`."""
        body = Holder(who, host, since, why).told
        held = PosixHeld(self, await self._shell_of_change(), body, seen, self._step_timeout)
        if seen is not None and seen.fingerprint:
            return held
        try:
            await held.settle()
        except NotAsSeen:
            await held.release()
            return None
        except BaseException:
            await held.close()
            raise
        return held

    async def break_lock(self, holder: Holder) -> None:
        """See :meth:`Remote.break_lock`."""
        reply = await self.ask("break_lock", str(holder.pid), str(holder.token))
        if reply.status == CHANGED_HANDS:
            raise LockLost("the lock has changed hands meanwhile: look again")
        good(reply, "break the lock")

    async def close(self) -> None:
        """See :meth:`Remote.close`."""
        shell, self._shell = self._shell, None
        if self._next is not None:
            self._next.cancel()
        # First of all: with the connection ends what runs on it, without a word for each.
        await self._hang_up()
        await self._drop_next()
        if shell:
            await shell.close()
