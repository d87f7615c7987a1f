"""Hooks: what they are told, and what it means when one fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opsnb.core import layout
from opsnb.core.settings.hooks import Hook
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.engine.commands import command
from opsnb.errors import CheckFailed


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
        status = await command(change, hook.command, name, env, hook.timeout, "hook")
        if status != 0:
            raise CheckFailed(f"the hook {safe(hook.command)} exited with {status}")
