"""``opsnb notices``, and what a shell is told of a notice that was not delivered."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Shell
from tests.support.hooked import HookServer
from tests.support.ports import free_port

TOKEN = "T0KENveryS3CRET"
CONFIG = """
[servers.web1]
url = "{url}"
[[servers.web1.notices]]
url_env = "HOOK"
send = "report"
[servers.nobody]
url = "{url}"
"""


@pytest.fixture
def hook() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


def test_who_is_told_is_listed_without_an_address(shell: Shell) -> None:
    shell.config(CONFIG)
    ran = shell("notices", "web1", HOOK=f"http://127.0.0.1:1/{TOKEN}")
    assert ran.returncode == 0
    assert "webhook" in ran.stdout
    assert "HOOK" in ran.stdout
    assert TOKEN not in ran.stdout + ran.stderr
    (row,) = shell.json("notices", "web1")
    assert row["fault"] == "HOOK is not set in your environment"
    assert "nobody is told" in shell("notices", "nobody").stdout
    # The server was not asked: it is not even there.
    assert not shell.deploy_to.exists()


def test_a_test_ends_with_0_when_it_was_delivered_and_with_20_when_not(
    shell: Shell, hook: HookServer
) -> None:
    shell.config(CONFIG)
    assert shell("notices", "web1", "--test", HOOK=hook.url(f"/{TOKEN}")).returncode == 0
    assert json.loads(hook.posts[0].body)["event"] == "test"
    closed = f"http://127.0.0.1:{free_port()}/{TOKEN}"
    ran = shell("notices", "web1", "--test", HOOK=closed)
    assert ran.returncode == 20
    assert "was not delivered" in ran.stdout
    assert TOKEN not in ran.stdout + ran.stderr


def test_a_deploy_from_a_shell_tells_and_says_what_was_not_delivered(
    shell: Shell, hook: HookServer
) -> None:
    shell.config(CONFIG)
    ran = shell("deploy", "web1", shell.source("v1"), "--yes", HOOK=hook.url(f"/{TOKEN}"))
    assert (ran.returncode, "delivered" in ran.stderr) == (0, False)
    assert [json.loads(post.body)["event"] for post in hook.posts] == ["success"]
    closed = f"http://127.0.0.1:{free_port()}/{TOKEN}"
    again = shell("deploy", "web1", shell.source("v2"), "--yes", HOOK=closed)
    assert again.returncode == 0
    assert "notice 1 (HOOK) was not delivered" in again.stderr
    shell.source("v3")
    machine = shell("deploy", "web1", "v3", "--yes", "--json", HOOK=closed)
    assert json.loads(machine.stdout.splitlines()[-1])["event"] == "Report"
    assert machine.stderr == ""
    assert TOKEN not in "".join([again.stdout, again.stderr, machine.stdout])
