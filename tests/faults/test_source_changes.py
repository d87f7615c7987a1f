"""The source changes while it is read: the deploy fails before the switch, or all is well.

A file grows, shrinks, is replaced, becomes a FIFO, a directory or a link to a secret; right after
the folder was read, and without a pause while a deploy runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.plan import Wish
from opsnb.engine import asked
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.source import scan
from tests.faults.conftest import Tell
from tests.faults.guarantees import live, whole
from tests.faults.lab import SETTINGS, WHOLE, Lab, change, in_memory, source
from tests.support.matrix import Row

FAULT = "the source changes while it is read"
SIZE = 3_000_000
ROUNDS = 60 if WHOLE else 8
HANGS = 30.0  # seconds; long after any of these deploys has ended


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with in_memory() as base:
        made = Lab(base)
        asyncio.run(made.build())
        (base / "secret").write_text("a secret of the operator's")
        (base / "secrets").mkdir()
        (base / "secrets" / "inside").write_text("a secret of the operator's")
        yield made


def becomes(make: Callable[[Path], object]) -> Callable[[Path, Path], None]:
    """A file is replaced by something else."""

    def replace(path: Path, _secret: Path) -> None:
        gone(path, _secret)
        make(path)

    return replace


def gone(path: Path, _secret: Path) -> None:
    """It is no longer there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def leads_to(path: Path, secret: Path) -> None:
    """It is a link to a secret now."""
    gone(path, secret)
    path.symlink_to(secret)


def above_leads_to(path: Path, secret: Path) -> None:
    """The directory above it is a link to where secrets are."""
    path.parent.rename(path.parent.with_name("away"))
    path.parent.symlink_to(secret.with_name("secrets"))


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "is gone": gone,
    "is empty": becomes(lambda path: path.write_bytes(b"")),
    "is shorter": becomes(lambda path: path.write_bytes(b"y" * (SIZE // 2))),
    "is longer": becomes(lambda path: path.write_bytes(b"y" * (SIZE * 2))),
    "is another one of the same size": becomes(lambda path: path.write_bytes(b"y" * SIZE)),
    "is a FIFO": becomes(os.mkfifo),
    "is a directory": becomes(Path.mkdir),
    "is a link to a secret": leads_to,
    "lies below a link to secrets": above_leads_to,
    "may not be read": lambda path, _secret: path.chmod(0),
}


def deploying_then(folder: Path, meanwhile: Callable[[], object]) -> DeployWork:
    """A deploy of a folder, and what happens right after it was read."""

    async def read(_tell: asked.Tell) -> tuple[Any, Any]:
        scanned = await asyncio.to_thread(scan, folder)
        wish = Wish(scanned.manifest, str(folder), SETTINGS, revision="r", by="me", host="here")
        await asyncio.to_thread(meanwhile)
        return wish, scanned

    return DeployWork(Order(read))


async def deploy(lab: Lab, site: Path, work: DeployWork) -> tuple[Any, list[str]]:
    """A deploy that must end; its report, and what does not hold."""
    before = live(site)
    remote = lab.remote(site)
    report, error = await asyncio.wait_for(change(remote, "deploy", work), HANGS)
    await remote.close()
    broken = [f"G1: {fault}" for fault in whole(site, live(site))]
    if error is not None and live(site) != before:
        broken.append(f"it failed, and {live(site)} is live: {error}")
    if error is not None and error.exit_status == 1:
        broken.append(f"it ended with {error!r}")
    held = b"a secret of the operator's"
    for path in (site / "releases").rglob("*"):
        if path.is_file() and not path.is_symlink() and held in path.read_bytes():
            broken.append(f"a secret was sent: {path}")
    return report, broken


@pytest.mark.parametrize("how", CHANGES)
async def test_a_file_that_is_no_longer_what_was_read_is_never_published_as_it(
    lab: Lab, how: str, tell: Tell
) -> None:
    folder = source(lab.base / "changing", "j" * 10)
    large = folder / "sub" / "large"
    large.write_bytes(b"x" * SIZE)
    site = await lab.anew("site")
    work = deploying_then(folder, lambda: CHANGES[how](large, lab.base / "secret"))
    report, broken = await deploy(lab, site, work)
    shutil.rmtree(folder)
    # Root reads what may not be read: then it is a file whose mode alone has changed.
    if report.exit_status != 20 and not (how == "may not be read" and os.geteuid() == 0):
        broken.append(f"it ended with {report.exit_status}")
    broken += await lab.next_deploy(site)
    tell(Row(FAULT, f"a file {how}", 1, 1, len(broken)))
    assert not broken


class Writer(threading.Thread):
    """Changes files without a pause.

    Args:
        folder: The source.
        secret: A file outside of it.
    """

    def __init__(self, folder: Path, secret: Path) -> None:
        super().__init__()
        self._folder, self._secret = folder, secret
        self.over = threading.Event()
        self.changes = 0

    def run(self) -> None:
        """Change them until it is over."""
        kinds = [name for name in CHANGES if "below" not in name and "FIFO" not in name]
        while not self.over.is_set():
            for name in kinds:
                path = self._folder / f"moving{self.changes % 7}"
                with suppress(OSError):
                    CHANGES[name](path, self._secret)
                    gone(path, self._secret)
                    path.write_bytes(b"z" * (self.changes % 5000))
                self.changes += 1


async def test_a_source_that_is_written_to_without_a_pause_is_never_half_published(
    lab: Lab, tell: Tell
) -> None:
    broken: list[str] = []
    ended = {"done": 0, "refused": 0}
    for number in range(ROUNDS):
        site = await lab.anew("site")
        folder = source(lab.base / "moving", f"{number:020}", 300)
        for index in range(7):
            (folder / f"moving{index}").write_text("at first")
        writer = Writer(folder, lab.base / "secret")
        writer.start()
        try:
            report, found = await deploy(lab, site, deploying_then(folder, lambda: None))
        finally:
            writer.over.set()
            writer.join()
        ended["refused" if report.exit_status else "done"] += 1
        broken += found
        broken += await lab.next_deploy(site)
    kind = f"written to without a pause: {ended['done']} done, {ended['refused']} refused"
    tell(Row(FAULT, kind, ROUNDS, ROUNDS, len(broken)))
    assert not broken


def test_the_control_a_naive_copy_publishes_half_a_file_and_a_secret(lab: Lab, tell: Tell) -> None:
    """A list is made, then each file on it is copied: what ``cp -L`` and many uploads do."""
    folder = source(lab.base / "naive", "k" * 11)
    listed = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    leads_to(folder / "index", lab.base / "secret")
    copied = {path.name: path.read_bytes() for path in listed}
    found = int(b"secret" in copied["index"])
    tell(Row(FAULT, "control: list, then copy", 1, 1, found, True))
    assert found
