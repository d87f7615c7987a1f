"""HTML, and the only place where text becomes HTML.

Rule: a child that is not :class:`Html` is text and is escaped; so is every attribute's value.
A page trusts what a user's own cell puts out, so this is what keeps remote bytes from being code.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

STATIC = Path(__file__).parent / "static"
VOID = frozenset({"br", "hr", "img", "col"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = Html | str | int | None | Iterable["Child"]


def tag(name: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element.

    Args:
        name: Its name.
        children: What is in it: elements, text, or lists of them; None for nothing.
        attributes: Its attributes; a final ``_`` is dropped (``class_``), other ``_`` become
            ``-``, True stands for an attribute without a value, None and False for none.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def join(child: Child) -> Html:
    """Elements and text, one after the other.

    Args:
        child: What to join.
    """
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return Html(escape(str(child)))
    return Html("".join(join(one) for one in child))


@cache
def stylesheet() -> str:
    """The stylesheet of everything that opsnb shows in a notebook."""
    return (STATIC / "opsnb.css").read_text("utf-8")


def page(*children: Child, label: str) -> Html:
    """What a cell puts out: the content with its stylesheet.

    Args:
        children: The content.
        label: What it is, for those who do not see it.
    """
    style = Html(f"<style>{stylesheet()}</style>")
    # Else MathJax would draw a name such as "$x$" as a formula.
    plain = "tex2jax_ignore mathjax_ignore"
    body = tag("div", *children, class_=f"opsnb opsnb-page {plain}", role="group", aria_label=label)
    return join([style, body])
