"""Addresses and headers of HTTP that a configuration names, of whatever subject."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

RELEASE = "{release}"
SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110: a method, a header's name
_OWN = frozenset(("host", "connection", "content-length", "transfer-encoding", "accept-encoding"))


def check_url(url: str) -> None:
    """Refuse what is no address of HTTP.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(url.replace(RELEASE, "20260101000000"))
    if parts.scheme not in ("http", "https"):
        raise ValueError("an address must begin with http:// or https://")
    if not parts.hostname or re.search(r"[\x00-\x20\x7f-\U0010ffff]", url):
        raise ValueError("an address must name a host, and hold only plain ASCII")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a password does not belong in an address: use headers and secrets")
    _ = parts.port  # raises where it is no number


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, text in headers.items():
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _OWN:
            raise ValueError(f"{name!r} is set by opsnb itself")
        if not all(letter == "\t" or " " <= letter <= "~" for letter in text):
            raise ValueError(f"the value of {name!r} is not plain ASCII")
    return headers


# By name; those that cannot be sent, or that opsnb sets itself, are refused.
Headers = Annotated[dict[str, str], AfterValidator(_headers)]


def secrets_in(headers: Mapping[str, str]) -> frozenset[str]:
    """The variables that headers name as ``${NAME}``."""
    return frozenset(name for text in headers.values() for name in SECRET.findall(text))
