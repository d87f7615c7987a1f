"""Whether a site works: hooks and health checks."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from opsnb.core import layout
from opsnb.core.config import Health, Hook
from opsnb.core.events import Log
from opsnb.core.output import Output, Said
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.errors import CheckFailed, StepTimedOut

READ = 1 << 20
SAID_LINES = 100_000  # that a command of a change says as it says them
SAID_LAST = 200  # of what it says beyond that
Stream = Literal["hook", "check"]


def environment(change: Change, deploy_to: str, revision: str) -> dict[str, str]:
    """What a hook finds in its environment."""
    release = f"{deploy_to}/{layout.release(change.release)}"
    before = f"{deploy_to}/{layout.release(change.previous)}" if change.previous else ""
    return {
        "OPSNB_RELEASE": change.release,
        "OPSNB_RELEASE_PATH": release,
        "OPSNB_PREVIOUS": change.previous,
        "OPSNB_PREVIOUS_PATH": before,
        "OPSNB_CURRENT": f"{deploy_to}/{layout.CURRENT}",
        "OPSNB_SHARED": f"{deploy_to}/{layout.SHARED}",
        "OPSNB_REVISION": revision,
        "OPSNB_SERVER": change.actor.server,
        "OPSNB_USER": change.actor.by,
    }


async def run_hooks(
    change: Change, hooks: Sequence[Hook], name: str, env: Mapping[str, str]
) -> None:
    """Run hooks in a release, one after the other.

    Args:
        change: The change they belong to.
        hooks: What to run.
        name: The release whose directory they run in.
        env: Their environment, beside the login's own.

    Raises:
        CheckFailed: One did not exit 0.
    """
    for hook in hooks:
        change.log(f"hook: {safe(hook.command)}")
        status = await _command(change, hook.command, name, env, hook.timeout, "hook")
        if status != 0:
            raise CheckFailed(f"the hook {safe(hook.command)} exited with {status}")


async def _command(
    change: Change,
    command: str,
    name: str,
    env: Mapping[str, str],
    timeout: float,
    stream: Stream,
) -> int:
    lines = _Lines(change, stream)
    directory = layout.release(name)
    given = change.secrets.beside(env)
    try:
        status = await change.lock.hook(directory, command, given, timeout, lines.feed)
    except StepTimedOut as error:
        raise StepTimedOut(f"{safe(command)} did not end within {timeout:g} s: ended") from error
    finally:
        lines.flush()
    return status


class _Lines:
    """Output cut into lines, each said as it is whole; of very much the last lines at the end.

    All commands of a change together say so much at once and no more: a program that talks for
    ever fills neither the log's disk nor anybody's memory, and is ended by its own deadline.
    """

    def __init__(self, change: Change, stream: Stream) -> None:
        self._change = change
        self._stream = stream
        self._masker = change.secrets.masker()
        self._output = Output(SAID_LINES, change.room, SAID_LAST)

    def feed(self, data: bytes) -> None:
        self._say(self._output.feed("out", self._masker.feed(data)))
        self._change.room = self._output.room

    def flush(self) -> None:
        self._say(self._output.feed("out", self._masker.end()))
        self._say(self._output.end())

    def _say(self, lines: Iterable[Said]) -> None:
        actor = self._change.actor
        for said in lines:
            stream = "opsnb" if said.stream == "opsnb" else self._stream
            actor.emit(Log(actor.server, actor.at(), said.text, stream))


async def check_health(
    change: Change, checks: Sequence[Health], name: str, env: Mapping[str, str]
) -> None:
    """Ask every check until it answers well or its tries are used up.

    Args:
        change: The change they belong to.
        checks: What to ask.
        name: The live release; ``{release}`` in a check's text stands for it.
        env: The environment of checks that are commands.

    Raises:
        CheckFailed: One never answered well.
    """
    for check in checks:
        fault = ""
        for attempt in range(check.retries + 1):
            if attempt:
                change.log(f"check: {fault}; trying again in {check.delay:g} s")
                await asyncio.sleep(check.delay)
            fault = await _fault(change, check, name, env)
            if not fault:
                break
        if fault:
            raise CheckFailed(fault)
        change.log(f"check: {safe(check.url or check.command)} is well")


async def _fault(change: Change, check: Health, name: str, env: Mapping[str, str]) -> str:
    """What is wrong with a check's answer; empty when nothing is."""
    if check.command:
        status = await _command(change, check.command, name, env, check.timeout, "check")
        return f"{safe(check.command)} exited with {status}" if status else ""
    wanted = check.contains.replace("{release}", name)
    return await asyncio.to_thread(_ask, check, wanted)


def _ask(check: Health, wanted: str) -> str:
    request = urllib.request.Request(check.url, headers={"User-Agent": "opsnb"})  # noqa: S310 - http(s), validated
    try:
        with urllib.request.urlopen(request, timeout=check.timeout) as answer:  # noqa: S310 - as above
            status, body = answer.status, answer.read(READ)
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read(READ)
    except (OSError, http.client.HTTPException) as error:
        return f"{safe(check.url)} did not answer: {safe(str(error))}"
    if status != check.status:
        return f"{safe(check.url)} answered {status}, not {check.status}"
    if wanted.encode() not in body:
        return f"{safe(check.url)} does not contain {safe(wanted)!r}"
    return ""
