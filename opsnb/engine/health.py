"""Health checks: whether a site works."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from opsnb.core.settings.health import Health
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.engine.commands import command
from opsnb.errors import CheckFailed

READ = 1 << 20


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
        status = await command(change, check.command, name, env, check.timeout, "check")
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
