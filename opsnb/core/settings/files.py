"""Configuration files that a deploy makes, and what stands in them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table, inside

GIVEN = ("server", "environment", "project", "deploy_to", "revision", "secrets")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class File(Table):
    """A configuration file."""

    path: str = Field(description="Where it is in the release, or below shared/.")
    to: Literal["release", "shared"] = Field(
        "release", description="release: a part of the release; shared: in shared/."
    )
    template: str = Field("", description="A Jinja2 template, relative to opsnb.toml.")
    content: str = Field("", description="Or the template itself.")
    copied: str = Field(
        "", alias="copy", description="Or a file that is taken as it is, relative to opsnb.toml."
    )
    mode: str = Field("0640", description="Its permissions, octal.")

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if re.search(r"[\x00-\x1f\x7f]", path) or path == "REVISION":
            raise ValueError(f"{path!r} is no name for a configuration file")
        return inside(path)

    @field_validator("mode")
    @classmethod
    def _mode(cls, mode: str) -> str:
        if not re.fullmatch(r"0?[4-7][0-7]{2}", mode):
            raise ValueError("a mode is three octal digits, and its owner may read: 0640")
        return mode

    @model_validator(mode="after")
    def _one_origin(self) -> File:
        if sum(map(bool, (self.template, self.content, self.copied))) != 1:
            raise ValueError("give one of template, content and copy")
        return self

    @property
    def bits(self) -> int:
        """The mode as a number."""
        return int(self.mode, 8)


class SecretVar(Table):
    """Where a secret is taken from."""

    env: str = Field("", description="A variable of your own environment.")
    command: str | tuple[str, ...] = Field(
        "", description="Or what a command prints: a line for /bin/sh, or a list of arguments."
    )
    keyring: str = Field("", description="Or an entry of the system's keyring, as service/name.")
    timeout: float = Field(30, gt=0, le=600, description="Seconds until that has failed.")

    @model_validator(mode="after")
    def _one_origin(self) -> SecretVar:
        # What is wrong is told without what was written: it may be the secret itself.
        if sum(map(bool, (self.env, self.command, self.keyring))) != 1:
            raise ValueError("give one of env, command and keyring")
        if self.env and not _NAME.fullmatch(self.env):
            raise ValueError("env must name a variable: a secret never stands here itself")
        if self.keyring and not re.fullmatch(r"[^/]+/.+", self.keyring):
            raise ValueError("keyring must be service/name: a secret never stands here itself")
        return self


class FileSettings(Table):
    """What is configured on the server, and with what."""

    files: tuple[File, ...] = Field(
        (), description="Configuration files; of those with the same path the nearest wins."
    )
    vars: dict[str, Any] = Field(
        default_factory=dict, description="Variables of their templates; tables are merged."
    )
    secret_vars: dict[str, SecretVar] = Field(
        default_factory=dict,
        description="Secrets of their templates, by name: { env = … }, { command = … } or "
        "{ keyring = … }; in a template {{ secrets.NAME }}.",
    )

    @field_validator("files")
    @classmethod
    def _files_apart(cls, files: tuple[File, ...]) -> tuple[File, ...]:
        paths = sorted(file.path + "/" for file in files)
        for first, second in pairwise(paths):
            if second.startswith(first):
                raise ValueError(f"{first[:-1]!r} and {second[:-1]!r} cannot both be files")
        return files

    @field_validator("vars")
    @classmethod
    def _named(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if name in GIVEN or not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a variable ({', '.join(GIVEN)} are set)")
        return given

    @field_validator("secret_vars", mode="before")
    @classmethod
    def _not_in_clear(cls, given: object) -> object:
        for name, origin in given.items() if isinstance(given, dict) else ():
            if not _NAME.fullmatch(name):
                raise ValueError("a secret's name is letters, digits and _")
            if not isinstance(origin, (dict, SecretVar)):
                raise ValueError(
                    f"the secret {name} stands here in clear: say where it is taken from, "
                    f'{name} = {{ env = "{name}" }}, and change it, since it was written down'
                )
        return given
