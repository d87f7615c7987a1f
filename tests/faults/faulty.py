"""A server that fails at chosen calls, in chosen ways.

Every call that the engine makes passes here and is counted: those of the :class:`Remote` and those
of the :class:`Held` that it gives out.

``fails after``: the step has happened, and its answer says that it failed (the flush after a
rename, for instance). ``times out``: it has happened, its answer came too late, and the shell has
been closed, as :class:`opsnb.remote.shell.Shell` does by its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opsnb.errors import Disconnected, StepFailed, StepTimedOut

KINDS = ("lost before", "lost after", "fails", "cancelled before", "cancelled after")
MORE = ("fails after", "times out")
SYNC = {"broken", "deploy_to", "token", "unasked"}


def asked_ahead(args: Sequence[Any]) -> bool:
    """Whether a lock is asked for with the first step: before that the server hears nothing."""
    return len(args) > 4 and args[4] is not None


@dataclass
class Plot:
    """Where and how it goes wrong.

    Attributes:
        faults: The kind of fault, one of :data:`KINDS` or :data:`MORE`, for the number of a call,
            from 1.
        calls: The names of the calls so far.
        met: Numbers of the faults that were met.
        struck: The faults that were met, in words.
        watch: Called before each call and after it.
    """

    faults: dict[int, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    struck: str = ""
    watch: Callable[[], None] = lambda: None


class Faulty:
    """Stands before a remote or what it holds.

    Args:
        real: What does the work.
        plot: Where and how it goes wrong.
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
            if name == "lock" and asked_ahead(args):
                return Faulty(await value(*args, **kwargs), self._plot)
            told = "lock" if getattr(self._real, "unasked", False) else name
            return await self._call(told, value, args, kwargs)

        return call

    async def _call(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
        plot = self._plot
        plot.calls.append(name)
        plot.watch()
        kind = plot.faults.get(len(plot.calls), "")
        if kind:
            plot.met.append(len(plot.calls))
            plot.struck += f"{kind} at {len(plot.calls)} ({name}) "
            await self._before(kind)
        answer = await real(*args, **kwargs)
        plot.watch()
        if kind:
            await self._after(kind, answer)
        return Faulty(answer, plot) if hasattr(answer, "release") else answer

    async def _before(self, kind: str) -> None:
        if kind == "lost before":
            await _close(self._real)
            raise Disconnected("made to be lost before the call")
        if kind == "fails":
            raise StepFailed("made to fail", 1)
        if kind == "cancelled before":
            _this_task().cancel()
            await asyncio.sleep(0)

    async def _after(self, kind: str, answer: Any) -> None:
        if kind == "lost after":
            await self._lose(answer)
            raise Disconnected("made to be lost after the call")
        if kind == "cancelled after":
            # It is felt at the caller's next await, as a cancellation that came with the answer.
            asyncio.get_running_loop().call_soon(_this_task().cancel)
        if kind == "fails after":
            if hasattr(answer, "release"):
                await answer.release()
            raise StepFailed("made to fail after it happened", 1)
        if kind == "times out":
            await self._lose(answer)
            raise StepTimedOut("made to time out after it happened")

    async def _lose(self, answer: Any) -> None:
        await _close(self._real)
        await _close(answer)


async def _close(real: Any) -> None:
    """Close the shell under a remote or what it holds, as a lost connection does."""
    shell = getattr(real, "_shell", None)
    if shell is not None:
        await shell.close()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
