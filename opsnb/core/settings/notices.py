"""Who is told of a change, and of what. Their addresses hold tokens: nothing ever shows one."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from opsnb.core.settings.table import Table

Occasion = Literal["start", "success", "failure", "restore", "rollback"]
NAME = r"[A-Za-z_][A-Za-z0-9_]*"


class Notice(Table):
    """Somebody who is told."""

    url: SecretStr = Field(
        SecretStr(""),
        description="Where to: an address as Apprise knows it (slack://, mailto://, a webhook of "
        "Slack or Teams); ${NAME} is a variable of your environment.",
    )
    url_env: str = Field("", description="Or the variable of your environment that holds it.")
    send: Literal["message", "report"] = Field(
        "message",
        description="message: words, for people; report: the report as JSON, posted to a webhook "
        "of your own (https://…).",
    )
    on: tuple[Occasion, ...] = Field(
        ("success", "failure", "restore", "rollback"),
        description="What is told of: start, success, failure, restore, rollback.",
    )

    @field_validator("url_env")
    @classmethod
    def _variable(cls, name: str) -> str:
        if name and not re.fullmatch(NAME, name):
            raise ValueError("url_env is the name of a variable, and not the address itself")
        return name

    @model_validator(mode="after")
    def _one_address(self) -> Notice:
        if bool(self.url.get_secret_value()) == bool(self.url_env):
            raise ValueError("give either url or url_env")
        return self


class NoticeSettings(Table):
    """Who is told of deploys, promotes and rollbacks."""

    notices: tuple[Notice, ...] = Field(
        (), description="Who is told of deploys, promotes and rollbacks, and how they end."
    )
