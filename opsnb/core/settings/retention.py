"""Which releases stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from opsnb.core.durations import seconds
from opsnb.core.settings.table import Table

if TYPE_CHECKING:
    from opsnb.core.retention import Rules

_SIZE = re.compile(r"([1-9][0-9]{0,8})\s*(k|M|G|T)(B|iB)")
_POWER = {"k": 1, "M": 2, "G": 3, "T": 4}


def size_of(text: str) -> int:
    """Bytes in ``500MB``, ``5GB`` or ``2GiB``; 0 for an empty text.

    Raises:
        ValueError: It is no such text.
    """
    found = _SIZE.fullmatch(text.strip())
    if text and not found:
        raise ValueError("write a size as 500MB, 5GB or 2GiB")
    base = 1024 if found and found[3] == "iB" else 1000
    return int(found[1]) * base ** _POWER[found[2]] if found else 0


def _seconds(text: str) -> int:
    return seconds(text, "hdw", "12h, 30d or 8w") if text else 0


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
        _seconds(text)
        return text

    @field_validator("keep_size")
    @classmethod
    def _budget(cls, text: str) -> str:
        size_of(text)
        return text

    @property
    def rules(self) -> Rules:
        """The same, as retention takes it."""
        from opsnb.core.retention import Rules  # noqa: PLC0415 - a question needs none of it

        return Rules(
            self.keep_releases, _seconds(self.keep_for), size_of(self.keep_size), self.keep_in_use
        )
