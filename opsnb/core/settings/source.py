"""Where a release comes from."""

from __future__ import annotations

from pydantic import Field

from opsnb.core.settings.table import Table


class SourceSettings(Table):
    """What is released."""

    source: str = Field("", description="The folder to release.")
    exclude: tuple[str, ...] = Field(
        (), description="What of the source stays out: gitignore rules; .deployignore is read too."
    )
