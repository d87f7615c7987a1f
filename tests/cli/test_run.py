"""``opsnb run``: a runbook without a front end, its record, and its exit status."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from opsnb import headless
from opsnb.embedded.site import site_path
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.headless.run import Client
from opsnb.headless.told import CellBegan, Told
from opsnb.server import Server
from tests.cli.conftest import CONTROL, ROOT, Shell, Terminal, wait_for

SHIP = ROOT / "notebooks" / "03-ship-a-change.ipynb"
SLOW = 'before_publish = ["echo hook began; sleep 60"]'


def notebook(shell: Shell, *cells: str, parameters: str = "", above: str = "") -> str:
    """Write a notebook of these cells; its name."""
    made = [nbformat.v4.new_markdown_cell(f"# A runbook\n\n{above}\n\n## Act")]
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


@pytest.mark.parametrize("text", ["no JSON", '{"a": 1}', "[]", "null", ""])
def test_a_notebook_that_is_none_is_an_error(shell: Shell, text: str) -> None:
    (shell.folder / "book.ipynb").write_text(text)
    ran = run(shell, "book.ipynb")
    assert ran.returncode == 2
    assert "cannot read the notebook book.ipynb" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (shell.folder / "record.ipynb").exists()


@pytest.mark.parametrize("name", ["opsnb.toml", "opsnb"])
def test_a_file_of_another_kind_is_told_without_a_warning(shell: Shell, name: str) -> None:
    (shell.folder / name).write_text('[project]\nname = "hunter2"\n')
    # As people start it: the tests make an error of every warning.
    ran = subprocess.run(
        [sys.executable, "-m", "opsnb", "run", name],
        cwd=shell.folder,
        env=shell.env,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    said = f"✕ {name} is no notebook\n  A runbook is a notebook: NAME.ipynb.\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", said)


def test_a_notebook_of_another_name_runs_without_a_word_about_that(shell: Shell) -> None:
    (shell.folder / notebook(shell, "print(1)")).rename(shell.folder / "book")
    ran = run(shell, "book")
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing.ipynb"], "there is no notebook nothing.ipynb"),
        (["book.ipynb", "--kernel", "nobody's"], "no kernel is called"),
        (["book.ipynb", "--output", "book.ipynb"], "take the place of the runbook"),
        (["book.ipynb", "--output", "also.ipynb"], "take the place of the runbook"),
        (["book.ipynb", "--output", "record"], "no name for a record"),
        (["book.ipynb", "--output", "record.html"], "no name for a record"),
        (["book.ipynb", "--output", "book.ipynb/record.ipynb"], "cannot make the folder"),
        (["book.ipynb"], "cannot make the folder records"),
    ],
)
def test_what_cannot_be_run_or_kept_is_an_error_and_changes_nothing(
    shell: Shell, args: list[str], said: str
) -> None:
    book = shell.folder / notebook(shell, "print(1)")
    before = book.read_bytes()
    (shell.folder / "also.ipynb").hardlink_to(book)
    (shell.folder / "records").write_text("a file")
    present = sorted(shell.folder.glob("[!.]*"))
    ran = shell("run", *args)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert book.read_bytes() == before
    assert sorted(shell.folder.glob("[!.]*")) == present


def test_a_kernel_that_does_not_start_is_told_with_its_own_words(shell: Shell) -> None:
    folder = shell.folder / "kernels" / "broken"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-c", "raise SystemExit('no\x1b[31mne')", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x"}))
    shell.extra["JUPYTER_PATH"] = str(shell.folder)
    ran = run(shell, notebook(shell, "1"), "--kernel", "broken")
    assert ran.returncode == 2
    assert "the kernel does not start" in ran.stderr
    assert "no\\x1b[31mne" in ran.stderr


def test_a_notebook_without_the_ids_of_its_cells_runs_without_a_word_about_that(
    shell: Shell,
) -> None:
    book = shell.folder / notebook(shell, "print(1)")
    plain = json.loads(book.read_text())
    for cell in plain["cells"]:
        del cell["id"]
    book.write_text(json.dumps(plain))
    ran = run(shell, book.name)
    assert ran.returncode == 0, ran.stderr
    assert "id" not in ran.stderr.split()


def test_braces_in_a_path_are_nothing_but_braces(shell: Shell) -> None:
    (shell.folder / notebook(shell, "print(1)")).rename(shell.folder / "{book}.ipynb")
    ran = shell("run", "{book}.ipynb", "--output", "{0}/{record}.ipynb")
    assert ran.returncode == 0, ran.stderr
    assert (shell.folder / "{0}" / "{record}.ipynb").exists()


def test_no_record_takes_the_place_of_another(tmp_path: Path) -> None:
    made = [headless.of_its_own(tmp_path / "records", "book").name for _ in range(3)]
    assert made == ["book.ipynb", "book-2.ipynb", "book-3.ipynb"]


@pytest.mark.parametrize(
    ("cell", "status", "word"),
    [
        ("raise opsnb.errors.GateClosed('visitors see errors', 'roll back')", 24, "roll back"),
        ("raise opsnb.errors.NotConfirmed('not confirmed')", 2, "not confirmed"),
        ("opsnb.Server('ssh://x@127.0.0.1:9/srv/x').look()", 10, "cannot connect"),
        ("opsnb.load('none.toml')", 2, "cannot read none.toml"),
        ("opsnb.Server('file:///tmp/none').rollback().wait()", 13, "no good release"),
        ("1 / 0", 24, "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", 24, "SystemExit: 3"),
        ("%load_ext opsnb\n%opsnb rollback file:///tmp/none --yes", 13, "no good release"),
        ("%load_ext opsnb\n%opsnb nonsense", 2, "nonsense"),
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


def test_the_options_before_the_verb_choose_the_servers_that_a_runbook_works_on(
    shell: Shell,
) -> None:
    shell.deployed("v1")
    live, other = shell.live, shell.folder / "other"
    other.mkdir()
    shell.source("v2")
    # Both files have a server of that name.
    shell.config('[servers.web1]\nurl = "{url}"\n')
    (other / "opsnb.toml").write_text(f'[servers.web1]\nurl = "file://{other}/srv"\n')
    asked = (
        str(SHIP),
        "-p",
        "server=web1",
        "-p",
        "confirm=web1",
        "-p",
        f"source={shell.folder}/v2",
    )
    ran = shell("--config", "other/opsnb.toml", "run", *asked, "--output", "record.ipynb")
    assert ran.returncode == 0, ran.stderr
    assert shell.live == live
    assert (other / "srv" / "current").is_symlink()


def test_the_options_before_the_verb_are_values_of_parameters_unless_one_is_given(
    shell: Shell,
) -> None:
    (shell.folder / "some.toml").touch()
    (shell.folder / "some_ssh").touch()
    book = notebook(
        shell,
        "print((config, ssh_config))",
        parameters='config = "opsnb.toml"\nssh_config = ""',
    )
    before = ("--config", "some.toml", "--ssh-config", "some_ssh", "run", book)
    ran = shell(*before, "--output", "record.ipynb")
    assert ran.returncode == 0, ran.stderr
    there = f"{shell.folder}/some.toml", f"{shell.folder}/some_ssh"
    assert outputs(shell)[-1] == f"{there}\n"
    ran = shell(*before, "-p", "config=own.toml", "--output", "record.ipynb")
    assert ran.returncode == 0, ran.stderr
    assert outputs(shell)[-1] == f"{('own.toml', there[1])}\n"


@pytest.mark.parametrize(
    ("options", "parameters", "said"),
    [
        (("--config", "some"), 'ssh_config = ""', "no parameter 'config' that could take --config"),
        (("--ssh-config", "some"), 'config = ""', "'ssh_config' that could take --ssh-config"),
        (("--config", "some"), "", "no parameter 'config'"),
        (("--config", "none.toml"), 'config = ""', "cannot read none.toml"),
    ],
)
def test_an_option_before_the_verb_that_cannot_be_handed_on_is_an_error_before_anything_runs(
    shell: Shell, options: tuple[str, str], parameters: str, said: str
) -> None:
    (shell.folder / "some").touch()
    book = notebook(shell, "open('ran', 'w')", parameters=parameters)
    ran = shell(*options, "run", book, "--output", "record.ipynb")
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (shell.folder / "ran").exists()
    assert not (shell.folder / "record.ipynb").exists()


@pytest.mark.parametrize(
    ("ename", "evalue", "status"),
    [
        ("Restored", "", 21),
        ("NotRestored", "", 22),
        ("OutcomeUnknown", "", 23),
        ("Locked", "", 12),
        ("CellFailed", "opsnb: exit status 20", 20),
        # A word of a cell's own is no verb's exit status.
        ("CellFailed", "said opsnb: exit status 20", 24),
        ("ValueError", "opsnb: exit status 20", 24),
        ("annotations", "", 24),
        ("KeyboardInterrupt", "", 130),
    ],
)
def test_an_errors_name_decides_the_exit_status(ename: str, evalue: str, status: int) -> None:
    assert headless.status_of(ename, evalue) == status


def test_a_kernel_that_dies_stops_the_runbook_and_the_record_says_so(shell: Shell) -> None:
    book = notebook(shell, "print('before')", "import os; os._exit(3)", "print('never')")
    ran = run(shell, book)
    assert ran.returncode == 24, ran.stderr
    assert "the kernel died" in ran.stderr
    assert outputs(shell)[0] == "before\n"
    assert "the kernel died" in (shell.folder / "record.html").read_text()


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


def test_a_deploy_over_ssh_is_aborted_cleanly(shell: Shell, sshd: EmbeddedServer) -> None:
    server = Server(sshd.url, ssh_config=sshd.ssh_config)
    server.deploy(site_path("v1")).wait(20)
    live = server.look().current.name
    server_line = f'[servers.web1]\nurl = "{sshd.url}"\n'
    (shell.folder / "opsnb.toml").write_text(f"[project]\n{SLOW}\n{server_line}")
    load = f"import opsnb\nweb = opsnb.load(ssh_config={str(sshd.ssh_config)!r}).server('web1')"
    book = notebook(shell, load, f"web.deploy({str(site_path('v2'))!r}).wait()", "print('never')")
    process = shell.start("run", book, "--output", "record.ipynb")
    try:
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")
        assert any("hook began" in line for line in told)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, rest
    site = server.look()
    assert (site.holder, site.current.name) == (None, live)
    assert [release.name for release in site.releases] == [live]
    assert "the switch did not happen" in outputs(shell)[1]
    server.close()


def test_a_second_signal_ends_a_cell_that_does_not_listen(shell: Shell) -> None:
    stubborn = (
        "import time\n"
        "while True:\n"
        "    try:\n"
        "        print('begins'); time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print('goes on')"
    )
    process = shell.start("run", notebook(shell, stubborn), "--output", "record.ipynb")
    try:
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")
        assert any("begins" in line for line in told)
        process.send_signal(signal.SIGINT)
        assert any("goes on" in line for line in told)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert "goes on" in outputs(shell)[0]


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


def test_on_a_terminal_it_goes_cell_by_cell_and_draws_the_one_that_runs(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    book = notebook(shell, "print('first')", "import time; time.sleep(0.8); print('second')")
    seen = terminal("run", book, "--output", "record.ipynb")
    assert seen.end() == 0
    for said in ("first", "second", "to its end", "record.ipynb"):
        assert said in seen.text
    assert re.search(r"[◐◓◑◒] 2/2 Act  \d+ s", seen.text)
    assert len(re.findall(r"  ✓ \d+\.\d s\n", seen.text)) == 2
    assert seen.seen.rindex("\x1b[?25h") > seen.seen.rindex("\x1b[?25l")


def test_ctrl_c_on_a_terminal_keeps_the_record_and_shows_the_cursor(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    book = notebook(shell, "import time; print('begins'); time.sleep(60)")
    seen = terminal("run", book, "--output", "record.ipynb")
    seen.until("    begins", 30)
    seen.type("\x03")
    assert seen.end() == 130
    assert outputs(shell) == ["begins\n"]
    assert seen.seen.rindex("\x1b[?25h") > seen.seen.rindex("\x1b[?25l")


def test_a_terminal_that_goes_away_interrupts_it_and_the_record_is_kept(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    book, live = slow(shell)
    seen = terminal("run", book, "--output", "record.ipynb")
    seen.until("hook began", 30)
    assert seen.hang_up() == 130
    assert shell.live == live
    assert "the live release is untouched" in outputs(shell)[1]
    assert (shell.folder / "record.html").exists()


def test_without_sighup_a_runbook_goes_on_when_its_terminal_is_gone(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    said = "import time\nfor n in range(30): print('line', n, flush=True); time.sleep(0.05)"
    seen = terminal("run", notebook(shell, said), "--output", "record.ipynb", deaf=True)
    seen.until("line 3", 30)
    assert seen.hang_up() == 0
    assert outputs(shell)[0].endswith("line 29\n")


def test_a_dumb_terminal_gets_lines_alone(shell: Shell, terminal: Callable[..., Terminal]) -> None:
    seen = terminal("run", notebook(shell, "print(1)"), "--output", "r.ipynb", TERM="dumb")
    assert seen.end() == 0
    assert "\x1b" not in seen.seen


HOSTILE = """
from IPython.display import HTML, display
display(HTML('<b>kept</b><script>alert(1)</script><SCRIPT src="http://x.example/a.js"></script >'))
display(HTML('<link rel=stylesheet href="http://x.example/a.css"><base href="http://x.example/">'))
display(HTML('<meta http-equiv="refresh" content="0; url=http://x.example/">'))
display(HTML('<img src="http://x.example/a.png" onerror="alert(2)">'))
"""


def test_the_page_runs_nothing_and_fetches_nothing_whatever_a_cell_shows(shell: Shell) -> None:
    assert run(shell, notebook(shell, HOSTILE)).returncode == 0
    page = (shell.folder / "record.html").read_text()
    assert "<b>kept</b>" in page
    lower = page.lower()
    for tag in ("<script", "<link", "<base", '<meta http-equiv="refresh'):
        assert tag not in lower
    # What is left of it, such as an event's handler or a picture's address, a browser refuses.
    head = page[: page.index("<title>")]
    policy = head[head.index("Content-Security-Policy") :]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "img-src data:;" in policy


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def test_a_runbooks_own_pictures_are_in_the_page_wherever_the_record_is(shell: Shell) -> None:
    (shell.folder / "pixel.png").write_bytes(base64.b64decode(PIXEL))
    book = notebook(shell, "1", above="![a pixel](pixel.png) ![gone](gone.png)")
    assert shell("run", book).returncode == 0
    (page,) = (shell.folder / "records").glob("*.html")
    assert f"data:image/png;base64,{PIXEL}" in page.read_text()


def test_a_page_that_cannot_be_written_does_not_change_how_it_ended(shell: Shell) -> None:
    (shell.folder / "record.html").mkdir()
    ran = run(shell, notebook(shell, "print(1)"))
    assert ran.returncode == 0
    assert "there is no page of it" in ran.stdout
    assert outputs(shell) == ["1\n"]


def test_what_a_kernel_says_of_itself_does_not_reach_the_terminal(shell: Shell) -> None:
    said = "import os; os.write(2, b'\\x1b[31mraw'); os.system('echo a child')"
    ran = run(shell, notebook(shell, said))
    assert ran.returncode == 0
    assert "a child" in ran.stderr
    assert not CONTROL.search(ran.stderr + ran.stdout)


def test_a_run_inside_a_notebook_makes_no_widget(shell: Shell) -> None:
    shell.extra["JPY_SESSION_NAME"] = "/somebody/elses.ipynb"
    asked = "print(os.environ.get('JPY_SESSION_NAME'), os.environ['OPSNB_FACE'])"
    book = notebook(shell, f"import os\n{asked}")
    assert run(shell, book).returncode == 0
    assert outputs(shell)[-1] == "None static\n"


@pytest.mark.parametrize("when", ["as the cell is announced", "as it is sent"])
def test_a_signal_between_two_cells_is_not_lost(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A kernel that does nothing yet takes no notice of an interrupt."""
    monkeypatch.chdir(shell.folder)
    slow = "open('began', 'w').close()\nimport time; time.sleep(60)\nopen('ended', 'w').close()"
    book = shell.folder / notebook(shell, "1", slow)
    told: list[Told] = []

    def tell(event: Told) -> None:
        told.append(event)
        announced = when == "as the cell is announced" and isinstance(event, CellBegan)
        if announced and len([one for one in told if isinstance(one, CellBegan)]) == 2:
            made.stop()

    made = headless.Run(book, shell.folder / "record.ipynb", {}, tell)
    execute = Client.execute_cell

    def stopped(client: Client, cell: Any, index: int) -> Any:
        if "sleep" in cell.source:
            made.stop()
        return execute(client, cell, index)

    if when == "as it is sent":
        monkeypatch.setattr(Client, "execute_cell", stopped)
    began = time.monotonic()
    report = made.execute()
    assert time.monotonic() - began < 50
    assert report.exit_status == 130
    assert not (shell.folder / "ended").exists()
    assert (shell.folder / "began").exists() == (when == "as it is sent")
    assert report.ran == (2 if when == "as it is sent" else 1)
