"""The server itself: how long to wait for it, and where things are on it."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from opsnb.core.address import CONNECT_TIMEOUT, STEP_TIMEOUT
from opsnb.core.settings.table import Table


class ConnectionSettings(Table):
    """How a server is reached and looked at."""

    web_config: str = Field(
        "",
        description="The web server's main configuration file, for `opsnb check`. Nothing said: "
        "where nginx and Apache keep it.",
    )
    lock_wait: float = Field(0, ge=0, le=86400, description="Seconds to wait for a lock.")
    step_timeout: float = Field(
        STEP_TIMEOUT, gt=0, description="Seconds until a copying or flushing step has failed."
    )
    connect_timeout: float = Field(
        CONNECT_TIMEOUT, gt=0, description="Seconds until connecting has failed."
    )

    @field_validator("web_config")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if path and (not path.startswith("/") or re.search(r"[\x00-\x1f\x7f]", path)):
            raise ValueError("web_config must be an absolute path on the server")
        return path
