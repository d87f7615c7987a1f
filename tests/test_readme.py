"""The README's code runs: its Python, its shell lines and its configuration, as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opsnb.core import config
from opsnb.server import Server

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a project file, a source, and a server that has one release."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("one")
    (tmp_path / "opsnb.toml").write_text(
        f'[servers.web1]\nurl = "file://{tmp_path}/site"\nsource = "dist"\n'
        f'[servers.staging1]\nurl = "file://{tmp_path}/staging"\nsource = "dist"\n'
    )
    server = Server(f"file://{tmp_path}/site")
    server.deploy(tmp_path / "dist").wait()
    server.close()
    (tmp_path / "dist" / "index.html").write_text("two")
    return tmp_path


def test_the_python_runs_as_written(folder: Path) -> None:
    (program,) = blocks("python")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "is live" in ran.stdout
    log = (folder / "site" / ".opsnb" / "audit.jsonl").read_text()
    assert "rollback.done" in log


def test_the_shell_lines_run_as_written(folder: Path) -> None:
    """Release names and the reading of git are put in; everything else stands as it is."""
    (script,) = [block for block in blocks("sh") if "opsnb plan" in block]
    server = Server(f"file://{folder}/site")
    server.deploy(folder / "dist").wait()
    server.close()
    (folder / "dist" / "index.html").write_text("three")
    staging = Server(f"file://{folder}/staging")
    staging.deploy(folder / "dist").wait()
    staging.close()
    names = sorted(path.name for path in (folder / "site" / "releases").iterdir())
    script = script.replace("20260325120000", names[0]).replace("20260325140000", names[1])
    script = script.replace("$(git rev-parse --short HEAD)", "abc1234")
    script = script.replace("opsnb config > opsnb.toml", "opsnb config > default.toml")
    script = re.sub(
        r"^(opsnb (?:deploy|rollback|prune|promote)[^#\n]*)", r"\1 --yes ", script, flags=re.M
    )
    bin_dir = Path(sys.executable).parent
    ran = subprocess.run(
        ["/bin/sh", "-ex"],
        input=script,
        cwd=folder,
        env={**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert config.parse((folder / "default.toml").read_text())


def test_the_configuration_is_valid() -> None:
    (text,) = blocks("toml")
    parsed = config.parse(text)
    assert parsed.settings("web1").keep_releases == 3
    assert parsed.settings("web1").health[0].json_.equals == "ok"
    assert parsed.settings("web1").watchdog == 60
    assert parsed.settings("staging1").watchdog == 0


def test_every_exit_status_of_the_code_is_in_the_table() -> None:
    from opsnb import errors

    statuses = {
        error.exit_status
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.OpsnbError)
    }
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert statuses | {0} == listed
