"""Which files of earlier releases stay reachable, and for how long."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from opsnb.core.durations import seconds
from opsnb.core.settings.table import Table


class AssetSettings(Table):
    """What pages that are open already may still ask for."""

    keep_assets: tuple[str, ...] = Field(
        (),
        description="What earlier releases had and a new one lacks, and which it then keeps for a "
        "while: a directory (assets/), or paths with * and ? (** for any directories).",
    )
    keep_assets_for: str = Field(
        "7d", description="How long after its release was replaced: 45s, 10m, 12h, 7d."
    )

    @field_validator("keep_assets")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            parts = pattern.removesuffix("/").split("/")
            odd = any(part in ("", ".", "..") for part in parts)
            if odd or re.search(r"[\x00-\x1f\x7f\[\]!\\]", pattern):
                raise ValueError(
                    f"{pattern!r} is no path in a release: only *, ? and ** stand for others"
                )
        return patterns

    @field_validator("keep_assets_for")
    @classmethod
    def _times(cls, text: str) -> str:
        seconds(text)
        return text
