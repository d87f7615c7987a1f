"""Commands around the switch."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")


class Hook(Table):
    """A command, or a script of the operator's, that is run around the switch."""

    command: str = Field("", min_length=1, description="A line for /bin/sh.")
    file: str = Field(
        "",
        description="Or a script on this machine, run by what its first line names, else by "
        "/bin/sh; relative to opsnb.toml.",
    )
    where: Literal["server", "local"] = Field(
        "server", description="Where it runs: on the server, or on this machine."
    )
    on: Literal["all", "first", "after_first"] = Field(
        "all", description="On which deploys of a server: all, the first only, all but the first."
    )
    once: bool = Field(
        False,
        description="Once for an environment: only on the first of its servers in opsnb.toml.",
    )
    run_as: str = Field("", description="Another user on the server, by sudo without a password.")
    ignore_failure: bool = Field(
        False,
        description="Whether its failure is a warning, and no failure of the change. Before the "
        "switch its deadline is one in any case.",
    )
    timeout: float = Field(300, gt=0, description="Seconds until it is ended and has failed.")

    @field_validator("run_as")
    @classmethod
    def _a_user(cls, name: str) -> str:
        if name and not _USER.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a user")
        return name

    @model_validator(mode="after")
    def _one_program(self) -> Hook:
        if bool(self.command) == bool(self.file):
            raise ValueError("give either command or file")
        if self.run_as and self.where == "local":
            raise ValueError("run_as is for the server: a local hook runs as you")
        return self

    @property
    def text(self) -> str:
        """What is run, as it is called."""
        return self.command or self.file


Hooks = Annotated[tuple[Hook, ...], Field()]
# What a shell keeps for itself, and what opsnb gives a hook.
_TAKEN = re.compile(r"(?i:opsnb)_.*|E?UID|PPID|_|SHELLOPTS|BASHOPTS|BASH_VERSINFO|PATH|IFS|LD_.*")


class HookSettings(Table):
    """What is run before and after the switch, and what it is given."""

    before_build: Hooks = Field(
        (), description="Commands run on this machine, in the copy that is built, before it is."
    )
    before_deploy: Hooks = Field(
        (), description="Commands run in deploy_to before anything of a deploy is done there."
    )
    before_publish: Hooks = Field(
        (), description="Commands run in the new release's directory before the switch."
    )
    after_publish: Hooks = Field(
        (),
        description="Commands run in the live release after a switch, that of a rollback included; "
        "not when a release that failed is put back: that is on_failure's.",
    )
    before_rollback: Hooks = Field(
        (), description="Commands run in the release that a rollback goes to, before the switch."
    )
    after_rollback: Hooks = Field(
        (), description="Commands run in it after the switch, when after_publish has run."
    )
    on_failure: Hooks = Field(
        (),
        description="Commands run in deploy_to after a deploy or a rollback that had begun has "
        "failed, when whatever could be put back has been.",
    )
    secrets: tuple[str, ...] = Field(
        (),
        description="Variables of your own environment that hooks are given, and whose values "
        "are shown nowhere.",
    )

    @field_validator(
        "before_deploy",
        "before_publish",
        "after_publish",
        "before_rollback",
        "after_rollback",
        "on_failure",
        mode="before",
    )
    @classmethod
    def _short(cls, value: object) -> object:
        return _tables(value)

    @field_validator("before_build", mode="before")
    @classmethod
    def _local(cls, value: object) -> object:
        """A build is made here, so its hooks run here."""
        tables = _tables(value)
        if isinstance(tables, list):
            return [
                {"where": "local", **item} if isinstance(item, dict) else item for item in tables
            ]
        return tables

    @field_validator("before_build")
    @classmethod
    def _only_local(cls, hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
        if any(hook.where != "local" for hook in hooks):
            raise ValueError("before_build runs on this machine: where cannot be server")
        if any(hook.once or hook.on != "all" for hook in hooks):
            raise ValueError("before_build is of no server: leave on and once out")
        return hooks

    @field_validator("secrets")
    @classmethod
    def _variables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or _TAKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a variable of a hook")
        return names


def _tables(value: Any) -> Any:
    """A hook may be written as its command alone."""
    if isinstance(value, (list, tuple)):
        return [{"command": item} if isinstance(item, str) else item for item in value]
    return value
