"""The folder is the layer, and imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import opsnb

ROOT = Path(opsnb.__file__).parent

# What each place may import of opsnb, besides itself.
MAY = {
    "errors": set(),
    "core": {"errors"},
    "tables": {"core"},
    "remote": {"core", "errors"},
    "engine": {"core", "errors", "remote"},
    "loop": {"errors"},
    "joblog": {"core"},
    "job": {"core", "errors", "joblog", "loop"},
    "notices": {"core"},
    "server": {"core", "engine", "errors", "job", "loop", "notices", "remote", "tables"},
    "embedded": {"errors"},
    "project": {"core", "embedded", "errors", "job", "server"},
    "runbooks": {"core", "errors", "job", "project", "server"},
    "notebook": {"core", "errors", "job", "loop", "project", "server"},
    "headless": {"core", "errors"},
    "lesson": {"core", "embedded", "errors", "job", "notebook", "project", "server"},
    "magics": {"cli", "core", "engine", "errors", "job", "notebook", "project", "server"},
    "lab": {"errors"},
    "cli": {
        "__version__",
        "core",
        "embedded",
        "errors",
        "headless",
        "job",
        "lab",
        "project",
        "runbooks",
        "server",
    },
    "__init__": {"core", "errors", "job", "magics", "notebook", "project", "runbooks", "server"},
    "__main__": {"cli"},
}
# Who else may be imported where; the standard library may be everywhere but in core.
OUTSIDE = {
    "core": {"pydantic"},
    "remote": {"asyncssh", "zstandard"},
    "engine": {"fastcdc", "h11", "jinja2", "pathspec"},
    "tables": {"pandas"},
    "notices": {"apprise"},
    "server": {"pandas"},
    "embedded": {"asyncssh"},
    "notebook": {"IPython", "anywidget", "traitlets"},
    "headless": {
        "jupyter_client",
        "jupyter_core",
        "nbclient",
        "nbconvert",
        "nbformat",
        "papermill",
    },
    "lesson": {"IPython", "altair", "vl_convert"},
    "magics": {"IPython", "nest_asyncio2"},
    "__init__": {"IPython"},
    "cli": {"click", "rich"},
}
# Where alone a library may be imported when the program runs (not only to check types).
HOMES = {
    "apprise": ("notices.py",),
    "asyncssh": ("remote/ssh.py", "remote/sshpipes.py", "embedded/"),
    "pandas": ("tables.py",),
    "fastcdc": ("engine/cutting.py",),
    "h11": ("engine/http.py",),
    "jinja2": ("engine/templates.py",),
    "keyring": (),
    "pathspec": ("engine/ignore.py",),
    "pydantic": ("core/config.py", "core/settings/"),
    "rich": ("cli/",),
    "zstandard": ("remote/pack.py",),
    "click": ("cli/",),
    "ipywidgets": (),
    "anywidget": ("notebook/",),
    "IPython": ("lesson/", "magics/", "notebook/"),
    "altair": ("lesson/",),
    "nest_asyncio2": ("magics/scripts.py",),
    "papermill": ("headless/",),
    "vl_convert": ("lesson/chart.py",),
}
# What would make core impure: clocks, files, processes, networks, the environment.
IMPURE = {"os", "pathlib", "time", "asyncio", "socket", "subprocess", "shutil", "tempfile", "io"}


def place(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module a file names in an import, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            if node.module in ("opsnb", "opsnb.core"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def faults(root: Path) -> list[str]:
    """Every import that points the wrong way."""
    found = []
    for path in sorted(root.rglob("*.py")):
        here = place(path, root)
        for name in imports(path):
            top, _, rest = name.partition(".")
            if top == "opsnb":
                there = rest.split(".")[0]
                if there != here and there not in MAY[here]:
                    found.append(f"{path.relative_to(root)} imports {name}")
            elif top not in sys.stdlib_module_names and top not in OUTSIDE.get(here, set()):
                found.append(f"{path.relative_to(root)} imports {name}")
            elif here == "core" and top in IMPURE:
                found.append(f"{path.relative_to(root)} imports {name}: core is pure")
    return found


def run_time(tree: ast.Module) -> Iterator[str]:
    """The libraries a module imports when it runs, at once or later."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (
                a.value.partition(".")[0]
                for a in node.args
                if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )


