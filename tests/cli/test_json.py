"""What a machine reads, verb by verb."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from opsnb.cli import json_out
from tests.cli.conftest import Shell


def test_questions_answer_with_one_document_of_plain_records(shell: Shell) -> None:
    live = shell.deployed("v1", "v2")
    releases = shell.json("releases", shell.server)
    assert [row["current"] for row in releases] == [True, False]
    assert releases[0]["name"] == live
    assert datetime.fromisoformat(releases[0]["at"]).utcoffset() is not None
    assert isinstance(releases[0]["bytes"], int)
    assert 0 <= releases[0]["age"] < 60
    first = releases[1]["name"]
    changes = {row["path"]: row["change"] for row in shell.json("diff", shell.server, first, live)}
    assert changes == {"index.html": "changed"}
    usage = shell.json("usage", shell.server)
    assert [row["name"] for row in usage] == [live, first, "shared"]
    assert all(isinstance(row["own"], int) for row in usage)
    log = shell.json("log", shell.server)
    assert [row["what"] for row in log].count("deploy.done") == 2
    holds = shell.json("log", shell.server, "--verify")
    assert holds == {"holds": True, "entries": len(log), "faults": []}


def test_a_null_is_null(shell: Shell) -> None:
    (shell.deploy_to / "releases" / "elsewhere").mkdir(parents=True)
    [row] = shell.json("releases", shell.server)
    assert (row["bytes"], row["revision"], row["age"]) == (None, None, None)


def test_a_time_is_in_utc_and_a_length_of_time_is_in_seconds() -> None:
    noon = datetime(2026, 3, 25, 12, 0, 0, 250, UTC)
    row: dict[str, object] = {
        "whole": noon.replace(microsecond=0),
        "exact": noon,
        "elsewhere": noon.replace(microsecond=0).astimezone(timezone(timedelta(hours=-5))),
        "age": timedelta(days=1, microseconds=1499),
        "none": None,
        "flag": False,
    }
    assert json_out.records([row]) == [
        {
            "whole": "2026-03-25T12:00:00Z",
            "exact": "2026-03-25T12:00:00.000250Z",
            "elsewhere": "2026-03-25T12:00:00Z",
            "age": 86400.001,
            "none": None,
            "flag": False,
        }
    ]


def test_no_verb_that_looks_loads_pandas(shell: Shell) -> None:
    live = shell.deployed("v1", "v2")
    first = shell.json("releases", shell.server)[1]["name"]
    verbs = (["releases"], ["usage"], ["log"], ["check"], ["diff", first, live], ["plan", "v1"])
    loaded = (
        "import sys\nfrom opsnb.cli.main import opsnb\n"
        "try:\n    opsnb.main(sys.argv[1:])\n"
        "finally:\n    assert {'pandas', 'numpy'}.isdisjoint(sys.modules)\n"
    )
    for verb, *args in verbs:
        command = [sys.executable, "-c", loaded, verb, shell.server, *args]
        ran = subprocess.run(
            command, cwd=shell.folder, env=shell.env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def test_check_answers_in_json_and_keeps_its_status(shell: Shell) -> None:
    found = shell.json("check", shell.server)
    assert {"item", "ok", "found", "hint"} == set(found[0])
    (shell.deploy_to / "current").mkdir(parents=True)
    ran = shell("check", shell.server, "--json")
    assert ran.returncode == 11
    assert not all(row["ok"] for row in json.loads(ran.stdout))


def test_a_plan_tells_everything_a_deploy_would_do(shell: Shell) -> None:
    shell.config(
        """
[servers.web1]
url = "{url}"
keep_releases = 1
before_publish = ["true"]
after_publish = ["true"]
health = [{command = "true"}]
linked_dirs = ["uploads"]
"""
    )
    shell.source("a", index="one", gone="x", same="s")
    shell.source("b", index="two", new="y", same="s")
    first = shell.events("deploy", "web1", "a", "--yes")[-1]["release"]
    plan = shell.json("plan", "web1", "b", "--revision", "abc")
    assert (plan["added"], plan["changed"]) == (["REVISION", "new.html"], ["index.html"])
    assert (plan["removed"], plan["modes"]) == (["gone.html"], [])
    assert plan["counts"] == {
        "added": 2, "changed": 1, "removed": 1, "modes": 0, "unchanged": 1
    }  # fmt: skip
    assert plan["send_bytes"] >= len("two") + len("y")
    assert (plan["links"], plan["previous"], plan["revision"]) == (["uploads"], first, "abc")
    assert [hook["when"] for hook in plan["hooks"]] == ["before_publish", "after_publish"]
    assert plan["health"][0]["command"] == "true"
    assert plan["keep"][plan["release"]] == "live"
    assert plan["nothing"] is False
    assert shell.live == first


def test_a_plan_tells_of_hooks_that_are_left_out_and_of_caches_without_their_headers(
    shell: Shell,
) -> None:
    shell.config(
        """
