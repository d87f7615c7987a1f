"""Where submodules come from: what a commit says of it, as far as that is heeded."""

from __future__ import annotations

import os
from dataclasses import replace
from posixpath import normpath

from opsnb.core.origin import Commit
from opsnb.core.settings.source import address
from opsnb.core.text import safe
from opsnb.engine.git.mirror import Mirror, Remote
from opsnb.errors import SourceError


async def addresses(mirror: Mirror, commit: Commit) -> dict[bytes, str]:
    """Where the submodules of a commit come from, by path."""
    wanted = r"^submodule\..*\.(path|url)$"
    blob = f"--blob={commit.id}:.gitmodules"
    answer = await mirror.git("config", blob, "-z", "--get-regexp", wanted)
    named: dict[bytes, dict[bytes, bytes]] = {}
    for line in answer.split(b"\0"):
        key, _, value = line.partition(b"\n")
        name, _, what = key.rpartition(b".")
        named.setdefault(name, {})[what] = value
    return {
        one[b"path"]: os.fsdecode(one[b"url"])
        for one in named.values()
        if b"path" in one and b"url" in one
    }


def of_submodule(parent: Remote, url: str, path: bytes) -> str:
    """Where a submodule is, when it may be fetched from there.

    Args:
        parent: The repository that it belongs to.
        url: What that says of it.
        path: Its path.

    Raises:
        SourceError: It may not.
    """
    if url.startswith(("./", "../")):
        url = _beside(parent.url, url)
    try:
        address(url)
    except ValueError as error:
        raise SourceError(f"the submodule {safe(path)} cannot be fetched: {error}") from None
    remote = replace(parent, url=url)
    if ("://" not in url and ":" not in url and not url.startswith("/")) or (
        remote.local and not parent.local
    ):
        raise SourceError(f"the submodule {safe(path)} would come from this machine: refused")
    return url


def _beside(parent: str, relative: str) -> str:
    """A relative address from its repository's on."""
    head, mark, rest = parent.partition("://")
    if mark:
        host, slash, path = rest.partition("/")
        return f"{head}://{host}{slash}{normpath(f'/{path}/{relative}')[1:]}"
    if parent.startswith("/"):
        return normpath(f"{parent}/{relative}")
    host, _, path = parent.partition(":")
    return f"{host}:{normpath(f'{path}/{relative}')}"
