"""Commands around the switch."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from opsnb.core.settings.table import Table


class Hook(Table):
    """A command run on the server."""

    command: str = Field(min_length=1, description="A line for /bin/sh.")
    timeout: float = Field(300, gt=0, description="Seconds until it is ended and has failed.")


Hooks = Annotated[tuple[Hook, ...], Field()]
# What a shell keeps for itself, and what opsnb gives a hook.
_TAKEN = re.compile(r"(?i:opsnb)_.*|E?UID|PPID|_|SHELLOPTS|BASHOPTS|BASH_VERSINFO|PATH|IFS|LD_.*")


class HookSettings(Table):
    """What is run before and after the switch, and what it is given."""

    before_publish: Hooks = Field(
        (), description="Commands run in the new release's directory before the switch."
    )
    after_publish: Hooks = Field((), description="Commands run in the live release after it.")
    secrets: tuple[str, ...] = Field(
        (),
        description="Variables of your own environment that hooks are given, and whose values "
        "are shown nowhere.",
    )

    @field_validator("before_publish", "after_publish", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """A hook may be written as its command alone."""
        if isinstance(value, (list, tuple)):
            return [{"command": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("secrets")
    @classmethod
    def _variables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or _TAKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a variable of a hook")
        return names
