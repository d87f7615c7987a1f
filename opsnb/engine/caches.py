"""Caches that still hold the release before: told after every switch, also after one back.

Rule: that one could not be told is a warning, unless the configuration says that it must be; after
a switch back it is always one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress

from opsnb.core import caches, fastcgi
from opsnb.core.asking import Question, can_ask
from opsnb.core.caches import OneShot
from opsnb.core.plan import Plan
from opsnb.core.settings.caches import Opcache, Purge
from opsnb.core.text import plural, safe
from opsnb.engine import asking
from opsnb.engine.change import Change
from opsnb.engine.commands import command, held_again, here
from opsnb.errors import CheckFailed, LockLost, OpsnbError, RemoteError, StepFailed

SLACK = 5.0  # seconds that the server may take longer to end what has its own deadline
KEPT = 4096  # bytes of what a program on the server answers
_CGI = """command -v cgi-fcgi >/dev/null 2>&1 || { echo 'cgi-fcgi is not there'; exit 127; }
exec cgi-fcgi -bind -connect "$OPSNB_FASTCGI\""""


def prepare_caches(change: Change, plan: Plan) -> None:
    """Refuse before anything is begun what could not be asked in the end.

    Raises:
        ConfigError: A header would not be one.
    """
    for purge in plan.purge:
        caches.questions(purge, plan.name, change.secrets)


async def empty_opcache(change: Change, plan: Plan, name: str, *, again: bool = False) -> None:
    """Empty PHP's cache of compiled code, if that is configured.

    Args:
        change: The change.
        plan: What is being carried out.
        name: The live release.
        again: Whether it is live again: then a failure is a warning in any case.

    Raises:
        CheckFailed: It was not emptied, and had to be.
    """
    opcache = plan.opcache
    if opcache is None:
        return
    try:
        async with asyncio.timeout(opcache.timeout + SLACK):
            before = plan.previous if name == plan.name else plan.name
            well, said = await _run_once(change, opcache, name, before)
    except TimeoutError:
        well, said = False, f"no answer within {opcache.timeout:g} s"
    except LockLost:
        raise
    except (OSError, ValueError, OpsnbError) as error:
        well, said = False, safe(getattr(error, "message", "") or str(error))
    told = f"opcache: {said} ({caches.opcache_shown(opcache)})"
    await _settled(change, "opcache", told, well=well, required=opcache.required and not again)


async def purge(
    change: Change, plan: Plan, name: str, env: Mapping[str, str], *, again: bool = False
) -> None:
    """Purge what is configured; the arguments are those of :func:`empty_opcache`.

    Args:
        env: The environment of commands.

    Raises:
        CheckFailed: Something was not purged, and had to be.
    """
    for one in plan.purge:
        try:
            said = await _purge(change, one, name, env)
        except LockLost:
            raise
        except OpsnbError as error:
            said = error.message
        told = f"purge: {said or 'done'}: {caches.purge_shown(one)}"
        await _settled(change, "purge", told, well=not said, required=one.required and not again)


async def _settled(change: Change, what: str, told: str, *, well: bool, required: bool) -> None:
    await held_again(change)
    with suppress(StepFailed):
        await change.audit(f"cache.{what}", release=change.live, done=well, why=told)
    if well:
        change.log(told)
    elif required:
        raise CheckFailed(told)
    else:
        change.warn(told)


# --- purging -----------------------------------------------------------------------------------


async def _purge(change: Change, one: Purge, name: str, env: Mapping[str, str]) -> str:
    """Purge; what went wrong, or nothing."""
    if one.command:
        return await _run(change, one, name, env)
    faults = []
    for asked in caches.questions(one, name, change.secrets):
        fault = await _ask(change, one, asked, name)
        if fault:
            faults.append(fault)
    more = f" and {plural(len(faults) - 1, 'other')}" if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""


async def _run(change: Change, one: Purge, name: str, env: Mapping[str, str]) -> str:
    if one.from_ == "server":
        status = await command(change, one.command, name, env, one.timeout, "hook")
    else:
        argv = ["/bin/sh", "-c", one.command]
        status = await here(change, argv, change.folder, env, one.timeout)
    return f"{safe(one.command)} exited with {status}" if status else ""


async def _ask(change: Change, one: Purge, asked: Question, name: str) -> str:
    if one.from_ == "server":
        if not can_ask(asking.tools(change)):
            return caches.fault(asked, "the server has none of python3, curl and wget")
        return caches.fault(asked, await asking.from_server(change, asked, one.timeout))
    try:
        async with asyncio.timeout(one.timeout):
            return caches.fault(asked, await asking.from_here(asked))
    except TimeoutError:
        return caches.fault(asked, f"nothing within {one.timeout:g} s")


async def _heard(change: Change, script: str, given: Mapping[str, str], timeout: float) -> bytes:
    """Run a script of ours in ``deploy_to``; what it says at last, without its line break."""
    heard = bytearray()

    def hear(data: bytes) -> None:
        heard.extend(data)
        del heard[:-KEPT]

    await change.lock.hook(".", script, change.secrets.beside(given), timeout, hear)
    return bytes(heard).strip()


# --- PHP's cache of compiled code --------------------------------------------------------------


async def _run_once(change: Change, opcache: Opcache, name: str, before: str) -> tuple[bool, str]:
    """Have PHP run a script that is there for that long only."""
    script = caches.one_shot(opcache, name, before, secrets.token_hex(32))
    try:
        await change.lock.place(script.directory, script.name, script.text)
        if script.also:
            with suppress(StepFailed):
                await change.lock.place(script.also, script.name, script.text)
        answer = await _answer(change, opcache, script)
    finally:
        # Where it cannot be removed now, whoever changes the site next does it first of all.
        with suppress(RemoteError):
            await change.lock.unplace()
    return caches.emptied(answer, script)


async def _answer(change: Change, opcache: Opcache, script: OneShot) -> bytes:
    if opcache.fastcgi:
        return await _by_fastcgi(change, opcache, script)
    asked = Question(caches.seen_as(opcache, script))
    got = await asking.from_here(asked)
    if isinstance(got, str):
        raise RemoteError(f"{safe(asked.url)} did not answer: {got}")
    return got.body


async def _by_fastcgi(change: Change, opcache: Opcache, script: OneShot) -> bytes:
    """Through the connection; where the server forwards nothing, by its own ``cgi-fcgi``."""
    told = caches.variables(f"{change.remote.deploy_to}/{script.path}")
    try:
        line = await change.remote.reach(opcache.fastcgi)
    except RemoteError as error:
        given = {**told, "OPSNB_FASTCGI": opcache.fastcgi}
        said = await _heard(change, _CGI, given, opcache.timeout)
        if script.said(said):
            return said
        raise RemoteError(f"{error.message}; on the server: {safe(said[-200:])}") from error
    try:
        async with asyncio.timeout(opcache.timeout):
            await line.write(fastcgi.request(told))
            answer = fastcgi.Answer()
            while not answer.ended and (piece := await line.read()):
                answer.feed(piece)
            return answer.out + answer.complaints
    finally:
        await line.close()
