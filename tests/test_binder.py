"""Binder builds from `binder/` and starts in the tour, as far as can be seen without Binder."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
# What repo2docker reads; anything else in the folder would be ignored there without a word.
KNOWN = {"requirements.txt", "runtime.txt", "start", "postBuild", "apt.txt", "environment.yml"}
TOUR = "/lab/tree/notebooks/00-tour.ipynb"


def test_the_folder_holds_only_what_is_read() -> None:
    assert {path.name for path in BINDER.iterdir()} <= KNOWN


def test_the_python_is_one_that_the_package_takes() -> None:
    found = re.fullmatch(r"python-3\.(\d+)\n", (BINDER / "runtime.txt").read_text())
    assert found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
    assert lowest
    assert int(found[1]) >= int(lowest[1])
    assert f"Programming Language :: Python :: 3.{found[1]}" in project["classifiers"]


def test_it_starts_in_a_notebook_that_exists() -> None:
    ran = subprocess.run(
        [BINDER / "start", "echo", "jupyter", "lab"], capture_output=True, text=True, check=True
    )
    told = f"--ServerApp.default_url={TOUR} --LabApp.default_url={TOUR}"
    assert ran.stdout == f"jupyter lab {told}\n"
    assert os.access(BINDER / "start", os.X_OK)
    assert (ROOT / TOUR.removeprefix("/lab/tree/")).is_file()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment in which Binder's one step was run, from the repository's root."""
    home = tmp_path_factory.mktemp("binder")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    made = home / "venv" / "bin" / "python"
    step = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "-r", BINDER / "requirements.txt"]
    subprocess.run([made, *step], cwd=ROOT, check=True)
    return made


def test_its_step_installs_the_package_with_everything_that_the_notebooks_need(
    python: Path, tmp_path: Path
) -> None:
    program = (
        "import opsnb, opsnb.lab, opsnb.lesson, anywidget, altair; print(opsnb.lab.notebooks())"
    )
    ran = subprocess.run(
        [python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    # A wheel brings its notebooks with it.
    folder = Path(ran.stdout.strip())
    assert folder.parent.name == "opsnb"
    assert ROOT not in folder.parents
    names = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(path.name for path in folder.glob("*.ipynb")) == names


def test_the_tour_runs_in_it_and_leaves_its_page(python: Path, tmp_path: Path) -> None:
    command = [python, "-m", "opsnb", "run", ROOT / "notebooks" / "00-tour.ipynb"]
    ran = subprocess.run(
        [*command, "--output", "tour.ipynb"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "tour.html").is_file()


# The service does not run a program of ours by name: it has one look for JupyterLab first.
SERVICE = "import os, sys, jupyterlab; os.execvp(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize(
    ("begin", "old"),
    [
        (["python", "-m", "jupyterlab"], False),
        (["python", "-c", SERVICE, "jupyter-lab"], True),
    ],
)
def test_it_starts_in_the_tour_however_it_is_started(
    python: Path, tmp_path: Path, begin: list[str], old: bool
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = "NotebookApp" if old else "ServerApp"
    base = "/user/somebody/" if old else "/"
    given = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    given += [f"--{app}.base_url={base}", f"--{app}.token=abc"]
    given += ["--allow-root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [BINDER / "start", *begin, *given],
        cwd=ROOT,
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        opened = _opens(f"http://127.0.0.1:{port}{base}?token=abc")
        assert opened.partition("?")[0].endswith(base.rstrip("/") + TOUR)
    finally:
        process.terminate()
        process.wait(30)


def _opens(url: str) -> str:
    """Where the front address leads."""
    until = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.geturl())
        except OSError:
            assert time.monotonic() < until, "it does not answer"
            time.sleep(0.2)
