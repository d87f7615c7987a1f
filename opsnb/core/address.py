"""Where a server is, and how long to wait for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

STEP_TIMEOUT: float = 1800
CONNECT_TIMEOUT: float = 15


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        scheme: ``ssh``, ``sftp`` (for an account that has nothing else) or ``file``.
        path: ``deploy_to``, absolute.
        user: The login; empty for what ssh's own configuration says.
        host: The host, or a ``Host`` alias of ssh's configuration.
        port: The port; 0 for what ssh's own configuration says.
    """

    scheme: Literal["ssh", "sftp", "file"]
    path: str
    user: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``ssh://user@host[:port]/path``, the same with ``sftp``, or ``file:///path``.

        Raises:
            ValueError: It is not such an address.
        """
        form = "expected ssh://user@host[:port]/absolute/path"
        here = "expected file:///absolute/path"
        parts = urlsplit(url)
        scheme = next((s for s in ("ssh", "sftp", "file") if s == parts.scheme), None)
        if scheme is None or parts.query or parts.fragment:
            raise ValueError(form)
        if parts.password is not None:
            raise ValueError("a password does not belong in an address: use keys or an agent")
        path = "/" + "/".join(part for part in _path(parts.path).split("/") if part)
        user, host = unquote(parts.username or ""), _host(parts.netloc)
        if scheme != "file" and not re.fullmatch(r"[\w.:%][\w.:%-]*", host):
            raise ValueError(form)
        if scheme == "file" and parts.netloc:
            raise ValueError(f"file:// names no host: {here}")
        if not parts.path.strip("/"):
            wanted = here if scheme == "file" else form
            raise ValueError(f"the path is missing: {wanted}")
        if path == "/" or any(part in (".", "..") for part in path.split("/")):
            raise ValueError("the path must be a directory of its own, without . and ..")
        if re.search(r"[\x00-\x1f\x7f]", path + user):
            raise ValueError("the address holds a control character")
        if re.search(r"[\ud800-\udfff]", path + user):
            raise ValueError("the address is no UTF-8")
        return cls(scheme=scheme, user=user, host=host, port=parts.port or 0, path=path)


def _host(netloc: str) -> str:
    """The host as it is written: an alias of ssh's configuration may have capitals."""
    place = netloc.rpartition("@")[2]
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def _path(quoted: str) -> str:
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError("the path is no UTF-8") from error


@dataclass(frozen=True)
class Way:
    """How a server is reached.

    Attributes:
        address: Where it is.
        step_timeout: Seconds until a copying or flushing step has failed.
        connect_timeout: Seconds until connecting has failed.
    """

    address: Address
    step_timeout: float = STEP_TIMEOUT
    connect_timeout: float = CONNECT_TIMEOUT
