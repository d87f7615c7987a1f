"""Caches that still hold the release before, as ``opsnb.toml`` tells them."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table, inside
from opsnb.core.settings.web import RELEASE, TOKEN, Headers, check_url, secrets_in

_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.][A-Za-z0-9_.-]*):(\d{1,5})")


class Purge(Table):
    """Something that makes a cache forget what it holds."""

    urls: tuple[str, ...] = Field(
        (), description="Addresses to purge (http, https); {release} stands for the live release."
    )
    command: str = Field("", description="Or a line for /bin/sh.")
    from_: Literal["local", "server"] = Field(
        "local",
        alias="from",
        description="local: asked, or run, on this machine; server: on the server, for addresses "
        "by Python, curl or wget, whichever is there.",
    )
    method: str = Field("PURGE", description="The method of HTTP: PURGE, BAN, POST, ….")
    headers: Headers = Field(
        default_factory=dict,
        description="Headers to send; ${NAME} stands for a variable that `secrets` lists.",
    )
    timeout: float = Field(10, gt=0, le=3600, description="Seconds for each address, or for all.")
    required: bool = Field(
        False, description="Whether its failure fails the change; else it is a warning."
    )

    @property
    def secrets(self) -> frozenset[str]:
        """The variables that its headers name."""
        return secrets_in(self.headers)

    @field_validator("urls")
    @classmethod
    def _urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            check_url(url)
        return urls

    @field_validator("method")
    @classmethod
    def _method(cls, method: str) -> str:
        if not TOKEN.fullmatch(method):
            raise ValueError(f"{method!r} is no method of HTTP")
        return method

    @model_validator(mode="after")
    def _one_way(self) -> Purge:
        if bool(self.urls) == bool(self.command):
            raise ValueError("give either urls or command")
        odd = sorted({"method", "headers"} & self.model_fields_set)
        if self.command and odd and (self.method != "PURGE" or self.headers):
            raise ValueError(f"{odd[0]} is only for urls")
        return self


class Opcache(Table):
    """How PHP-FPM's cache of compiled code is emptied: by a script that it runs once."""

    fastcgi: str = Field(
        "",
        description="Where PHP-FPM listens on the server: /run/php/php-fpm.sock, or "
        "127.0.0.1:9000.",
    )
    url: str = Field(
        "", description="Or the address of the site's document root, as this machine sees it."
    )
    docroot: str = Field(
        "",
        description="Where the script is put for a moment: a directory of the release. Nothing "
        "said: into .opsnb for fastcgi, at the top of the release for url.",
    )
    timeout: float = Field(10, gt=0, le=600, description="Seconds until it has failed.")
    required: bool = Field(
        False, description="Whether its failure fails the change; else it is a warning."
    )

    @field_validator("fastcgi")
    @classmethod
    def _place(cls, place: str) -> str:
        if place.startswith("/") and not re.search(r"[\x00-\x1f\x7f]", place):
            return place
        found = _PLACE.fullmatch(place)
        if place and (not found or not 0 < int(found[2]) < 65536):
            raise ValueError("fastcgi is the absolute path of a socket, or host:port")
        return place

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        if url:
            check_url(url)
            if urlsplit(url).query or urlsplit(url).fragment or RELEASE in url:
                raise ValueError("url is the address of a directory")
        return url

    @field_validator("docroot")
    @classmethod
    def _inside(cls, path: str) -> str:
        return inside(path) if path not in ("", ".") else ""

    @model_validator(mode="after")
    def _one_way(self) -> Opcache:
        if bool(self.fastcgi) == bool(self.url):
            raise ValueError("give either fastcgi or url")
        return self


class CacheSettings(Table):
    """Which caches are told of a switch."""

    opcache: Opcache | None = Field(
        None,
        description="PHP-FPM's cache of compiled code, emptied right after every switch: a table "
        "with fastcgi, or with url and docroot.",
    )
    purge: tuple[Purge, ...] = Field(
        (), description="Caches purged after every switch, when after_publish has run."
    )

    @field_validator("opcache", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        """Nothing said: so a server can leave out what its project has."""
        return None if value == "" else value
