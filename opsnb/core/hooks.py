"""Which hooks a change runs, which it leaves out, and why. Pure.

Rule: what is left out is said as what is run is: nobody should look for a hook that did not run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from opsnb.core.settings.hooks import Hook, HookSettings
from opsnb.core.text import safe

Point = Literal[
    "before_build",
    "before_deploy",
    "before_publish",
    "after_publish",
    "before_rollback",
    "after_rollback",
    "on_failure",
]
DEPLOY: tuple[Point, ...] = ("before_deploy", "before_publish", "after_publish", "on_failure")
# Where they stand in a plan: before a release is made.
EARLY: tuple[Point, ...] = ("before_build", "before_deploy", "before_rollback")
ROLLBACK: tuple[Point, ...] = ("before_rollback", "after_publish", "after_rollback", "on_failure")


@dataclass(frozen=True, slots=True)
class Due:
    """A hook at its place in a change.

    Attributes:
        point: When it is its turn.
        hook: The hook.
        skipped: Why it does not run; empty when it does.
    """

    point: Point
    hook: Hook
    skipped: str = ""

    @property
    def how(self) -> str:
        """What is run, where and as whom, safe to show."""
        hook = self.hook
        here = " on this machine" if hook.where == "local" else ""
        whose = f" as {safe(hook.run_as)}" if hook.run_as else ""
        return f"{safe(hook.text)}{here}{whose}"

    @property
    def told(self) -> str:
        """The same, and why it does not run if it does not."""
        return f"not run, {self.skipped}: {self.how}" if self.skipped else f"run {self.how}"


def deploy_hooks(
    settings: HookSettings, *, built: bool, first: bool, once_at: str
) -> tuple[Due, ...]:
    """The hooks of a deploy; those before a build have run when there is a plan of what was built.

    Args:
        settings: What is configured.
        built: Whether the source was built; what is promoted is not.
        first: See :func:`due`.
        once_at: See there.
    """
    unused = () if built else settings.before_build
    left_out = (Due("before_build", hook, "nothing is built") for hook in unused)
    return (*left_out, *due(settings, DEPLOY, first=first, once_at=once_at))


def due(
    settings: HookSettings, points: Iterable[Point], *, first: bool = False, once_at: str = ""
) -> tuple[Due, ...]:
    """The hooks of a change, in the order of their points.

    Args:
        settings: What is configured.
        points: The points of the change.
        first: Whether nothing was ever live on this server.
        once_at: The server that runs what is to run once; empty for this one.
    """
    return tuple(
        Due(point, hook, _left_out(hook, first, once_at))
        for point in points
        for hook in getattr(settings, point)
    )


def _left_out(hook: Hook, first: bool, once_at: str) -> str:
    if hook.on == "first" and not first:
        return "only on the first deploy"
    if hook.on == "after_first" and first:
        return "not on the first deploy"
    if hook.once and once_at:
        return f"once, on {safe(once_at)}"
    return ""


def users(hooks: Iterable[Due]) -> tuple[str, ...]:
    """Whom hooks run as besides the login."""
    found = (item.hook.run_as for item in hooks if item.hook.run_as and not item.skipped)
    return tuple(dict.fromkeys(found))


def at(hooks: Iterable[Due], point: Point) -> tuple[Hook, ...]:
    """The hooks that run at a point."""
    return tuple(item.hook for item in hooks if item.point == point and not item.skipped)
