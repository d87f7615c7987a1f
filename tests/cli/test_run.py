"""``opsnb run``: a runbook without a front end, its record, and its exit status."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest

from opsnb.server import Server
from tests.cli.conftest import CONTROL, ROOT, Shell, Terminal, wait_for

SHIP = ROOT / "notebooks" / "03-ship-a-change.ipynb"
SLOW = 'before_publish = ["echo hook began; sleep 60"]'


def notebook(shell: Shell, *cells: str, parameters: str = "") -> str:
    """Write a notebook of these cells; its name."""
    made = [nbformat.v4.new_markdown_cell("# A runbook\n\n## Act")]
    if parameters:
        made.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    made += [nbformat.v4.new_code_cell(cell) for cell in cells]
    book = nbformat.v4.new_notebook(cells=made)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.metadata["kernelspec"] = kernel
    nbformat.write(book, shell.folder / "book.ipynb")
    return "book.ipynb"


def run(shell: Shell, *args: str) -> subprocess.CompletedProcess[str]:
    return shell("run", *args, "--output", "record.ipynb")


def outputs(shell: Shell) -> list[str]:
    """The text of each code cell of the record, as it was read back from the file."""
    book = nbformat.read(shell.folder / "record.ipynb", 4)
    return [_text(cell) for cell in book.cells if cell.cell_type == "code"]


def _text(cell: Any) -> str:
    said = ""
    for output in cell.outputs:
        said += output.get("text", "") or output.get("data", {}).get("text/plain", "")
    return said


def test_a_runbook_runs_to_its_end_and_leaves_a_record_and_a_page(shell: Shell) -> None:
    ran = shell("run", str(SHIP), "-p", "revision=42")
    assert ran.returncode == 0, ran.stderr
    assert "Verify" in ran.stderr
    assert "visitors are served" in ran.stderr
    assert "✓ to its end" in ran.stdout
    (record,) = (shell.folder / "records").glob("03-ship-a-change-*Z.ipynb")
    page = record.with_suffix(".html").read_text()
    book = nbformat.read(record, 4)
    assert all(cell.execution_count for cell in book.cells if cell.cell_type == "code")
    assert "the switch happened" in page
    assert 'revision = "42"' in nbformat.writes(book).replace("\\", "")
    # Nothing is fetched, nothing is run, and no widget was made.
    assert "<script" not in page
    assert "<link" not in page
    assert "widget-view" not in nbformat.writes(book)
    # What is committed stays as it was.
    assert all(not c.get("outputs") for c in nbformat.read(SHIP, 4).cells)


def test_parameters_take_the_type_of_what_they_replace(shell: Shell) -> None:
    book = notebook(
        shell,
        "print(repr((text, number, share, yes, other)))",
        parameters='text = ""\nnumber = 3\nshare = 0.5\nyes = False\nother = None',
    )
    given = ["text=12", "number=7", "share=0.25", "yes=true", "other=a=b"]
    ran = run(shell, book, *(word for pair in given for word in ("-p", pair)))
    assert ran.returncode == 0, ran.stderr
    assert outputs(shell)[-1] == "('12', 7, 0.25, True, 'a=b')\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nubmer=3", "no parameter 'nubmer'"),
        ("number=three", "is a number like 3"),
        ("yes=perhaps", "is true or false"),
        ("number", "is no parameter's value"),
        ("=3", "is no parameter's value"),
    ],
)
def test_a_wrong_parameter_is_an_error_before_anything_runs(
    shell: Shell, given: str, said: str
) -> None:
    book = notebook(shell, "print(1)", parameters="number = 3\nyes = False")
    ran = run(shell, book, "-p", given)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (shell.folder / "record.ipynb").exists()


def test_a_notebook_that_is_not_there_or_is_none_is_an_error(shell: Shell) -> None:
    assert run(shell, "nothing.ipynb").returncode == 2
    (shell.folder / "text.ipynb").write_text("no JSON")
    ran = run(shell, "text.ipynb")
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("cell", "status", "word"),
    [
        ("raise opsnb.errors.GateClosed('visitors see errors', 'roll back')", 24, "roll back"),
        ("raise opsnb.errors.NotConfirmed('not confirmed')", 2, "not confirmed"),
        ("opsnb.Server('ssh://x@127.0.0.1:9/srv/x').look()", 10, "cannot connect"),
        ("opsnb.load('none.toml')", 2, "cannot read none.toml"),
        ("opsnb.Server('file:///tmp/none').rollback().wait()", 13, "no good release"),
        ("1 / 0", 24, "division by zero"),
        ("import asyncio; raise asyncio.CancelledError('aborted')", 130, "aborted"),
    ],
)
def test_the_exit_status_is_that_of_what_stopped_it(
    shell: Shell, cell: str, status: int, word: str
) -> None:
    book = notebook(shell, "import opsnb", cell, "print('never')")
    ran = run(shell, book)
    assert ran.returncode == status, ran.stderr
    assert word in ran.stderr
    assert "Traceback" not in ran.stderr
    assert outputs(shell)[-1] == ""
    assert (shell.folder / "record.html").exists()


def test_a_failed_deploy_gives_its_own_status(shell: Shell) -> None:
    shell.source("v1")
    shell.config('[project]\nbefore_publish = ["false"]\n[servers.web1]\nurl = "{url}"\n')
    book = notebook(shell, "import opsnb\nopsnb.load().server('web1').deploy('v1').wait()")
    assert run(shell, book).returncode == 20


def test_a_real_server_is_not_touched_without_its_name_and_changed_with_it(shell: Shell) -> None:
    shell.deployed("v1")
    shell.config('[servers.web1]\nurl = "{url}"\n')
    shell.source("v2")
    before = subprocess.run(
        ["find", str(shell.deploy_to), "-printf", "%p %T@ %s %i\\n"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    asked = ("-p", "server=web1", "-p", "source=v2")
    ran = run(shell, str(SHIP), *asked, "-p", "confirm=web2")
    assert ran.returncode == 2, ran.stderr
    assert "confirm = 'web1'" in ran.stderr
    after = subprocess.run(
        ["find", str(shell.deploy_to), "-printf", "%p %T@ %s %i\\n"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert after == before
    live = shell.live
    assert run(shell, str(SHIP), *asked, "-p", "confirm=web1").returncode == 0
    assert shell.live != live


def slow(shell: Shell) -> tuple[str, str]:
    """A runbook whose deploy takes long, and the release that is live before."""
    live = shell.deployed("v1")
    shell.source("v2")
    shell.config(f'[project]\n{SLOW}\n[servers.web1]\nurl = "{{url}}"\n')
    begin = "import opsnb\nweb = opsnb.load().server('web1')"
    return notebook(shell, begin, "await web.deploy('v2')", "print('never')"), live


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_aborts_the_deploy_in_it_cleanly_and_keeps_the_record(
    shell: Shell, number: signal.Signals
) -> None:
    book, live = slow(shell)
    process = shell.start("run", book, "--output", "record.ipynb")
    site = Server(shell.server)
    try:
        wait_for(lambda: len(list((shell.deploy_to / "releases").iterdir())) == 2, "the release")
        wait_for(lambda: site.look().holder is not None, "the lock")
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, told
    assert shell.live == live
    assert "the switch did not happen" in outputs(shell)[1]
    assert outputs(shell)[2] == ""
    look = site.look()
    assert look.holder is None
    assert [release.name for release in look.releases] == [live]
    site.close()


def test_a_machine_reads_an_event_a_line_and_the_report_last(shell: Shell) -> None:
    book = notebook(shell, "print('one\\x1b[31m')", "print('two')")
    ran = shell("run", book, "--output", "record.ipynb", "--json")
    assert ran.stderr == ""
    assert ran.stdout.isascii()
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [event["event"] for event in events] == [
        "CellBegan", "CellSaid", "CellEnded", "CellBegan", "CellSaid", "CellEnded", "RunReport",
    ]  # fmt: skip
    assert events[0]["section"] == "Act"
    assert events[1]["text"] == "one\\x1b[31m"
    report = events[-1]
    assert (report["ran"], report["cells"], report["exit_status"]) == (2, 2, 0)
    assert Path(shell.folder / report["record"]).exists()


def test_no_control_character_of_a_cell_reaches_a_terminal(shell: Shell) -> None:
    book = notebook(shell, "print('a\\x1b]0;title\\x07b\\x9b31m')", "'\\u202e'")
    ran = run(shell, book)
    assert not CONTROL.search(ran.stderr + ran.stdout)
    assert "\u202e" not in ran.stderr


def test_on_a_terminal_it_goes_cell_by_cell(shell: Shell) -> None:
    book = notebook(shell, "print('first')", "print('second')")
    terminal = Terminal(shell, ["run", book, "--output", "record.ipynb"])
    terminal.until("first", 30)
    terminal.until("to its end", 30)
    assert terminal.end() == 0
    assert "record.ipynb" in terminal.seen


def test_a_run_inside_a_notebook_makes_no_widget(shell: Shell) -> None:
    shell.extra["JPY_SESSION_NAME"] = "/somebody/elses.ipynb"
    asked = "print(os.environ.get('JPY_SESSION_NAME'), os.environ['OPSNB_FACE'])"
    book = notebook(shell, f"import os\n{asked}")
    assert run(shell, book).returncode == 0
    assert outputs(shell)[-1] == "None static\n"
