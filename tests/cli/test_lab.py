"""``opsnb lab``: JupyterLab with the runbooks, started and ended for real."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import opsnb
from opsnb import lab as labs
from tests.cli.conftest import Shell, wait_for

ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/(\S+)\?token=(\S+)")


@contextmanager
def started(shell: Shell, *args: str) -> Iterator[tuple[subprocess.Popen[str], str, str, str]]:
    """The process, and of its address the place, the path and the token."""
    process = shell.start("lab", *args)
    try:
        assert process.stdout is not None
        found = ADDRESS.search(process.stdout.readline())
        assert found, process.communicate()
        yield process, found[1], found[2], found[3]
    finally:
        process.kill()
        process.communicate()


def status(url: str, token: str = "") -> int:
    asked = urllib.request.Request(
        url, headers={"Authorization": f"token {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code)
    except OSError:
        return 0


def children(pid: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    found: set[int] = set()
    listed = subprocess.run(
        ["ps", "-o", "pid=,ppid=", "-e"], capture_output=True, text=True, check=True
    ).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    wanted = {pid}
    while wanted:
        wanted = {child for child, parent in pairs if parent in wanted} - found
        found |= wanted
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_with_everything_ready_and_leaves_nothing(
    shell: Shell, number: signal.Signals
) -> None:
    with started(shell) as (process, place, path, token):
        assert path == "lab/tree/00-tour.ipynb"
        assert status(f"{place}/api/contents", token) == 200
        # The control: without the token it gives nothing away.
        assert status(f"{place}/api/contents") == 403
        kernel = urllib.request.Request(
            f"{place}/api/kernels", b"{}", {"Authorization": f"token {token}"}
        )
        with urllib.request.urlopen(kernel, timeout=30) as answer:
            assert answer.status == 201
        folder = shell.folder / "opsnb-lab"
        project = opsnb.load(folder / "opsnb.toml", ssh_config=folder / "ssh_config")
        assert len(project.server("demo").releases()) == 2
        assert project.server("demo").plan().nothing is False
        project.close()
        started_by_it = children(process.pid)
        assert len(started_by_it) >= 2
        assert not any(token in words(pid) for pid in started_by_it)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in out + err
    assert status(f"{place}/api/status", token) == 0
    wait_for(lambda: not any(map(alive, started_by_it)), "the end of what it started")


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", errors="replace")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_the_console_alone_is_a_notebook_of_one_cell(shell: Shell) -> None:
    with started(shell, "--console") as (process, place, path, token):
        assert path == "doc/tree/console.ipynb"
        assert status(f"{place}/{path}?token={token}") == 200
        book = json.loads((shell.folder / "opsnb-lab" / "console.ipynb").read_text())
        assert "opsnb.console(opsnb.load('opsnb.toml'" in book["cells"][0]["source"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_project_of_ones_own_takes_the_place_of_the_embedded_server(shell: Shell) -> None:
    shell.config('[servers.web1]\nurl = "{url}"\n')
    with started(shell, "desk", "--config", "opsnb.toml", "--console") as (process, *_):
        folder = shell.folder / "desk"
        assert not (folder / "opsnb.toml").exists()
        assert not (folder / "ssh_config").exists()
        assert str(shell.folder / "opsnb.toml") in (folder / "console.ipynb").read_text()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_notebook_that_was_changed_is_kept(tmp_path: Path) -> None:
    written, kept = labs.copy_notebooks(tmp_path)
    assert "00-tour.ipynb" in written
    assert kept == []
    (tmp_path / "00-tour.ipynb").write_text("mine")
    written, kept = labs.copy_notebooks(tmp_path)
    assert kept == ["00-tour.ipynb"]
    assert "00-tour.ipynb" not in written
    assert (tmp_path / "00-tour.ipynb").read_text() == "mine"


def test_a_project_file_of_ones_own_is_not_written_over(tmp_path: Path) -> None:
    labs.write_project(tmp_path, "[project]\n", "Host x\n")
    labs.write_project(tmp_path, "[project]\nname = 'again'\n", "Host x\n")
    assert "again" in (tmp_path / "opsnb.toml").read_text()
    (tmp_path / "opsnb.toml").write_text("[project]\nname = 'mine'\n")
    with pytest.raises(opsnb.errors.ConfigError, match="is kept"):
        labs.write_project(tmp_path, "[project]\n", "Host x\n")
    assert "mine" in (tmp_path / "opsnb.toml").read_text()


def test_a_port_that_is_taken_is_said(shell: Shell) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = shell("lab", "--port", str(taken.getsockname()[1]))
    assert ran.returncode == 1
    assert "JupyterLab did not start" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_that_cannot_be_written_is_said(shell: Shell) -> None:
    (shell.folder / "file").write_text("")
    ran = shell("lab", "file/inside")
    assert ran.returncode == 2
    assert "cannot write to" in ran.stderr
    assert os.listdir(shell.folder) == ["file"]
