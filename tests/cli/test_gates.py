"""Gates in a shell: freeze, unfreeze, holds for a time, hours, read-only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.cli.conftest import Shell, Terminal

DAY = f"{datetime.now(UTC) + timedelta(days=3):%a}"
GATED = f"""
[environments.production]
color = "red"
confirm = "type-name"
[servers.web1]
url = "{{url}}"
environment = "production"
windows = ["{DAY} 03:00-03:01"]
[servers.sale]
url = "{{url}}"
freeze = "christmas sale"
[servers.look]
url = "{{url}}"
read_only = true
"""


def test_a_freeze_holds_a_deploy_back_with_12_and_every_answer_shows_it(shell: Shell) -> None:
    shell.deployed("v1", "v2")
    ran = shell("freeze", shell.server, "-m", "christmas sale", "--until", "2h")
    assert ran.returncode == 0
    assert "frozen: a rollback alone" in ran.stdout
    refused = shell("deploy", shell.server, shell.source("v3"), "--yes")
    assert refused.returncode == 12
    assert "christmas sale" in refused.stderr
    for verb in (["releases"], ["check"], ["plan"], ["lock"]):
        more = {"plan": ["v3"], "lock": ["status"]}.get(verb[0], [])
        assert "christmas sale" in shell(*verb, shell.server, *more).stdout
    status = shell.json("lock", shell.server, "status")
    assert status["state"] == "frozen"
    assert status["hold"]["kind"] == "freeze"
    assert status["hold"]["until"].endswith("Z")
    assert shell("rollback", shell.server, "--yes").returncode == 0
    assert shell("lock", shell.server, "release").returncode == 12
    assert shell("unfreeze", shell.server).returncode == 0
    assert shell("deploy", shell.server, "v3", "--yes").returncode == 0
    assert "frozen" not in shell("releases", shell.server).stdout


def test_a_hold_for_a_time_says_until_when(shell: Shell) -> None:
    shell.deployed("v1")
    assert shell("lock", shell.server, "acquire", "-m", "db", "--for", "90m").returncode == 0
    assert " until 20" in shell("lock", shell.server, "status").stdout
    assert shell.json("lock", shell.server, "status")["state"] == "held"
    for length in ("soon", "-1h", "0m"):
        ran = shell("lock", shell.server, "acquire", "-m", "db", "--for", length)
        assert (ran.returncode, ran.stdout) == (2, "")


def test_outside_of_the_hours_a_deploy_ends_with_12_and_with_a_reason_goes_on(
    shell: Shell,
) -> None:
    shell.config(GATED)
    live = shell.deployed("v1")
    ran = shell("deploy", "web1", shell.source("v2"), "--yes")
    assert (ran.returncode, shell.live) == (12, live)
    assert f"the next window opens {DAY}" in ran.stderr
    assert "would be refused" in shell("plan", "web1", "v2").stdout
    assert any("would be refused" in w for w in shell.json("plan", "web1", "v2")["warnings"])
    assert "takes no deploy now" in shell("releases", "web1").stdout
    report = shell.events("deploy", "web1", "v2", "--yes", "--outside-window", "it burns")[-1]
    assert report["exit_status"] == 0
    assert shell.live != live
    assert "it burns" in shell("log", "web1").stdout
    assert shell("rollback", "web1", "--yes").returncode == 0


def test_a_configured_freeze_ends_with_12_and_its_report_is_the_last_line(shell: Shell) -> None:
    shell.config(GATED)
    live = shell.deployed("v1")
    report = shell.events("deploy", "sale", shell.source("v2"), "--yes")[-1]
    assert (report["event"], report["exit_status"], shell.live) == ("Report", 12, live)
    assert "christmas sale" in report["error"]
    checked = shell("check", "sale")
    assert checked.returncode == 12
    assert "christmas sale" in checked.stdout


def test_nobody_is_asked_for_what_would_be_refused(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    shell.config(GATED)
    shell.deployed("v1")
    shell.source("v2")
    refused = terminal("deploy", "web1", "v2")
    assert refused.end() == 12
    assert "Type the server" not in refused.text


def test_a_name_is_typed_where_the_environment_asks_for_it(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    shell.config(GATED)
    live = shell.deployed("v1")
    shell.source("v2")
    for typed, status in (("yes", 130), ("web1", 0)):
        asked = terminal("deploy", "web1", "v2", "--outside-window", "it burns")
        assert "production" in asked.until("Type the server's name (web1) to go on:")
        assert shell.live == live
        asked.type(f"{typed}\n")
        assert asked.end() == status
    assert shell.live != live


def test_read_only_refuses_every_change_with_2_and_answers_questions(shell: Shell) -> None:
    shell.config(GATED)
    live = shell.deployed("v1", "v2")
    shell.source("v3")
    changes = [
        ["deploy", "web1", "v3", "--yes"],
        ["rollback", "web1", "--yes"],
        ["prune", "web1", "--yes"],
        ["adopt", "web1", "--yes"],
        ["pin", "web1", live],
        ["unpin", "web1", live],
        ["lock", "web1", "acquire", "-m", "x"],
        ["lock", "web1", "release"],
        ["freeze", "web1", "-m", "x"],
        ["unfreeze", "web1"],
    ]
    log = (shell.deploy_to / ".opsnb/audit.jsonl").read_bytes()
    for args in changes:
        ran = shell("--read-only", *args)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "web1 is read-only" in ran.stderr
        assert "--read-only was given" in ran.stderr
    by_environment = shell("deploy", "web1", "v3", "--yes", OPSNB_READ_ONLY="1")
    by_file = shell("deploy", "look", "v3", "--yes")
    assert (by_environment.returncode, by_file.returncode) == (2, 2)
    assert "opsnb.toml says so" in by_file.stderr
    assert (shell.deploy_to / ".opsnb/audit.jsonl").read_bytes() == log
    for args in (["releases"], ["plan", "v3"], ["rollback", "--dry-run"], ["prune", "--dry-run"]):
        asked = shell("--read-only", args[0], "web1", *args[1:])
        assert asked.returncode == 0, asked.stderr
    assert "read-only" in shell("--read-only", "releases", "web1").stdout


def test_read_only_ends_with_the_command_that_it_was_said_for(shell: Shell) -> None:
    """In a notebook the next verb runs in the same process."""
    import os

    from click.testing import CliRunner

    from opsnb.cli.main import opsnb

    shell.deployed("v1", "v2")
    runner = CliRunner()
    assert runner.invoke(opsnb, ["--read-only", "rollback", shell.server, "--yes"]).exit_code == 2
    assert "OPSNB_READ_ONLY" not in os.environ
    assert runner.invoke(opsnb, ["rollback", shell.server, "--yes"]).exit_code == 0
