"""What somebody asks to be deployed, and how it becomes content.

Rule 1: whatever makes content of what was asked (reading a folder, filling in templates) is called
from here.
Rule 2: nothing here touches a server, so it may begin before there is a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from opsnb.core.config import Settings
from opsnb.core.plan import Wish
from opsnb.engine.configfiles import About, configured
from opsnb.engine.source import Memory, Source, scan

Tell = Callable[[str], None]
Prepare = Callable[[Tell], Awaitable[tuple[Wish, Source]]]


@dataclass(frozen=True)
class Asked:
    """What is asked for, before anything of it was read.

    Attributes:
        where: The folder to release.
        settings: What is configured for the server.
        revision: What the source is; empty when not known.
        by: Who asks.
        host: The machine they ask from.
        force: Whether to make a release that changes nothing.
        once_at: The server that runs the hooks that run once in its environment; empty for this.
        memory: What the last reading left; None when every file is to be read.
        about: What templates of configuration files are told.
    """

    where: str
    settings: Settings
    revision: str = ""
    by: str = ""
    host: str = ""
    force: bool = False
    once_at: str = ""
    memory: Memory | None = None
    about: About = field(default_factory=About)


async def read(asked: Asked, tell: Tell) -> tuple[Wish, Source]:
    """Read what is asked for.

    Args:
        asked: What is asked for.
        tell: Is told a line, safe to show, of what takes a while.

    Returns:
        What a plan needs to know of it, and where its content is.

    Raises:
        SourceError: It cannot be released.
    """
    settings = asked.settings
    source = await asyncio.to_thread(scan, Path(asked.where), settings.exclude, asked.memory)
    wish = Wish(
        source=source.manifest,
        label=asked.where,
        settings=settings,
        revision=asked.revision,
        by=asked.by,
        host=asked.host,
        force=asked.force,
        once_at=asked.once_at,
    )
    return await configured(wish, source, asked.about, tell)


def given(wish: Wish, source: Source) -> Prepare:
    """What has been read already, as what :func:`read` will give."""

    async def prepare(_tell: Tell) -> tuple[Wish, Source]:
        return wish, source

    return prepare


@dataclass
class Words:
    """Takes lines from the first moment on, and keeps them for whoever comes to listen."""

    _kept: list[str] = field(default_factory=list)
    _listener: Tell | None = None

    def __call__(self, line: str) -> None:
        """Take a line."""
        if self._listener is None:
            self._kept.append(line)
        else:
            self._listener(line)

    def to(self, listener: Tell) -> None:
        """Tell somebody every line, those that were said already first."""
        self._listener = listener
        for line in self._kept:
            listener(line)
        self._kept.clear()
