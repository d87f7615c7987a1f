"""Binder builds from `binder/` and starts in the tour, as far as can be seen without Binder."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

from tests.support.ports import free_port

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


# An installed JupyterLab finds these beside the programs, and not beside the modules.
SHARED = ("lab", "labextensions", "nbconvert")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment in which Binder's one step was run, from the repository's root.

    What that step would fetch for the package is lent by the environment of the tests.
    """
    home = tmp_path_factory.mktemp("binder") / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    made = home / "bin" / "python"
    step = ["-m", "pip", "install", "--quiet", "--no-deps", "-r"]
    subprocess.run([made, *step, BINDER / "requirements.txt"], cwd=ROOT, check=True)
    # Only now: pip is to see no other opsnb. The files with paths that lie there are not read, so
    # that the sources of this checkout are not lent.
    (_site(made) / "lent.pth").write_text(sysconfig.get_path("purelib"))
    (home / "share" / "jupyter").mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        (home / "share" / "jupyter" / name).symlink_to(Path(sys.prefix, "share", "jupyter", name))
    program = home / "bin" / "jupyter-lab"
    program.write_text(f"#!{made}\nfrom jupyterlab.labapp import main\n\nmain()\n")
    program.chmod(0o755)
    return made


def test_its_step_installs_the_package_with_its_notebooks(python: Path, tmp_path: Path) -> None:
    program = "import opsnb.lab; print(opsnb.lab.notebooks())"
    ran = subprocess.run(
        [python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    # A wheel brings its notebooks with it.
    folder = Path(ran.stdout.strip())
    assert folder.parent.name == "opsnb"
    assert python.parents[1] in folder.parents
    names = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(path.name for path in folder.glob("*.ipynb")) == names
    pictures = sorted(path.name for path in (ROOT / "notebooks" / "pictures").iterdir())
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == pictures


def test_what_the_package_and_its_notebooks_import_is_fetched_with_it(python: Path) -> None:
    [wheel] = metadata.distributions(name="opsnb", path=[str(_site(python))])
    fetched = _needed(wheel.requires or [])
    providers = metadata.packages_distributions()
    wanted = {name for text in _sources() for name in _imported(text)}
    wanted -= {"opsnb", *sys.stdlib_module_names}
    assert "altair" in wanted
    missing = {name for name in wanted if not fetched & set(map(_plain, providers.get(name, [])))}
    assert not missing


def _site(python: Path) -> Path:
    [site] = python.parents[1].glob("lib/python3.*/site-packages")
    return site


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _needed(requirements: Iterable[str]) -> set[str]:
    """The packages that come with some requirements, and with those, as they are installed here."""
    found: set[str] = set()
    wanted = list(requirements)
    while wanted:
        one = Requirement(wanted.pop())
        if (one.marker and not one.marker.evaluate({"extra": ""})) or _plain(one.name) in found:
            continue
        assert metadata.version(one.name) in one.specifier, one
        found.add(_plain(one.name))
        wanted += metadata.requires(one.name) or []
    return found


def _sources() -> Iterator[str]:
    for path in (ROOT / "opsnb").rglob("*.py"):
        yield path.read_text("utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                yield TransformerManager().transform_cell(cell.source)


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_the_tour_runs_in_it_and_leaves_its_page(python: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [python, "-m", "opsnb", "run", ROOT / "notebooks" / "00-tour.ipynb"]
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
    port = free_port()
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
