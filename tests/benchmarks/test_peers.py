"""Each of the other tools deploys, keeps, rolls back and prunes: seen on the server's disk."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.benchmarks import check, measure, trees
from tests.benchmarks.target import Loopback, Server
from tests.benchmarks.tools import Command, Tool, Unsupported, peer
from tests.benchmarks.tools.peer import Peer, installed, run

FILES = 300
LISTS_NOTHING = {"capistrano", "shipit"}
REMOVES_WHAT_IT_ROLLED_BACK = {"capistrano", "ansible"}


def made(name: str) -> Tool:
    """A tool, set up; the benchmark alone needs them, so CI may do without."""
    module = importlib.import_module(f"tests.benchmarks.tools.{name}")
    tool: Tool = module.tools()[0]
    if missing := tool.missing():
        pytest.skip(f"{name}: {missing}")
    return tool


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="opsnb-benchmark-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def at(tool: Tool, server: Server) -> Iterator[Path]:
    """A tool with a site; yields where that is."""
    target = server.target("site")
    tool.open(target)
    yield target.deploy_to
    tool.close()


def plant(folder: Path) -> Path:
    """A tree of three hundred files, some with names that are not plain."""
    folder.mkdir()
    trees.tiny(folder)
    for number in range(FILES - 44):
        path = folder / "more" / f"{number % 7}" / f"{number}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number % 256]) * number)
    for name in (".hidden", "with a space", "é"):
        (folder / name).write_text(name)
    assert len(trees.files(folder)) == FILES
    return folder


def perform(command: Command) -> str:
    """Run an operation; return what it said."""
    answer = measure.perform(command)
    assert answer.status == 0, answer.output[-3000:]
    return answer.output


@pytest.mark.parametrize("name", ["capistrano", "shipit", "ansible", "fabric"])
def test_it_deploys_keeps_lists_and_rolls_back(name: str, place: Path) -> None:
    tool, tree = made(name), plant(place / "tree")
    before = place / "before"
    with Server(place, Loopback(), place) as server:
        server.clear("site")
        with at(tool, server) as site:
            for number in (1, 2, 3):
                shutil.rmtree(before, ignore_errors=True)
                shutil.copytree(tree, before, symlinks=True)
                trees.edit(tree, 3, number)
                (tree / f"new-{number}").write_text("new\n")
                (tree / "more" / "1" / f"{7 * number + 1}.dat").unlink()
                perform(tool.deploy(tree, 2))
                assert check.different(tree, check.live(site)) == []
            assert check.different(before, check.live(site)) != []  # the negative control
            assert len(check.releases(site)) == 2
            lists(tool, site)
            perform(tool.rollback())
            assert check.different(before, check.live(site)) == []
            left = 1 if name in REMOVES_WHAT_IT_ROLLED_BACK else 2
            assert len(check.releases(site)) == left


def lists(tool: Tool, site: Path) -> None:
    """It lists every release, or says that it has no such thing."""
    if tool.name in LISTS_NOTHING:
        with pytest.raises(Unsupported, match="lists no releases"):
            tool.releases()
        return
    told = perform(tool.releases())
    assert all(release in told for release in check.releases(site))
    assert os.readlink(site / "current") in told


@pytest.mark.parametrize("name", ["capistrano", "shipit", "ansible", "fabric"])
def test_a_site_that_was_laid_out_is_pruned(name: str, place: Path) -> None:
    tool, tree = made(name), plant(place / "tree")
    with Server(place, Loopback(), place) as server:
        server.lay_out("site", tree, 6)
        with at(tool, server) as site:
            made_at_their_times(site)
            newest = check.releases(site)[-3:]
            perform(tool.prune(3))
            assert check.releases(site) == newest
            assert check.live(site).name == newest[-1]


def made_at_their_times(site: Path) -> None:
    """Ansistrano goes by when a release was changed last, and not by its name."""
    for number, name in enumerate(check.releases(site)):
        os.utime(site / "releases" / name, (number, number))


def test_nothing_of_a_tool_stays_behind(place: Path) -> None:
    tool = made("fabric")
    assert isinstance(tool, Peer)
    with Server(place, Loopback(), place) as server:
        with at(tool, server):
            folder = tool.folder
            assert folder.is_dir()
        assert not folder.exists()


class _Absent(Peer):
    name = "absent"

    def set_up(self) -> None:
        run("sh", "-c", "echo there is no such package; exit 1")


def test_it_is_said_why_a_tool_is_missing() -> None:
    assert _Absent().missing() == "cannot be set up: sh: there is no such package"


def test_a_set_up_that_failed_is_begun_anew_and_a_complete_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "CACHE", tmp_path)
    tries: list[list[str]] = []

    def install(folder: Path) -> None:
        tries.append(os.listdir(folder))
        (folder / "half").touch()
        if len(tries) == 1:
            raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        installed("it", install)
    assert installed("it", install) == installed("it", install) == tmp_path / "it"
    assert tries == [[], []]
