"""How what is said of a project, an environment and a server becomes one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opsnb.core.settings.files import File


def merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of several layers as one: the nearest wins, the farthest comes first.

    Args:
        layers: What each says itself.
    """
    made: dict[str, Any] = {}
    for layer in layers:
        for one, other in _INSTEAD:
            if layer.get(one):
                made.pop(other, None)
        for key, value in layer.items():
            join = _JOINED.get(key)
            made[key] = join(made[key], value) if join and key in made else value
    return made


def _tables(far: Mapping[str, Any], near: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables, key by key, and those within them."""
    made = dict(far)
    for key, value in near.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _tables(made[key], value) if both else value
    return made


def _keys(far: Mapping[str, Any], near: Mapping[str, Any]) -> dict[str, Any]:
    return {**far, **near}


def _by_path(far: Iterable[File], near: Iterable[File]) -> list[File]:
    return list({file.path: file for file in (*far, *near)}.values())


# A nearer folder takes the place of a repository, and the other way round.
_INSTEAD = (("git", "source"), ("source", "git"))
_JOINED: Mapping[str, Callable[[Any, Any], Any]] = {
    "files": _by_path,
    "secret_vars": _keys,
    "vars": _tables,
}
