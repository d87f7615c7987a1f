"""How a release is made on the server."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table, inside


class ReleaseSettings(Table):
    """What a release is made of besides its source, and how."""

    base: Literal["previous", "clean"] = Field(
        "previous",
        description="previous: what the application wrote inside the release is carried over; "
        "clean: the release equals the source.",
    )
    copy_mode: Literal["copy", "hardlink"] = Field(
        "copy",
        alias="copy",
        description="copy: a real copy (reflink where the file system can); "
        "hardlink: unchanged files share their inode with the release before.",
    )
    recycle: bool = Field(
        True,
        description="Whether the release that was pruned last stays aside on the disk, and the "
        "next one is made of it: only what differs is copied. It needs the room of one release.",
    )
    verify: Literal["written", "all"] = Field(
        "written",
        description="Which files are hashed on the server before the switch: those that were "
        "sent, or all of them.",
    )
    linked_dirs: tuple[str, ...] = Field(
        (), description="Directories of shared/ to link. Nothing listed: all that shared/ holds."
    )
    linked_files: tuple[str, ...] = Field((), description="Files of shared/ to link.")

    @field_validator("linked_dirs", "linked_files")
    @classmethod
    def _inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(inside(path) for path in paths)

    @model_validator(mode="after")
    def _apart(self) -> ReleaseSettings:
        listed = sorted((*self.linked_dirs, *self.linked_files))
        for first, second in pairwise(listed):
            if first == second:
                raise ValueError(f"{first!r} is listed twice")
        for outer in listed:
            within = [path for path in listed if path.startswith(outer + "/")]
            if within:
                raise ValueError(f"{within[0]!r} lies inside {outer!r}: list one of them")
        return self
