"""As an ordinary user of a real server: nobody's rights but his own are needed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import NotReady, OpsnbError
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import Before, snapshot
from tests.support.proxy import Relay
from tests.support.site import NASTY, everything, faults, tree
from tests.support.sshd import RealSshd

CUTS = 24


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture
def remote(sshd: RealSshd, request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(sshd.url(sshd.home / request.node.name[:60]), ssh_config=sshd.ssh_config)
    yield made
    made.close()


def test_directories_that_nobody_may_write_to_are_made_changed_and_removed(
    remote: Server, source: Path, sshd: RealSshd
) -> None:
    """Root needs no permission; this user does, also to delete what he closed himself."""
    tree(source, {"closed/deep/file": "1", "closed/gone": "x", "open": "1"}, clear=False)
    closed = [source / "closed" / "deep", source / "closed"]

    def close() -> None:
        for folder in closed:
            folder.chmod(0o555)

    close()
    for number, text in enumerate(("1", "2", "3", "4"), 1):
        for folder in closed:
            folder.chmod(0o755)
        (source / "closed" / "deep" / "file").write_text(text)
        (source / "closed" / "deep" / f"new{number}").write_text(text)
        (source / "closed" / "gone").unlink(missing_ok=True)
        (source / "closed" / "deep" / f"new{number - 2}").unlink(missing_ok=True)
        close()
        report = remote.deploy(source).wait()
        assert report.outcome is Outcome.DONE
        made = everything(site(remote) / "current")
        assert made == everything(source)
        assert made[b"closed/deep"].mode == 0o555
        assert faults(site(remote), remote) == []
    remote.rollback().wait()
    report = remote.prune(1).wait()
    assert report.warnings == ()
    assert faults(site(remote), remote) == []
    assert {path.lstat().st_uid for path in site(remote).rglob("*")} == {sshd.uid}


def test_releases_that_he_may_not_write_to_are_told_before_anything_is_made(
    remote: Server, source: Path
) -> None:
    remote.deploy(source).wait()
    releases = site(remote) / "releases"
    releases.chmod(0o555)
    before = snapshot(site(remote))
    (source / "index").write_text("two")
    wrong = {finding.item: finding for finding in remote.findings() if not finding.ok}
    assert set(wrong) == {"rights", "ready"}
    with pytest.raises(NotReady, match=r"may not write to .*/releases"):
        remote.deploy(source).wait()
    assert snapshot(site(remote)) == before
    releases.chmod(0o755)
    assert remote.deploy(source).wait().outcome is Outcome.DONE


def test_a_directory_that_he_closes_in_the_live_release_hinders_nothing(
    remote: Server, source: Path, sshd: RealSshd
) -> None:
    tree(source, {"sub/deep/file": "1"}, clear=False)
    remote.deploy(source).wait()
    live = site(remote) / "current"
    (live / "sub" / "written").write_text("by the application")
    sshd.own(live.resolve())
    for path in (live / "sub" / "deep", live / "sub", live.resolve()):
        path.chmod(0o555)
    before = Before.of(site(remote))
    (source / "sub" / "deep" / "file").write_text("2")
    remote.deploy(source).wait()
    tree_of_first = snapshot(site(remote) / "releases" / before.live)
    assert tree_of_first == before.tree
    assert (live / "sub" / "written").read_text() == "by the application"
    assert (live / "sub" / "deep" / "file").read_text() == "2"
    for text in ("3", "4", "5"):
        (source / "sub" / "deep" / "file").write_text(text)
        assert remote.deploy(source).wait().warnings[1:] == ()
    assert not (site(remote) / "releases" / before.live).exists()
    assert faults(site(remote), remote) == []


def test_a_path_that_he_may_not_write_to_is_refused(sshd: RealSshd, source: Path) -> None:
    closed = sshd.home / "closed"
    closed.mkdir()
    closed.chmod(0o755)
    for path in (closed, closed / "new" / "site"):
        server = Server(sshd.url(path), ssh_config=sshd.ssh_config)
        with pytest.raises(NotReady, match="may not write"):
            server.deploy(source).wait()
        server.close()
    assert not list(closed.iterdir())


def test_an_empty_directory_that_is_there_takes_the_first_deploy(
    remote: Server, source: Path, sshd: RealSshd
) -> None:
    site(remote).mkdir()
    sshd.own(site(remote))
    assert remote.deploy(source).wait().outcome is Outcome.DONE
    assert faults(site(remote), remote) == []


def test_any_legal_name_in_shared_is_linked_and_gone_deeper_into(
    remote: Server, source: Path, sshd: RealSshd
) -> None:
    shared = os.fsencode(site(remote) / "shared")
    for number, name in enumerate(NASTY):
        inside = os.path.join(shared, b"in " + name[:200], b"deeper " + name[:200])
        os.makedirs(inside)
        Path(os.fsdecode(os.path.join(inside, name))).write_text(str(number))
        Path(os.fsdecode(os.path.join(shared, name))).write_text(str(number))
        os.makedirs(os.path.join(os.fsencode(source), b"in " + name[:200]))
    sshd.own(site(remote))
    before = snapshot(site(remote) / "shared")
    report = remote.deploy(source).wait()
    live = os.fsencode((site(remote) / "current").resolve())
    for name in NASTY:
        deeper = os.path.join(b"in " + name[:200], b"deeper " + name[:200])
        assert os.readlink(os.path.join(live, name)) == b"../../shared/" + name
        assert os.readlink(os.path.join(live, deeper)) == b"../../../shared/" + deeper
    (source / "index").write_text("two")
    assert remote.deploy(source).wait().previous == report.release
    assert remote.deploy(source).wait().outcome is Outcome.NOTHING
    assert snapshot(site(remote) / "shared") == before
    assert faults(site(remote), remote) == []


def test_listed_directories_with_any_legal_name_are_made_and_seeded(
    remote: Server, source: Path
) -> None:
    names = [os.fsdecode(name) for name in NASTY if name.isascii()]
    configure(remote, linked_dirs=[f"{name[:200]}.made" for name in names] + names)
    for name in names:
        (source / name).mkdir()
        (source / name / "sample").write_text(name)
    remote.deploy(source).wait()
    for name in names:
        assert (site(remote) / "shared" / name / "sample").read_text() == name
        assert (site(remote) / "shared" / f"{name[:200]}.made").is_dir()
        assert (site(remote) / "current" / name).is_symlink()
    assert faults(site(remote), remote) == []


def test_a_hook_that_leaves_a_talking_process_behind_spoils_no_later_answer(
    remote: Server, source: Path
) -> None:
    """Whatever it says after its hook has ended comes between the answers of later steps."""
    talk = "(while sleep 0.002; do printf 'GET /page 200\\n'; done) &"
    configure(remote, before_publish=[talk, "sleep 0.2", "echo calm"])
    for text in ("1", "2", "3"):
        tree(source, {f"many/{number}": text for number in range(200)}, clear=False)
        job = remote.deploy(source)
        assert job.wait(60).outcome is Outcome.DONE
        assert any("calm" in getattr(event, "text", "") for event in job.events)
        assert faults(site(remote), remote) == []


def test_a_line_cut_anywhere_gives_a_true_verdict_and_the_next_deploy_succeeds(
    sshd: RealSshd, source: Path
) -> None:
    """At bytes chosen by chance, from a fixed seed, up and down, over a whole redeploy."""
    chance, broken = random.Random(20260325), []
    where = sshd.home / "cut"
    straight = Server(sshd.url(where), ssh_config=sshd.ssh_config)
    tree(source, {f"file{number}": str(number) * 500 for number in range(20)}, clear=False)
    straight.deploy(source).wait()
    for number in range(CUTS):
        before = Before.of(where)
        tree(source, {f"file{number % 20}": str(number) * 9000, "index": str(number)}, clear=False)
        with Relay(sshd.port) as relay:
            one = Server(f"ssh://web1{where}", ssh_config=sshd.via(relay.port))
            one.look()
            span = (30_000, 22_000)[number % 2]
            after = chance.randrange(1, span)
            relay.cut_after(**{("up", "down")[number % 2]: after})
            job = one.deploy(source)
            deadline = time.monotonic() + 60
            while not job.done:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            one.close()
        seen = straight.look()
        offered = [r.name for r in seen.releases if str(r.state) == "good"]
        found = before.broken(offered, job.report)
        (source / "index").write_text(f"after {number}")
        try:
            straight.deploy(source).wait(60)
        except OpsnbError as error:
            found.append(f"G8: {error}")
        found += faults(where, straight)
        broken += [f"cut after {after} {('up', 'down')[number % 2]}: {each}" for each in found]
    straight.close()
    assert not broken, "\n".join(broken)
