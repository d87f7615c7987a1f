"""``opsnb promote`` in a shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Shell, Terminal

CONFIG = """
[environments.staging]
color = "yellow"
confirm = "none"
[environments.production]
color = "red"
confirm = "type-name"
[servers.staging1]
url = "file://{folder}/staging"
environment = "staging"
[servers.web1]
url = "file://{folder}/production"
environment = "production"
"""


@pytest.fixture
def two(shell: Shell) -> Shell:
    """A staging server that runs something, and a production server that does not."""
    shell.config(CONFIG.replace("{folder}", str(shell.folder)))
    assert shell("deploy", "staging1", shell.source("v1"), "--revision", "r1").returncode == 0
    return shell


def index(shell: Shell) -> Path:
    return shell.folder / "production/current/index.html"


def test_a_dry_run_says_what_a_promote_would_do_and_does_nothing(two: Shell) -> None:
    ran = two("promote", "staging", "web1", "--dry-run")
    assert ran.returncode == 0
    assert "promote staging1 · staging" in ran.stdout
    assert "deploy web1 · production" in ran.stdout
    told = two.json("promote", "staging", "web1", "--dry-run")
    assert (told["verb"], told["revision"], told["from"]["server"]) == ("promote", "r1", "staging1")
    assert told["source"] == f"promoted from staging1 {told['from']['release']}"
    assert len(told["from"]["manifest"]) == 64
    assert not (two.folder / "production").exists()


def test_a_promote_ends_with_0_and_its_report_is_the_last_line(two: Shell) -> None:
    report = two.events("promote", "staging1", "production", "--yes")[-1]
    assert (report["event"], report["verb"], report["exit_status"]) == ("Report", "promote", 0)
    assert index(two).read_text() == "v1"
    again = two("promote", "staging1", "web1", "--yes")
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert two("rollback", "web1", "--yes").returncode == 13


def test_a_person_types_the_name_of_the_server_it_goes_to(
    two: Shell, terminal: Callable[..., Terminal]
) -> None:
    for typed, status in (("staging1", 130), ("web1", 0)):
        asked = terminal("promote", "staging1", "web1")
        asked.until("Type the server's name (web1) to go on:")
        assert "promote staging1" in asked.text
        assert not index(two).exists()
        asked.type(f"{typed}\n")
        assert asked.end() == status
    assert index(two).read_text() == "v1"


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["web1", "staging1"], 13, "nothing is live on web1"),
        (["staging1", "staging1"], 2, "to itself"),
        (["nowhere", "web1"], 2, "no server and no environment"),
        (["staging1"], 2, "Missing argument 'TO'"),
    ],
)
def test_what_cannot_be_promoted_is_refused_in_words(
    two: Shell, args: list[str], status: int, said: str
) -> None:
    ran = two("promote", *args, "--yes")
    assert ran.returncode == status
    assert said in ran.stderr


def test_what_was_changed_by_hand_is_refused_with_13(two: Shell) -> None:
    (two.folder / "staging/current/index.html").write_text("by hand")
    for more in (["--dry-run"], ["--yes"]):
        ran = two("promote", "staging1", "web1", *more)
        assert ran.returncode == 13
        assert "changed there since: index.html" in ran.stderr
    assert not index(two).exists()


def test_without_a_terminal_and_without_yes_it_is_refused_with_2(two: Shell) -> None:
    ran = two("promote", "staging1", "web1")
    assert ran.returncode == 2
    assert "--yes" in ran.stderr
    assert two("--read-only", "promote", "staging1", "web1", "--yes").returncode == 2
    assert not index(two).exists()
