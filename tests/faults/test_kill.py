"""The server's side dies before each program that it starts: the next deploy succeeds all the same.

The programs with which the agent changes anything stand behind scripts of the tests' own in its
``PATH``. From a chosen one on, each kills the agent's whole session instead: as when the power
goes, nothing is cleared away.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opsnb.core.release import rollback_targets
from opsnb.engine import change as engine
from opsnb.engine.switch import PruneWork
from tests.faults.guarantees import Before, good, live
from tests.faults.test_walk import KEPT, _build, anew, change, deploying, next_deploy, remote_of
from tests.support.site import unlike

CHANGING = ("awk", "chmod", "cp", "ln", "mkdir", "mv", "rm", "sync", "tar", "xargs")
SHIM = """\
#!/bin/sh
echo {name} >>'{count}'
[ "$(wc -l <'{count}')" -lt "$(cat '{at}')" ] || kill -KILL 0
exec '{real}' "$@"
"""


@dataclass(frozen=True)
class Shims:
    """Programs that kill whoever starts one too many.

    Attributes:
        path: What the ``PATH`` is with them.
        count: Where each start is written down.
        at: Where the number of the first one that kills stands.
    """

    path: str
    count: Path
    at: Path

    def arm(self, at: int) -> None:
        """Begin to count; the program of that number and all after it kill."""
        self.count.write_text("")
        self.at.write_text(f"{at}\n")

    @property
    def started(self) -> list[str]:
        """The programs that were started."""
        return self.count.read_text().split()


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """In memory where that is possible: each walk flushes the disk several times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="opsnb-kill-", dir=memory) as base:
        asyncio.run(_build(Path(base)))
        yield Path(base)


@pytest.fixture
def shims(tmp_path: Path) -> Shims:
    folder = tmp_path / "shims"
    folder.mkdir()
    made = Shims(f"{folder}:{os.environ['PATH']}", tmp_path / "count", tmp_path / "at")
    for name in CHANGING:
        real = shutil.which(name)
        assert real
        shim = folder / name
        shim.write_text(SHIM.format(name=name, count=made.count, at=made.at, real=real))
        shim.chmod(0o755)
    return made


async def died(base: Path, template: str, verb: str, shims: Shims, at: int) -> list[str]:
    """A change whose server dies at a program; what is broken then, and after a deploy."""
    site = base / "walked"
    await anew(base / template, site)
    before = Before.of(site, KEPT)
    enough = min(len(good(site)), 3) if verb == "deploy" else 0
    shims.arm(at)
    with pytest.MonkeyPatch.context() as patch:
        # Nobody answers any more: how long the client goes on asking is another test's matter.
        patch.setattr(engine, "CLEANUP", 0.3)
        patch.setenv("PATH", shims.path)
        remote = remote_of(site)
        work = deploying(base / "new") if verb == "deploy" else PruneWork(1)
        _report, error = await change(remote, verb, work)
        await remote.close()
    assert (error is None) is (len(shims.started) < at)
    fresh = remote_of(site)
    offered = [release.name for release in rollback_targets(await fresh.look())]
    await fresh.close()
    broken = before.broken(offered, None)
    broken += [f"G1: {fault}" for fault in unlike(site, live(site))]
    if len(good(site)) < enough:
        broken.append(f"G9: only {len(good(site))} good releases are left")
    broken += await next_deploy(base, site)
    return broken + [f"G8: nobody knows {name}" for name in strangers(site)]


def strangers(site: Path) -> list[str]:
    """Directories in releases/ without a record that were not there before."""
    records = {path.stem for path in (site / ".opsnb" / "records").iterdir()}
    there = {path.name for path in (site / "releases").iterdir()}
    return sorted(there - records - {Path(path).name for path in KEPT})


WALKS = [("spared", "deploy"), ("site", "deploy"), ("spared", "prune")]


@pytest.mark.parametrize(("template", "verb"), WALKS)
async def test_the_server_dies_before_each_program_that_it_starts(
    built: Path, shims: Shims, template: str, verb: str
) -> None:
    """Also in the middle of what a call does: half moved, half linked, half deleted."""
    assert await died(built, template, verb, shims, 1_000_000) == []
    number = len(shims.started)
    assert number > 10
    broken: list[str] = []
    for at in range(1, number + 1):
        found = await died(built, template, verb, shims, at)
        name = shims.started[at - 1] if len(shims.started) >= at else "nothing"
        broken += [f"at {at} ({name}): {fault}" for fault in found]
    assert not broken, "\n".join(broken)
