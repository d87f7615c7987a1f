"""``Server.run``: a command of the user's, as a Python call."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.config import Environment
from opsnb.core.output import Said
from opsnb.errors import ConfigError, Interrupted, NoSuchRelease, StepTimedOut
from opsnb.server import Server
from tests.support.process import gone


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "site/releases/1").mkdir(parents=True)
    (tmp_path / "site/current").symlink_to("releases/1")
    made = Server(f"file://{tmp_path}/site", name="web1")
    yield made
    made.close()


def test_it_answers_with_how_the_command_ended_and_what_it_said(server: Server) -> None:
    heard: list[Said] = []
    ran = server.run("echo AA; echo BB >&2; exit 3", on_output=heard.append)
    assert (ran.status, ran.out, ran.err, ran.cut, ran.directory) == (3, "AA", "BB", 0, "current")
    assert ran.seconds > 0
    assert set(heard) == {Said("AA", "out"), Said("BB", "err")}
    assert "AA" not in repr(ran)


def test_what_was_left_out_is_counted_and_said(server: Server) -> None:
    ran = server.run("seq 10000; echo x >&2")
    assert ran.cut > 7000
    assert f"… {ran.cut:,} lines" in ran.out
    assert ran.err == "x"


def test_a_change_is_refused_unless_it_is_said(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="touch") as refused:
        server.run("touch made", directory=".")
    assert "change=True" in refused.value.hint
    assert not (tmp_path / "site/made").exists()
    assert server.run("touch made", directory=".", change=True).status == 0
    assert (tmp_path / "site/made").exists()


def test_an_environment_may_ask_for_the_name(server: Server, tmp_path: Path) -> None:
    server.environment = Environment.model_validate({"confirm": "type-name"})
    server.environment_name = "production"
    with pytest.raises(ConfigError, match=r"web1 \(production\) needs that name typed") as refused:
        server.run("touch made", directory=".", change=True)
    assert refused.value.hint == "change='web1'"
    server.run("touch made", directory=".", change="web1")
    assert (tmp_path / "site/made").exists()


@pytest.mark.parametrize("directory", ["/etc", "..", "a/../..", "a//b", "./a", "releases/../x"])
def test_a_directory_lies_below_deploy_to(server: Server, directory: str) -> None:
    with pytest.raises(ConfigError, match="no directory below deploy_to"):
        server.run("pwd", directory=directory)


def test_a_directory_may_be_deeper_and_must_be_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "site/releases/1/it's $(x)").mkdir()
    assert server.run("pwd", directory="releases/1/it's $(x)/").out.endswith("/it's $(x)")
    with pytest.raises(NoSuchRelease, match="releases/2"):
        server.run("pwd", directory="releases/2")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_timeout_is_within_a_day(server: Server, timeout: float) -> None:
    with pytest.raises(ConfigError, match="timeout"):
        server.run("ls", timeout=timeout)


def test_by_its_deadline_it_has_failed_and_what_it_said_was_told(server: Server) -> None:
    heard: list[Said] = []
    with pytest.raises(StepTimedOut, match="and was ended"):
        server.run("printf begun; sleep 1000", timeout=0.3, on_output=heard.append)
    assert heard == [Said("begun", "out")]


def test_an_interrupt_ends_it_and_the_server_can_be_asked_again(server: Server) -> None:
    heard: list[int] = []

    def hear(said: Said) -> None:
        heard.append(int(said.text))
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(Interrupted, match="web1 was ended"):
        server.run("echo $$; sleep 1000", on_output=hear)
    assert gone(heard)
    assert server.run("echo again").out == "again"