def strays(root: Path) -> list[str]:
    """Every library imported at run time outside its home."""
    return [
        f"{path.relative_to(root)} imports {name}"
        for path in sorted(root.rglob("*.py"))
        for name in run_time(ast.parse(path.read_text("utf-8")))
        if name in HOMES and not str(path.relative_to(root)).startswith(HOMES[name] or ("-",))
    ]


def test_every_library_stays_in_its_home() -> None:
    assert strays(ROOT) == []


@pytest.mark.parametrize(
    ("where", "line", "wrong"),
    [
        ("remote/posix.py", "import asyncssh", 1),
        ("remote/ssh.py", "import asyncssh", 0),
        ("server.py", "def f():\n    import pandas as pd", 1),
        ("server.py", "from importlib import import_module\nimport_module('pandas')", 1),
        ("server.py", "import importlib\nimportlib.import_module('pandas.api')", 1),
        ("server.py", "if TYPE_CHECKING:\n    import pandas as pd", 0),
        ("server.py", "if TYPE_CHECKING:\n    pass\nelse:\n    pass\nimport pandas.api", 1),
        ("core/plan.py", "from pydantic import BaseModel", 1),
        ("job.py", "import ipywidgets", 1),
        ("engine/deploy.py", "from rich.console import Console", 1),
    ],
)
def test_the_control_a_library_out_of_its_home_is_found(
    tmp_path: Path, where: str, line: str, wrong: int
) -> None:
    file = tmp_path / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line)
    assert len(strays(tmp_path)) == wrong


def test_imports_point_one_way() -> None:
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("core/plan.py", "from opsnb.engine import deploy"),
        ("core/plan.py", "import os"),
        ("core/plan.py", "def f():\n    import asyncssh"),
        ("engine/deploy.py", "import pandas"),
        ("remote/ssh.py", "from opsnb.engine.deploy import DeployWork"),
        ("embedded/sshd.py", "from opsnb.core import plan"),
        ("errors.py", "from opsnb.core.events import Report"),
    ],
)
def test_the_control_a_wrong_import_is_found(tmp_path: Path, where: str, line: str) -> None:
    file = tmp_path / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line)
    assert len(faults(tmp_path)) == 1


def test_the_core_never_awaits_and_never_asks_the_clock() -> None:
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("now", "utcnow", "today", "environ"), path
            if isinstance(node, ast.Name):
                assert node.id not in ("open", "print", "input"), path


def test_only_the_command_line_prints() -> None:
    for path in ROOT.rglob("*.py"):
        if place(path, ROOT) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "print"), path


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        "opsnb." + ".".join(path.relative_to(ROOT).with_suffix("").parts): set(imports(path))
        for path in ROOT.rglob("*.py")
    }
    assert circle(graph) == ()
    # The control.
    assert circle({"a": {"b"}, "b": {"c", "x"}, "c": {"b"}}) == ("a", "b", "c", "b")


def circle(graph: dict[str, set[str]]) -> tuple[str, ...]:
    """The way to and around a circle; empty when there is none."""
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> tuple[str, ...]:
        if name in above:
            return (*above, name)
        if name not in done:
            for other in sorted(graph[name] & set(graph)):
                if found := visit(other, (*above, name)):
                    return found
        done.add(name)
        return ()

    return next((found for name in graph if (found := visit(name, ()))), ())


def test_importing_opsnb_loads_nothing_heavy() -> None:
    program = (
        "import sys, opsnb\n"
        "heavy = {'apprise', 'pandas', 'numpy', 'asyncssh', 'ipywidgets', 'anywidget', 'IPython',\n"
        "         'rich', 'click', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_the_public_names_are_there_and_no_others_are_promised() -> None:
    for name in opsnb.__all__:
        assert getattr(opsnb, name) is not None
    assert set(opsnb.__all__) | {"__version__"} == set(dir(opsnb))
    with pytest.raises(AttributeError):
        opsnb.nonsense  # noqa: B018 - asking is the test
