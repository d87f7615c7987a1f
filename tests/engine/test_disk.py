"""A disk that is full at any time: nothing live changes, and what filled it is cleared away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import NotReady, OpsnbError
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import Before, debris, snapshot
from tests.support.disk import small_disk
from tests.support.site import faults


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Server]:
    """A site on a file system of 2 MB."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        server = Server(f"file://{disk}/site", name="small")
        yield server
        server.close()


def test_a_release_that_does_not_fit_is_refused_before_anything_is_made(
    small: Server, source: Path
) -> None:
    small.deploy(source).wait()
    (source / "big").write_bytes(os.urandom(3 << 20))
    before = snapshot(site(small))
    with pytest.raises(NotReady, match="not enough room"):
        small.deploy(source).wait()
    assert snapshot(site(small)) == before


@pytest.mark.parametrize("where", [".", "../../shared"])
def test_a_hook_that_fills_the_disk_fails_the_deploy_and_the_next_one_succeeds(
    small: Server, source: Path, where: str
) -> None:
    """What it wrote into the release goes with the release; what it wrote elsewhere is its own."""
    small.deploy(source).wait()
    before = Before.of(site(small))
    configure(small, before_publish=[f"dd if=/dev/zero of={where}/fill 2>&1; rm -f index; true"])
    (source / "index").write_text("two")
    with pytest.raises(OpsnbError) as failed:
        small.deploy(source).wait()
    report = failed.value.report
    assert (report.outcome, report.exit_status) == (Outcome.NOT_DONE, 20)
    (site(small) / "shared" / "fill").unlink(missing_ok=True)
    assert before.broken([], report) == []
    if where == ".":
        assert debris(site(small)) == []
    configure(small)
    (source / "index").write_text("three")
    assert small.deploy(source).wait().outcome is Outcome.DONE
    assert faults(site(small), small) == []


def test_a_disk_that_fills_up_after_the_switch_puts_the_previous_release_back_or_says_not(
    small: Server, source: Path
) -> None:
    small.deploy(source).wait()
    before = Before.of(site(small))
    fill = "dd if=/dev/zero of=../../shared/fill 2>&1; false"
    configure(small, after_publish=[fill])
    (source / "index").write_text("two")
    with pytest.raises(OpsnbError) as failed:
        small.deploy(source).wait()
    report = failed.value.report
    live = small.look().current.name
    assert report.exit_status == (21 if live == before.live else 22)
    assert report.live == live
    (site(small) / "shared" / "fill").unlink()
    configure(small)
    (source / "index").write_text("three")
    assert small.deploy(source).wait().outcome is Outcome.DONE
    assert faults(site(small), small) == []


def test_on_a_full_disk_a_prune_and_a_rollback_still_work(small: Server, source: Path) -> None:
    names = []
    for text in ("1", "2", "3"):
        (source / "index").write_text(text)
        (source / "data").write_bytes(os.urandom(100_000))
        names.append(small.deploy(source).wait().release)
    fill = site(small) / "shared" / "fill"
    with fill.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    with pytest.raises(OSError, match="No space"):
        (site(small) / "probe").write_text("x")
    (site(small) / "probe").unlink()
    assert small.prune(2).wait().outcome is Outcome.DONE
    assert sorted(path.name for path in (site(small) / "releases").iterdir()) == names[1:]
    assert small.rollback().wait().live == names[1]
    fill.unlink()
    assert faults(site(small), small) == []
