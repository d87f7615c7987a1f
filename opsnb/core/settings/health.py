"""What shows that a site works, as ``opsnb.toml`` tells it."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, model_validator

from opsnb.core.settings.table import Table


class Health(Table):
    """A question that a working site answers."""

    url: str = Field("", description="An address that is asked from this machine (http, https).")
    command: str = Field("", description="Or a line for /bin/sh on the server, which must exit 0.")
    status: int = Field(200, ge=100, le=599, description="The status that the address must answer.")
    contains: str = Field("", description="Text that the answer must contain.")
    timeout: float = Field(10, gt=0, description="Seconds for one try.")
    retries: int = Field(3, ge=0, le=100, description="Further tries after the first.")
    delay: float = Field(1, ge=0, le=300, description="Seconds between tries.")

    @model_validator(mode="after")
    def _one_question(self) -> Health:
        if bool(self.url) == bool(self.command):
            raise ValueError("give either url or command")
        if self.url and urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError("url must begin with http:// or https://")
        return self


class HealthSettings(Table):
    """What must be true for a release to stay live."""

    health: tuple[Health, ...] = Field(
        (), description="What must answer after the switch; if not, the previous release returns."
    )
