"""Which releases stay."""

from __future__ import annotations

from pydantic import Field

from opsnb.core.settings.table import Table


class RetentionSettings(Table):
    """What is kept, and what is pruned."""

    keep_releases: int = Field(
        3, ge=1, le=1000, description="How many good releases stay, the live one included."
    )
