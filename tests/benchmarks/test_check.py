"""The check finds whatever a tool did wrong, and is content with what is right."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import check, trees

NAME = "20260301000000"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of every kind."""
    folder = tmp_path / "tree"
    folder.mkdir()
    trees.tiny(folder)
    return folder


@pytest.fixture
def site(tmp_path: Path, tree: Path) -> Path:
    """A site whose live release is that tree."""
    deploy_to = tmp_path / "site"
    shutil.copytree(tree, deploy_to / "releases" / NAME, symlinks=True)
    (deploy_to / "current").symlink_to(f"releases/{NAME}")
    return deploy_to


def test_a_right_site_passes(site: Path, tree: Path) -> None:
    assert check.deployed(site, tree, keep=1) == []


def _chmod(release: Path) -> None:
    (release / "run.sh").chmod(0o644)


def _relink(release: Path) -> None:
    (release / "latest").unlink()
    (release / "latest").symlink_to("part-1/1.txt")


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda r: (r / "part-0" / "0.txt").unlink(), "part-0/0.txt is missing"),
        (lambda r: (r / "extra").touch(), "extra is too many"),
        (lambda r: (r / "empty").rmdir(), "empty is missing"),
        (lambda r: (r / "part-0" / "0.txt").write_text("file 1\n"), "has other content"),
        (_chmod, "run.sh is - 644, not - 755"),
        (_relink, "latest has other content"),
    ],
)
def test_a_wrong_release_is_found(
    site: Path, tree: Path, harm: Callable[[Path], None], found: str
) -> None:
    harm(site / "releases" / NAME)
    assert any(found in each for each in check.deployed(site, tree, keep=1))


def test_a_wrong_link_is_found(site: Path) -> None:
    current = site / "current"
    for target, found in (
        (str(site / "releases" / NAME), "not relative"),
        ("releases/none", "no release"),
        (".", "no release"),
    ):
        current.unlink()
        current.symlink_to(target)
        assert found in check.linked(site)[0]
        assert (check.linked(site, relative=False) == []) == (found == "not relative")
    current.unlink()
    current.mkdir()
    assert check.linked(site) == ["current is no link"]


def test_one_release_too_many_is_found(site: Path, tree: Path) -> None:
    (site / "releases" / "20260301000100").mkdir()
    assert check.deployed(site, tree, keep=1) == ["2 releases, not 1 at most"]
    assert check.deployed(site, tree, keep=2) == []
