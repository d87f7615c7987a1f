"""``opsnb lab``: JupyterLab with the runbooks, started and ended for real."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

import opsnb
from opsnb import lab as labs
from tests.cli.conftest import Shell, Terminal, wait_for

ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/(\S+)\?token=([^\s\"]+)")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def started(shell: Shell, *args: str) -> Iterator[tuple[subprocess.Popen[str], str, str, str]]:
    """The process, and of its address the place, the path and the token."""
    process = shell.start("lab", *args)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        found = next(filter(None, map(ADDRESS.search, lines)), None)
        assert found, process.communicate()
        yield process, found[1], found[2], found[3]
    finally:
        ended(process)


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """End it by a signal; its exit status and its last words."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        out, err = process.communicate(timeout=150)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, out + err


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


def listening(port: int) -> list[str]:
    """The addresses at which somebody listens on a port."""
    tables = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
    rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
    return [
        row[1].split(":")[0] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")
    ]


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


@pytest.mark.parametrize("number", SIGNALS)
def test_it_starts_with_everything_ready_and_leaves_nothing(
    shell: Shell, number: signal.Signals
) -> None:
    shell.extra["TMPDIR"] = str(shell.folder / "tmp")
    (shell.folder / "tmp").mkdir()
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
        project.close()
        started_by_it = children(process.pid)
        assert len(started_by_it) >= 2
        assert not any(token in words(pid) for pid in started_by_it)
        code, said = ended(process, number)
    assert code == 0, said
    assert "Traceback" not in said
    assert status(f"{place}/api/status", token) == 0
    wait_for(lambda: not any(map(alive, started_by_it)), "the end of what it started")
    assert list((shell.folder / "tmp").glob("opsnb-*")) == []


def test_a_terminal_that_goes_away_ends_it(shell: Shell, terminal: Callable[..., Terminal]) -> None:
    seen = terminal("lab", "--no-browser")
    seen.until("Ctrl-C ends it.", 40)
    found = ADDRESS.search(seen.seen)
    assert found
    started_by_it = children(seen.process.pid)
    assert started_by_it
    assert seen.hang_up() == 0
    assert status(f"{found[1]}/api/status", found[3]) == 0
    wait_for(lambda: not any(map(alive, started_by_it)), "the end of what it started")


def test_a_signal_before_it_answers_ends_it_without_a_word(shell: Shell) -> None:
    process = shell.start("lab")
    wait_for(lambda: any("jupyterlab" in words(pid) for pid in children(process.pid)), "its start")
    started_by_it = children(process.pid)
    assert ended(process) == (0, "")
    wait_for(lambda: not any(map(alive, started_by_it)), "the end of what it started")


def test_its_own_menu_ends_it_well(shell: Shell) -> None:
    with started(shell) as (process, place, _, token):
        asked = urllib.request.Request(
            f"{place}/api/shutdown", b"", {"Authorization": f"token {token}"}
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.status == 200
        process.wait(60)
        assert ended(process)[0] == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("c.IdentityProvider.token = ''", 2),
        ("c.ServerApp.base_url = '/elsewhere'", 0),
        ("c.ServerApp.ip = '0.0.0.0'", 0),
    ],
)
def test_whatever_jupyter_is_told_elsewhere_it_asks_for_a_token_on_this_machine_only(
    shell: Shell, line: str, code: int
) -> None:
    (shell.folder / ".jupyter").mkdir()
    (shell.folder / ".jupyter" / "jupyter_server_config.py").write_text(line)
    if code:
        ran = shell("lab")
        assert ran.returncode == code
        assert "switches the token off" in ran.stderr
        assert ran.stdout == ""
        return
    with started(shell) as (process, place, _, token):
        assert status(f"{place}/api/contents") == 403
        assert status(f"{place}/api/contents", token) == 200
        port = int(place.rpartition(":")[2])
        assert listening(port) == ["0100007F"]  # 127.0.0.1, as the kernel writes it
        assert ended(process)[0] == 0


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
    with started(shell, "--console", "--json") as (process, place, path, token):
        assert path == "doc/tree/console.ipynb"
        assert status(f"{place}/{path}?token={token}") == 200
        book = json.loads((shell.folder / "opsnb-lab" / "console.ipynb").read_text())
        assert "opsnb.console(opsnb.load('opsnb.toml'" in book["cells"][0]["source"]
        assert ended(process)[0] == 0


def test_the_console_notebook_works(shell: Shell) -> None:
    with started(shell) as (process, *_):
        folder = shell.folder / "opsnb-lab"
        inside = Shell(folder, {"HOME": str(shell.folder)})
        ran = inside("run", "console.ipynb")
        assert ran.returncode == 0, ran.stderr
        assert "● live" in ran.stderr
        assert ended(process)[0] == 0


