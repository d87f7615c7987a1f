"""Lines of JSON below ``.opsnb``, as they are read again: whatever stands there, they are checked.

Rule: what a line says ends in names of what is removed or made live; one value that is not what its
field takes, and none of the line is believed.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from opsnb.core.manifest import check_name

T = TypeVar("T")
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_KINDS: dict[str, type] = {"str": str, "int": int, "bool": bool}


def known(cls: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; a later one may have written more."""
    return {field.name: data[field.name] for field in fields(cls) if field.name in data}


def as_text(value: object) -> str:
    """A value that must be text.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def release_name(value: object) -> str:
    """The name of one directory below ``releases/``, and of nothing outside it.

    Raises:
        ValueError: It is no such name.
        TypeError: It is no text.
    """
    text = as_text(value)
    check_name(text.encode("utf-8", "surrogatepass"))
    return text


def checked(made: T) -> T:
    """What was read, when every value is of its field's type.

    Raises:
        TypeError: One is not.
    """
    for item in fields(made):  # type: ignore[arg-type]  # only ever given dataclasses
        value, kind = getattr(made, item.name), _KINDS.get(str(item.type))
        plain = kind is None or type(value) is kind
        if not plain or (kind is int and not 0 <= value < 2**63):
            raise TypeError(f"{item.name} is {value!r}")
    return made
