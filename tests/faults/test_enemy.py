"""What prune, deploy and rollback may never touch, whoever laid it in their way.

Canary files stand outside of the site. Links lead to them, directories are mounted over releases,
and an application swaps directories for links to them while opsnb works.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from opsnb.core.retention import Rules
from opsnb.engine.switch import PruneWork
from tests.faults.conftest import Tell
from tests.faults.guarantees import live, snapshot
from tests.faults.lab import WHOLE, Lab, change, deploying, in_memory, source
from tests.support.matrix import Row
from tests.support.sshd import ROOT_RUNS_AS, absent, require

NAMES = ("index", "kind", "sub", "uploads", "deep")
ROUNDS = 40 if WHOLE else 6
FAULT = "an enemy of prune and shared/"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with in_memory() as base:
        made = Lab(base, bulk=60)
        asyncio.run(made.build())
        yield made


@pytest.fixture
def outside(lab: Lab) -> Path:
    """Canaries, under every name that a release has."""
    folder = lab.base / "outside"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        for inner in ("index", "a", "bb", "ccc", "inside", "photo", "canary"):
            (folder / name / inner).write_text("canary")
        (folder / name / "sub").mkdir()
        (folder / name / "sub" / "canary").write_text("canary")
    return folder


async def work(
    lab: Lab, site: Path, texts: tuple[str, ...] = ("hhhhhhhh", "iiiiiiiii")
) -> list[str]:
    """Deploys and a prune; what did not succeed."""
    broken = []
    for text in texts:
        remote = lab.remote(site)
        made = deploying(source(lab.base / "more", text, lab.bulk))
        error = (await change(remote, "deploy", made))[1]
        await remote.close()
        broken += [f"{text}: {error}"] if error else []
    remote = lab.remote(site)
    error = (await change(remote, "prune", PruneWork(Rules(1))))[1]
    await remote.close()
    return broken + ([f"prune: {error}"] if error else [])


def oldest(site: Path) -> Path:
    """The oldest release that a prune takes: the pinned one stays."""
    names = sorted(path.name for path in (site / "releases").iterdir() if path.name > "2020010101")
    return site / "releases" / names[1]


@pytest.mark.parametrize("place", ["releases", "shared", "the live release"])
async def test_links_out_of_the_tree_are_never_followed(
    lab: Lab, outside: Path, place: str, tell: Tell
) -> None:
    """To a directory, to a file, with a trailing slash, absolute, relative, and in a loop."""
    site = await lab.anew("site")
    where = {
        "releases": oldest(site),
        "shared": site / "shared",
        "the live release": site / "releases" / live(site),
    }[place]
    targets = (outside, outside / "sub", outside / "index" / "canary")
    odd = (f"{outside}/sub/", "loop0", ".")
    for number, target in enumerate([*map(str, targets), *odd]):
        (where / f"loop{number}").symlink_to(target)
    (where / "relative").symlink_to(f"{'../' * len(where.parents)}{outside}")
    before, shared = snapshot(outside), snapshot(site / "shared")
    broken = await work(lab, site)
    broken += ["G6: a canary is gone"] if snapshot(outside) != before else []
    broken += ["G5: shared/ changed"] if snapshot(site / "shared") != shared else []
    tell(Row(FAULT, f"links out of {place}", 7, 7, len(broken)))
    assert not broken


@contextmanager
def mounted(what: Path, over: Path) -> Iterator[None]:
    """A directory that stands at another place too."""
    if os.geteuid() != 0:
        absent("only root can mount a directory over another")
    over.mkdir(exist_ok=True)
    mount = [require("mount"), "--bind", str(what), str(over)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        absent(f"a directory cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        # It may have been renamed with what it stands in.
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            point = line.split()[4]
            if point.startswith(str(over.parents[2])):
                subprocess.run([require("umount"), point], check=True)


@pytest.mark.parametrize("place", ["a release", "in a release", "in shared"])
async def test_what_is_mounted_in_the_site_is_never_emptied(
    lab: Lab, outside: Path, place: str, tell: Tell
) -> None:
    site = await lab.anew("site")
    over = {
        "a release": oldest(site),
        "in a release": oldest(site) / "mounted",
        "in shared": site / "shared" / "mounted",
    }[place]
    before = snapshot(outside)
    with mounted(outside, over):
        broken = await work(lab, site)
        if snapshot(outside) != before:
            broken.append("G6: a canary is gone")
    if place == "a release":
        broken = [fault for fault in broken if not fault.startswith("prune")]
    broken += await lab.next_deploy(site)
    tell(Row(FAULT, f"a mount: {place}", 1, 1, len(broken)))
    assert not broken


async def test_what_belongs_to_somebody_else_is_left_and_said(lab: Lab, tell: Tell) -> None:
    """An application wrote into a release, as a user of its own; opsnb runs without privileges."""
    if os.geteuid() != 0:
        absent("only root can give files to two users")
    site = await lab.anew("site")
    theirs = oldest(site) / "cache"
    theirs.mkdir()
    (theirs / "written").write_text("by the application")
    for path in (theirs, theirs / "written"):
        os.chown(path, ROOT_RUNS_AS, ROOT_RUNS_AS)
    broken = await work(lab, site)
    broken += await lab.next_deploy(site)
    tell(Row(FAULT, "files of another user", 1, 1, len(broken)))
    assert not broken


class Swapper(threading.Thread):
    """An application that swaps directories for links to the canaries and back, without a pause.

    In ``shared/``, in every release that was ever finished, and in what is left of those that went.
    Not in the one that is being built: that is closed to other accounts (test_enemy_inside.py), and
    this one has opsnb's own.

    Args:
        site: The site.
        outside: Where the canaries are.
    """

    def __init__(self, site: Path, outside: Path) -> None:
        super().__init__()
        self._site, self._outside = site, outside
        self.over = threading.Event()
        self.swaps = 0

    def run(self) -> None:
        """Swap until it is over."""
        while not self.over.is_set():
            for tree in self._trees():
                for name in NAMES:
                    with suppress(OSError):
                        self._swap(tree / name)

    def _trees(self) -> list[Path]:
        ours = self._site / ".opsnb"
        found = [self._site / "shared"]
        for folder in (self._site / "releases", ours / "trash", ours / "spare"):
            with suppress(OSError):
                found += [path for path in folder.iterdir() if not path.is_symlink()]
        return [path for path in found if path.name not in self._unfinished()]

    def _unfinished(self) -> set[str]:
        names = set()
        for path in (self._site / ".opsnb" / "records").glob("*.json"):
            with suppress(OSError):
                if '"unfinished"' in path.read_text():
                    names.add(path.stem)
        return names

    def _swap(self, path: Path) -> None:
        aside = path.with_name(f".{path.name}.aside")
        if path.is_symlink() or not path.is_dir():
            return
        path.rename(aside)
        path.symlink_to(self._outside / path.name)
        self.swaps += 1
        path.unlink()
        aside.rename(path)


async def test_an_application_that_swaps_directories_for_links_gains_nothing(
    lab: Lab, outside: Path, tell: Tell
) -> None:
    """Its deploys may fail; nothing outside of the site is deleted or written."""
    broken: list[str] = []
    swaps = 0
    for number in range(ROUNDS):
        site = await lab.anew("spared", f"walked{number}")
        before = snapshot(outside)
        swapper = Swapper(site, outside)
        swapper.start()
        try:
            await work(lab, site, ("h" * (8 + number % 2), "i" * (9 + number % 2)))
        finally:
            swapper.over.set()
            swapper.join()
        swaps += swapper.swaps
        changed = before.items() ^ snapshot(outside).items()
        broken += [f"G6: {path}" for path in sorted({path for path, _ in changed})]
    tell(Row(FAULT, "directories swapped for links", swaps, ROUNDS, len(broken)))
    assert swaps > 10 * ROUNDS
    assert not broken


def test_the_control_naive_steps_delete_what_is_outside(
    lab: Lab, outside: Path, tell: Tell
) -> None:
    """``rm -rf name/`` follows a link; ``find -L -delete`` does."""
    site = lab.base / "site"
    before = snapshot(outside)
    (site / "releases" / "link").symlink_to(outside)
    script = "cd releases && rm -rf link/* && find -L . -name canary -delete"
    subprocess.run(["/bin/sh", "-c", script], cwd=site, check=False)
    found = int(snapshot(outside) != before)
    tell(Row(FAULT, "control: rm -rf link/*", 1, 1, found, True))
    assert found
