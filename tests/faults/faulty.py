"""A server that fails at a chosen call, in a chosen way, once.

Every call that the engine makes passes here and is counted: those of the :class:`Remote` and those
of the :class:`Held` that it gives out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opsnb.errors import Disconnected, StepFailed

KINDS = ("lost before", "lost after", "fails", "cancelled before", "cancelled after")
SYNC = {"broken", "deploy_to", "token"}


@dataclass
class Plot:
    """Where and how it goes wrong.

    Attributes:
        at: The number of the call, from 1; 0 for none.
        kind: One of :data:`KINDS`.
        calls: The names of the calls so far.
        struck: The name of the call that went wrong; empty while none has.
        watch: Called before each call and after it.
    """

    at: int = 0
    kind: str = "fails"
    calls: list[str] = field(default_factory=list)
    struck: str = ""
    watch: Callable[[], None] = lambda: None


class Faulty:
    """Stands before a remote or what it holds.

    Args:
        real: What does the work.
        plot: Where and how it goes wrong.
        shells: The shells under it, which a lost connection closes.
    """

    def __init__(self, real: Any, plot: Plot) -> None:
        self._real = real
        self._plot = plot

    @asynccontextmanager
    async def series(self) -> AsyncIterator[None]:
        """One by one, so that a fault strikes between any two steps of a series."""
        yield

    def then(self, tell: Callable[[], None]) -> None:
        """The steps so far are done."""
        tell()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if name in SYNC or not callable(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(name, value, args, kwargs)

        return call

    async def _call(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
        plot = self._plot
        plot.calls.append(name)
        plot.watch()
        strikes = len(plot.calls) == plot.at
        if strikes:
            plot.struck = name
            await self._before(plot.kind)
        answer = await real(*args, **kwargs)
        plot.watch()
        if strikes:
            await self._after(plot.kind, answer)
        return Faulty(answer, plot) if name == "lock" and answer is not None else answer

    async def _before(self, kind: str) -> None:
        if kind == "lost before":
            await self._lose()
            raise Disconnected("made to be lost before the call")
        if kind == "fails":
            raise StepFailed("made to fail", 1)
        if kind == "cancelled before":
            _cancel()
            await asyncio.sleep(0)

    async def _after(self, kind: str, answer: Any) -> None:
        if kind == "lost after":
            await self._lose()
            await _close(answer)
            raise Disconnected("made to be lost after the call")
        if kind == "cancelled after":
            # It is felt at the caller's next await, as a cancellation that came with the answer.
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)

    async def _lose(self) -> None:
        await _close(self._real)


async def _close(real: Any) -> None:
    """Close the shell under a remote or what it holds, as a lost connection does."""
    shell = getattr(real, "_shell", None)
    if shell is not None:
        await shell.close()


def _cancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
