"""The tour and the lesson as a reader has them: in JupyterLab, from top to bottom by Run All."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import findings
from tests.browser.notebook import Notebook
from tests.support.kernels import NEW
from tests.support.lab import Lab

FOLDER = Path(__file__).parents[2] / "notebooks"
Reader = Callable[..., Notebook]


@pytest.fixture
def reading(page: Page, lab: Lab) -> Iterator[Reader]:
    """Opens a notebook of ours for a kernel, with other parameters than its own."""
    opened: list[Notebook] = []

    def read(name: str, kernel: str, parameters: str = "") -> Notebook:
        book: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
        book["metadata"]["kernelspec"] = {"name": kernel, "display_name": kernel}
        for cell in book["cells"]:
            if parameters and "parameters" in cell["metadata"].get("tags", []):
                cell["source"] = parameters
        (lab.work / f"{kernel}-{name}").write_text(json.dumps(book), "utf-8")
        opened.append(Notebook(page, lab, f"{kernel}-{name}").open())
        return opened[-1]

    yield read
    for notebook in opened:
        notebook.close()


def run_all(notebook: Notebook) -> list[dict[str, Any]]:
    """Press Run All, wait for its end, and save.

    Returns:
        The notebook's cells of code.
    """
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    return [cell for cell in notebook.saved()["cells"] if cell["cell_type"] == "code"]


def errors(cells: list[dict[str, Any]]) -> list[str]:
    """What went wrong, and cells that never ran."""
    wrong = [
        f"{output['ename']}: {output['evalue']}"
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]
    return wrong + [f"not run: {cell['source']}" for cell in cells if not cell["execution_count"]]


def test_the_tour(reading: Reader, kernel: str) -> None:
    """The tour, by Run All: every cell ends well, and the console is there."""
    notebook = reading("00-tour.ipynb", kernel)
    assert errors(run_all(notebook)) == []
    page = notebook.page
    expect(page.locator(".opsnb-job[data-state=done]")).to_have_count(3)
    expect(page.locator(".opsnb-console").get_by_role("grid", name="Releases")).to_be_visible()
    notebook.shot(f"tour-{kernel}")


def test_the_tour_stops_at_a_broken_release(reading: Reader) -> None:
    notebook = reading("00-tour.ipynb", NEW, 'version = "v3"')
    wrong = errors(run_all(notebook))
    assert wrong[0].startswith("Restored: ")
    assert all(text.startswith("not run: ") for text in wrong[1:])
    assert len(wrong) > 1
    expect(notebook.page.locator(".opsnb-job[data-state=failed]").first).to_contain_text("put back")


def test_the_lesson(reading: Reader) -> None:
    notebook = reading("lesson.ipynb", NEW, "seconds, visitors, pause = 4, 4, 0.01")
    assert errors(run_all(notebook)) == []
    charts = notebook.page.locator(".jp-Cell-outputArea canvas.marks")
    expect(charts.first).to_be_visible()
    assert charts.count() == 7
    assert findings(notebook.page, ".jp-Cell-outputArea .opsnb") == []
