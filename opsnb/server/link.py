"""Where a server is, what is configured for it, and the connection to it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from opsnb.core.address import Address, Way
from opsnb.core.text import safe
from opsnb.errors import ConfigError, HeldBack, ReadOnly
from opsnb.loop import LOOP
from opsnb.server import here
from opsnb.server.opening import Opening, remote_by

if TYPE_CHECKING:
    from opsnb.core.config import Environment, Settings
    from opsnb.core.gates import Gates
    from opsnb.core.plan import Plan
    from opsnb.remote.base import Remote
    from opsnb.remote.posix import PosixRemote
    from opsnb.remote.sftp.remote import SftpRemote

T = TypeVar("T")


class Link:
    """Where a server is, what is configured for it, and the connection to it."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        settings: Settings | None = None,
        environment: Environment | None = None,
        environment_name: str = "",
        ssh_config: str | os.PathLike[str] | None = None,
        project: str = "",
        folder: Path | None = None,
        once_at: str = "",
        read_only: bool = False,
    ) -> None:
        try:
            self._address = Address.parse(url)
        except ValueError as error:
            # Without what stands before the @: it may hold a password.
            shown = safe(url.rpartition("@")[2])
            raise ConfigError(f"{shown!r} is no server's address: {safe(str(error))}") from None
        self.url = url
        self.name = name or self._address.host or "local"
        self.typed = name or url
        if settings is None or environment is None:
            from opsnb.core.config import Environment, Settings  # noqa: PLC0415 - slow to load

            settings = settings or Settings.model_validate({})
            environment = environment or Environment.model_validate({})
        self.settings, self.environment = settings, environment
        self.environment_name = environment_name
        self._project, self._folder = project, folder or Path()
        self._once_at = once_at
        self._read_only = read_only
        self._ssh_config = Path(ssh_config).expanduser() if ssh_config is not None else None
        self._remote_: PosixRemote | SftpRemote | None = None
        self._begun: Future[None] | None = None
        self._making = threading.Lock()

    @property
    def deploy_to(self) -> str:
        """The deployment path."""
        return self._address.path

    def __repr__(self) -> str:
        return f"<Server {self.name}: {self.url}>"

    # --- gates ---------------------------------------------------------------------------------

    @property
    def read_only(self) -> str:
        """Why every change is refused here; empty when none is for that."""
        if here.only_looks():
            return "--read-only was given, or OPSNB_READ_ONLY is set"
        if self._read_only:
            return "it was opened to be looked at only"
        return "`read_only` in opsnb.toml says so" if self.settings.read_only else ""

    def writable(self, verb: str = "a change") -> None:
        """Refuse a change where everything is read-only. Nothing is asked of the server.

        Args:
            verb: The change, for the message.

        Raises:
            ReadOnly: Here it is, and why.
        """
        if why := self.read_only:
            raise ReadOnly(f"{safe(self.name)} is read-only: {verb} was refused", f"{why}.")

    def permitted(self, verb: str, outside_window: str = "") -> None:
        """Refuse at once what would be held back anyway. Nothing is asked of the server.

        Args:
            verb: The change.
            outside_window: Why it is made outside of the hours for it.

        Raises:
            ReadOnly: Nothing may be changed from here.
            HeldBack: A freeze, or the time of day, is configured to hold it back.
        """
        self.writable(verb)
        if refusal := self._gates(outside_window).refusal(verb, here.now()):
            raise HeldBack(refusal.message, refusal.hint)

    def refused(self, verb: str) -> str:
        """Why a change would be refused at once, in words; empty when it would not."""
        refusal = self._gates().refusal(verb, here.now())
        return refusal.message if refusal else ""

    def held_back(self) -> tuple[str, ...]:
        """What is configured and holds a deploy back now, in words; the server is not asked."""
        refusal = self._gates().refusal("deploy", here.now())
        said = (f"read-only: {self.read_only}" if self.read_only else "",)
        return (*filter(None, said), *([refusal.message] if refusal else []))

    def _gates(self, outside_window: str = "") -> Gates:
        from opsnb.core.gates import Gates  # noqa: PLC0415 - import opsnb stays quick

        return Gates(self.name, self.settings, one_line(outside_window, "a reason"))

    def _gated(self, plan: Plan, verb: str = "") -> Plan:
        """The plan, with what would hold it back among its warnings."""
        from dataclasses import replace  # noqa: PLC0415 - as above

        from opsnb.core.gates import warnings  # noqa: PLC0415 - as above

        said = warnings([self._gates().refusal(verb or plan.verb, here.now())])
        return replace(plan, warnings=(*plan.warnings, *said)) if said else plan

    # --- the connection ------------------------------------------------------------------------

    def _remote(self) -> PosixRemote | SftpRemote:
        with self._making:  # several threads may ask the first question
            if self._remote_ is None:
                self._remote_ = self._make_remote()
            return self._remote_

    def _make_remote(self) -> PosixRemote | SftpRemote:
        return remote_by(self._way, self._ssh_config)

    @property
    def _way(self) -> Way:
        settings = self.settings
        return Way(self._address, settings.step_timeout, settings.connect_timeout)

    def _ask(self, question: Callable[[Remote], Coroutine[Any, Any, T]]) -> T:
        remote = self._remote()

        async def connected() -> T:
            await self._connected()
            return await question(remote)

        return LOOP.run(connected())

    def connect(self, opening: Opening | None = None) -> None:
        """Begin to connect, and return at once: the first question then waits the less.

        What goes wrong is told to that question, or ends that change. To this machine there is
        nothing to connect.

        Args:
            opening: What was begun already; it is taken if it leads to this server.
        """
        if opening and self._remote_ is None:
            taken = opening.take(self._way, self._ssh_config)
            self._remote_, self._begun = taken or (None, None)
        if self._begun is None and self._address.scheme != "file":
            self._begun = LOOP.submit(self._remote().connect())

    async def _connected(self) -> None:
        """Wait for the connection that was begun; whoever comes first is told what went wrong."""
        begun, self._begun = self._begun, None
        if begun is not None:
            await asyncio.wrap_future(begun)

    def close(self) -> None:
        """Close the connection; the next question makes a new one."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.cancel()
        remote, self._remote_ = self._remote_, None
        if remote is not None:
            LOOP.run(remote.close())


def one_line(text: str, what: str) -> str:
    """A text that goes into one line of a record.

    Args:
        text: The text.
        what: What it is, for the message.

    Raises:
        ConfigError: It is longer than 200 characters, or none that a line can hold.
    """
    # A byte of a command line that is no UTF-8 has come as half of a character.
    odd = any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in text)
    if odd or len(text) > 200:
        raise ConfigError(f"{what} is one line of at most 200 characters, as UTF-8")
    return text
