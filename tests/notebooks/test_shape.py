"""The notebooks as they are committed: without outputs, in one order, with parameters."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import opsnb

FOLDER = Path(__file__).parents[2] / "notebooks"
ALL = sorted(FOLDER.glob("*.ipynb"))
# The tour and the lesson tell a story; the others are runbooks.
RUNBOOKS = [path for path in ALL if re.match(r"0[1-9]-", path.name)]
FLAGS = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
CHANGE = re.compile(r"\.(deploy|rollback|prune|unhold|hold|adopt|pin|unpin)\(")
# What stops a run, with how many arguments, of which the last says what to do next.
HINTED = {"book.gate": 3, "book.prove": 1}
ORDER = ["When to use", "Parameters", "Look", "Plan", "Act", "Verify", "Undo"]


def read(path: Path) -> Any:
    return nbformat.read(path, 4)


def headings(book: Any) -> list[str]:
    """The second-level headings, in their order."""
    texts = [cell.source for cell in book.cells if cell.cell_type == "markdown"]
    return re.findall(r"^## (.+)$", "\n".join(texts), re.MULTILINE)


def code(book: Any) -> list[str]:
    return [cell.source for cell in book.cells if cell.cell_type == "code"]


def test_there_is_a_runbook_for_every_situation() -> None:
    names = [path.stem for path in ALL]
    assert names[0] == "00-tour"
    assert "lesson" in names
    assert len(RUNBOOKS) == 7


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_nothing_that_was_run_is_committed(path: Path) -> None:
    book = read(path)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert set(book.metadata) <= {"kernelspec", "language_info"}
    assert set(book.metadata.language_info) == {"name"}
    assert len({cell.id for cell in book.cells}) == len(book.cells)
    # As it is read in a review: a line of a cell is a line of the file.
    assert json.loads(path.read_text("utf-8"))
    assert path.read_text("utf-8").startswith('{\n "cells": [\n')


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_exactly_one_cell_holds_the_parameters(path: Path) -> None:
    tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for node in ast.parse(tagged[0].source).body:
        assert isinstance(node, ast.Assign)
        ast.literal_eval(node.value)


@pytest.mark.parametrize("path", [ALL[0], *RUNBOOKS], ids=lambda path: path.stem)
def test_every_runbook_has_the_same_order(path: Path) -> None:
    assert headings(read(path)) == ORDER


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_that_changes_something_is_confirmed_before_it_does(path: Path) -> None:
    cells = code(read(path))
    acts = [n for n, source in enumerate(cells) if "book.act()" in source]
    changes = [n for n, source in enumerate(cells) if CHANGE.search(source)]
    if path.stem == "02-what-is-live":
        assert acts == changes == []
    else:
        assert len(acts) == 1
        assert changes
        assert acts[0] < min(changes)
    assert any("book.gate(" in source for source in cells)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_only_public_names_are_used(path: Path) -> None:
    for source in code(read(path)):
        # A cell may await at its top, which only IPython takes.
        for node in ast.walk(compile(source, path.name, "exec", FLAGS)):
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_"), source
                if isinstance(node.value, ast.Name) and node.value.id == "opsnb":
                    assert node.attr in opsnb.__all__, source


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_every_gate_says_what_to_do_when_it_is_closed(path: Path) -> None:
    gates = [
        node
        for source in code(read(path))
        for node in ast.walk(compile(source, path.name, "exec", FLAGS))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in HINTED
    ]
    assert gates
    for node in gates:
        assert len(node.args) == HINTED[ast.unparse(node.func)], ast.unparse(node)
        said = node.args[-1]
        # A hint is written in the gate, where whoever reads the notebook sees it.
        assert isinstance(said, ast.Constant | ast.JoinedStr)
        assert len(ast.unparse(said)) > 10


def test_a_notebook_that_is_named_is_there() -> None:
    for path in ALL:
        for cell in read(path).cells:
            for name in re.findall(r"\b0\d-[a-z-]+", cell.source):
                assert (FOLDER / f"{name}.ipynb").is_file(), f"{path.name} names {name}"
