"""On a real terminal: the question, the display of what runs, colours and their absence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.conftest import COLOR, Shell, Terminal

Begin = Callable[..., Terminal]
PRODUCTION = """
[environments.production]
color = "red"
confirm = "type-name"
[servers.web1]
url = "{url}"
environment = "production"
before_publish = ["echo one; sleep 1; echo two"]
"""


def test_a_deploy_shows_its_plan_asks_and_draws_what_runs(shell: Shell, terminal: Begin) -> None:
    shell.config(PRODUCTION)
    (shell.folder / shell.source("v1") / "big.bin").write_bytes(b"x" * 3_000_000)
    deploy = terminal("deploy", "web1", "v1")
    asked = deploy.until("Type the server's name (web1) to go on: ")
    assert "+ big.bin" in asked
    assert not shell.deploy_to.exists()
    deploy.type("web1\n")
    assert deploy.end() == 0
    assert "\x1b[?25l" in deploy.seen  # the cursor is hidden while something is drawn…
    assert deploy.seen.rindex("\x1b[?25h") > deploy.seen.rindex("\x1b[?25l")  # …and comes back
    assert "●" in deploy.text
    assert "hooks" in deploy.text
    assert "│ two" in deploy.text
    assert COLOR.search(deploy.seen)
    assert f"{shell.live} is live" in deploy.text


@pytest.mark.parametrize(("answer", "status"), [("no\n", 130), ("\n", 130), ("\x04", 130)])
def test_any_other_answer_changes_nothing(
    shell: Shell, terminal: Begin, answer: str, status: int
) -> None:
    shell.config(PRODUCTION)
    deploy = terminal("deploy", "web1", shell.source("v1"))
    deploy.until("to go on: ")
    deploy.type(answer)
    assert deploy.end() == status
    assert "nothing was changed" in deploy.text
    assert not shell.deploy_to.exists()


def test_y_is_a_yes_where_a_click_would_do(shell: Shell, terminal: Begin) -> None:
    shell.deployed("v1", "v2")
    rollback = terminal("rollback", shell.server)
    rollback.until("Go on? [y/N] ")
    rollback.type("y\n")
    assert rollback.end() == 0
    assert (shell.deploy_to / "current" / "index.html").read_text() == "v1"


def test_a_site_that_changed_while_the_question_stood_makes_the_plan_stale(
    shell: Shell, terminal: Begin
) -> None:
    shell.deployed("v1")
    deploy = terminal("deploy", shell.server, shell.source("v2"))
    deploy.until("Go on? [y/N] ")
    live = shell.deployed("v3")
    deploy.type("y\n")
    assert deploy.end() == 13
    assert shell.live == live


def test_ctrl_c_aborts_a_running_change_and_leaves_the_cursor_visible(
    shell: Shell, terminal: Begin
) -> None:
    shell.config(PRODUCTION.replace("sleep 1", "sleep 30"))
    deploy = terminal("deploy", "web1", shell.source("v1"), "--yes")
    deploy.until("│ one")
    deploy.type("\x03")
    assert deploy.end() == 130
    assert "interrupted before the switch" in deploy.text
    assert deploy.seen.rindex("\x1b[?25h") > deploy.seen.rindex("\x1b[?25l")


def test_a_terminal_that_goes_away_aborts_a_running_change(shell: Shell, terminal: Begin) -> None:
    live = shell.deployed("v1")
    shell.config(PRODUCTION.replace("sleep 1", "sleep 30"))
    deploy = terminal("deploy", "web1", shell.source("v2"), "--yes")
    deploy.until("│ one")
    assert deploy.hang_up() == 130
    assert shell.live == live
    assert [path.name for path in (shell.deploy_to / "releases").iterdir()] == [live]


def test_no_color_gives_no_colour_codes(shell: Shell, terminal: Begin) -> None:
    shell.deployed("v1")
    for args in (
        ["releases", shell.server],
        ["check", shell.server],
        ["deploy", shell.server, shell.source("v2"), "--yes"],
        ["rollback", shell.server, "--to", "nothing", "--yes"],
    ):
        plain = terminal(*args, NO_COLOR="1")
        plain.end()
        assert not COLOR.search(plain.seen)
    coloured = terminal("releases", shell.server)
    coloured.end()
    assert COLOR.search(coloured.seen)


def test_a_dumb_terminal_gets_lines_alone(shell: Shell, terminal: Begin) -> None:
    deploy = terminal("deploy", shell.server, shell.source("v1"), "--yes", TERM="dumb")
    assert deploy.end() == 0
    assert "\x1b" not in deploy.seen


def test_json_on_a_terminal_is_json_alone(shell: Shell, terminal: Begin) -> None:
    deploy = terminal("deploy", shell.server, shell.source("v1"), "--yes", "--json")
    assert deploy.end() == 0
    assert "\x1b" not in deploy.seen
    assert all(line.startswith("{") for line in deploy.seen.splitlines())


def test_a_plan_on_a_terminal_names_20_paths_of_a_kind_and_counts_the_rest(
    shell: Shell, terminal: Begin
) -> None:
    shell.source("many", **{f"page{number:02}": "x" for number in range(30)})
    plan = terminal("plan", shell.server, "many")
    assert plan.end() == 0
    assert "page19.html" in plan.text
    assert "page20.html" not in plan.text
    assert "and 10 more" in plan.text


def test_no_line_is_wider_than_the_terminal_and_the_names_are_whole(
    shell: Shell, terminal: Begin
) -> None:
    shell.deployed("v1", "v2")
    live = shell.rolled_back("the prices were wrong on every page " * 3)
    for columns in (40, 80, 120):
        table = terminal("releases", shell.server, columns=columns)
        table.end()
        lines = table.text.splitlines()
        assert max(map(len, lines)) <= columns
        assert any(line.startswith(live) for line in lines)
        assert "● live" in table.text
