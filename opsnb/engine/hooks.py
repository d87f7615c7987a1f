"""Hooks: what they are told, how they are run, and what it means when one fails."""

from __future__ import annotations

import math
import os
import secrets as random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from opsnb.core import layout, scripts
from opsnb.core.hooks import Due, Point, at, users
from opsnb.core.secrets import Secrets
from opsnb.core.settings.hooks import Hook
from opsnb.core.text import safe
from opsnb.engine import process
from opsnb.engine.change import Change
from opsnb.engine.commands import Lines, command, held_again, here
from opsnb.errors import (
    CheckFailed,
    NotReady,
    OpsnbError,
    SourceError,
    StepFailed,
    StepTimedOut,
)

SUDO = 60.0  # seconds that sudo may take to say no
SLACK = 60  # seconds after its deadline until another user's hook ends by itself
# What a local hook finds of the operator's own environment.
KEPT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
)


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
        "OPSNB_ENVIRONMENT": change.actor.environment,
        "OPSNB_USER": change.actor.by,
    }


def scripts_of(hooks: Sequence[Due]) -> dict[str, str]:
    """The texts of the scripts that hooks are, by file: read before anything is done.

    Raises:
        SourceError: One cannot be read, or is too large.
    """
    return {item.hook.file: _script(item.hook.file) for item in hooks if item.hook.file}


def _script(file: str) -> str:
    try:
        raw = Path(file).read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SourceError(f"the hook {safe(file)} cannot be read: {said}") from error
    if len(raw) > scripts.MOST or "\0" in text:
        raise SourceError(f"the hook {safe(file)} is no script of at most {scripts.MOST:,} bytes")
    return text


async def run_hooks(
    change: Change, hooks: Sequence[Due], point: Point, name: str, env: Mapping[str, str]
) -> None:
    """Run the hooks of a point, one after the other.

    Args:
        change: The change they belong to.
        hooks: All hooks of the change.
        point: The point.
        name: The release in whose directory they run; empty for ``deploy_to``.
        env: Their environment, beside the login's own.

    Raises:
        CheckFailed: One did not exit 0, and its failure is one of the change.
        StepTimedOut: One had to be ended.
    """
    for hook in at(hooks, point):
        try:
            status = await _run(change, hook, point, name, env)
        except StepTimedOut as error:
            await _ended(change, hook, error)
            facts = {"release": change.release, "point": point, "hook": Due(point, hook).how}
            await _audit_end(change, facts, "ended")
            continue
        if status == 0:
            continue
        said = f"the {point} hook {safe(hook.text)} exited with {status}"
        if not hook.ignore_failure:
            raise CheckFailed(said)
        change.warn(said)


async def _ended(change: Change, hook: Hook, error: StepTimedOut) -> None:
    """Go on after a hook that had to be ended, if its failure is none of the change's.

    Before the switch that is not possible: the lock went with the hook, and whoever took it
    meanwhile has cleared what was being built.

    Raises:
        StepTimedOut: It is one.
        LockLost: Somebody else has published something meanwhile.
    """
    if not (hook.ignore_failure and change.switched):
        raise error
    change.warn(error.message)
    await held_again(change)


async def _run(change: Change, hook: Hook, point: Point, name: str, env: Mapping[str, str]) -> int:
    how = Due(point, hook).how
    change.log(f"{point}: {how}")
    facts = {"release": change.release, "point": point, "hook": how}
    if change.held is not None:
        await change.audit("hook.begin", **facts)
    status = await _status(change, hook, name, env)
    # A full disk has a say in what follows anyway; that this is not written is no failure yet.
    with suppress(StepFailed):
        await _audit_end(change, facts, status)
    return status


async def _audit_end(change: Change, facts: Mapping[str, str], status: int | str) -> None:
    if change.held is not None and not change.held.broken:
        await change.audit("hook.end", **facts, status=status)


