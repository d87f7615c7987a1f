"""A notebook without a front end: plain outputs and no widget, read back from the saved file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

BEGIN = """\
import opsnb
project = opsnb.demo()
server = project.server("demo")"""


@pytest.fixture(autouse=True)
def no_front_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a headless runner has it; the IPython of the kernel is not the user's."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("OPSNB_FACE", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def executed(cells: Sequence[str], **options: Any) -> Any:
    """A notebook of these cells, executed and written and read again."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3", **options).execute()
    return nbformat.reads(nbformat.writes(notebook), 4)


def texts(notebook: Any, number: int) -> list[str]:
    """What a cell put out, as text; a stream is one, in however many pieces it was flushed."""
    told: list[tuple[str, str]] = []
    for output in notebook.cells[number].outputs:
        kind = output["output_type"]
        if kind == "stream" and told and told[-1][0] == output["name"]:
            told[-1] = (output["name"], told[-1][1] + output["text"])
        elif kind == "stream":
            told.append((output["name"], output["text"]))
        elif kind != "error":
            told.append(("", output["data"]["text/plain"]))
    return [text for _, text in told]


def test_a_headless_run_leaves_text_and_html_and_no_widget(tmp_path: Path) -> None:
    notebook = executed(
        [
            BEGIN,
            "project",
            "server.plan(project.site('v1'))",
            "report = server.deploy(project.site('v1')).wait()",
            "report = await server.deploy(project.site('v2'))\nreport",
            "server",
            "opsnb.console(project)",
            "server.plan_rollback()",
        ]
    )
    for cell in notebook.cells:
        for output in cell.outputs:
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
    assert "demo" in texts(notebook, 1)[0]
    assert texts(notebook, 2)[0].startswith("deploy on demo\n  current  nothing → ")
    said, receipt = texts(notebook, 3)
    assert "deploy on demo begins" in said.splitlines()[0]
    assert said.splitlines()[-1].endswith("is live")
    assert receipt.startswith("deploy on demo\n")
    assert "whole log" in receipt
    assert len(texts(notebook, 4)) == 3, texts(notebook, 4)
    assert "current → releases/" in texts(notebook, 5)[0]
    assert "The console needs JupyterLab" in texts(notebook, 6)[0]
    assert texts(notebook, 7)[0].startswith("rollback on the server\n  current ")
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "the switch happened" in page
    assert "Last lines of the log" in page


def test_a_failed_change_stops_the_notebook_in_words_and_leaves_its_receipt() -> None:
    cells = [
        BEGIN,
        "server.deploy(project.site('v1')).wait()",
        "server.deploy(project.site('v3')).wait()",
        "print('never')",
    ]
    with pytest.raises(CellExecutionError) as stopped:
        executed(cells)
    assert stopped.value.ename == "Restored"
    assert "Traceback" not in str(stopped.value)
    notebook = executed(cells, allow_errors=True)
    receipt, error = notebook.cells[2].outputs[-2:]
    assert "and was put back" in receipt["data"]["text/plain"]
    assert error["output_type"] == "error"
    assert len(error["traceback"]) == 2


def test_the_trace_is_there_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ["import opsnb\nopsnb.load('no such file.toml')"]
    short = executed(cells, allow_errors=True).cells[0].outputs[0]["traceback"]
    assert len(short) == 2
    monkeypatch.setenv("OPSNB_DEBUG", "1")
    long = executed(cells, allow_errors=True).cells[0].outputs[0]["traceback"]
    assert "project.py" in "\n".join(long)


def test_a_job_that_nobody_waits_for_shows_how_far_it_is() -> None:
    notebook = executed([BEGIN, "server.deploy(project.site('v1'))", "server.jobs[-1].wait()"])
    assert "running" in texts(notebook, 1)[0] or "is live" in texts(notebook, 1)[0]
    assert "is live" in texts(notebook, 2)[-1]


def test_a_flood_of_lines_is_bounded_and_the_file_has_them_all() -> None:
    notebook = executed(
        [
            BEGIN,
            "import pathlib, tempfile\n"
            "file = pathlib.Path(tempfile.mkdtemp()) / 'opsnb.toml'\n"
            "file.write_text(f'[servers.web1]\\nurl = \"{server.url}\"\\n'\n"
            "                'before_publish = [\"seq 1 5000\"]')\n"
            "web1 = opsnb.load(file, ssh_config=project.embedded.ssh_config).server('web1')\n"
            "job = web1.deploy(project.site('v1'))\n"
            "report = job.wait()",
            "print(job.log_file)",
        ]
    )
    said = texts(notebook, 1)[0]
    assert len(said.splitlines()) < 1100
    assert "more lines than a notebook should hold" in said, texts(notebook, 1)
    log = Path(texts(notebook, 2)[0].strip()).read_text()
    assert log.count("│ ") == 5000


def test_the_face_is_what_the_environment_says() -> None:
    from opsnb.errors import ConfigError
    from opsnb.notebook import mode

    assert mode.face() == "text"
    os.environ["OPSNB_FACE"] = "widget"
    assert mode.face() == "widget"
    os.environ["OPSNB_FACE"] = "mirror"
    with pytest.raises(ConfigError, match="OPSNB_FACE"):
        mode.face()
    del os.environ["OPSNB_FACE"]
