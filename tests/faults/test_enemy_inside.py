"""Whoever may write into a release that is being built cannot lead what is done in it astray.

The application has an account of its own, and a hand in every directory: the releases belong to it,
or anybody may write into them. opsnb runs as root here, whom no right stops. It copies, removes,
unpacks, sets modes and links while directories are swapped for links to canaries.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opsnb.remote import agent
from tests.faults.conftest import Tell
from tests.faults.guarantees import snapshot
from tests.faults.lab import TRIED, WHOLE, Lab, change, deploying, in_memory
from tests.support.matrix import Row
from tests.support.sshd import ROOT_RUNS_AS, absent

FAULT = "directories of the release being built swapped for links"
DIRS = 12
TEXTS = ("one", "two", "three", "four")
ROUNDS = 40 if WHOLE else int(TRIED) if TRIED.isdigit() else 3
CONTROLS = 60
Give = Callable[[Path], None]


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    if os.geteuid() != 0:
        absent("only root can run an application as another user")
    with in_memory() as folder:
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def lab(base: Path) -> Lab:
    """``spared`` has three releases and one kept aside."""
    made = Lab(base)
    asyncio.run(build(made))
    return made


async def build(lab: Lab) -> None:
    spread(lab.base / "after", "after")
    site = lab.base / "made"
    for text in ("zero", *TEXTS):
        assert (await deploy(lab, site, text)) is None
    assert (site / ".opsnb" / "spare" / "tree").is_dir()
    site.rename(lab.base / "spared")


def spread(folder: Path, text: str) -> Path:
    """A tree with many directories; in each something goes and comes, and changes its mode."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "index").write_text(text)
    for number in range(DIRS):
        below = folder / f"d{number}" / f"e{number}"
        below.mkdir(parents=True)
        for place in (below, below.parent):
            (place / text).write_text(text * 50)
            (place / "stays").write_text("the same")
            (place / "stays").chmod(0o644 if len(text) % 2 else 0o640)
        below.chmod(0o755 if len(text) % 2 else 0o750)
    return folder


async def deploy(lab: Lab, site: Path, text: str) -> Any:
    """Deploy a text; the error when there was one."""
    remote = lab.remote(site)
    error = (await change(remote, "deploy", deploying(spread(lab.base / "source", text))))[1]
    await remote.close()
    return error


@pytest.fixture
def outside(base: Path) -> Iterator[Path]:
    """Canaries; only root could touch them."""
    folder = canaries(base / "outside")
    yield folder
    shutil.rmtree(folder)


def canaries(folder: Path) -> Path:
    """Files under every name that a release has."""
    for number in range(DIRS):
        for place in (f"d{number}", f"e{number}", f"d{number}/e{number}"):
            (folder / place).mkdir(parents=True)
            for name in ("zero", *TEXTS, "stays"):
                (folder / place / name).write_text("canary")
                (folder / place / name).chmod(0o600)
            (folder / place).chmod(0o711)
    return folder


def owned(site: Path) -> None:
    """All trees become the application's own."""
    for path in [*trees(site), *(below for tree in trees(site) for below in tree.rglob("*"))]:
        os.chown(path, ROOT_RUNS_AS, ROOT_RUNS_AS, follow_symlinks=False)


def open_to_all(site: Path) -> None:
    """Anybody may write into the trees."""
    for path in [*trees(site), *(below for tree in trees(site) for below in tree.rglob("*"))]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o777)


def trees(site: Path) -> list[Path]:
    """Every release, the one kept aside, and ``shared/``."""
    aside = [path for path in [site / ".opsnb" / "spare" / "tree"] if path.exists()]
    return [*(site / "releases").iterdir(), *aside, site / "shared"]


@contextmanager
def swapping(site: Path, outside: Path, who: int = ROOT_RUNS_AS) -> Iterator[list[int]]:
    """The application at work; at the end, how often it swapped a directory."""
    script = Path(__file__).with_name("swapper.py")
    program: list[str | Path] = [sys.executable, script, site, outside, str(who)]
    running = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    swaps: list[int] = []
    try:
        yield swaps
    finally:
        out, _ = running.communicate(timeout=60)
        swaps.append(int(out or 0))


async def rounds(lab: Lab, outside: Path, give: Give, most: int) -> tuple[int, list[str]]:
    """Deploys beside the application, over and over; the swaps, and what went astray."""
    swaps, astray = 0, []
    before = snapshot(outside)
    for number in range(most):
        site = await given(lab, give)
        with swapping(site, outside) as told:
            for text in ("five", "sixsix", "seven"):
                await deploy(lab, site, text)
        swaps += told[0]
        changed = {path for path, _ in before.items() ^ snapshot(outside).items()}
        if changed:
            return swaps, [f"round {number}: {path}" for path in sorted(changed)]
        astray += [f"round {number}: {fault}" for fault in await lab.next_deploy(site)]
    return swaps, astray


async def given(lab: Lab, give: Give) -> Path:
    """A site into which the application may write."""
    site = await lab.anew("spared")
    give(site)
    await lab.relist(site)
    return site


@pytest.mark.parametrize("give", [owned, open_to_all])
async def test_nothing_outside_is_touched_and_the_next_deploy_needs_no_hand_work(
    lab: Lab, outside: Path, give: Give, tell: Tell
) -> None:
    swaps, astray = await rounds(lab, outside, give, ROUNDS)
    tell(Row(FAULT, give.__name__.replace("_", " "), swaps, ROUNDS, len(astray)))
    assert swaps > 10 * ROUNDS
    assert not astray, "\n".join(astray)


OPEN = {
    'mkdir -m 700 "releases/$new"': 'made "releases/$new"',
    'find "releases/$1" -mindepth 1 -maxdepth 1 -exec cp $how -t "releases/$2" {} +': (
        'cp $how "releases/$1/." "releases/$2/"'
    ),
    "{ say 'somebody has put a link where a directory was'; return 1; }": ":",
    "chmod 700 .opsnb/spare/tree &&": "",
    '[ "$odd" = seen ] ||': ": ||",
    'passable "$1" ||': ": ||",
}
"""The control: as it would be if the release were open while it is built."""


async def test_the_control_in_a_release_that_is_open_to_others_opsnb_goes_astray(
    lab: Lab, base: Path, outside: Path, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(agent.__file__).with_name("agent.sh").read_text()
    for mended, open_ in OPEN.items():
        assert text.count(mended) == 1, mended
        text = text.replace(mended, open_)
    (base / "agent.sh").write_text(text)
    monkeypatch.setattr(agent, "_bare", (base / "agent.sh").read_bytes)
    swaps, astray = await rounds(lab, outside, owned, CONTROLS)
    tell(Row(FAULT, "control: open while it is built", swaps, CONTROLS, len(astray), True))
    assert any("G8" not in fault for fault in astray)
