"""Paths that go to a server, and never out of their tree there."""

from __future__ import annotations

from collections.abc import Iterable

from opsnb.core.manifest import check_paths
from opsnb.core.text import safe
from opsnb.errors import RemoteError


def inside(paths: Iterable[bytes]) -> list[bytes]:
    """The paths themselves, when all of them lie inside their tree.

    Raises:
        RemoteError: One does not; nothing was sent.
    """
    listed = list(paths)
    try:
        check_paths(listed)
    except ValueError as error:
        raise RemoteError(f"refused: {safe(str(error))}") from error
    return listed