async def _status(change: Change, hook: Hook, name: str, env: Mapping[str, str]) -> int:
    if hook.where == "local":
        if change.held is not None and not change.held.broken:
            await change.held.settle()
        return await here(change, _argv(hook), change.folder, {**_own(), **env}, hook.timeout)
    text = hook.command
    if hook.file:
        text = scripts.of_file(change.scripts[hook.file], f"opsnb-{random.token_hex(16)}")
    if hook.run_as:
        seconds = math.ceil(hook.timeout) + SLACK
        text = scripts.as_user(hook.run_as, text, change.secrets.beside(env), seconds)
    return await command(change, text, name, env, hook.timeout, "hook")


def _argv(hook: Hook) -> list[str]:
    """A hook of this machine as a program and its arguments."""
    if hook.command:
        return ["/bin/sh", "-c", hook.command]
    return [*scripts.interpreter(_script(hook.file)), hook.file]


def _own() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ}


async def run_local(
    hooks: Sequence[Hook],
    directory: Path,
    env: Mapping[str, str],
    tell: Callable[[str], None],
    secrets: Secrets,
) -> None:
    """Run hooks on this machine that belong to no change yet: those of a build.

    Args:
        hooks: What to run.
        directory: Where.
        env: All of their environment but the secrets.
        tell: Is told each line, safe to show.
        secrets: What they are given besides, and what is masked.

    Raises:
        CheckFailed: One did not exit 0, and its failure is one of the build.
    """
    for hook in hooks:
        tell(f"hook: {safe(hook.text)}")
        lines = Lines(secrets.masker(), lambda said: tell(said.text))
        try:
            status = await process.run(
                _argv(hook), directory, secrets.beside(env), hook.timeout, lines.feed
            )
        finally:
            lines.flush()
        if status and not hook.ignore_failure:
            raise CheckFailed(f"the hook {safe(hook.text)} exited with {status}")
        if status:
            tell(f"the hook {safe(hook.text)} exited with {status}")


async def prepare(change: Change, hooks: Sequence[Due], env: Mapping[str, str]) -> None:
    """Have everything at hand that the hooks of a change need, also those after its failure.

    Args:
        change: The change.
        hooks: All of its hooks.
        env: Their environment, beside the login's own.

    Raises:
        SourceError: A script cannot be read.
        NotReady: One is to run as a user whom sudo does not give.
    """
    change.scripts, change.environment = scripts_of(hooks), env
    for user in users(hooks):
        await _may_become(change, user)
    failed = at(hooks, "on_failure")

    async def after(error: OpsnbError) -> None:
        outcome = change.ended(error)
        message = change.hidden(error.message)
        told = {**env, "OPSNB_ERROR": message, "OPSNB_OUTCOME": outcome.value}
        for hook in failed:
            await _after_failure(change, hook, told)

    change.after_failure = after if failed else None


async def _may_become(change: Change, user: str) -> None:
    """Refuse before anything is begun what sudo would refuse in the middle of it."""
    line = scripts.may_become(user)
    if await change.lock.hook(".", line, {}, SUDO, lambda _said: None) != 0:
        login = safe(change.site.user if change.site else "") or "the login"
        raise NotReady(
            f"hooks are to run as {safe(user)}, but sudo does not run /bin/sh for {login} as that "
            "user without a password",
            f"Allow it in sudoers: {login} ALL=({safe(user)}) NOPASSWD: /bin/sh -s",
        )


async def _after_failure(change: Change, hook: Hook, env: Mapping[str, str]) -> None:
    """Run a hook after a failure. That it goes wrong is a warning, and no other failure."""
    if hook.where == "server" and (change.held is None or change.held.broken):
        change.warn(f"on_failure was not run, since the lock is not held: {safe(hook.text)}")
        return
    try:
        await run_hooks(change, [Due("on_failure", hook)], "on_failure", "", env)
    except OpsnbError as second:
        change.warn(f"on_failure: {second.message}")
