"""Repositories and builds from a shell: what goes where, what a script is told, how it ends."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Shell
from tests.support.git import Repository

CONFIG = """
[project]
git = "repository"
build = ["echo building it", "{command}", "mkdir -p dist", "cp index dist"]
output = "dist"
isolation = "none"

[servers.web1]
url = "{url}"
"""


@pytest.fixture
def repository(shell: Shell) -> Repository:
    shell.config(CONFIG.replace("{command}", "true"))
    shell.extra["OPSNB_CACHE"] = str(shell.folder / "cache")
    made = Repository(shell.folder / "repository")
    made.commit({"index": "one"}, "Open the shop \x1b[31m")
    return made


def test_a_plan_says_the_build_aside_and_itself_in_front(
    shell: Shell, repository: Repository
) -> None:
    ran = shell("plan", "web1")
    assert ran.returncode == 0
    assert "building it" in ran.stderr.splitlines()
    assert "source   " in ran.stdout
    assert "Open the shop \\x1b[31m (Ada Lovelace, 2026-03-25)" in ran.stdout
    assert 'not isolated: isolation = "none"' in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr
    assert not shell.deploy_to.exists()


def test_a_plan_for_a_machine_holds_the_commit_the_way_and_the_build(
    shell: Shell, repository: Repository
) -> None:
    first = repository("rev-parse", "HEAD")
    assert shell("deploy", "web1", "--yes").returncode == 0
    second = repository.commit({"index": "two"}, "Mend the door")
    told = json.loads(shell("plan", "web1", "--json").stdout)
    assert told["revision"] == told["commit"]["id"] == second
    assert (told["commits"]["live"], told["commits"]["way"]) == (first, "on")
    assert [commit["subject"] for commit in told["commits"]["listed"]] == ["Mend the door"]
    assert told["built"]["commands"][0] == "echo building it"
    assert told["built"]["isolation"] == 'not isolated: isolation = "none"'


def test_a_deploy_streams_the_build_and_the_table_shows_the_commit(
    shell: Shell, repository: Repository
) -> None:
    events = shell.events("deploy", "web1", "--yes")
    assert [e["phase"] for e in events if e["event"] == "PhaseBegan"][:2] == ["source", "look"]
    assert "building it" in [e["text"] for e in events if e["event"] == "Log"]
    assert (shell.deploy_to / "current" / "index").read_text() == "one"
    shown = shell("releases", "web1").stdout
    assert "commit" in shown.splitlines()[0]
    assert "Open the shop \\x1b[31m (Ada Lovelace)" in shown
    (row,) = shell.json("releases", "web1")
    assert (row["author"], row["committed"]) == ("Ada Lovelace", "2026-03-25T12:00:00Z")
    again = shell.events("deploy", "web1", "--yes")[-1]
    assert again["outcome"] == "nothing to do"


def test_a_ref_is_chosen_from_the_shell(shell: Shell, repository: Repository) -> None:
    repository("tag", "v1")
    repository.commit({"index": "two"})
    assert shell("deploy", "web1", "--ref", "v1", "--yes").returncode == 0
    assert (shell.deploy_to / "current" / "index").read_text() == "one"
    assert shell("plan", "web1", "--ref=--output=x").returncode == 2
    assert shell("plan", "web1", "--ref", "nowhere").returncode == 2


def test_commits_between_releases_are_listed(shell: Shell, repository: Repository) -> None:
    shell("deploy", "web1", "--yes")
    first = shell.live
    repository.commit({"index": "two"}, "Mend the door")
    shell("deploy", "web1", "--yes")
    ran = shell("diff", "web1", first, shell.live, "--commits")
    assert ran.returncode == 0
    assert "+ " in ran.stdout
    assert "Mend the door" in ran.stdout
    told = shell.json("diff", "web1", shell.live, first, "--commits")
    assert (told["way"], told["lost"]) == ("back", 1)


def test_a_build_that_fails_ends_with_20(shell: Shell, repository: Repository) -> None:
    shell.config(CONFIG.replace("{command}", "exit 7"))
    for args in (["plan", "web1"], ["deploy", "web1", "--yes"]):
        ran = shell(*args)
        assert ran.returncode == 20
        assert "the build failed: exit 7 exited with 7" in ran.stderr
    assert not (shell.deploy_to / "current").exists()
    report = shell.events("deploy", "web1", "--yes")[-1]
    assert (report["outcome"], report["exit_status"]) == ("not done", 20)
