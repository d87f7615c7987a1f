"""A tiny tree through every part, on loopback: the real sshd, the real rsync, opsnb itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks import cases, disk, measure, setup, trees
from tests.benchmarks.cases import Case, Rounds, Suite
from tests.benchmarks.measure import Accounts
from tests.benchmarks.results import Record, Results
from tests.benchmarks.runner import Runner
from tests.benchmarks.target import Loopback, Server
from tests.benchmarks.tools import Command, Tool, Unsupported, all_tools
from tests.benchmarks.tools.ours import Cold, Warm
from tests.benchmarks.tools.script import Script
from tests.support.sshd import absent

ONCE = Rounds(1, 1, 1)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's user can reach, for his sites and for the source."""
    folder = Path(tempfile.mkdtemp(prefix="opsnb-benchmark-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _run(place: Path, suite: Suite, make: list[type[Tool]]) -> list[Record]:
    """Run a suite with these tools; return what was recorded."""
    results = Results()
    tree = place / "tree"
    tree.mkdir()
    trees.tiny(tree)
    with Accounts().opened() as accounts, Server(place, Loopback(), place) as server:
        accounts.serve(server.processes())
        runner = Runner("run", server_line, server, accounts, results, place, lambda case: ONCE)
        runner.suite(suite, tree, lambda: [each() for each in make], {})
    return results.records


server_line = Loopback()


class _Linked(Script):
    def __init__(self) -> None:
        super().__init__(copies=False, warm=True, durable=True)


class _Copied(Script):
    def __init__(self) -> None:
        super().__init__(copies=True, warm=False, durable=True)


def _needs_rsync() -> None:
    if missing := _Linked().missing():
        absent(missing)


def _cases(*names: str) -> tuple[Case, ...]:
    return tuple(
        case for name in names for s in cases.SUITES if s.tree == "small"
        for case in s.cases if case.name == name
    )  # fmt: skip


def test_every_operation_of_the_scripts_and_of_opsnb(place: Path) -> None:
    _needs_rsync()
    suite = Suite("tiny", ("loopback",), _cases("first", "one", "rollback", "list3"), history=2)
    records = _run(place, suite, [Cold, Warm, _Linked, _Copied])
    assert [(r.tool, r.case, r.wrong, r.absent) for r in records if r.wrong or r.absent] == []
    assert {r.case for r in records} == {"first", "one", "rollback", "list3"}
    for record in records:
        if record.counted:
            assert record.bytes_up
            assert record.peak_memory
            assert record.round_trips
    assert Results.read(place).records == records


def test_sites_that_were_laid_out_are_pruned(place: Path) -> None:
    _needs_rsync()
    (prune,) = (c for s in cases.SUITES for c in s.cases if c.name == "prune50")
    few = Case(
        "prune", "prune", ONCE, prune.do, prune.wrong,
        ready=partial(_lay_out, 6), empty=True,
    )  # fmt: skip
    records = _run(place, Suite("tiny", ("loopback",), (few,)), [Warm, _Copied])
    assert [(r.wrong, r.absent) for r in records] == [((), "")] * 4


def _lay_out(count: int, stand: object, tree: Path) -> None:
    stand.lay_out(tree, count)  # type: ignore[attr-defined]


def test_several_at_once_have_sites_of_their_own(place: Path) -> None:
    _needs_rsync()
    both = Case("two", "two at once", ONCE, change=cases.edit_one, at_once=2, counted=False)
    records = _run(place, Suite("tiny", ("loopback",), (both,), history=1), [_Linked])
    assert [(r.tool, r.wrong, r.absent) for r in records] == [(records[0].tool, (), "")]
    assert len(list((place / "sites").iterdir())) == 2


class _Idle(_Linked):
    """A tool that says that it deployed."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "idle"

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        return Command(("true",))

    def releases(self) -> Command:
        raise Unsupported("it lists nothing")


def test_a_tool_that_does_nothing_is_found_out_and_the_others_go_on(place: Path) -> None:
    """The negative control of the whole: an exit status of 0 is not believed."""
    _needs_rsync()
    suite = Suite("tiny", ("loopback",), _cases("first", "list3"), history=1)
    records = _run(place, suite, [_Idle, _Linked])
    idle = [r for r in records if r.tool == "idle"]
    assert not any(r.counts for r in idle)
    assert "current is no link" in [text for r in idle for text in r.wrong]
    assert all(r.counts or r.counted for r in records if r.tool != "idle")


def test_a_status_and_an_output_are_told_and_cpu_is_counted(place: Path) -> None:
    burn = "import sys; sum(range(3_000_000)); print('said'); sys.exit(3)"
    with Accounts().opened() as accounts:
        sample = measure.run(Command((sys.executable, "-c", burn)), accounts)
    assert (sample.status, sample.output) == (3, "said\n")
    if sample.client_cpu is not None:
        assert 0 < sample.client_cpu <= sample.seconds + 0.1


def test_a_disk_is_fresh_and_goes_away(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        absent("only root can mount a disk")
    image = tmp_path / "disk.img"
    with disk.fresh(image, 1) as mounted:
        assert os.path.ismount(mounted)
        assert "has_journal" in measure.perform(Command(("dumpe2fs", "-h", str(image)))).output
    assert not image.exists()
    assert not mounted.exists()


def test_every_tool_has_a_name_of_its_own() -> None:
    names = [tool.name for tool in all_tools()]
    assert len(set(names)) == len(names)
    assert {tool.group for tool in all_tools()} <= {"opsnb", "rsync", "other"}


def test_a_checkout_is_compiled_once_as_what_pip_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ours"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(setup, "PACKAGE", package)
    setup.as_installed()
    assert len(list(package.rglob("*.pyc"))) == 1
    more = tmp_path / "more.py"
    more.touch()
    subprocess.run([sys.executable, "-c", "import more"], cwd=tmp_path, check=True)
    assert list(tmp_path.glob("__pycache__/more.*.pyc")), "what is run keeps its own"


def test_what_cannot_be_compiled_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.py").write_text("def")
    monkeypatch.setattr(setup, "PACKAGE", tmp_path)
    with pytest.raises(RuntimeError, match="cannot be compiled"):
        setup.as_installed()
