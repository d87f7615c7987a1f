"""The lesson runs from its first cell to its last without a front end, and what it says holds."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import opsnb
from opsnb.lesson.chart import MIME

NOTEBOOK = Path(opsnb.__file__).parents[1] / "notebooks" / "lesson.ipynb"
PARAMETERS = "seconds, visitors, pause = 4, 4, 0.01"
# What the cells before it measured, as the test reads it.
MEASURED = """
import json

runs = {
    "in place": in_place,
    "released": atomic,
    "two steps": two_steps,
    "one step": one_step,
    "broken": broken,
    "slow": session,
}
counted = {name: {**run.counts, "switched": len(run.switched)} for name, run in runs.items()}
print("MEASURED", json.dumps(counted))
"""


def read() -> nbformat.NotebookNode:
    book: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)
    return book


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook, executed in a folder of its own; with a cell that tells what was measured."""
    folder = tmp_path_factory.mktemp("lesson")
    shutil.copy(NOTEBOOK, folder)
    notebook = read()
    tagged(notebook, "parameters")[0].source = PARAMETERS
    notebook.cells.insert(-1, nbformat.v4.new_code_cell(MEASURED))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code(notebook) for output in cell.outputs]


@pytest.fixture(scope="module")
def measured(ran: nbformat.NotebookNode) -> dict[str, Any]:
    printed = "".join(found.get("text", "") for found in outputs(ran))
    line = next(line for line in printed.split("\n") if line.startswith("MEASURED "))
    found: dict[str, Any] = json.loads(line.removeprefix("MEASURED "))
    return found


def test_it_is_committed_without_outputs() -> None:
    for cell in code(read()):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_its_parameters_can_be_set() -> None:
    (cell,) = tagged(read(), "parameters")
    names = re.findall(r"^(\w+) = ", cell.source, re.MULTILINE)
    assert names == ["seconds", "visitors", "pause"]


def test_no_measured_number_is_written_in_the_prose() -> None:
    unit = r"\d[\d.,]*\s*(ms|milliseconds|s|seconds|%|per cent|pages|requests|bytes|kB|MB)\b"
    prose = [cell.source for cell in read().cells if cell.cell_type == "markdown"]
    said = [found[0] for text in prose for found in re.finditer(unit, text)]
    assert said == ["1,024 bytes"] * len(said)
    # The control.
    assert re.search(unit, "it took 312 ms")


def test_every_cell_ran_and_none_failed_or_warned(ran: nbformat.NotebookNode) -> None:
    assert all(cell.execution_count for cell in code(ran))
    kinds = {(found.output_type, found.get("name", "")) for found in outputs(ran)}
    assert kinds == {("execute_result", ""), ("display_data", ""), ("stream", "stdout")}


def test_an_upload_in_place_breaks_pages(measured: dict[str, Any]) -> None:
    assert measured["in place"]["mixed"] + measured["in place"]["failed"] > 0
    assert measured["in place"]["good"] > 0


def test_a_release_fails_and_mixes_none(measured: dict[str, Any]) -> None:
    assert measured["released"]["failed"] == measured["released"]["mixed"] == 0
    assert measured["released"]["good"] > 0
    assert measured["released"]["switched"] == 1


def test_the_control_a_link_made_anew_fails_where_a_renamed_one_does_not(
    measured: dict[str, Any],
) -> None:
    assert measured["two steps"]["failed"] > 0
    assert measured["one step"]["failed"] == measured["one step"]["mixed"] == 0


def test_a_broken_release_was_put_back(measured: dict[str, Any]) -> None:
    assert measured["broken"]["switched"] == 2
    assert measured["broken"]["failed"] > 0


def test_slow_browsers_were_between_two_releases(measured: dict[str, Any]) -> None:
    assert measured["slow"]["between"] > 0
    assert measured["slow"]["failed"] == measured["slow"]["mixed"] == 0


def test_tables_say_what_the_prose_says_of_them(ran: nbformat.NotebookNode) -> None:
    def told(name: str) -> str:
        (cell,) = [cell for cell in ran.cells if cell.id == name]
        return "\n".join(
            o.get("text", o.get("data", {}).get("text/plain", "")) for o in cell.outputs
        )

    assert re.search(r"after it +● there +× status 404", told("shared"))
    assert re.search(r"after it +● there +× status 404", told("rollback-shared"))
    assert "version 1 says: no such column: price" in told("database")
    assert re.search(r"after +v1 +v2", told("program"))
    assert re.search(r"rollback +0 ", told("rollback-time"))
    assert "remove " in told("prune-plan")


def test_every_chart_can_be_seen_where_nothing_draws_it(ran: nbformat.NotebookNode) -> None:
    charts = [found.data for found in outputs(ran) if MIME in found.get("data", {})]
    assert len(charts) == 7
    for data in charts:
        assert data["image/svg+xml"].startswith("<svg")
        assert " opened: " in data["text/plain"]


def test_no_widget_is_made_without_a_front_end(ran: nbformat.NotebookNode) -> None:
    kinds = {kind for found in outputs(ran) for kind in found.get("data", {})}
    assert kinds == {"text/plain", "text/html", "image/svg+xml", MIME}
