"""``opsnb.toml`` before it is checked: where a server is, so that connecting can begin meanwhile.

Rule: nothing here finds fault with a key; of what looks odd nothing is known, and the check tells.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from opsnb.core.address import CONNECT_TIMEOUT, STEP_TIMEOUT, Address, Way
from opsnb.errors import ConfigError


def tables(text: str, filename: str) -> dict[str, Any]:
    """What the text of a configuration file says.

    Args:
        text: TOML.
        filename: What messages call it.

    Raises:
        ConfigError: It is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{filename}: not TOML: {error}") from error


def way(said: Mapping[str, Any], name: str, *, changes: bool = False) -> Way | None:
    """How a server is reached, if that can be told already.

    Args:
        said: What the configuration says.
        name: The server's name or address.
        changes: Whether it is to be changed.

    Returns:
        The way; None when it cannot be told, it leads to this machine, or a change is asked for
        where everything is read-only.
    """
    server = _table(said, "servers", name)
    if not server and "://" in name:
        server = {"url": name}
    layers = (server, _table(said, "environments", server.get("environment")), said.get("project"))
    near = [layer for layer in layers if isinstance(layer, Mapping)]
    if changes and any(layer.get("read_only") for layer in near):
        return None
    step = _nearest(near, "step_timeout", STEP_TIMEOUT)
    connect = _nearest(near, "connect_timeout", CONNECT_TIMEOUT)
    try:
        address = Address.parse(server.get("url", ""))
    except (ValueError, TypeError, AttributeError):
        return None
    return Way(address, step, connect) if step and connect and address.scheme != "file" else None


def _table(said: Mapping[str, Any], kind: str, name: object) -> Mapping[str, Any]:
    listed = said.get(kind)
    found = listed.get(name) if isinstance(listed, Mapping) and isinstance(name, str) else None
    return found if isinstance(found, Mapping) else {}


def _nearest(near: list[Mapping[str, Any]], key: str, default: float) -> float:
    """Seconds, as the nearest layer says; 0 when it says none that are possible."""
    value = next((layer[key] for layer in near if key in layer), default)
    return float(value) if type(value) in (int, float) and value > 0 else 0
