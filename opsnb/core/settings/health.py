"""What shows that a site works, as ``opsnb.toml`` tells it."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table
from opsnb.core.settings.web import RELEASE, TOKEN, Headers, check_url, secrets_in


class Header(Table):
    """A header that an answer must have; without a name none is asked for."""

    name: str = Field("", description="Its name.")
    contains: str = Field("", description="Text that it must contain.")
    matches: str = Field("", description="Or a regular expression that must match somewhere in it.")

    @model_validator(mode="after")
    def _readable(self) -> Header:
        said = self.name or self.contains or self.matches
        if said and not TOKEN.fullmatch(self.name):
            raise ValueError("name is no name of a header")
        try:
            re.compile(self.matches)
        except re.error as error:
            raise ValueError(f"matches is no regular expression: {error}") from error
        return self


class Json(Table):
    """A value that an answer in JSON must have; without a path none is asked for."""

    path: str = Field(
        "",
        description="Where it stands: names and places from 0 with dots between, as in data.0.id.",
    )
    equals: Any = Field(None, description="What it must be.")

    @model_validator(mode="after")
    def _whole(self) -> Json:
        said = self.path or self.equals is not None
        if said and not (all(self.path.split(".")) and "equals" in self.model_fields_set):
            raise ValueError("give path (names or places with dots between) and equals")
        return self

    @field_validator("equals")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise ValueError("equals must be what JSON can hold") from error
        return value


class Health(Table):
    """A question that a working site answers."""

    url: str = Field("", description="An address that is asked (http, https).")
    tcp: str = Field("", description="Or host:port, where something must take a connection.")
    command: str = Field("", description="Or a line for /bin/sh on the server, which must exit 0.")
    from_: Literal["local", "server"] = Field(
        "local",
        alias="from",
        description="local: url and tcp are asked from this machine; server: from the server "
        "itself, by Python, curl, wget, bash or nc, whichever is there.",
    )
    when: Literal["after", "before", "both"] = Field(
        "after",
        description="before: before the switch, of the new release: a command in its directory, "
        "or an address with {release} in it; after: after the switch; both: both.",
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"] = Field(
        "GET", description="How the address is asked."
    )
    headers: Headers = Field(
        default_factory=dict,
        description="Headers of the question; ${NAME} stands for a variable that `secrets` lists.",
    )
    redirects: bool = Field(True, description="Whether redirections are followed, ten at the most.")
    status: int | tuple[int, ...] = Field(
        200, description="The status that the address must answer, or a list of them."
    )
    contains: str = Field("", description="Text that the answer must contain.")
    header: Header = Field(
        default_factory=lambda: Header.model_validate({}),
        description="A header it must have: {name = ..., contains = ... or matches = ...}.",
    )
    json_: Json = Field(
        default_factory=lambda: Json.model_validate({}),
        alias="json",
        description="A JSON value it must hold: {path = 'data.status', equals = 'ok'}.",
    )
    timeout: float = Field(10, gt=0, le=3600, description="Seconds for one try.")
    retries: int = Field(3, ge=0, le=100, description="Further tries after the first.")
    delay: float = Field(1, ge=0, le=300, description="Seconds between tries.")
    initial_delay: float = Field(0, ge=0, le=300, description="Seconds before the first try.")
    deadline: float = Field(
        0,
        ge=0,
        le=86400,
        description="Seconds for all tries together; 0: as long as they take.",
    )

    @property
    def asked(self) -> str:
        """What is asked, as it is configured."""
        return self.url or self.command or f"tcp {self.tcp}"

    @property
    def statuses(self) -> tuple[int, ...]:
        """The statuses that are well."""
        return self.status if isinstance(self.status, tuple) else (self.status,)

    @property
    def secrets(self) -> frozenset[str]:
        """The variables that its headers name."""
        return secrets_in(self.headers)

    def is_asked(self, when: Literal["before", "after"]) -> bool:
        """Whether it is asked then."""
        return self.when in (when, "both")

    @property
    def longest(self) -> float:
        """Seconds that it may take."""
        tries = (self.retries + 1) * self.timeout + self.retries * self.delay + self.initial_delay
        return min(tries, self.deadline or tries)

    @field_validator("status")
    @classmethod
    def _statuses(cls, status: int | tuple[int, ...]) -> int | tuple[int, ...]:
        listed = status if isinstance(status, tuple) else (status,)
        if not listed or not all(100 <= one <= 599 for one in listed):
            raise ValueError("a status is a number from 100 to 599")
        return status

    @model_validator(mode="after")
    def _one_question(self) -> Health:
        if sum(map(bool, (self.url, self.tcp, self.command))) != 1:
            raise ValueError("give one of url, tcp and command")
        if self.url:
            check_url(self.url)
        if self.tcp:
            host_and_port(self.tcp)
        if self.command and self.from_ == "server":
            raise ValueError("a command runs on the server anyway: leave `from` out")
        return self

    @model_validator(mode="after")
    def _of_an_address(self) -> Health:
        """What can only be said of an address."""
        keys = ("method", "headers", "redirects", "status", "contains", "header", "json_")
        fields = type(self).model_fields
        odd = [
            key.rstrip("_")
            for key in keys
            if getattr(self, key) != fields[key].get_default(call_default_factory=True)
        ]
        if odd and not self.url:
            raise ValueError(f"{odd[0]} is only for a url")
        if self.method == "HEAD" and (self.contains or self.json_.path):
            raise ValueError("the answer to HEAD holds no text")
        return self

    @model_validator(mode="after")
    def _before(self) -> Health:
        if self.is_asked("before") and RELEASE not in (self.url or self.tcp or RELEASE):
            raise ValueError(
                'when = "before" needs {release} in the address: before the switch, any other '
                "address leads to the release that is still live"
            )
        return self


def host_and_port(text: str) -> tuple[str, int]:
    """``host:port``, or ``[address]:port`` for IPv6.

    Raises:
        ValueError: It is not that.
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.{}-]+):(\d{1,5})", text, re.ASCII)
    if not found or not 0 < int(found[2]) < 65536 or found[1].startswith("-"):
        raise ValueError("tcp is host:port")
    return found[1].strip("[]"), int(found[2])


class HealthSettings(Table):
    """What must be true for a release to stay live."""

    health: tuple[Health, ...] = Field(
        (), description="What must answer; if not after the switch, the previous release returns."
    )
    watchdog: int = Field(
        0,
        ge=0,
        le=3600,
        description="Within how many seconds after the switch it must be confirmed: otherwise the "
        "server itself puts the previous release back, whatever became of opsnb. 5 to 3600; "
        "0 for off.",
    )

    @field_validator("watchdog")
    @classmethod
    def _long_enough(cls, seconds: int) -> int:
        if 0 < seconds < 5:
            raise ValueError("watchdog is 0, or 5 to 3600 seconds")
        return seconds
