"""Configuration files in ``shared/``: what the agent tells of them, and its steps.

Rule: their content and their digests travel in payloads, never in an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opsnb.core import layout
from opsnb.core.links import Standing
from opsnb.core.manifest import Entry, Kind, Manifest
from opsnb.core.numbers import number, octal
from opsnb.core.text import safe
from opsnb.errors import NotReady, RemoteError
from opsnb.remote.paths import inside
from opsnb.remote.stepping import Stepping


def standing_in(out: bytes, paths: Sequence[bytes]) -> Standing:
    """What is in ``shared/`` at some paths.

    Args:
        out: What the agent's ``standing`` printed.
        paths: The paths.

    Raises:
        RemoteError: It makes no sense.
    """
    told = out.split(b"\0")
    lines, after = told[: len(paths)], told[len(paths) :]
    try:
        if after not in ([b""], [b"written", *after[1:2], b""]):
            raise ValueError("not so many lines")
        pairs = list(zip(paths, lines, strict=True))
        odd = {path: safe(line[2:]) for path, line in pairs if line.startswith(b"x ")}
        there = [(path, line) for path, line in pairs if path not in odd and line != b"-"]
        found = {path: _file(path, line) for path, line in there}
    except ValueError as error:
        raise RemoteError("what the server says of configuration files makes no sense") from error
    return Standing(found, odd, _written(b"".join(after[1:2])))


def _written(text: bytes) -> Mapping[bytes, Entry]:
    """What was last placed; what cannot be read tells of no change by hand, and that is all."""
    try:
        return Manifest.decode(text + b"\n").entries if text else {}
    except ValueError:
        return {}


def _file(path: bytes, line: bytes) -> Entry:
    kind, mode, size, digest = line.split(b" ")
    if kind != b"f" or len(digest) != 64:
        raise ValueError("not a file")
    return Entry(path, Kind.FILE, octal(mode), number(size), digest.decode("ascii"))


class Placed(Stepping):
    """The steps of :class:`Held` that place configuration files, by the agent."""

    async def private(self, path: str, content: bytes) -> None:
        """See :meth:`Held.private`."""
        place = path.removeprefix(layout.OURS + "/")
        await self._step(f"write {path}", "store", place, payload=[content])

    async def config_begin(self) -> None:
        """See :meth:`Held.config_begin`."""
        await self._step("begin with configuration files", "config_begin")

    async def config_keep(self, number: int, path: bytes, digest: str) -> None:
        """See :meth:`Held.config_keep`."""
        inside([path])
        what = f"keep what is at shared/{safe(path)}"
        await self._step(what, "config_keep", str(number), path, digest)

    async def config_commit(self) -> None:
        """See :meth:`Held.config_commit`."""
        await self._step("keep configuration files", "config_commit")

    async def config_place(self, number: int, path: bytes, mode: int) -> None:
        """See :meth:`Held.config_place`."""
        inside([path])
        what = f"write shared/{safe(path)}"
        await self._step(what, "config_place", str(number), f"{mode:o}", path)

    async def config_back(self, number: int, path: bytes, *, was: bool) -> None:
        """See :meth:`Held.config_back`."""
        inside([path])
        what = f"put shared/{safe(path)} back"
        await self._step(what, "config_back", str(number), path, "was" if was else "")

    async def config_done(self, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.config_done`."""
        listed = inside(paths)
        await self._step("settle configuration files", "config_done", *listed)


class NotPlaced:
    """The same where there is no shell: a plan that needs them is refused before; so are these."""

    async def private(self, path: str, content: bytes) -> None:
        """See :meth:`Held.private`."""
        raise _refused()

    async def config_begin(self) -> None:
        """See :meth:`Held.config_begin`."""
        raise _refused()

    async def config_keep(self, number: int, path: bytes, digest: str) -> None:
        """See :meth:`Held.config_keep`."""
        raise _refused()

    async def config_commit(self) -> None:
        """See :meth:`Held.config_commit`."""
        raise _refused()

    async def config_place(self, number: int, path: bytes, mode: int) -> None:
        """See :meth:`Held.config_place`."""
        raise _refused()

    async def config_back(self, number: int, path: bytes, *, was: bool) -> None:
        """See :meth:`Held.config_back`."""
        raise _refused()

    async def config_done(self, paths: Iterable[bytes]) -> None:
        """See :meth:`Held.config_done`."""
        raise _refused()


class NotStanding:
    """The question that comes with them, where there is no shell."""

    async def standing(self, paths: Sequence[bytes]) -> Standing:
        """See :meth:`Remote.standing`."""
        raise _refused()


def _refused() -> NotReady:
    return NotReady(
        "configuration files in shared/ are placed and settled by a login with a shell alone",
        "This account has SFTP only. Let a login with a shell deploy, or roll back, once.",
    )
