"""The lock of a server that is reached by SFTP alone: its signs of life, its steps, its end.

Rule: a step looks before it begins, and again when it fails, whether the lock is still ours.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from opsnb.core import layout
from opsnb.core.release import Site
from opsnb.core.text import safe
from opsnb.errors import Disconnected, LockLost, OpsnbError, StepFailed, StepTimedOut
from opsnb.remote.sftp import lock as locking
from opsnb.remote.sftp.build import Tree
from opsnb.remote.sftp.wire import Wire

NO_SUCH = 97


class Beside(Protocol):
    """What a change asks of its server beside its own session."""

    async def let_go(self, place: bytes) -> None:
        """End a lock from outside of the session that took it."""

    def give_back(self, wire: Wire) -> None:
        """Keep a session whose lock has been given back for the next change."""

    async def session(self) -> Wire:
        """Begin a session."""


class Steps:
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

    @property
    def unasked(self) -> bool:
        """See :attr:`Held.unasked`."""
        return False

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
