"""Which releases stay."""

from __future__ import annotations

from pydantic import Field, field_validator

from opsnb.core.retention import Rules, seconds_of, size_of
from opsnb.core.settings.table import Table


class RetentionSettings(Table):
    """What is kept, and what is pruned."""

    keep_releases: int = Field(
        3, ge=1, le=1000, description="How many good releases stay, the live one included."
    )
    keep_for: str = Field(
        "",
        description="Good releases younger than this stay, too, however many they are: 12h, 30d, "
        "8w. Nothing said: age keeps none.",
    )
    keep_size: str = Field(
        "",
        description="The oldest go until releases take no more than this, whatever else would "
        "keep them: 500MB, 5GB, 2GiB. Nothing said: no limit.",
    )
    keep_in_use: bool = Field(
        True, description="Whether releases stay that a running process on the server uses."
    )

    @field_validator("keep_for")
    @classmethod
    def _length(cls, text: str) -> str:
        seconds_of(text)
        return text

    @field_validator("keep_size")
    @classmethod
    def _budget(cls, text: str) -> str:
        size_of(text)
        return text

    @property
    def rules(self) -> Rules:
        """The same, as retention takes it."""
        return Rules(
            self.keep_releases, seconds_of(self.keep_for), size_of(self.keep_size), self.keep_in_use
        )
