"""The receipt: what is left of a change in the saved notebook."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.browser.conftest import Opener
from tests.browser.notebook import Notebook, Watch
from tests.browser.test_live import HOOKS, done, slow, view
from tests.kernel.cells import DEMO

WAYS = ["job", "await job", "job.wait()"]


def kept(saved: dict[str, Any], cell: int) -> dict[str, str]:
    """The one plain output of a change in a saved cell: its text and its HTML."""
    plain = [
        {kind: "".join(said) for kind, said in output["data"].items()}
        for output in saved["cells"][cell]["outputs"]
        if output["output_type"] == "display_data" and "text/html" in output["data"]
    ]
    receipts = [data for data in plain if set(data) == {"text/plain", "text/html"}]
    assert len(receipts) == 1, plain
    return receipts[0]


def deployed(opened: Opener, kernel: str, way: str, *, hook: str = slow(5)) -> Notebook:
    """A notebook whose cell 1 has deployed."""
    change = f"job = web.deploy(demo.site('v2'))\n{way}"
    notebook = opened(DEMO + HOOKS + hook, change, "print(job.report.release)", kernel=kernel)
    notebook.run(0)
    notebook.run(1)
    return notebook


@pytest.mark.parametrize("way", WAYS)
def test_a_receipt_is_in_the_saved_notebook(opened: Opener, kernel: str, way: str) -> None:
    """Receipt in the saved notebook, {way}: who, where, what, from, to, how it ended."""
    notebook = deployed(opened, kernel, way)
    done(notebook, 1)
    notebook.run(2)
    name = notebook.text(2).strip()
    receipt = kept(notebook.saved(), 1)
    for text in receipt.values():
        for fact in ("demo", name, "the switch happened", "hooks", "record done", "-demo-deploy-"):
            assert fact in text, (fact, text)
    assert f"{name} is live" in receipt["text/plain"]


def test_a_receipt_is_read_without_a_kernel(
    opened: Opener, watch: list[Watch], kernel: str
) -> None:
    """Receipt in a notebook that is opened again, its kernel gone: there, and readable."""
    notebook = deployed(opened, kernel, "job")
    done(notebook, 1)
    notebook.saved()
    # What the live view was drawn from goes with its kernel; sooner or later JupyterLab says so.
    watch[0].expect("Error: widget model not found")
    notebook.restart()
    notebook.reload()
    expect(notebook.area(1)).to_contain_text("the switch happened")
    expect(notebook.area(1).locator(".opsnb-job")).to_have_count(0)


def test_a_receipt_is_in_the_page_that_nbconvert_makes(opened: Opener) -> None:
    notebook = deployed(opened, "opsnb-new", "job", hook="hooks(web, 'echo \"<i>said</i>\"')\n")
    done(notebook, 1)
    saved = nbformat.reads(json.dumps(notebook.saved()), 4)
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(saved)
    assert "the switch happened" in page
    assert "<i>said</i>" not in page
    assert "&lt;i&gt;said&lt;/i&gt;" in page


def test_a_receipt_says_that_a_change_was_not_done(opened: Opener) -> None:
    notebook = deployed(opened, "opsnb-new", "job", hook="hooks(web, 'echo no; exit 3')\n")
    expect(view(notebook, 1)).to_have_attribute("data-state", "failed")
    receipt = kept(notebook.saved(), 1)
    assert "the switch did not happen" in receipt["text/plain"]
    assert "the switch did not happen" in receipt["text/html"]
