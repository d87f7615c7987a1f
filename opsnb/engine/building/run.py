"""A build: its commands, one after the other, in a clean copy; and what they must leave.

Rule 1: it runs in a directory of its own, never in anybody's work tree, with an environment of its
        own; its whole process group ends with its deadline, and with whoever waits for it.
Rule 2: what it leaves is checked before anything of it is released.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsnb.core.secrets import Secrets
from opsnb.core.settings.build import BuildSettings
from opsnb.core.text import plural, safe
from opsnb.engine import process
from opsnb.engine.building.isolation import PATH, Isolation, Room
from opsnb.engine.commands import Lines
from opsnb.errors import BuildFailed, OpsnbError, StepTimedOut

ENDING = 30.0  # seconds to end a container
NAMED = 5


@dataclass(frozen=True)
class Build:
    """A build that is to be run.

    Attributes:
        settings: How.
        isolation: How far it can reach.
        room: Where it happens.
        tree: The clean copy in it.
        secrets: What it finds in its environment and nobody is shown.
        tell: Is told, line by line, what it says.
    """

    settings: BuildSettings
    isolation: Isolation
    room: Room
    tree: Path
    secrets: Secrets
    tell: Callable[[str], None]

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """All that a command finds in its environment, but for the secrets.

        Args:
            more: What is told of the source.
        """
        return {
            "PATH": os.environ.get("PATH", PATH),
            "HOME": str(self.room.home),
            "TMPDIR": str(self.room.temporary),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "CI": "true",
            **more,
            **self.settings.env,
        }

    async def run(self, environment: Mapping[str, str]) -> float:
        """Run its commands; how many seconds they took.

        Args:
            environment: What they find in their environment, but for the secrets.

        Raises:
            BuildFailed: One did not exit 0, or they did not end in time.
        """
        began = time.monotonic()
        given = self.secrets.beside(environment)
        for command in self.settings.build:
            left = self.settings.build_timeout - (time.monotonic() - began)
            self.tell(f"build: {safe(command)}")
            await self._command(command, given, left)
        return time.monotonic() - began

    async def _command(self, command: str, given: Secrets, left: float) -> None:
        lines = Lines(self.secrets.masker(), lambda said: self.tell(said.text))
        argv = self.isolation.argv(command, self.room, self.tree, given)
        try:
            env = self.isolation.environment(given)
            status = await process.run(
                argv, self.tree, env, max(left, 0.01), lines.feed, alone=True
            )
        except StepTimedOut:
            raise BuildFailed(
                f"the build did not end within {self.settings.build_timeout:g} s: "
                f"{safe(command)} was ended",
                "`build_timeout` in opsnb.toml gives it more time. No server was changed.",
            ) from None
        finally:
            lines.flush()
            await self._end()
        if status != 0:
            how = f"exited with {status}" if status > 0 else f"was ended by signal {-status}"
            raise BuildFailed(f"the build failed: {safe(command)} {how}", "No server was changed.")

    async def _end(self) -> None:
        """End a container that the end of its client does not end."""
        if argv := self.isolation.ending():
            with suppress(OpsnbError):
                ending = process.run(argv, Path("/"), os.environ, ENDING, lambda _: None)
                await asyncio.shield(asyncio.ensure_future(ending))


def output(room: Room, tree: Path, named: str) -> Path:
    """The directory that a build has made the release in.

    Args:
        room: Where the build happened.
        tree: The copy it happened in.
        named: What it is called there.

    Raises:
        BuildFailed: It is not there, or is empty, or links in it lead to what will not be there.
    """
    place = tree / named
    if not place.is_dir():
        raise BuildFailed(
            f"the build made no directory {safe(named)}",
            "`output` in opsnb.toml names it. No server was changed.",
        )
    if place.resolve() != (tree.resolve() / named):
        raise BuildFailed(f"the build made {safe(named)} as a link to another place")
    with os.scandir(place) as found:
        if next(found, None) is None:
            raise BuildFailed(f"the build left {safe(named)} empty", "No server was changed.")
    return place


def refuse_links(room: Room, place: Path, targets: Mapping[bytes, bytes]) -> None:
    """Refuse links that lead to what stays behind on this machine.

    Args:
        room: Where the build happened.
        place: The directory that is released.
        targets: Its links, by path.

    Raises:
        BuildFailed: There are such.
    """
    space, root = room.space.resolve(), place.resolve()
    broken = []
    for path, target in targets.items():
        text = os.fsdecode(target)
        leads = Path(os.path.normpath((root / os.fsdecode(path)).parent / text))
        behind = not leads.is_relative_to(root) and os.path.lexists(leads)
        if leads.is_relative_to(space) and (text.startswith("/") or behind):
            broken.append(f"{safe(path)} → {safe(target)}")
    if broken:
        named = ", ".join(sorted(broken)[:NAMED])
        raise BuildFailed(
            f"{plural(len(broken), 'link')} of the build would lead nowhere on a server: {named}",
            "Have the build copy what they lead to into its output. No server was changed.",
        )
