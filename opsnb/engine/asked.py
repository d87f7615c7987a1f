"""What somebody asks to be deployed, and how it becomes content.

Rule 1: whatever makes content of what was asked (a commit, a build, reading a folder, filling in
        templates) is called from here.
Rule 2: nothing here touches a server, so it may begin before there is a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from opsnb.core.config import Settings
from opsnb.core.origin import Origin
from opsnb.core.plan import Wish
from opsnb.core.secrets import Secrets
from opsnb.engine.configfiles import About, configured
from opsnb.engine.source import Memory, Source, scan

if TYPE_CHECKING:
    from opsnb.engine.making import Made

Tell = Callable[[str], None]
Prepare = Callable[[Tell], Awaitable[tuple[Wish, Source]]]


@dataclass(frozen=True)
class Asked:
    """What is asked for, before anything of it was read.

    Attributes:
        where: The folder to release or to build; empty for the configured git repository.
        settings: What is configured for the server.
        revision: What the source is; empty when not known.
        by: Who asks.
        host: The machine they ask from.
        force: Whether to make a release that changes nothing.
        ref: The branch, tag or commit of the repository; empty for the configured one.
        secrets: What a build finds in its environment and nobody is shown.
        hook_secrets: The same for the hooks before it.
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
    ref: str = ""
    secrets: Secrets = field(default_factory=Secrets)
    hook_secrets: Secrets = field(default_factory=Secrets)
    once_at: str = ""
    memory: Memory | None = None
    about: About = field(default_factory=About)

    @property
    def makes(self) -> bool:
        """Whether what is released must be made first: checked out, or built."""
        return not self.where or bool(self.settings.build or self.settings.before_build)


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
    settings, label, origin = asked.settings, asked.where, Origin()
    if asked.makes:
        made = await _made(asked, tell)
        label, origin = made.label, made.origin
        # Without the memory: the folder is another one each time.
        source = await asyncio.to_thread(scan, made.root, settings.exclude)
        await asyncio.to_thread(made.check, source.manifest)
        source = replace(source, keeper=made)
    else:
        source = await asyncio.to_thread(scan, Path(asked.where), settings.exclude, asked.memory)
    wish = Wish(
        source=source.manifest,
        label=label,
        settings=settings,
        revision=asked.revision or (origin.commit.id if origin.commit else ""),
        by=asked.by,
        host=asked.host,
        force=asked.force,
        once_at=asked.once_at,
        origin=origin,
    )
    return await configured(wish, source, asked.about, tell)


async def _made(asked: Asked, tell: Tell) -> Made:
    from opsnb.engine.making import Order, make  # noqa: PLC0415 - a plain folder needs none of it

    order = Order(
        asked.where,
        asked.settings,
        ref=asked.ref,
        revision=asked.revision,
        by=asked.by,
        secrets=asked.secrets,
        hooks=asked.hook_secrets,
        again=asked.force,
    )
    return await make(order, tell)


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


class Reading:
    """A reading that begins before anybody waits for it, and ends with whoever does.

    Args:
        asked: What is asked for.
        then: Is told what was read.
    """

    def __init__(self, asked: Asked, then: Callable[[Source], None] = lambda _: None) -> None:
        self._asked, self._then = asked, then
        self._words = Words()
        self._task: asyncio.Task[tuple[Wish, Source]] | None = None

    async def begin(self) -> None:
        """Begin, on the loop that it is waited for on."""
        self._task = asyncio.create_task(self._read())
        # When nobody comes to wait for it, it fails unheard.
        self._task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _read(self) -> tuple[Wish, Source]:
        wish, source = await read(self._asked, self._words)
        self._then(source)
        return wish, source

    async def __call__(self, tell: Tell) -> tuple[Wish, Source]:
        """Wait for it; see :data:`Prepare`."""
        self._words.to(tell)
        if self._task is None:
            await self.begin()
        assert self._task  # noqa: S101 - it has begun
        return await asyncio.shield(self._task)

    async def end(self) -> None:
        """End it, and wait until it has put away what it had begun."""
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