@pytest.mark.parametrize("first", [True, False])
def test_a_project_of_ones_own_takes_the_place_of_the_embedded_server(
    shell: Shell, first: bool
) -> None:
    live = shell.deployed("v1")
    shell.config('[servers.web1]\nurl = "{url}"\n')
    given = ["--config", "opsnb.toml"]
    process = shell.start(*([*given, "lab", "desk"] if first else ["lab", "desk", *given]))
    try:
        folder = shell.folder / "desk"
        assert process.stdout is not None
        assert ADDRESS.search(process.stdout.readline())
        assert not (folder / "opsnb.toml").exists()
        assert not (folder / "ssh_config").exists()
        assert str(shell.folder / "opsnb.toml") in (folder / "console.ipynb").read_text()
        # The runbooks find it without a word.
        ran = shell("run", "desk/02-what-is-live.ipynb", "-p", "server=web1")
        assert ran.returncode == 0, ran.stderr
        assert live in ran.stderr
    finally:
        code, said = ended(process)
    assert code == 0, said


def test_a_project_file_that_is_wrong_is_said_before_anything_is_started(shell: Shell) -> None:
    shell.config("[servers.web1]\nulr = 1\n")
    ran = shell("lab", "--config", "opsnb.toml")
    assert ran.returncode == 2
    assert "ulr" in ran.stderr
    assert not (shell.folder / "opsnb-lab").exists()


def test_a_notebook_that_was_changed_is_kept(tmp_path: Path) -> None:
    tour = tmp_path / "00-tour.ipynb"
    assert labs.copy_notebooks(tmp_path) == []
    assert tour.read_bytes() == (labs.notebooks() / tour.name).read_bytes()
    tour.write_text("mine")
    assert labs.copy_notebooks(tmp_path) == ["00-tour.ipynb"]
    assert tour.read_text() == "mine"


def test_the_project_file_stands_in_the_runbooks_whatever_it_is_called(tmp_path: Path) -> None:
    config, ssh_config = 'a "b"\\1 c/opsnb.toml', "/etc/\u00e4"
    assert labs.copy_notebooks(tmp_path) == []
    # Those that nobody has changed are made anew with it, and are not taken for changed then.
    for _ in range(2):
        assert labs.copy_notebooks(tmp_path, config, ssh_config) == []
    runbooks = [path for path in tmp_path.glob("0*.ipynb") if path.name != "00-tour.ipynb"]
    assert len(runbooks) == 7
    for path in runbooks:
        book = nbformat.read(path, 4)
        [cell] = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
        values: dict[str, object] = {}
        exec(cell.source, values)
        assert (values["config"], values["ssh_config"]) == (config, ssh_config)
        assert (values["server"], values["confirm"]) == ("", "")
    runbooks[0].write_text(runbooks[0].read_text().replace("confirm = ", "confirm = 1 or "))
    assert labs.copy_notebooks(tmp_path, config, ssh_config) == [runbooks[0].name]


def test_a_console_notebook_is_made_anew_unless_somebody_has_written_in_it(tmp_path: Path) -> None:
    file = tmp_path / "console.ipynb"
    assert labs.write_console(tmp_path, "one.toml", "")
    book = json.loads(file.read_text())
    # JupyterLab saves it with outputs, with the lines of a cell as a list, and with an empty cell.
    book["cells"][0] |= {"outputs": [], "execution_count": 3}
    book["cells"][0]["source"] = book["cells"][0]["source"].splitlines(keepends=True)
    book["cells"].append({**book["cells"][0], "id": "empty", "source": []})
    file.write_text(json.dumps(book))
    assert labs.write_console(tmp_path, "two.toml", "ssh_config")
    assert "opsnb.load('two.toml', ssh_config='ssh_config')" in file.read_text()
    for mine in (file.read_text().replace("two", "three", 1), "{}", "[]", "text"):
        file.write_text(mine)
        assert not labs.write_console(tmp_path, "two.toml", "")
        assert file.read_text() == mine


def test_what_is_kept_is_said(shell: Shell) -> None:
    folder = shell.folder / "opsnb-lab"
    folder.mkdir()
    for name in ("00-tour.ipynb", "console.ipynb"):
        (folder / name).write_text("mine")
    process = shell.start("lab", "--json")
    try:
        assert process.stdout is not None
        told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
    finally:
        assert ended(process)[0] == 0
    assert told["kept"] == ["00-tour.ipynb", "console.ipynb"]
    assert told["folder"] == str(folder)


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


def test_the_browser_that_is_started_is_not_told_the_token(shell: Shell) -> None:
    """A list of processes is for everybody's eyes."""
    browser, seen = shell.folder / "browser", shell.folder / "seen"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{seen}.tmp && mv {seen}.tmp {seen}\n')
    browser.chmod(0o755)
    shell.extra = {**shell.extra, "BROWSER": f"{browser} %s", "DISPLAY": ":77"}
    with started(shell) as (_, place, path, token):
        wait_for(seen.exists, "the browser")
        told = seen.read_text()
        assert token not in told
        page = Path(urllib.request.url2pathname(urllib.parse.urlsplit(told.strip()).path))
        assert page.stat().st_mode & 0o777 == 0o600
        assert f"{place}/{path}?token={token}" in html.unescape(page.read_text())
    assert not page.exists()
