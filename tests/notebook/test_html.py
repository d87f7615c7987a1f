"""Text becomes HTML in one place, where it is escaped."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import opsnb
from opsnb.notebook.html import Html, join, page, tag

ENEMIES = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b", "</style><b>"]


@pytest.mark.parametrize("text", ENEMIES)
def test_text_is_escaped_as_a_child_and_as_an_attribute(text: str) -> None:
    made = tag("p", text, [text, [text]], title=text)
    assert text not in made
    assert "<script" not in made
    assert "<img" not in made
    assert made.count("<") == 2


def test_elements_are_not_escaped_twice() -> None:
    assert tag("p", tag("b", "a<b")) == "<p><b>a&lt;b</b></p>"


def test_attributes_read_as_python_and_come_out_as_html() -> None:
    assert tag("i", class_="x", aria_label="y", hidden=True, open=False, id=None) == (
        '<i class="x" aria-label="y" hidden></i>'
    )


def test_void_elements_have_no_end() -> None:
    assert tag("br") == "<br>"


def test_what_is_joined_is_html_and_nothing_is_empty() -> None:
    assert join([None, 3, "<", Html("<i>")]) == "3&lt;<i>"


def test_a_page_says_what_it_is_and_brings_its_styles() -> None:
    made = page("x", label="server <web1>")
    assert 'aria-label="server &lt;web1&gt;"' in made
    assert made.startswith("<style>")


def test_no_other_module_of_the_notebook_layer_writes_markup() -> None:
    root = Path(opsnb.__file__).parent / "notebook"
    for path in root.rglob("*.py"):
        if path.name == "html.py":
            continue
        for text in literals(path.read_text("utf-8")):
            assert "</" not in text, f"{path}: {text!r}"
        assert "Html(" not in path.read_text("utf-8"), path


def literals(source: str) -> list[str]:
    """Every text in a program that is not a docstring."""
    tree = ast.parse(source)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_the_control_markup_elsewhere_is_found() -> None:
    assert any("</" in text for text in literals("x = f'<b>{y}</b>'"))
    assert not any("</" in text for text in literals("def f():\n    '''<b></b>'''"))
