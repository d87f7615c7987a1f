"""A server that is reached by SFTP alone, as a :class:`Remote`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from opsnb.core import layout
from opsnb.core.address import Address
from opsnb.core.links import Listing
from opsnb.core.marks import Holder
from opsnb.core.release import Site
from opsnb.core.text import safe
from opsnb.core.usage import Usage
from opsnb.errors import (
    Disconnected,
    NotReady,
    OpsnbError,
    RemoteError,
    StepFailed,
    StepTimedOut,
)
from opsnb.remote.base import Changes, Exit, Glance, Held, Line, OnOutput, Texts, Theirs
from opsnb.remote.looked import seen
from opsnb.remote.pack import Packer
from opsnb.remote.placed import NotStanding
from opsnb.remote.sftp import fetching
from opsnb.remote.sftp import look as looking
from opsnb.remote.sftp.held import NO_SHELL, SftpHeld
from opsnb.remote.sftp.lock import Lock, give_back, place_of_its_own, rob
from opsnb.remote.sftp.wire import Wire, each
from opsnb.remote.ssh import SshConnection

T = TypeVar("T")
MOST_TEXTS = 1 << 20
SETTLING = 20.0  # seconds to end a lock whose taking was cut short
NEEDS_SHELL = "Use an address that begins with ssh://, of an account with a shell."


class SftpRemote(NotStanding):
    """A server that is reached by SFTP alone.

    Args:
        deploy_to: The deployment path.
        user: The login, for messages.
        connection: The connection to it.
        step_timeout: Seconds until a step has failed.
    """

    def __init__(
        self, deploy_to: str, user: str, connection: SshConnection, step_timeout: float = 1800
    ) -> None:
        self.deploy_to = deploy_to
        self._user = user
        self._connection = connection
        self._step_timeout = step_timeout
        self._lock = Lock()
        self._wire: Wire | None = None
        self._next: Wire | None = None
        self._opening = asyncio.Lock()

    @property
    def packing(self) -> Packer:
        """See :attr:`Remote.packing`. Here nobody could unpack it."""
        return ""

    async def session(self) -> Wire:
        """Begin a session, connecting when there is no connection."""
        client = await self._connection.sftp()
        return Wire(client, self.deploy_to.encode("utf-8", "surrogateescape"))

    async def _ask(self, question: Callable[[Wire], Awaitable[T]]) -> T:
        """Ask something that only looks, on the session for questions; again when that had died."""
        for attempt in (1, 2):
            async with self._opening:
                fresh = self._wire is None or self._wire.closed
                if self._wire is None or self._wire.closed:
                    self._wire = await self.session()
                wire = self._wire
            try:
                async with asyncio.timeout(self._step_timeout):
                    return await question(wire)
            except TimeoutError as error:
                await wire.close()
                said = f"the server did not answer within {self._step_timeout:g} s"
                raise StepTimedOut(said) from error
            except Disconnected:
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def connect(self) -> None:
        """Connect, and begin the session for questions, unless that was done."""
        await self._ask(lambda wire: wire.stat(b""))

    async def cannot_become(self, users: Sequence[str]) -> dict[str, str]:
        """See :meth:`Remote.cannot_become`. What would need it is refused before."""
        return dict.fromkeys(users, NO_SHELL)

    # --- questions -----------------------------------------------------------------------------

    async def look(self, *, fingerprint: bool = False) -> Site:
        """See :meth:`Remote.look`. Here a lock is never asked for with a step."""
        del fingerprint
        return await self._ask(self._look)

    async def _look(self, wire: Wire) -> Site:
        holder = await self._lock.holder(wire)
        told = await looking.look(wire, self._user, holder)
        return replace(seen(told, self.deploy_to), commands=False)

    async def state(self, *, users: bool = False, sizes: bool = False) -> Site:
        """See :meth:`Remote.state`. SFTP tells nothing of processes, nor of what files take."""
        del sizes
        return replace(await self.look(), unseen=users)

    async def glance(self) -> Glance:
        """See :meth:`Remote.glance`."""
        site = await self.look()
        live = site.current.name
        return Glance(site, live, await self.changes(live) if live else Changes(b"", b"", b""))

    async def _text(self, path: str) -> bytes:
        return await self._ask(lambda wire: wire.read(path.encode())) or b""

    async def manifest(self, name: str) -> bytes:
        """See :meth:`Remote.manifest`."""
        return await self._text(layout.manifest(name))

    async def spare_manifest(self) -> bytes:
        """See :meth:`Remote.spare_manifest`."""
        return await self._text(f"{layout.OURS}/spare/manifest")

    async def changes(self, name: str) -> Changes:
        """See :meth:`Remote.changes`."""
        carried = await self._text(f"{layout.OURS}/carried/{name}")
        before = looking.lines_of(await self._text(f"{layout.OURS}/stats/{name}"))
        path = layout.release(name).encode()
        now = await self._ask(lambda wire: looking.survey(wire, path))
        try:
            return looking.changed(carried, before, now)
        except ValueError as error:
            raise RemoteError(f"the listing of {safe(name)} makes no sense") from error

    async def hashes(self, name: str, paths: Sequence[bytes]) -> dict[bytes, str]:
        """See :meth:`Remote.hashes`. The files are read here."""
        root = layout.release(name).encode() + b"/"
        found = await self._ask(
            lambda wire: each(lambda path: wire.digest(root + path), list(paths))
        )
        return dict(zip(paths, found, strict=True))

    async def shared(self, paths: Iterable[bytes]) -> dict[bytes, Listing]:
        """See :meth:`Remote.shared`."""
        asked = list(paths)
        found = await self._ask(lambda wire: each(lambda path: _listing(wire, path), asked))
        return dict(zip(asked, found, strict=True))

    async def fetch(self, name: str, paths: Sequence[bytes], take: Callable[[bytes], None]) -> None:
        """See :meth:`Remote.fetch`. The stream is made here, of what is read there."""
        wire = await self.session()
        try:
            async with asyncio.timeout(self._step_timeout):
                await fetching.fetch(wire, layout.release(name).encode(), paths, take)
        except TimeoutError as error:
            said = f"the files were not read within {self._step_timeout:g} s"
            raise StepTimedOut(said) from error
        finally:
            await wire.close()

    async def usage(self) -> tuple[Site, list[Usage]]:
        """See :meth:`Remote.usage`. SFTP does not tell what files take on a disk."""
        raise NotReady("SFTP does not tell what files take on the disk", NEEDS_SHELL)

    async def audit(self) -> bytes:
        """See :meth:`Remote.audit`."""
        return await self._text(f"{layout.OURS}/audit.jsonl")

    async def texts(self, patterns: Sequence[str]) -> Texts:
        """See :meth:`Remote.texts`."""
        return await self._ask(lambda wire: _texts(wire, patterns))

    async def theirs(self, kind: str) -> Theirs:
        """See :meth:`Remote.theirs`."""
        del kind
        raise NotReady("SFTP alone cannot copy a site on the server", NEEDS_SHELL)

    async def run(self, script: str, directory: str, timeout: float, on_output: OnOutput) -> Exit:
        """See :meth:`Remote.run`. There is nothing that could run it."""
        del script, directory, timeout, on_output
        raise NotReady(NO_SHELL, NEEDS_SHELL)

    # --- the lock ------------------------------------------------------------------------------

    async def reach(self, address: str) -> Line:
        """See :meth:`Remote.reach`."""
        return await self._connection.reach(address)

    async def lock(
        self, who: str, host: str, since: str, why: str, seen: Site | None = None
    ) -> Held | None:
        """See :meth:`Remote.lock`. Nothing is sent together here: the lock is taken at once."""
        del seen
        wire, self._next = self._next, None
        if wire is None or not await _still_open(wire):
            wire = await self.session()
        place = place_of_its_own()
        try:
            async with asyncio.timeout(self._step_timeout):
                return await self._locked(wire, place, Holder(who, host, since, why))
        except BaseException:
            await wire.close()
            # It may be ours all the same. Where the line is dead, it is free when the last sign of
            # life is old.
            with suppress(TimeoutError, OpsnbError):
                async with asyncio.timeout(SETTLING):
                    await self.let_go(place)
            raise

    async def _locked(self, wire: Wire, place: bytes, body: Holder) -> SftpHeld | None:
        taken = await self._lock.take(wire, place, body)
        if taken is None:
            self.give_back(wire)
            return None
        held = SftpHeld(self, wire, taken, self._step_timeout)
        try:
            await held.mend_log()
            held.seen = await self._look(wire)
        except BaseException:
            held.give_up()
            raise
        return held

    async def break_lock(self, holder: Holder) -> None:
        """See :meth:`Remote.break_lock`."""
        await self._ask(lambda wire: rob(wire, holder))

    async def let_go(self, place: bytes) -> None:
        """End a lock from outside of the session that took it."""
        await self._ask(lambda wire: give_back(wire, place))

    def give_back(self, wire: Wire) -> None:
        """Keep a session whose lock has been given back for the next change."""
        self._next = wire

    async def close(self) -> None:
        """See :meth:`Remote.close`."""
        for wire in (self._wire, self._next):
            if wire is not None:
                wire.closed = True
        self._wire = self._next = None
        await self._connection.hang_up()


async def _still_open(wire: Wire) -> bool:
    """Whether a session goes on; it may have ended while nobody asked anything."""
    if wire.closed:
        return False
    try:
        async with asyncio.timeout(SETTLING):
            await wire.lstat(b"")
    except (Disconnected, TimeoutError):
        await wire.close()
        return False
    return True


async def _listing(wire: Wire, path: bytes) -> Listing:
    there = b"shared/" + path if path else b"shared"
    try:
        found = await wire.stat(there)
    except StepFailed:
        return {}  # below what is no directory
    if found is None or found.kind != "d":
        return {}
    return {name: item.kind for name, item in (await wire.names(there)).items()}


async def _texts(wire: Wire, patterns: Sequence[str]) -> Texts:
    texts: dict[str, str] = {}
    closed: list[str] = []
    real = b""
    with suppress(StepFailed):
        real = await wire.real(b"") if await wire.stat(b"") else b""
    left = MOST_TEXTS
    for pattern in patterns:
        for path in await wire.matching(pattern):
            name = path.decode("utf-8", "replace")
            found = await wire.stat(path)
            if found is None or found.kind != "f" or left <= 0:
                continue
            try:
                text = await wire.read(path) if found.size <= left else b""
            except OpsnbError:
                closed.append(name)
                continue
            left -= len(text or b"")
            texts[name] = (text or b"").decode("utf-8", "replace")
    return Texts(real.decode("utf-8", "replace"), texts, tuple(closed))


def sftp_remote(
    address: Address, ssh_config: Path | None, step_timeout: float, connect_timeout: float
) -> SftpRemote:
    """A server that is reached by SFTP alone.

    Args:
        address: Where it is.
        ssh_config: The ssh_config file to read; None for the user's own.
        step_timeout: Seconds until a step has failed.
        connect_timeout: Seconds until connecting has failed.
    """
    connection = SshConnection(address, ssh_config, connect_timeout)
    return SftpRemote(address.path, address.user or looking.UNNAMED, connection, step_timeout)
