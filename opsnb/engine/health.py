"""Health checks: whether a site works. What is asked is decided in core, and judged there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from opsnb.core import answer, asking, layout
from opsnb.core.answer import Answer
from opsnb.core.asking import Question
from opsnb.core.settings.health import Health
from opsnb.core.text import safe
from opsnb.engine.asking import SLACK, from_here, from_server, run, tools
from opsnb.engine.change import Change
from opsnb.engine.commands import command
from opsnb.errors import CheckFailed

LEAST = 0.1  # seconds for a try
ENDED = (124, 137)  # what `timeout` ends with when the time was up


async def check_health(
    change: Change,
    checks: Sequence[Health],
    when: Literal["before", "after"],
    name: str,
    env: Mapping[str, str],
) -> None:
    """Ask every check of that moment until it answers well, or its tries or its time are used up.

    Args:
        change: The change they belong to.
        checks: All checks.
        when: Before the switch, or after it.
        name: The release; ``{release}`` in a check's text stands for it.
        env: The environment of checks that are commands.

    Raises:
        CheckFailed: One never answered well.
        RemoteError: The server could not be asked to ask.
    """
    for check in checks:
        if check.is_asked(when):
            await _Asking(change, check, name, env).until_well()


@dataclass
class _Asking:
    """One check that is asked.

    Attributes:
        change: The change it belongs to.
        check: The check.
        name: The release.
        env: The environment of a command.
    """

    change: Change
    check: Health
    name: str
    env: Mapping[str, str]

    async def until_well(self) -> None:
        """Ask until it is well; see :func:`check_health`."""
        check, tries = self.check, self.check.retries + 1
        self._until = time.monotonic() + (check.deadline or check.longest + 60 * tries)
        await self._pause(check.initial_delay)
        for attempt in range(1, tries + 1):
            well, seen = await self._try()
            if well:
                self.change.log(f"check: {self._asked} is well: {seen}")
                return
            fault = f"{self._asked} {seen}"
            if attempt == tries or self._left() <= check.delay:
                break
            self.change.log(
                f"check: {fault} (try {attempt} of {tries}); trying again in {check.delay:g} s"
            )
            await self._pause(check.delay)
        late = f", and its {check.deadline:g} s are over" if attempt < tries else ""
        raise CheckFailed(f"{fault}{late}")

    @property
    def _asked(self) -> str:
        return safe(answer.for_release(self.check.asked, self.name))

    def _left(self) -> float:
        return self._until - time.monotonic()

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, min(seconds, self._left())))

    async def _try(self) -> tuple[bool, str]:
        """Whether it is well, and what was seen."""
        limit = max(LEAST, min(self.check.timeout, self._left()))
        if self.check.command:
            return await self._command(limit)
        ask: Callable[[float], Awaitable[tuple[bool, str]]]
        ask = self._connects if self.check.tcp else self._answers
        try:
            # What the server asks ends itself there: to cut it off here would end the lock, too.
            async with asyncio.timeout(None if self.check.from_ == "server" else limit):
                return await ask(limit)
        except TimeoutError:
            return False, f"did not answer within {limit:.3g} s"

    # --- a command -----------------------------------------------------------------------------

    async def _command(self, limit: float) -> tuple[bool, str]:
        script = asking.command_script(self.check.command, tools(self.change), limit)
        given = {**self.env, **script.given}
        later = limit + (SLACK if script.given else 0)
        status = await command(self.change, script.text, self.name, given, later, "check")
        if status in ENDED and script.given:
            return False, f"did not end within {limit:.3g} s (status {status})"
        return status == 0, f"exited with {status}"

    # --- a connection --------------------------------------------------------------------------

    async def _connects(self, limit: float) -> tuple[bool, str]:
        host, port = asking.target(self.check, self.name)
        if self.check.from_ == "server":
            script = asking.tcp_script(host, port, tools(self.change), limit)
            said = await run(self.change, script, limit, layout.release(self.name))
            well = said.strip() == b"open"
            return well, "took a connection" if well else _refused(safe(said.strip()[:200]))
        from opsnb.engine import http  # noqa: PLC0415 - only where something is asked

        try:
            await http.reach(host, port)
        except OSError as error:
            return False, _refused(safe(str(error)))
        return True, "took a connection"

    # --- an address ----------------------------------------------------------------------------

    async def _answers(self, limit: float) -> tuple[bool, str]:
        until = time.monotonic() + limit
        asked = asking.question(self.check, self.name, self.change.secrets)
        for _ in range(asking.REDIRECTS + 1):
            got = await self._ask(asked, max(LEAST, until - time.monotonic()))
            if isinstance(got, str):
                return False, f"did not answer: {got}"
            try:
                then = asking.redirected(asked, got) if self.check.redirects else None
            except ValueError:
                return False, "leads to what is no address"
            if then is None:
                fault = answer.fault(self.check, got, self.name)
                return not fault, fault or got.seen
            asked = then
        return False, f"leads round in a circle: {asking.REDIRECTS} redirections were followed"

    async def _ask(self, asked: Question, limit: float) -> Answer | str:
        if self.check.from_ == "server":
            return await from_server(self.change, asked, limit, layout.release(self.name))
        return await from_here(asked)


def _refused(why: str) -> str:
    return f"took no connection: {why or 'nobody says why'}"
