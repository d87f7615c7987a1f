"""The line of Python that a click is. Pure.

Rule: a line can be pasted into a cell below and does the same; ``server`` and ``plan`` are the
names that the lines before it gave.
"""

from __future__ import annotations


def call(method: str, *args: object, to: str = "", wait: bool = False, **named: object) -> str:
    """A call of a method of the server.

    Args:
        method: The method.
        args: What it is given; :class:`Name` for a variable.
        to: The variable that its answer is given to.
        wait: Whether the answer is awaited.
        named: What it is given by name; what is empty or None is left out.
    """
    given = [repr(arg) for arg in args]
    given += [f"{key}={value!r}" for key, value in named.items() if value not in ("", None, False)]
    line = f"{'await ' if wait else ''}server.{method}({', '.join(given)})"
    return f"{to} = {line}" if to else line


class Name(str):
    """A variable's name, written as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


PLAN = Name("plan")
