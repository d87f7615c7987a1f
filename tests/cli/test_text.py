"""What a person reads when there is no terminal: whole, safe and without control sequences."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from opsnb.cli.grid import Column, draw
from tests.cli.conftest import CONTROL, Shell

HOSTILE = ["\x1b]0;x\x07", "[bold]", "<script>", ":smile:", "\u202egpj.exe"]
SHOWN = ["\\x1b]0;x\\x07", "[bold]", "<script>", ":smile:", "\\u202egpj.exe"]


def test_every_verb_is_free_of_control_bytes_when_piped(shell: Shell) -> None:
    live = shell.deployed("v1", "v2")
    for args in (
        ["check", shell.server],
        ["plan", shell.server, "v1"],
        ["deploy", shell.server, "v1", "--yes"],
        ["releases", shell.server],
        ["usage", shell.server],
        ["diff", shell.server, live, live],
        ["log", shell.server],
        ["rollback", shell.server, "--yes"],
        ["prune", shell.server, "--dry-run"],
        ["lock", shell.server, "status"],
        ["--help"],
    ):
        # Not even when the environment asks for colours: nobody sees them in a file.
        ran = shell(*args, FORCE_COLOR="1", TTY_COMPATIBLE="1", TERM="xterm-256color")
        assert ran.returncode == 0, ran.stderr
        assert not CONTROL.search(ran.stdout + ran.stderr), args


def test_hostile_release_names_are_shown_and_do_nothing(shell: Shell) -> None:
    for name in HOSTILE:
        (shell.deploy_to / "releases" / name).mkdir(parents=True)
    ran = shell("releases", shell.server)
    assert ran.returncode == 0
    for name in SHOWN:
        assert name in ran.stdout
    assert not CONTROL.search(ran.stdout)
    assert "\u202e" not in ran.stdout


def test_hostile_paths_are_shown_in_a_plan_and_do_nothing(shell: Shell) -> None:
    folder = shell.folder / shell.source("v1")
    for name in HOSTILE:
        (folder / name).write_text("x")
    ran = shell("plan", shell.server, "v1")
    for name in SHOWN:
        assert f"+ {name}\n" in ran.stdout
    assert not CONTROL.search(ran.stdout)
    paths = shell.json("plan", shell.server, "v1")["added"]
    assert set(SHOWN) < set(paths)


def test_hostile_arguments_are_shown_and_do_nothing(shell: Shell) -> None:
    name = "".join(HOSTILE)
    for args in ([name], ["releases", name], ["rollback", shell.server, "--to", name, "--yes"]):
        ran = shell(*args)
        assert ran.returncode in (2, 11, 13)
        assert not CONTROL.search(ran.stderr)


def test_nothing_is_cut_without_a_terminal(shell: Shell) -> None:
    why = "a reason " * 60
    shell.deployed("v1", "v2")
    shell.rolled_back(why.strip())
    assert why.strip() in shell("releases", shell.server).stdout


def test_a_plan_without_a_terminal_names_every_path(shell: Shell) -> None:
    shell.source("many", **{f"page{number}": "x" for number in range(30)})
    said = shell("plan", shell.server, "many").stdout
    assert "+ page29.html" in said
    assert "more" not in said


def test_an_old_locale_gets_plain_signs_and_no_crash(shell: Shell) -> None:
    shell.deployed("v1")
    ran = shell("releases", shell.server, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert "* live" in ran.stdout


def test_the_live_a_bad_and_a_pinned_release_are_marked_by_word_and_sign(shell: Shell) -> None:
    first = shell.deployed("v1")
    shell.deployed("v2")
    shell("pin", shell.server, first)
    shell.rolled_back("no good")
    said = shell("releases", shell.server).stdout
    assert "● live, pinned" in said
    assert "✕ bad" in said
    assert "no good" in said


def test_pruned_releases_are_named_with_the_reason(shell: Shell) -> None:
    shell.deployed("v1", "v2", "v3")
    ran = shell("prune", shell.server, "--keep", "1", "--yes")
    assert "removed 2" in ran.stdout
    assert "older than the 1 that are kept" in ran.stdout


def test_a_time_of_another_zone_is_shown_in_utc(shell: Shell) -> None:
    shell.deployed("v1")
    with (shell.deploy_to / ".opsnb" / "audit.jsonl").open("a") as log:
        log.write('{"at": "2026-11-23T16:30:00+02:00", "what": "by hand"}\nunreadable\n')
    said = shell("log", shell.server).stdout
    assert "2026-11-23 14:30:00  by hand" in said
    assert said.rstrip().endswith("unreadable")
    [hand] = [row for row in shell.json("log", shell.server) if row["what"] == "by hand"]
    assert (hand["at"], hand["by"]) == ("2026-11-23T14:30:00Z", None)


def columns() -> list[Column]:
    names = [Text("20260325140000"), Text("20260325120000")]
    return [
        Column("release", names),
        Column("age", [Text("5 min"), Text("2 h")], right=True, rank=1),
        Column("empty", [Text(), Text()], rank=2),
        Column("by", [Text("somebody"), Text("another")], rank=3),
        Column("note", [Text(), Text("a long note about what went wrong that day")], rank=2),
    ]


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (120, "release           age  by        note"),
        (62, "release           age  note"),
        (30, "release           age"),
        (10, "release"),
    ],
)
def test_the_least_important_columns_go_first_and_the_name_never(width: int, head: str) -> None:
    lines = draw(columns(), Console(width=width))
    assert lines[0].plain == head
    assert lines[1].plain.startswith("20260325140000")


def test_the_last_column_goes_on_below_itself() -> None:
    lines = [line.plain for line in draw(columns(), Console(width=62))]
    assert lines[2].startswith("20260325120000    2 h  a long note")
    assert lines[3].startswith(" " * 23)
    assert " ".join(" ".join(lines[2:]).split()).endswith("what went wrong that day")
    assert all(len(line) <= 62 and line == line.rstrip() for line in lines)
