"""Several operators on one site, one call at a time, in an order that is chosen.

Before each of its calls to the server an operator waits for its turn. Who has ended is passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.faulty import SYNC, asked_ahead


class Baton:
    """Whose turn it is.

    Args:
        order: The operators' numbers, one for each turn. When it has ended, whoever is left goes on
            to its end, the lowest number first.
        count: How many operators there are.
    """

    def __init__(self, order: Iterator[int], count: int) -> None:
        self._order = order
        self._left = set(range(count))
        self._turns = [asyncio.Event() for _ in range(count)]
        self.calls: list[tuple[int, str]] = []

    def begin(self) -> None:
        """Give the first turn."""
        self._next()

    def _next(self) -> None:
        if not self._left:
            return
        for number in self._order:
            if number in self._left:
                break
        else:
            number = min(self._left)
        self._turns[number].set()

    async def call(self, number: int, name: str, made: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call when it is this operator's turn, and pass the turn on."""
        await self._turns[number].wait()
        self._turns[number].clear()
        self.calls.append((number, name))
        try:
            return await made()
        finally:
            self._next()

    def end(self, number: int) -> None:
        """An operator has ended; a turn that it was given goes on."""
        self._left.discard(number)
        if self._turns[number].is_set():
            self._turns[number].clear()
            self._next()


class InTurn:
    """Stands before a remote or what it holds.

    Args:
        real: What does the work.
        baton: Whose turn it is.
        number: The operator's.
    """

    def __init__(self, real: Any, baton: Baton, number: int) -> None:
        self._real, self._baton, self._number = real, baton, number

    @asynccontextmanager
    async def series(self) -> AsyncIterator[None]:
        """One by one, so that somebody else may come between any two steps."""
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
                answer = await value(*args, **kwargs)
            else:
                told = "lock" if getattr(self._real, "unasked", False) else name
                answer = await self._baton.call(self._number, told, lambda: value(*args, **kwargs))
            if name == "lock" and answer is not None:
                return InTurn(answer, self._baton, self._number)
            return answer

        return call
