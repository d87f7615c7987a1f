"""A file system that is really full: of bytes or of inodes, known before or not.

What can be known is refused before anything is made. What cannot (somebody else fills the disk
while the deploy runs) fails before the switch and says that the disk is full; when there is room
again the next deploy succeeds with no hand work.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.guarantees import live, snapshot
from tests.faults.lab import Lab, change, deploying, source
from tests.faults.test_source_changes import deploying_then
from tests.support.disk import Disk, small_disk
from tests.support.matrix import Row
from tests.support.sshd import absent

FAULT = "a full disk"
FILES = 1000
BYTES = 24 << 20
KINDS = ("tmpfs, bytes", "tmpfs, inodes", "ext4, bytes", "ext4, inodes")
NAIVE = "cp -r {new} releases/20990101000000; ln -sfn releases/20990101000000 current"


@pytest.fixture(params=KINDS)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A site on a small disk; its sources are elsewhere."""
    if os.geteuid() != 0:
        absent("only root can mount a file system")
    kind, what = request.param.split(", ")
    inodes = 900 if what == "inodes" else 0
    with ExitStack() as stack:
        if kind == "tmpfs":
            place = stack.enter_context(small_disk(tmp_path / "place", "24m", inodes))
        else:
            options = ("-m", "0", *(("-N", str(inodes)) if inodes else ()))
            disk = Disk(tmp_path / "image", tmp_path / "place", "ext4", BYTES, options)
            place = stack.enter_context(disk).place
        made = Lab(place)
        asyncio.run(made.build())
        yield made


def too_much(folder: Path, kind: str) -> Path:
    """A source for which there is no room."""
    source(folder, "m" * 12)
    if kind.endswith("inodes"):
        for number in range(FILES):
            (folder / f"small{number}").write_text("x")
    else:
        (folder / "large").write_bytes(os.urandom(BYTES))
    return folder


def fill(place: Path, kind: str) -> None:
    """Leave no room for anything more."""
    rest = place / "rest"
    rest.mkdir(exist_ok=True)
    with suppress(OSError):
        for number in range(100_000):
            (rest / str(number)).write_bytes(b"" if kind.endswith("inodes") else bytes(1 << 16))
    if kind.endswith("bytes"):
        with suppress(OSError), (rest / "last").open("ab", buffering=0) as file:
            while file.write(b"x"):
                pass


def make_room(place: Path) -> None:
    """Remove what filled it."""
    for path in (place / "rest").iterdir():
        path.unlink()


async def test_what_can_be_known_is_refused_before_anything_is_made(
    lab: Lab, tmp_path: Path, request: pytest.FixtureRequest, tell: Tell
) -> None:
    kind = request.node.callspec.params["lab"]
    site = await lab.anew("site")
    before = snapshot(site)
    remote = lab.remote(site)
    work = deploying(too_much(tmp_path / "much", kind))
    _report, error = await change(remote, "deploy", work)
    await remote.close()
    broken = [] if snapshot(site) == before else ["something was made"]
    if error is None or "not enough" not in error.message:
        broken.append(f"it ended with {error}")
    broken += await lab.next_deploy(site)
    tell(Row(FAULT, f"known before, {kind}", 1, 1, len(broken)))
    assert not broken


async def test_what_cannot_be_known_fails_before_the_switch_and_is_named(
    lab: Lab, tmp_path: Path, request: pytest.FixtureRequest, tell: Tell
) -> None:
    """Somebody else takes the room between the look and the first file."""
    kind = request.node.callspec.params["lab"]
    site = await lab.anew("site")
    before = lab.before(site, "site")
    new = source(tmp_path / "new", "n" * 13, bulk=60)
    remote = lab.remote(site)
    work = deploying_then(new, lambda: fill(lab.base, kind))
    report, error = await change(remote, "deploy", work)
    await remote.close()
    broken = before.broken([], report)
    if live(site) != before.live:
        broken.append("it was published")
    if error is None or not any(word in str(error) for word in ("full", "No space", "room")):
        broken.append(f"it ended with {error}")
    make_room(lab.base)
    broken += await lab.next_deploy(site)
    tell(Row(FAULT, f"not known before, {kind}", 1, 1, len(broken)))
    assert not broken


async def test_the_control_a_naive_script_publishes_what_did_not_fit(
    lab: Lab, request: pytest.FixtureRequest, tmp_path: Path, tell: Tell
) -> None:
    kind = request.node.callspec.params["lab"]
    site = await lab.anew("site")
    new = source(tmp_path / "new", "n" * 13, bulk=60)
    fill(lab.base, kind)
    script = NAIVE.format(new=new)
    process = await asyncio.create_subprocess_shell(script, cwd=site, stderr=-3)
    await process.wait()
    last = site / "current" / "bulk59"
    half = not last.is_file() or last.stat().st_size != (new / "bulk59").stat().st_size
    make_room(lab.base)
    tell(Row(FAULT, f"control: cp, ln -sfn, {kind}", 1, 1, int(half), True))
    assert half
