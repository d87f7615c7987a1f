"""How a release is built from its source, on this machine."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table, inside

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"OPSNB_.*|HOME|TMPDIR|LD_.*")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


class Cached(Table):
    """Directories that a build makes and the next one may begin with."""

    key: tuple[str, ...] = Field(
        (), description="The files they depend on: with other files they are made anew."
    )
    paths: tuple[str, ...] = Field(min_length=1, description="The directories.")

    @field_validator("key", "paths")
    @classmethod
    def _inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(inside(path) for path in paths)


class BuildSettings(Table):
    """What is run to make a release of a source, with what, and how far it may reach."""

    build: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="Lines for /bin/sh, run in this order in a clean copy of the source.",
    )
    output: str = Field(
        ".", description="The directory that they make the release in; . for the copy itself."
    )
    env: dict[str, str] = Field(
        default_factory=dict, description="Variables that they find in their environment."
    )
    build_secrets: tuple[str, ...] = Field(
        (),
        description="Variables of your own environment that they find there, too, and whose "
        "values are shown nowhere.",
    )
    build_timeout: float = Field(
        1800, gt=0, description="Seconds for all of them, until they are ended and have failed."
    )
    build_exclude: tuple[str, ...] = Field(
        ("node_modules/", ".venv/", "__pycache__/"),
        description="What of a folder is not copied for a build: gitignore rules. Its output, "
        "its cached directories and .git never are.",
    )
    cache: tuple[Cached, ...] = Field(
        (), description="Directories that are kept from one build to the next."
    )
    isolation: Literal["auto", "required", "none"] = Field(
        "auto",
        description="auto: by bubblewrap where it is installed and works; required: or not at all.",
    )
    network: bool = Field(
        True, description="Whether a build reaches the network; false needs isolation."
    )
    readable: tuple[str, ...] = Field(
        (), description="Paths in your home that an isolated build may read, besides its programs."
    )
    container: str = Field(
        "", description="Or the image of a container, run by podman or docker, to build in."
    )

    @field_validator("build", mode="before")
    @classmethod
    def _one_line(cls, value: object) -> object:
        """One command may stand alone."""
        return [value] if isinstance(value, str) else value

    @field_validator("cache", mode="before")
    @classmethod
    def _one_cache(cls, value: object) -> object:
        """One set of directories may stand alone."""
        return [value] if isinstance(value, dict) else value

    @field_validator("output")
    @classmethod
    def _output_below(cls, path: str) -> str:
        return inside(path.removeprefix("./")) if path.strip("/.") else "."

    @field_validator("env")
    @classmethod
    def _build_variables(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not _NAME.fullmatch(name) or _OURS.fullmatch(name) or "\0" in value:
                raise ValueError(f"{name!r} is no variable of a build")
        return env

    @field_validator("build_secrets")
    @classmethod
    def _build_secret_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _NAME.fullmatch(name) or _OURS.fullmatch(name) or name == "PATH":
                raise ValueError(f"{name!r} is no name for a variable of a build")
        return names

    @field_validator("container")
    @classmethod
    def _image(cls, image: str) -> str:
        if image and not _IMAGE.fullmatch(image):
            raise ValueError("this is no image of a container")
        return image

    @model_validator(mode="after")
    def _fits_together(self) -> BuildSettings:
        if not self.network and self.isolation == "none" and not self.container:
            raise ValueError("network = false needs isolation")
        named = [path for cached in self.cache for path in cached.paths]
        for first, second in permutations(named, 2):
            if f"{first}/".startswith(f"{second}/"):
                raise ValueError(f"{first!r} is cached twice")
        return self
