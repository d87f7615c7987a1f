"""``%opsnb`` and ``%%remote``, in a shell of IPython's without a kernel."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import opsnb
from tests.magics.conftest import Cells

Out = pytest.CaptureFixture[str]


def said(capsys: Out) -> list[str]:
    return capsys.readouterr().out.splitlines()


# --- loading -------------------------------------------------------------------------------------


def test_nothing_is_there_until_it_is_loaded_and_nothing_after_it_is_unloaded(bare: Cells) -> None:
    manager = bare.shell.magics_manager

    def there() -> tuple[bool, bool]:
        return "opsnb" in manager.magics["line"], "remote" in manager.magics["cell"]

    assert there() == (False, False)
    for _ in range(2):
        bare("%load_ext opsnb")
        assert there() == (True, True)
        bare("%reload_ext opsnb")
        assert there() == (True, True)
        bare("%unload_ext opsnb")
        assert there() == (False, False)
    assert "ls" in manager.magics["line"] or "cd" in manager.magics["line"], "others stay"


def test_asyncio_is_left_alone_outside_a_kernel(cells: Cells) -> None:
    assert not hasattr(asyncio, "_nest_patched")
    assert cells("import asyncio\nasyncio.run(asyncio.sleep(0))")


# --- %opsnb --------------------------------------------------------------------------------------


def test_a_verb_answers_in_the_cell(cells: Cells, capsys: Out) -> None:
    assert cells("%opsnb releases test1")
    assert any("1" in line and "live" in line for line in said(capsys))
    assert cells.status == 0


def test_a_verb_that_fails_says_why_in_two_lines_and_fails_the_cell(
    cells: Cells, capsys: Out
) -> None:
    assert not cells("%opsnb releases nothing")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "✕ no server is called 'nothing'",
        "  Known servers: web1, test1.",
    ]
    assert captured.out.splitlines() == ["opsnb: exit status 2"]
    assert cells.status == 2


@pytest.mark.parametrize("line", ["%opsnb", "%opsnb nonsense", "%opsnb releases", "%opsnb 'x"])
def test_a_line_that_makes_no_sense_gets_no_traceback(cells: Cells, capsys: Out, line: str) -> None:
    assert not cells(line)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    assert "exit status 2" in captured.out or "No closing quotation" in captured.out


def test_variables_stand_in_the_line(cells: Cells, capsys: Out) -> None:
    assert cells("name = 'test1'\n%opsnb releases {name}\n%opsnb releases $name")


def test_json_stays_json(cells: Cells, capsys: Out) -> None:
    assert cells("%opsnb releases test1 --json")
    assert json.loads(capsys.readouterr().out)


def test_a_change_asks_for_yes_where_nobody_can_be_asked(
    cells: Cells, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)  # nobody is there, as in a kernel
    cells.shell.run_cell("!rm -r srv; mkdir site; echo one > site/index")
    assert not cells("%opsnb deploy test1 site")
    assert "--yes" in capsys.readouterr().err
    assert not (cells.folder / "srv").exists()
    assert cells("%opsnb deploy test1 site --yes")
    assert (cells.folder / "srv/current/index").read_text() == "one\n"
    told = capsys.readouterr()
    assert (told.out + told.err).count("publish") == 1, "told of twice"


# --- %%remote ------------------------------------------------------------------------------------


def test_output_and_errors_come_apart_and_the_status_last(cells: Cells, capsys: Out) -> None:
    assert cells("%%remote test1\necho one\necho two >&2\npwd -P")
    captured = capsys.readouterr()
    head, *lines, end = captured.out.splitlines()
    assert head == f"▸ test1 · file://{cells.folder}/srv · reads only"
    assert lines == ["one", str((cells.folder / "srv/releases/1").resolve())]
    assert end.startswith("exit status 0 · ")
    assert end.endswith(" s · current")
    assert captured.err == "two\n"


def test_a_status_other_than_0_is_shown_and_fails_the_cell(cells: Cells, capsys: Out) -> None:
    assert not cells("%%remote test1\nls nothing-here\nexit 7")
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("exit status 7 · ")
    assert "Traceback" not in captured.out
    assert "nothing-here" in captured.err
    assert cells.status == 7
    assert not cells("%%remote test1 --change\nkill -9 $$")
    assert "exit status 137 (SIGKILL)" in capsys.readouterr().out


def test_it_runs_where_it_is_told(cells: Cells, capsys: Out) -> None:
    for option, directory in (("", "current"), ("--in .", "."), ("--in releases/1", "releases/1")):
        assert cells(f"%%remote test1 {option}\npwd -P")
        _, at, end = said(capsys)
        assert at == str((cells.folder / "srv" / directory).resolve())
        assert end.endswith(f" · {directory}")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("test1 --in /etc", "/etc is no directory below deploy_to"),
        ("test1 --in ../..", "../.. is no directory below deploy_to"),
        ("test1 --in releases/2", "releases/2 is no directory in"),
        ("test1 --timeout 0", "a timeout is more than 0"),
        ("test1 --timeout x", "%%remote: argument --timeout: invalid float value: 'x'"),
        ("", "%%remote: the following arguments are required: server"),
        ("test1 more", "%%remote: unrecognized arguments: more"),
        ("'test1", "%%remote: No closing quotation: 'test1"),
        ("nothing", "ConfigError: no server is called 'nothing'"),
        ("ssh://127.0.0.1:1/srv", "cannot connect to 127.0.0.1"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_or_two(
    cells: Cells, capsys: Out, line: str, why: str
) -> None:
    assert not cells(f"%%remote {line}\nls")
    told = [text for text in said(capsys) if not text.startswith("▸")]
    assert why in told[0]
    assert len(told) <= 2


def test_what_may_change_something_is_refused_and_says_how_to_allow_it(
    cells: Cells, capsys: Out
) -> None:
    assert not cells("%%remote test1\ntouch made\nls > list")
    assert said(capsys) == [
        "ConfigError: not run: not known to only read: touch (line 1); > list (line 2)",
        "If it may change test1: --change. (A guard against slips, no sandbox.)",
    ]
    assert cells.status == 2
    assert not list(cells.folder.rglob("made"))
    assert cells("%%remote test1 --change\ntouch made\nls > list")
    assert said(capsys)[0].endswith(" · may change it: touch (line 1); > list (line 2)")
    assert (cells.folder / "srv/current/made").exists()


def test_production_needs_its_name_typed(cells: Cells, capsys: Out) -> None:
    for option in ("--change", "--change test1"):
        assert not cells(f"%%remote web1 {option}\ntouch made")
        assert said(capsys) == [
            "ConfigError: not run: a change of web1 (production) needs that name typed",
            "--change web1",
        ]
    assert not cells("%%remote web1\ntouch made")
    assert "--change web1." in said(capsys)[1]
    assert not list(cells.folder.rglob("made"))
    assert cells("%%remote web1 --change web1\ntouch made")
    assert (cells.folder / "srv/current/made").exists()
    assert cells("%%remote web1\nls"), "looking needs nothing"


def test_what_a_server_says_is_made_safe(cells: Cells, capsys: Out) -> None:
    assert cells("%%remote test1\nprintf '\\033]0;x\\007<b>\\t|\\377\\n'")
    assert said(capsys)[1] == "\\x1b]0;x\\x07<b> |\\xff"


def test_of_very_many_lines_the_middle_is_left_out_and_that_is_said(
    cells: Cells, capsys: Out
) -> None:
    assert cells("%%remote test1\nseq 30000; seq 3 >&2")
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert (lines[1], lines[2000], lines[-2]) == ("1", "2000", "30000")
    (gap,) = [line for line in lines if "not shown" in line]
    assert gap.startswith("… 27,")
    assert len(captured.out) < 300_000


def test_by_its_deadline_it_is_ended(cells: Cells, capsys: Out) -> None:
    assert not cells("%%remote test1 --timeout 0.3\necho begun; sleep 1000")
    assert said(capsys)[1:] == [
        "begun",
        "StepTimedOut: the command did not end within 0.3 s, and was ended",
    ]
    assert cells.status == 20


def test_the_cell_is_the_script_and_no_variable_of_the_notebook_enters_it(
    cells: Cells, capsys: Out
) -> None:
    assert cells("name = 'wrong'\nx = 'test1'")
    assert cells("%%remote $x\nname=right\necho $name {x} %ls !ls\n")
    assert said(capsys)[1] == "right {x} %ls !ls"


# --- which server --------------------------------------------------------------------------------


def test_a_variable_comes_before_the_project_and_that_before_the_file(
    cells: Cells, capsys: Out, tmp_path: Path
) -> None:
    for name in ("mine", "projects"):
        (tmp_path / name).mkdir()

    def where(cell: str) -> str:
        assert cells(cell)
        return Path(said(capsys)[1]).name

    ask = "%%remote test1 --in .\npwd"
    assert where(ask) == "srv"
    cells.shell.user_ns["project"] = opsnb.Server  # no project
    assert where(ask) == "srv"
    (tmp_path / "other").mkdir()
    (tmp_path / "other/opsnb.toml").write_text(
        f'[servers.test1]\nurl = "file://{tmp_path}/projects"\n'
    )
    cells.shell.user_ns["project"] = opsnb.load(tmp_path / "other/opsnb.toml")
    assert where(ask) == "projects"
    assert where("%%remote web1 --in .\npwd") == "srv", "what the project lacks, the file may have"
    cells.shell.user_ns["test1"] = opsnb.Server(f"file://{tmp_path}/mine")
    assert where(ask) == "mine"
    assert where(f"%%remote file://{tmp_path}/projects\npwd") == "projects"


def test_the_file_is_read_again_when_it_has_changed(
    cells: Cells, capsys: Out, tmp_path: Path
) -> None:
    assert cells("%%remote test1\nls")
    (tmp_path / "opsnb.toml").write_text(f'[servers.new]\nurl = "file://{tmp_path}/srv"\n')
    assert not cells("%%remote test1\nls")
    assert cells("%%remote new\nls")
    (tmp_path / "opsnb.toml").write_text("nonsense")
    said(capsys)
    assert not cells("%%remote new\nls")
    assert "opsnb.toml" in said(capsys)[0]


def test_without_a_file_an_address_still_works(cells: Cells, capsys: Out, tmp_path: Path) -> None:
    (tmp_path / "opsnb.toml").unlink()
    assert cells(f"%%remote file://{tmp_path}/srv\nls")
    said(capsys)
    assert not cells("%%remote test1\nls")
    assert said(capsys) == [
        "ConfigError: no server is called test1",
        "It is no variable with a server, none of the variable `project`, and there is no "
        "./opsnb.toml.",
    ]
