"""The steps of taking a site over, of its undoing and of its end; see core/adoption.py."""

from __future__ import annotations

from collections.abc import Sequence

from opsnb.core.text import safe
from opsnb.errors import NotReady
from opsnb.remote.paths import inside
from opsnb.remote.replies import as_payload
from opsnb.remote.stepping import Stepping


class Adopting(Stepping):
    """The steps, for whoever holds a lock and has a shell."""

    async def copy_theirs(self, name: str, kind: str) -> None:
        """Fill a release that is being built with what stands at the old place."""
        await self._step("copy the site", "copy_theirs", name, kind)

    async def share(self, name: str, paths: Sequence[bytes]) -> None:
        """Move paths of a release that is being built into ``shared/``."""
        await self._step("fill shared/", "share", name, payload=as_payload(inside(paths)))

    async def unshare(self, paths: Sequence[bytes]) -> None:
        """Remove paths of ``shared/``, and directories above them that are empty then."""
        await self._step("empty shared/", "unshare", payload=as_payload(inside(paths)))

    async def exchange(self, name: str, how: str) -> None:
        """Let the directory ``current`` and a link to a release change places."""
        await self._step(f"publish {safe(name)}", "exchange", name, how)

    async def exchange_back(self, name: str, how: str) -> None:
        """The other way round."""
        await self._step("put the directory back", "exchange_back", name, how)

    async def unpublish(self, name: str) -> None:
        """Remove ``current``, if it leads to a release."""
        await self._step("remove current", "unpublish", name)

    async def remove_theirs(self, kind: str, lines: bytes, links: Sequence[bytes]) -> None:
        """Remove from the old place what looks as these lines say, and links by their paths."""
        await self._step("remove links", "remove_links", kind, payload=as_payload(inside(links)))
        await self._step("remove what was copied", "remove_theirs", kind, payload=[lines])

    async def dissolve(self, made: Sequence[str]) -> None:
        """Remove all of ``.opsnb``, and empty directories of the layout, and give the lock back."""
        await self._step("remove .opsnb", "drop_lock_for_good", *made)
        self._mark_gone()


class NotAdopting:
    """The same where there is no shell: refused, before anything is done."""

    async def copy_theirs(self, name: str, kind: str) -> None:
        """See :meth:`Adopting.copy_theirs`."""
        raise _no_shell(name, kind)

    async def share(self, name: str, paths: Sequence[bytes]) -> None:
        """See :meth:`Adopting.share`."""
        raise _no_shell(name, paths)

    async def unshare(self, paths: Sequence[bytes]) -> None:
        """See :meth:`Adopting.unshare`."""
        raise _no_shell(paths)

    async def exchange(self, name: str, how: str) -> None:
        """See :meth:`Adopting.exchange`."""
        raise _no_shell(name, how)

    async def exchange_back(self, name: str, how: str) -> None:
        """See :meth:`Adopting.exchange_back`."""
        raise _no_shell(name, how)

    async def unpublish(self, name: str) -> None:
        """See :meth:`Adopting.unpublish`."""
        raise _no_shell(name)

    async def remove_theirs(self, kind: str, lines: bytes, links: Sequence[bytes]) -> None:
        """See :meth:`Adopting.remove_theirs`."""
        raise _no_shell(kind, lines, links)

    async def dissolve(self, made: Sequence[str]) -> None:
        """See :meth:`Adopting.dissolve`."""
        raise _no_shell(made)


def _no_shell(*_of: object) -> NotReady:
    return NotReady(
        "SFTP alone cannot copy a site on the server, nor take an adoption back",
        "Use an address that begins with ssh://, of an account with a shell.",
    )
