"""What those need who add steps to a held lock."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable


class Stepping:
    """Whoever holds a lock, and has a shell."""

    async def _step(
        self,
        what: str,
        name: str,
        *args: str | bytes,
        payload: AsyncIterable[bytes] | Iterable[bytes] | None = None,
    ) -> None:
        """Take a step; within a series it may wait for the others."""
        raise NotImplementedError

    def _mark_gone(self) -> None:
        """The lock is no longer held."""
        raise NotImplementedError
