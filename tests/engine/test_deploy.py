"""A deploy from a local folder: what it makes, what it sends, what it refuses."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import (
    DeployFailed,
    Locked,
    NotReady,
    NotRestored,
    OpsnbError,
    Restored,
    SourceError,
    StalePlan,
)
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import snapshot

NASTY = [
    b"new\nline",
    b"-rf",
    b"--help",
    b" spaces ",
    b"quote'\"`$(x)",
    b"back\\slash",
    b"\xff\xfe not utf-8",
    b"\x1b]0;x\x07",
    b"n" * 255,
    "ünïcödé".encode(),
    b"*",
]


def everything(folder: Path) -> dict[bytes, object]:
    """Names, kinds, modes and contents of a tree, with names as bytes."""
    found: dict[bytes, object] = {}
    root = os.fsencode(folder)
    for here, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(here, name)
            status = os.lstat(path)
            key = os.path.relpath(path, root)
            if stat.S_ISLNK(status.st_mode):
                found[key] = os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                found[key] = stat.S_IMODE(status.st_mode) & 0o777
            else:
                found[key] = (stat.S_IMODE(status.st_mode), Path(os.fsdecode(path)).read_bytes())
    return found


def test_the_first_deploy_makes_the_path_and_the_layout(server: Server, source: Path) -> None:
    report = server.deploy(source).wait()
    made = site(server)
    assert os.readlink(made / "current") == f"releases/{report.release}"
    assert (made / "current" / "index").read_text() == "one"
    assert (made / "shared").is_dir()
    assert stat.S_IMODE((made / "current").stat().st_mode) & 0o555 == 0o555


def test_any_legal_name_mode_link_and_empty_directory_arrives(server: Server, source: Path) -> None:
    root = os.fsencode(source)
    for number, name in enumerate(NASTY):
        folder = os.path.join(root, b"in " + name[:200])
        os.mkdir(folder)
        Path(os.fsdecode(os.path.join(root, name))).write_text(str(number))
        Path(os.fsdecode(os.path.join(folder, name[:200]))).write_text(str(number))
        os.symlink(name, os.path.join(folder, b"link"))
    deep = source / "/".join(["directory"] * 30)
    deep.mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "run").write_text("#!/bin/sh")
    (source / "run").chmod(0o755)
    (source / "secret").write_text("s")
    (source / "secret").chmod(0o400)
    (source / "dangling").symlink_to("nowhere/at/all")
    server.deploy(source).wait()
    assert everything(site(server) / "current") == everything(source)
    for name in NASTY:
        Path(os.fsdecode(os.path.join(root, name))).write_text("changed")
    server.deploy(source).wait()
    assert everything(site(server) / "current") == everything(source)


def test_only_what_changed_is_sent_by_content_and_not_by_time(server: Server, source: Path) -> None:
    for number in range(20):
        (source / f"file{number}").write_text(str(number))
    assert server.deploy(source).wait().files == 21
    (source / "file3").write_text("changed")
    for path in source.iterdir():
        os.utime(path, (1, 1))
    report = server.deploy(source).wait()
    assert report.files == 1
    assert (site(server) / "current" / "file3").read_text() == "changed"


def test_a_deploy_that_would_change_nothing_makes_no_release_unless_forced(
    server: Server, source: Path
) -> None:
    first = server.deploy(source).wait()
    os.utime(source / "index", (1, 1))
    again = server.deploy(source, revision="other").wait()
    assert (again.outcome, again.live, again.exit_status) == (Outcome.NOTHING, first.live, 0)
    assert len(list((site(server) / "releases").iterdir())) == 1
    assert server.deploy(source, force=True).wait().outcome is Outcome.DONE
    assert len(list((site(server) / "releases").iterdir())) == 2


def test_a_file_becomes_a_directory_and_back(server: Server, source: Path) -> None:
    (source / "kind").write_text("file")
    server.deploy(source).wait()
    (source / "kind").unlink()
    (source / "kind" / "deep").mkdir(parents=True)
    (source / "kind" / "deep" / "file").write_text("x")
    server.deploy(source).wait()
    assert everything(site(server) / "current") == everything(source)
    (source / "kind" / "deep" / "file").unlink()
    (source / "kind" / "deep").rmdir()
    (source / "kind").rmdir()
    (source / "kind").symlink_to("index")
    server.deploy(source).wait()
    assert everything(site(server) / "current") == everything(source)


@pytest.mark.parametrize("copy", ["copy", "hardlink"])
def test_the_live_release_does_not_change_before_the_switch(
    server: Server, source: Path, copy: str
) -> None:
    configure(server, copy=copy, before_publish=["cp -R . ../../seen"])
    for number in range(10):
        (source / f"file{number}").write_text(str(number))
    first = server.deploy(source).wait().release
    before = snapshot(site(server) / "releases" / first)
    (source / "file1").write_text("changed")
    (source / "file2").chmod(0o755)
    (source / "file3").unlink()
    server.deploy(source).wait()
    assert snapshot(site(server) / "releases" / first) == before
    assert everything(site(server) / "current") == everything(source)
    inodes = {(site(server) / "current" / f"file{n}").stat().st_ino for n in (1, 2, 4)}
    shared = inodes & {seen[4] for seen in before.values() if len(seen) > 4}
    assert len(shared) == (1 if copy == "hardlink" else 0)


def test_what_the_application_wrote_is_carried_over_and_listed(
    server: Server, source: Path
) -> None:
    server.deploy(source).wait()
    live = site(server) / "current"
    (live / "cache").mkdir()
    (live / "cache" / "page").write_text("cached")
    (source / "index").write_text("two")
    plan = server.plan(source)
    assert plan.plan.carried == (b"cache", b"cache/page")
    assert "cache/page" in str(plan)
    server.deploy(plan).wait()
    assert (live / "cache" / "page").read_text() == "cached"
    assert (live / "index").read_text() == "two"
    (source / "index").write_text("three")
    server.deploy(source).wait()
    assert (live / "cache" / "page").read_text() == "cached", "and again"


def test_base_clean_equals_the_source(server: Server, source: Path) -> None:
    configure(server, base="clean")
    server.deploy(source).wait()
    (site(server) / "current" / "written").write_text("by the application")
    (source / "index").write_text("two")
    server.deploy(source).wait()
    assert everything(site(server) / "current") == everything(source)


def test_a_file_changed_on_the_server_is_replaced_with_a_warning(
    server: Server, source: Path
) -> None:
    server.deploy(source).wait()
    (site(server) / "current" / "index").write_text("ONE")
    plan = server.plan(source)
    assert plan.plan.overwritten == (b"index",)
    report = server.deploy(plan).wait()
    assert any("index" in warning for warning in report.warnings)
    assert (site(server) / "current" / "index").read_text() == "one"


def test_gitignore_rules_keep_things_out(server: Server, source: Path) -> None:
    configure(server, exclude=["*.map", "/private/"])
    for name in ("a.map", "sub/b.map", "private/key", "sub/private/key", "notes.txt", "keep.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    (source / ".deployignore").write_text("*.txt\n!keep.txt\n")
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("x")
    server.deploy(source).wait()
    found = {p.decode() for p in everything(site(server) / "current")}
    assert found == {"index", "sub", "sub/private", "sub/private/key", "keep.txt"}


def test_a_known_revision_is_written_into_the_release(server: Server, source: Path) -> None:
    server.deploy(source, revision="abc1234").wait()
    assert (site(server) / "current" / "REVISION").read_text() == "abc1234\n"
    (source / "index").write_text("two")
    server.deploy(source, revision="def5678").wait()
    assert (site(server) / "current" / "REVISION").read_text() == "def5678\n"
    assert list(server.releases()["revision"]) == ["def5678", "abc1234"]


def test_a_fifo_in_the_source_is_refused_before_anything_is_sent(
    server: Server, source: Path
) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(SourceError, match=r"pipe \(FIFO\)"):
        server.deploy(source).wait(20)
    assert not site(server).exists()


def test_a_path_that_holds_something_else_is_refused_untouched(
    server: Server, source: Path
) -> None:
    made = site(server)
    (made / "public").mkdir(parents=True)
    (made / "public" / "page").write_text("precious")
    (made / "notes").write_text("x")
    before = snapshot(made)
    with pytest.raises(NotReady, match="notes, public") as refused:
        server.deploy(source).wait()
    assert refused.value.report.exit_status == 11
    assert snapshot(made) == before


@pytest.mark.parametrize("what", ["directory", "file", "dangling", "elsewhere"])
def test_a_current_that_is_no_link_to_a_release_is_explained_and_untouched(
    server: Server, source: Path, what: str
) -> None:
    made = site(server)
    made.mkdir()
    current = made / "current"
    if what == "directory":
        current.mkdir()
    elif what == "file":
        current.write_text("x")
    else:
        current.symlink_to("nowhere" if what == "dangling" else "/usr")
    before = snapshot(made)
    with pytest.raises(NotReady, match="current") as refused:
        server.deploy(source).wait()
    assert refused.value.hint
    assert snapshot(made) == before


def test_a_failing_hook_leaves_the_live_site_and_removes_what_was_built(
    server: Server, source: Path
) -> None:
    first = server.deploy(source).wait()
    before = snapshot(site(server) / "releases")
    configure(server, before_publish=["echo why; exit 7"])
    (source / "index").write_text("two")
    with pytest.raises(DeployFailed, match="exited with 7") as failed:
        server.deploy(source).wait()
    report = failed.value.report
    assert (report.outcome, report.exit_status) == (Outcome.NOT_DONE, 20)
    assert report.live == first.live
    assert snapshot(site(server) / "releases") == before


def test_hooks_run_in_the_new_release_and_know_about_it(server: Server, source: Path) -> None:
    show = 'echo "$OPSNB_RELEASE $OPSNB_PREVIOUS $OPSNB_REVISION $(pwd)"'
    configure(server, before_publish=[f"{show} > built"], after_publish=[f"{show} > after"])
    report = server.deploy(source, revision="r1").wait()
    live = site(server) / "current"
    words = (live / "built").read_text().split()
    assert words == [report.release, "r1", str(live.resolve())]
    assert (live / "after").read_text().split() == words


def test_a_failed_health_check_puts_the_previous_release_back(server: Server, source: Path) -> None:
    check = {"command": "grep -q good index", "retries": 1, "delay": 0}
    configure(server, health=[check])
    (source / "index").write_text("good one")
    first = server.deploy(source).wait()
    (source / "index").write_text("broken")
    with pytest.raises(Restored, match="grep") as failed:
        server.deploy(source).wait()
    report = failed.value.report
    assert (report.outcome, report.exit_status, report.live) == (
        Outcome.RESTORED,
        21,
        first.live,
    )
    assert (site(server) / "current" / "index").read_text() == "good one"
    assert list(server.releases()["state"]) == ["bad", "good"]
    (source / "index").write_text("good again")
    assert server.deploy(source).wait().outcome is Outcome.DONE
    assert server.verify_log() == []


def test_a_first_deploy_that_fails_its_check_cannot_be_put_back(
    server: Server, source: Path
) -> None:
    configure(server, health=[{"command": "false", "retries": 0}])
    with pytest.raises(NotRestored) as failed:
        server.deploy(source).wait()
    assert failed.value.report.exit_status == 22
    configure(server)
    (source / "index").write_text("two")
    assert server.deploy(source).wait().outcome is Outcome.DONE


def test_a_plan_is_refused_when_the_server_has_changed_since(server: Server, source: Path) -> None:
    server.deploy(source).wait()
    (source / "index").write_text("two")
    plan = server.plan(source)
    (source / "index").write_text("three")
    other = server.deploy(source).wait()
    with pytest.raises(StalePlan) as failed:
        server.deploy(plan).wait()
    assert failed.value.report.exit_status == 13
    assert server.look().current.name == other.release


def test_planning_changes_nothing_byte_for_byte(server: Server, source: Path) -> None:
    server.plan(source)
    assert not site(server).exists()
    server.deploy(source).wait()
    (source / "index").write_text("two")
    before = snapshot(site(server))
    server.plan(source)
    server.plan_prune(1)
    server.releases(), server.usage(), server.log(), server.check()
    assert snapshot(site(server)) == before


def test_a_held_server_refuses_every_change_until_it_is_let_go(
    server: Server, source: Path
) -> None:
    server.deploy(source).wait()
    server.hold("migration").wait()
    (source / "index").write_text("two")
    for change in (lambda: server.deploy(source), lambda: server.deploy(source, force=True)):
        with pytest.raises(Locked, match="migration") as failed:
            change().wait()
        assert failed.value.exit_status == 12
    server.unhold().wait()
    assert server.deploy(source).wait().outcome is Outcome.DONE
    assert server.verify_log() == []


def test_records_say_who_what_and_when(server: Server, source: Path) -> None:
    report = server.deploy(source, revision="r9").wait()
    path = site(server) / ".opsnb" / "records" / f"{report.release}.json"
    record = json.loads(path.read_text())
    assert record["state"] == "good"
    assert (record["revision"], record["seq"], record["files"]) == ("r9", 1, 2)
    assert record["by"]
    assert record["at"].endswith("Z")


def test_pruning_keeps_what_it_says_and_says_why(server: Server, source: Path) -> None:
    names = []
    for number in range(6):
        (source / "index").write_text(str(number))
        report = server.deploy(source).wait()
        names.append(report.release)
        if number == 0:
            server.pin(report.release).wait()
    kept = sorted(path.name for path in (site(server) / "releases").iterdir())
    assert kept == [names[0], *names[3:]]
    report = server.prune(2).wait()
    assert dict(report.removed) == {names[3]: "good, older than the 2 that are kept"}
    server.unpin(names[0]).wait()
    assert list(dict(server.prune(2).wait().removed)) == [names[0]]
    assert server.prune(2).wait().outcome is Outcome.NOTHING


def test_pruning_follows_no_link_out_of_the_releases(server: Server, source: Path) -> None:
    canary = site(server).parent / "canary"
    canary.mkdir()
    (canary / "file").write_text("alive")
    for number in range(3):
        (source / "index").write_text(str(number))
        server.deploy(source).wait()
    oldest = sorted((site(server) / "releases").iterdir())[0]
    for child in oldest.iterdir():
        child.unlink()
    oldest.rmdir()
    oldest.symlink_to(canary)
    (source / "link").symlink_to(canary)
    server.deploy(source).wait()
    (site(server) / "releases" / "foreign").mkdir()
    server.prune(1).wait()
    assert (canary / "file").read_text() == "alive"
    assert (site(server) / "releases" / "foreign").is_dir()


def test_an_error_of_the_server_is_said_with_its_reason(server: Server, source: Path) -> None:
    server.deploy(source).wait()
    configure(server, before_publish=["rm -rf ../../.opsnb/manifests"])
    (source / "index").write_text("two")
    with pytest.raises(OpsnbError, match="manifests") as failed:
        server.deploy(source).wait()
    assert failed.value.exit_status == 20
