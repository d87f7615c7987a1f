"""Rolling back and forward: where to, what is marked, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import DeployFailed, NoSuchRelease, Restored
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import snapshot


def deployed(server: Server, source: Path, *texts: str) -> list[str]:
    names = []
    for text in texts:
        (source / "index").write_text(text)
        names.append(server.deploy(source).wait().release)
    return names


def state(server: Server, name: str) -> str:
    release = server.look().find(name)
    return str(release.state) if release else "gone"


def test_a_rollback_goes_to_the_good_release_before_and_marks_the_one_it_leaves(
    server: Server, source: Path
) -> None:
    _, second, third = deployed(server, source, "1", "2", "3")
    report = server.rollback(why="slow").wait()
    assert (report.live, report.previous) == (second, third)
    assert state(server, third) == "bad"
    left = server.look().find(third)
    assert left is not None
    assert left.record is not None
    verdict = left.record.verdict
    assert verdict is not None
    assert (verdict.why, verdict.left) == ("slow", True)
    assert verdict.by
    assert (site(server) / "current" / "index").read_text() == "2"


def test_rolling_back_twice_goes_back_twice_and_forward_again_marks_nothing_bad(
    server: Server, source: Path
) -> None:
    first, second, third = deployed(server, source, "1", "2", "3")
    server.rollback().wait()
    assert server.rollback().wait().live == first
    assert server.rollback(to=third).wait().live == third
    assert (state(server, first), state(server, second), state(server, third)) == (
        "good",
        "bad",
        "good",
    )
    assert server.rollback().wait().live == first, "the second was left as bad"


def test_a_rollback_never_selects_an_unfinished_failed_or_foreign_release(
    server: Server, source: Path
) -> None:
    (first,) = deployed(server, source, "1")
    configure(server, health=[{"command": "grep -q 1 index", "retries": 0}])
    with pytest.raises(Restored) as failed:
        deployed(server, source, "broken")
    broken = failed.value.report.release
    configure(server)
    (live,) = deployed(server, source, "3")
    releases = site(server) / "releases"
    shutil.copytree(releases / first, releases / "20200101000000")
    half = "20200202000000"
    shutil.copytree(releases / first, releases / half)
    record = json.loads((site(server) / ".opsnb/records" / f"{first}.json").read_text())
    record |= {"name": half, "seq": 2, "state": "unfinished"}
    (site(server) / ".opsnb/records" / f"{half}.json").write_text(json.dumps(record) + "\n")
    for name in (broken, "20200101000000", half, "20300101000000", "../shared", ""):
        if name:
            with pytest.raises(NoSuchRelease):
                server.rollback(to=name).wait()
    assert server.look().current.name == live
    assert server.rollback().wait().live == first


def test_without_a_good_release_before_it_is_refused_and_the_site_stays(
    server: Server, source: Path
) -> None:
    (only,) = deployed(server, source, "1")
    before = snapshot(site(server))
    with pytest.raises(NoSuchRelease, match="no good release") as failed:
        server.rollback().wait()
    assert failed.value.report.live == only
    assert snapshot(site(server)) == before


def test_a_rollback_to_the_live_release_does_nothing(server: Server, source: Path) -> None:
    (only,) = deployed(server, source, "1")
    assert server.rollback(to=only).wait().outcome is Outcome.NOTHING


def test_a_rollback_works_when_current_is_gone(server: Server, source: Path) -> None:
    _, second = deployed(server, source, "1", "2")
    (site(server) / "current").unlink()
    assert server.rollback().wait().live == second


def test_a_rollback_works_when_current_leads_nowhere(server: Server, source: Path) -> None:
    first, second = deployed(server, source, "1", "2")
    shutil.rmtree(site(server) / "releases" / second)
    assert server.rollback().wait().live == first
    assert (site(server) / "current" / "index").read_text() == "1"


def test_a_rollback_whose_check_fails_is_put_back(server: Server, source: Path) -> None:
    _, second = deployed(server, source, "1", "2")
    configure(server, health=[{"command": "grep -q 2 index", "retries": 0}])
    with pytest.raises(Restored) as failed:
        server.rollback().wait()
    assert failed.value.report.live == second
    assert server.look().current.name == second


def test_a_failed_deploy_evicts_no_good_release(server: Server, source: Path) -> None:
    names = deployed(server, source, "1", "2", "3")
    configure(server, before_publish=["exit 1"])
    for text in ("4", "5", "6", "7"):
        with pytest.raises(DeployFailed):
            deployed(server, source, text)
    kept = [release.name for release in server.look().releases if release.present]
    assert kept == names


def test_a_rollback_is_one_switch_and_copies_nothing(server: Server, source: Path) -> None:
    first, _ = deployed(server, source, "1", "2")
    before = snapshot(site(server) / "releases")
    report = server.rollback().wait()
    assert report.live == first
    assert snapshot(site(server) / "releases") == before
