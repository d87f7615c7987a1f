"""Tables of keys, as a file of settings holds them: what each key is, and what is wrong with it.

Rule 1: everything that is wrong is told at once, each with its place. The value is not repeated:
it may be a secret.
Rule 2: a table is whole, and never changes.

It is small and of our own: a validation library takes longer to be loaded than a connection to a
server to be made, and every command would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

Where = tuple[int | str, ...]
Fault = tuple[Where, str]
Kind = Callable[[object], Any]

NO_SUCH_KEY = "no such key"
_REQUIRED: Any = object()


class Wrong(ValueError):
    """What is wrong with a value.

    Args:
        faults: For each fault the keys and numbers that lead to it, and what it is.

    Attributes:
        faults: The same.
    """

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(what for _, what in faults))
        self.faults = faults


class Key:
    """A key of a table; made by :func:`key`.

    Attributes:
        kind: Reads its value.
        default: Its value when nothing is said.
        description: One line about it.
        alias: What it is called in a file; empty for its own name.
    """

    def __init__(self, kind: Kind, default: object, description: str, alias: str) -> None:
        self.kind, self.default = kind, default
        self.description, self.alias = description, alias

    @property
    def required(self) -> bool:
        """Whether something must be said."""
        return self.default is _REQUIRED


def key(kind: Kind, description: str, default: object = _REQUIRED, *, alias: str = "") -> Any:
    """A key of a table.

    Args:
        kind: Reads its value: one of the kinds below, or any function that raises a ValueError.
        description: One line about it.
        default: Its value when nothing is said; without one, something must be.
        alias: What it is called in a file, when that is not its own name.
    """
    return Key(kind, default, description, alias)


class Table:
    """A table of keys, read from plain values.

    Its methods and attributes are named as pydantic's are.

    Args:
        said: Values by their names in a file.

    Attributes:
        model_fields: Its keys, by name, inherited ones first.
        model_fields_set: Names of the keys of which something was said.

    Raises:
        Wrong: A key is unknown, missing or wrong, or the values do not fit together.
    """

    model_fields: ClassVar[dict[str, Key]] = {}
    model_fields_set: frozenset[str]

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Key)}
        cls.model_fields = {**cls.model_fields, **own}

    def __init__(self, /, **said: object) -> None:
        self._fill(self._read(said))
        self.fits()

    @classmethod
    def model_validate(cls, said: object) -> Self:
        """Read a table.

        Args:
            said: Values by their names in a file; or such a table, which is given back.

        Raises:
            Wrong: It is no table, or something in it is wrong.
        """
        if isinstance(said, cls):
            return said
        if not isinstance(said, Mapping):
            raise Wrong(((), "expected a table"))
        return cls(**said)

    @classmethod
    def model_construct(cls, **values: object) -> Self:
        """A table of values that have been read before.

        Args:
            values: Values by their own names.

        Raises:
            Wrong: They do not fit together.
        """
        table = cls.__new__(cls)
        table._fill(values)
        table.fits()
        return table

    def model_copy(self, *, update: Mapping[str, object]) -> Self:
        """The same with other values, which are not checked.

        Args:
            update: Values by their own names.
        """
        table = self.__new__(type(self))
        table._fill({name: vars(self)[name] for name in self.model_fields_set} | {**update})
        return table

    def model_dump(self) -> dict[str, Any]:
        """All values by their own names, as plain ones."""
        return {name: _plain(vars(self)[name]) for name in self.model_fields}

    def fits(self) -> None:
        """Say whether the values fit together.

        Raises:
            ValueError: They do not.
        """

    @classmethod
    def _read(cls, said: Mapping[str, object]) -> dict[str, object]:
        """Values by their own names, from those by their names in a file."""
        names = {field.alias or name: name for name, field in cls.model_fields.items()}
        kinds = {called: cls.model_fields[name].kind for called, name in names.items()}
        read, faults = _each(
            (called, kind, said[called]) for called, kind in kinds.items() if called in said
        )
        missing = [n for n, name in names.items() if cls.model_fields[name].required]
        faults += [((called,), "it must be given") for called in missing if called not in said]
        faults += [((called,), NO_SUCH_KEY) for called in said if called not in names]
        if faults:
            raise Wrong(*faults)
        return {names[str(called)]: value for called, value in read.items()}

    def _fill(self, values: Mapping[str, object]) -> None:
        defaults = {name: field.default for name, field in self.model_fields.items()}
        vars(self).update(defaults | {**values}, model_fields_set=frozenset(values))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be removed")

    def _values(self) -> tuple[object, ...]:
        return tuple(vars(self)[name] for name in self.model_fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        said = (f"{name}={vars(self)[name]!r}" for name in self.model_fields)
        return f"{type(self).__name__}({', '.join(said)})"


def _each(
    items: Iterable[tuple[int | str, Kind, object]],
) -> tuple[dict[int | str, object], list[Fault]]:
    """Read several values; what is wrong with them, each below its place."""
    read: dict[int | str, object] = {}
    faults: list[Fault] = []
    for place, kind, value in items:
        try:
            read[place] = kind(value)
        except Wrong as wrong:
            faults += [((place, *where), what) for where, what in wrong.faults]
        except ValueError as error:
            faults.append(((place,), str(error)))
    return read, faults


def _plain(value: object) -> object:
    if isinstance(value, Table):
        return value.model_dump()
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


# --- kinds -------------------------------------------------------------------------------------


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("expected a text")
    return value


def some_text(value: object) -> str:
    """Any text but the empty one."""
    if not text(value):
        raise ValueError("expected a text that is not empty")
    return text(value)


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def whole(least: int, most: int) -> Kind:
    """A whole number, of which both limits are allowed."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return value

    return read


def seconds(least: float = 0, most: float = float("inf"), *, above: float = -1) -> Kind:
    """A number.

    Args:
        least: The least.
        most: The most.
        above: What it must be more than.
    """
    limit = f"more than {above:g}" if above >= least else f"from {least:g}"
    limits = limit if most == float("inf") else f"{limit} to {most:g}"

    def read(value: object) -> float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # (Not a number is outside of every limit.)
        if not number or not (least <= value <= most and value > above):  # type: ignore[operator]
            raise ValueError(f"expected a number of seconds, {limits}")
        return float(value)  # type: ignore[arg-type]

    return read


def choice(*allowed: str) -> Kind:
    """One of some words."""

    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(map(repr, allowed))}")
        return str(value)

    return read


def several(kind: Kind) -> Kind:
    """A list of values of one kind."""

    def read(value: object) -> tuple[object, ...]:
        if not isinstance(value, (list, tuple)):
            raise Wrong(((), "expected a list"))
        items, faults = _each((number, kind, item) for number, item in enumerate(value))
        if faults:
            raise Wrong(*faults)
        return tuple(items.values())

    return read


def named(kind: Kind) -> Kind:
    """Values of one kind by name."""

    def read(value: object) -> dict[int | str, object]:
        if not isinstance(value, Mapping):
            raise Wrong(((), "expected a table"))
        items, faults = _each((name, kind, item) for name, item in value.items())
        if faults:
            raise Wrong(*faults)
        return items

    return read
