"""When a server may be changed. Guard rails against slips, and no access control."""

from __future__ import annotations

from pydantic import Field, field_validator

from opsnb.core.settings.table import Table


class GateSettings(Table):
    """What holds a change back, whoever begins it and wherever."""

    read_only: bool = Field(
        False, description="Whether every change is refused: a configuration for looking only."
    )
    freeze: str = Field(
        "",
        max_length=200,
        description="Why nothing is deployed, promoted or pruned for now; a rollback still may be.",
    )
    windows: tuple[str, ...] = Field(
        (),
        description="Hours in which deploys are allowed, such as Mon-Fri 09:00-16:00; none "
        "listed: always. A rollback is always allowed.",
    )
    timezone: str = Field(
        "UTC", description="The time zone whose clock the windows mean, such as Europe/Berlin."
    )

    @field_validator("windows")
    @classmethod
    def _windows(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        if windows:
            # Few configurations have any, and every command reads its configuration.
            from opsnb.core.windows import Window  # noqa: PLC0415

            for window in windows:
                Window.parse(window)
        return windows

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        if name != "UTC":
            from opsnb.core.windows import zone  # noqa: PLC0415 - as above

            zone(name)
        return name
