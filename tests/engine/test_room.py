"""On a disk that is short, old releases go before the new one is made, and no more than needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.errors import NotReady, StalePlan
from opsnb.server import Server
from tests.engine.conftest import configure
from tests.support.disk import small_disk
from tests.support.site import faults
from tests.support.sshd import absent

MB = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    if os.geteuid() != 0:
        absent("only root can mount a file system")
    with small_disk(tmp_path / "place", "24m", 0) as made:
        yield made


@pytest.fixture
def tight(place: Path) -> Iterator[Server]:
    """A site on it."""
    made = configure(Server(f"file://{place}/site", name="tight"), keep_releases=9, recycle=False)
    yield made
    made.close()


def deployed(server: Server, source: Path, *sizes: int) -> list[str]:
    """Releases that hold so many megabytes each; their names."""
    names = []
    for size in sizes:
        (source / "large").write_bytes(os.urandom(size * MB))
        names.append(server.deploy(source).wait().release)
    return names


def test_the_oldest_go_before_the_copy_and_the_log_tells(tight: Server, source: Path) -> None:
    names = deployed(tight, source, 5, 5, 5)
    (source / "large").write_bytes(os.urandom(5 * MB))
    planned = tight.plan(source)
    assert planned.plan.early == (names[0],)
    assert "make room" in planned.plan.retention.remove[names[0]]
    job = tight.deploy(planned)
    report = job.wait()
    assert dict(report.removed) == dict(planned.plan.retention.remove)
    assert {r.name for r in tight.look().releases} == {*names[1:], report.release}
    log = tight.log()
    assert names[0] in log[log["what"] == "deploy.done"]["details"].iloc[-1]
    assert faults(Path(tight.deploy_to), tight) == []


def test_what_is_not_enough_is_refused_with_nothing_removed(tight: Server, source: Path) -> None:
    names = deployed(tight, source, 5, 5, 5)
    tight.pin(names[0]).wait()
    with pytest.raises(NotReady, match="not enough room"):
        deployed(tight, source, 5)
    assert [r.name for r in tight.look().releases] == names
    tight.unpin(names[0]).wait()
    # The live one and the good one before it stay, so 5 MB can be given back and no more.
    with pytest.raises(NotReady, match="not enough room"):
        deployed(tight, source, 12)
    assert [r.name for r in tight.look().releases] == names
    assert deployed(tight, source, 1)
    assert faults(Path(tight.deploy_to), tight) == []


def test_a_deploy_that_fails_after_room_was_made_leaves_the_way_back(
    tight: Server, source: Path
) -> None:
    names = deployed(tight, source, 5, 5, 5)
    configure(tight, keep_releases=9, recycle=False, before_publish=["false"])
    with pytest.raises(Exception, match="false") as failed:
        deployed(tight, source, 5)
    assert dict(failed.value.report.removed).keys() == {names[0]}  # type: ignore[attr-defined]
    assert tight.rollback().wait().live == names[1]
    assert faults(Path(tight.deploy_to), tight) == []


def test_what_was_to_stay_when_it_was_agreed_to_does_not_go_for_the_room(
    tight: Server, source: Path
) -> None:
    configure(tight, keep_releases=1, keep_for="7d", recycle=False)
    names = deployed(tight, source, 3, 3, 3)
    (source / "large").write_bytes(os.urandom(3 * MB))
    agreed = tight.plan(source)
    assert agreed.plan.early == ()
    (Path(tight.deploy_to).parent / "filler").write_bytes(bytes(9 * MB))
    assert tight.plan(source).plan.early  # the control: now there is no room
    with pytest.raises(StalePlan, match="less room than when the plan was made"):
        tight.deploy(agreed).wait()
    assert [r.name for r in tight.look().releases] == names
    assert faults(Path(tight.deploy_to), tight) == []