[servers.web1]
url = "{url}"
secrets = ["HOME"]
before_deploy = [{command = "a", on = "after_first"}, {command = "b", where = "local"}]
opcache = {fastcgi = "/run/fpm.sock"}
purge = [{urls = ["http://h/"], headers = {X-Key = "${HOME}"}, from = "server"}]
"""
    )
    shell.source("a", index="one")
    plan = shell.json("plan", "web1", "a")
    assert [(hook["command"], hook["where"], hook["skipped"]) for hook in plan["hooks"]] == [
        ("a", "server", "not on the first deploy"),
        ("b", "local", ""),
    ]
    assert plan["opcache"]["fastcgi"] == "/run/fpm.sock"
    (purge,) = plan["purge"]
    assert (purge["urls"], purge["method"], purge["from"]) == (["http://h/"], "PURGE", "server")
    assert purge["headers"] == ["X-Key"]


def test_dry_runs_answer_with_the_plan_and_change_nothing(shell: Shell) -> None:
    live = shell.deployed("v1", "v2", "v3")
    rollback = shell.json("rollback", shell.server, "--dry-run", "--why", "because")
    assert (rollback["previous"], rollback["marks_bad"], rollback["why"]) == (live, live, "because")
    prune = shell.json("prune", shell.server, "--dry-run", "--keep", "1")
    assert len(prune["remove"]) == 1
    assert all(prune["remove"].values())
    assert shell.live == live
    assert len(shell.json("releases", shell.server)) == 3


def test_each_change_ends_with_its_report(shell: Shell) -> None:
    live = shell.deployed("v1", "v2", "v3")
    for verb, args, switched in (
        ("pin", ["pin", shell.server, live], False),
        ("unpin", ["unpin", shell.server, live], False),
        ("hold", ["lock", shell.server, "acquire", "-m", "why"], False),
        ("release", ["lock", shell.server, "release"], False),
        ("rollback", ["rollback", shell.server, "--why", "because"], True),
        ("prune", ["prune", shell.server, "--keep", "1"], False),
        ("adopt", ["adopt", shell.server], False),
    ):
        told = shell.events(*args, "--yes")
        report = told[-1]
        assert told[0]["event"] == "Started"
        assert (report["event"], report["verb"], report["exit_status"]) == ("Report", verb, 0)
        assert report["switched"] is switched
    assert shell.json("lock", shell.server, "status")["state"] == "free"


def test_lock_status_names_the_holder(shell: Shell) -> None:
    shell.deployed("v1")
    shell.events("lock", shell.server, "acquire", "-m", "photos")
    status = shell.json("lock", shell.server, "status")
    assert (status["state"], status["hold"]["who"], status["hold"]["why"]) == (
        "held", "ann", "photos"
    )  # fmt: skip


def test_a_change_that_fails_ends_with_a_report_that_has_the_error(shell: Shell) -> None:
    shell.deployed("v1")
    report = shell.events("rollback", shell.server, "--yes")[-1]
    assert (report["event"], report["exit_status"]) == ("Report", 13)
    assert report["error"]


@pytest.mark.parametrize(
    ("args", "error", "status"),
    [
        (["releases", "nobody"], "ConfigError", 2),
        (["nonsense"], "UsageError", 2),
        (["deploy", "file:///nowhere/at/all", "v1"], "ConfigError", 2),
        (["check", "ssh://127.0.0.1:1/srv/shop"], "ConnectError", 10),
        (["diff", "file:///nowhere/at/all", "a", "b"], "NoSuchRelease", 13),
    ],
)
def test_an_error_is_a_document_too(shell: Shell, args: list[str], error: str, status: int) -> None:
    ran = shell(*args, "--json")
    told = json.loads(ran.stdout)
    assert (told["error"], told["exit_status"], ran.returncode) == (error, status, status)
    assert told["message"]
    assert ran.stderr == ""


def test_the_default_file_comes_as_text_and_as_json(shell: Shell) -> None:
    text = shell("config").stdout
    assert shell.json("config")["text"] == text
    assert "[servers.web1]" in text
