"""Releases made of the one that was pruned last: the same as copies, and nobody else is hurt."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsnb.cli import plans
from opsnb.core.events import Outcome
from opsnb.engine.look import RECENT
from opsnb.errors import DeployFailed, Restored
from opsnb.remote.base import Finish
from opsnb.remote.held import PosixHeld
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import live, snapshot
from tests.support.disk import small_disk
from tests.support.site import NASTY, everything, faults, tree
from tests.support.sshd import RealSshd

ASIDE = Path(".opsnb") / "spare" / "tree"
Hold = Callable[[Path], set[int]]


def deploy(server: Server, source: Path, text: str) -> Path:
    """Deploy another text; the new release's directory."""
    (source / "index").write_text(text)
    report = server.deploy(source).wait()
    assert report.outcome is Outcome.DONE
    return site(server) / "releases" / report.release


@pytest.fixture
def aside(server: Server, source: Path) -> Path:
    """A site with two releases and one kept aside; where that is."""
    configure(server, keep_releases=2)
    tree(source, {"a": "a", "b": "b", "sub/c": "c", "sub/deep/d": "d"}, clear=False)
    for text in ("1", "2", "3"):
        deploy(server, source, text)
    assert (site(server) / ASIDE).is_dir()
    return site(server) / ASIDE


def inodes(folder: Path) -> set[int]:
    """The inodes of a tree's files."""
    return {path.lstat().st_ino for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Gives the inodes of a tree's files, and keeps their numbers from being given to others."""
    handles: list[int] = []

    def held(folder: Path) -> set[int]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        handles.extend(os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in files)
        return inodes(folder)

    yield held
    for handle in handles:
        os.close(handle)


def times(folder: Path) -> dict[str, int]:
    """When each file and link was written, but for links into shared/, which are made anew."""
    return {
        str(path.relative_to(folder)): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if (path.is_file() and not path.is_symlink())
        or (path.is_symlink() and "shared" not in os.readlink(path))
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


# --- the same as a copy ----------------------------------------------------------------------

Edit = Callable[[Path, random.Random, int], object]


def some_file(folder: Path, chance: random.Random) -> Path:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return chance.choice(files)


def same_size(folder: Path, chance: random.Random, number: int) -> None:
    path = some_file(folder, chance)
    status = path.stat()
    path.write_bytes(bytes([65 + number % 26]) * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def becomes_directory(folder: Path, chance: random.Random, number: int) -> None:
    path = some_file(folder, chance)
    path.unlink()
    path.mkdir()
    (path / f"inside{number}").write_text(str(number))


def becomes_link(folder: Path, chance: random.Random, number: int) -> None:
    path = some_file(folder, chance)
    path.unlink()
    path.symlink_to(f"nowhere{number % 2}")


def goes(folder: Path, chance: random.Random, number: int) -> None:
    path = some_file(folder, chance)
    path.unlink()
    if path.parent != folder and not any(path.parent.iterdir()):
        path.parent.rmdir()


def comes(folder: Path, chance: random.Random, number: int) -> None:
    above = folder / f"sub{chance.randrange(3)}" / f"new{number}"
    for up in reversed(above.parents):
        if up.is_relative_to(folder) and (up.is_symlink() or up.is_file()):
            up.unlink()
    above.mkdir(parents=True, exist_ok=True)
    (above / "file").write_text(f"new {number}")


EDITS: list[Edit] = [
    lambda folder, chance, number: some_file(folder, chance).write_text(f"changed {number}"),
    same_size,
    lambda folder, chance, number: some_file(folder, chance).chmod(chance.choice((0o600, 0o755))),
    lambda folder, chance, number: os.utime(some_file(folder, chance), (number, number)),
    becomes_directory,
    becomes_link,
    goes,
    comes,
    comes,
]


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each release that was made of one kept aside, whether it was found just as expected."""
    found: list[bool] = []
    real = PosixHeld.finish_reused

    async def finish(self: PosixHeld, name: str, base: str, gist: str) -> Finish | None:
        told = await real(self, name, base, gist)
        found.append(told is None)
        return told

    monkeypatch.setattr(PosixHeld, "finish_reused", finish)
    return found


def test_many_releases_in_a_row_are_what_copies_would_be(
    tmp_path: Path, source: Path, hold: Hold, untold: list[bool]
) -> None:
    """Two sites are given the same sources, and are rolled back at the same times."""
    chance = random.Random(20260325)
    tree(source, {f"d{n % 5}/e{n % 3}/f{n}": "x" * (n % 4) for n in range(40)}, clear=False)
    for name in NASTY[:9]:
        with open(os.fsencode(source) + b"/" + name, "wb") as file:
            file.write(name)
    sites = [Server(f"file://{tmp_path}/{kind}", name=kind) for kind in ("recycled", "copied")]
    recycled = 0
    for server in sites:
        # This process holds files of what leaves, to see their inodes again.
        held = {"keep_in_use": False, "recycle": server.name == "recycled"}
        configure(server, keep_releases=2, **held)
        (site(server) / "shared" / "d1").mkdir(parents=True)
        (site(server) / "shared" / "d1" / "uploads").mkdir()
        (site(server) / "shared" / "conf").write_text("precious")
    for number in range(24):
        for _ in range(chance.randrange(1, 5)):
            chance.choice(EDITS)(source, chance, number)
        (source / "number").write_text(str(number))
        before = hold(site(sites[0]) / ASIDE)
        trees = []
        for server in sites:
            was = live(site(server))
            kept = snapshot(site(server) / "releases" / was) if was else {}
            assert server.deploy(source).wait().outcome is Outcome.DONE
            if was:
                assert snapshot(site(server) / "releases" / was) == kept, "G2, to the inode"
            trees.append(site(server) / "releases" / live(site(server)))
            assert faults(site(server), server) == []
        recycled += bool(before & inodes(trees[0]))
        assert everything(trees[0]) == everything(trees[1])
        assert contents(trees[0]) == contents(trees[1])
        assert times(trees[0]) == times(trees[1])
        if number % 7 == 5:
            assert sites[0].rollback().wait().outcome is sites[1].rollback().wait().outcome
    assert recycled > 15, "most of them were made of the one kept aside"
    assert sum(untold) == recycled, "and how each of them looks was foretold"
    assert not (site(sites[1]) / ".opsnb" / "spare").exists()
    for server in sites:
        server.close()


def test_directories_that_nobody_may_write_to_are_recycled_as_an_ordinary_user(
    source: Path, hold: Hold
) -> None:
    """Root needs no permission; this user does."""
    recycled = 0
    with RealSshd() as sshd:
        server = Server(sshd.url(sshd.home / "site"), ssh_config=sshd.ssh_config)
        configure(server, keep_releases=2)
        for number in range(8):
            folder = tree(source, {"closed/deep/file": "1", "closed/same": "x", "open": "1"})
            (folder / "closed" / "deep" / "file").write_text(str(number))
            (folder / f"new{number}" / "deep").mkdir(parents=True)
            (folder / f"new{number}" / "deep" / "file").write_text("1")
            if number % 2:
                (folder / f"new{number - 1}" / "deep").mkdir(parents=True)
                (folder / f"new{number - 1}" / "deep" / "file").write_text("2")
            closed = [path for path in folder.rglob("*") if path.is_dir()]
            for path in closed:
                path.chmod(0o555)
            before = hold(sshd.home / "site" / ASIDE)
            assert server.deploy(folder).wait().outcome is Outcome.DONE
            made = sshd.home / "site" / "current"
            assert everything(made) == everything(folder)
            assert faults(site(server), server) == []
            recycled += bool(before & inodes(made.resolve()))
            for path in closed:
                path.chmod(0o755)
        assert server.prune(1).wait().warnings == ()
        assert not (sshd.home / "site" / ".opsnb" / "spare").exists()
        server.close()
    assert recycled >= 4


# --- what somebody else did to it ------------------------------------------------------------


def rewrite(path: Path) -> None:
    """Other content of the same size, and the time as it was."""
    status = path.stat()
    path.write_bytes(b"X" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    """A file is now something else."""
    path.unlink()
    make(path)


def replaced_by_link(path: Path) -> None:
    """A directory is now a link to one that holds the same names."""
    canary = path.parents[3] / "canary"
    shutil.copytree(path, canary)
    shutil.rmtree(path)
    path.symlink_to(canary)


MEDDLING: dict[str, Callable[[Path], object]] = {
    "a file rewritten": lambda aside: rewrite(aside / "a"),
    "a file next to what is sent": lambda aside: rewrite(aside / "sub" / "other"),
    "another mode": lambda aside: (aside / "a").chmod(0o600),
    "another mode of a directory": lambda aside: (aside / "sub").chmod(0o700),
    "a file more": lambda aside: (aside / "more").write_text("x"),
    "a file more next to what is sent": lambda aside: (aside / "sub" / "more").write_text("x"),
    "a directory more": lambda aside: (aside / "sub" / "more").mkdir(),
    "a link more": lambda aside: (aside / "link").symlink_to("a"),
    "a file less": lambda aside: (aside / "a").unlink(),
    "a second name": lambda aside: os.link(aside / "a", aside.parents[2] / "second"),
    "a directory that is a link": lambda aside: replaced_by_link(aside / "sub"),
    "a directory less": lambda aside: shutil.rmtree(aside / "sub" / "deep"),
    "a file that is a directory": lambda aside: replaced(aside / "a", os.mkdir),
    "a fifo": lambda aside: replaced(aside / "a", os.mkfifo),
    "everything": shutil.rmtree,
    "its listing": lambda aside: (aside.parent / "stats").write_bytes(b""),
    "its listing torn": lambda aside: (aside.parent / "stats").write_bytes(b"f 644 1 1"),
    "its record": lambda aside: (aside.parent / "record").write_text("{"),
    "its manifest": lambda aside: (aside.parent / "manifest").write_text("opsnb-manifest 1\n"),
}


@pytest.mark.parametrize("how", MEDDLING)
def test_a_release_aside_in_which_somebody_did_anything_is_never_used(
    server: Server, source: Path, aside: Path, how: str, monkeypatch: pytest.MonkeyPatch, hold: Hold
) -> None:
    """The live release is copied, and outside the one kept aside nothing is touched."""
    monkeypatch.setenv("OPSNB_CACHE", str(source.parent / "empty"))
    (source / "sub" / "other").write_text("o")
    for text in ("4", "5", "6", "7"):
        deploy(server, source, text)
    known = hold(aside)
    MEDDLING[how](aside)
    shutil.rmtree(source.parent / "empty")
    monkeypatch.setattr(RECENT, "get", lambda _: None)  # what is recent to no process, either
    canary = site(server) / "canary"
    before = {path: snapshot(path) for path in (canary, site(server) / "shared")}
    kept = live(site(server))
    tree_before = snapshot(site(server) / "releases" / kept)
    (source / "sub" / "sent").write_text("sent")
    made = deploy(server, source, "8")
    assert everything(made) == everything(source)
    assert contents(made) == contents(source)
    assert not known & inodes(made), "nothing of it is used"
    assert {path: snapshot(path) for path in before} == before
    assert snapshot(site(server) / "releases" / kept) == tree_before
    assert faults(site(server), server) == []
    monkeypatch.undo()
    used = hold(aside)
    assert used & inodes(deploy(server, source, "9")), "and the next one is as good as ever"


def test_the_control_a_release_aside_that_nobody_touched_is_used(
    server: Server, source: Path, aside: Path, hold: Hold
) -> None:
    known = hold(aside)
    assert len(known & inodes(deploy(server, source, "4"))) == 4


def test_a_second_name_keeps_its_content_and_its_mode(
    server: Server, source: Path, aside: Path
) -> None:
    """Also where the new release has another mode for the same content."""
    backup = site(server).parent / "backup"
    os.link(aside / "a", backup)
    before = (backup.stat().st_mode, backup.read_bytes(), backup.stat().st_mtime_ns)
    (source / "a").chmod(0o755)
    made = deploy(server, source, "4")
    assert (backup.stat().st_mode, backup.read_bytes(), backup.stat().st_mtime_ns) == before
    assert everything(made) == everything(source)


def test_what_was_changed_in_a_part_that_goes_anyway_is_no_hindrance(
    server: Server, source: Path, aside: Path, hold: Hold
) -> None:
    known = hold(aside)
    rewrite(aside / "index")
    (aside / "sub" / "deep" / "more").write_text("x")
    shutil.rmtree(source / "sub" / "deep")
    made = deploy(server, source, "4")
    assert known & inodes(made)
    assert everything(made) == everything(source)


# --- when the live release is copied ---------------------------------------------------------

COPIED = {
    "the application wrote": lambda tree: (tree / "cache").write_text("cached"),
    "a file was changed": lambda tree: (tree / "a").write_text("changed"),
    "a file was removed": lambda tree: (tree / "a").unlink(),
    "a mode was changed": lambda tree: (tree / "a").chmod(0o600),
}


@pytest.mark.parametrize("why", COPIED)
def test_a_live_release_that_is_not_wholly_known_is_copied(
    server: Server, source: Path, aside: Path, why: str, hold: Hold
) -> None:
    COPIED[why](site(server) / "current")
    known = hold(aside)
    made = deploy(server, source, "4")
    assert not known & inodes(made)
    assert (made / "cache").exists() is (why == "the application wrote")
    assert faults(site(server)) == []


def test_with_hooks_before_the_switch_the_live_release_is_copied(
    server: Server, source: Path, aside: Path, hold: Hold
) -> None:
    """Whatever a hook does, nobody could tell it from what somebody else did."""
    known = hold(aside)
    rewrite(aside / "a")
    configure(server, keep_releases=2, before_publish=["true"])
    made = deploy(server, source, "4")
    assert (made / "a").read_text() == "a"
    assert not known & inodes(made)
    assert not aside.exists()


def test_what_a_hook_built_is_never_kept_aside(server: Server, source: Path) -> None:
    configure(server, keep_releases=2, before_publish=["echo built > built"])
    for text in ("1", "2", "3"):
        deploy(server, source, text)
    configure(server, keep_releases=2)
    for text in ("4", "5", "6"):
        assert (deploy(server, source, text) / "built").exists()
        assert not (site(server) / ASIDE).exists()


# --- never fewer good releases, and room -----------------------------------------------------


def test_a_deploy_that_fails_after_all_leaves_every_good_release(
    server: Server, source: Path, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(site(server) / "releases")
    (source / "index").write_text("4")
    plan = server.plan(source)
    (source / "index").write_text("changed after it was planned")
    with pytest.raises(DeployFailed):
        server.deploy(plan).wait()
    assert snapshot(site(server) / "releases") == before
    assert faults(site(server), server) == []
    deploy(server, source, "5")


def test_a_release_that_fails_its_check_leaves_every_good_release(
    server: Server, source: Path, aside: Path, hold: Hold
) -> None:
    before = snapshot(site(server) / "releases")
    known = hold(aside)
    configure(server, keep_releases=2, health=[{"command": "false", "retries": 0}])
    (source / "index").write_text("bad")
    with pytest.raises(Restored) as failed:
        server.deploy(source).wait()
    bad = site(server) / "releases" / failed.value.report.release
    assert known & inodes(bad)
    after = snapshot(site(server) / "releases")
    assert {path: after.get(path) for path in before} == before
    configure(server, keep_releases=2)
    deploy(server, source, "5")
    assert faults(site(server), server) == []


@pytest.fixture
def small(tmp_path: Path, source: Path) -> Iterator[Server]:
    """A site on a file system of 2 MB with two releases of 300 kB and one kept aside."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        server = Server(f"file://{disk}/site", name="small")
        configure(server, keep_releases=2)
        (source / "big").write_bytes(os.urandom(300_000))
        for text in ("1", "2", "3"):
            deploy(server, source, text)
        yield server
        server.close()


def leave(server: Server, free: int) -> None:
    """Fill the disk until so many bytes are free."""
    status = os.statvfs(site(server))
    rest = status.f_bavail * status.f_bsize - free
    (site(server) / "shared" / "fill").write_bytes(b"x" * rest)


def test_what_is_aside_gives_way_when_the_room_is_needed(small: Server, source: Path) -> None:
    (site(small) / "current" / "cache").write_text("so that the live release is copied")
    leave(small, 200_000)
    (source / "index").write_text("4")
    plan = small.plan(source)
    assert plan.plan.clears_spare
    assert "the release kept aside" in str(plan)
    assert small.deploy(plan).wait().outcome is Outcome.DONE
    assert faults(site(small)) == []


def test_a_release_made_of_the_one_aside_needs_no_room(
    small: Server, source: Path, hold: Hold
) -> None:
    known = hold(site(small) / ASIDE)
    leave(small, 200_000)
    assert known & inodes(deploy(small, source, "4"))
    assert faults(site(small), small) == []


def test_where_it_will_not_do_its_room_is_there_for_the_copy(small: Server, source: Path) -> None:
    rewrite(site(small) / ASIDE / "index")
    rewrite(site(small) / ASIDE / "big")
    leave(small, 200_000)
    made = deploy(small, source, "4")
    assert (made / "big").read_bytes() == (source / "big").read_bytes()
    assert faults(site(small), small) == []


def test_nothing_is_kept_aside_where_there_is_not_twice_its_room(
    small: Server, source: Path
) -> None:
    leave(small, 500_000)
    deploy(small, source, "4")
    assert not (site(small) / ".opsnb" / "spare").exists()


def test_on_another_file_system_nothing_is_kept_aside(tmp_path: Path, source: Path) -> None:
    """A rename would be a copy there, and the copy's inodes would be strangers."""
    (tmp_path / "site").mkdir()
    with small_disk(tmp_path / "site" / "releases", "4m"):
        server = Server(f"file://{tmp_path}/site", name="split")
        configure(server, keep_releases=2)
        for text in ("1", "2", "3", "4"):
            deploy(server, source, text)
            assert not (site(server) / ".opsnb" / "spare").exists()
        assert faults(site(server), server) == []
        server.close()


# --- pruning, switching it off, and what it takes --------------------------------------------


def test_a_prune_clears_it_also_when_nothing_else_goes(
    server: Server, source: Path, aside: Path
) -> None:
    before = snapshot(site(server) / "releases")
    plan = server.plan_prune()
    assert not plan.nothing
    told = "\n".join(line.plain for line in plans.lines(plan, server))
    assert "remove   the release kept aside" in told
    report = server.prune(plan).wait()
    assert (report.outcome, report.removed) == (Outcome.DONE, ())
    assert not aside.parent.exists()
    assert snapshot(site(server) / "releases") == before
    assert server.plan_prune().nothing
    assert server.prune().wait().outcome is Outcome.NOTHING
    assert server.verify_log() == []
    deploy(server, source, "4")


def test_a_prune_of_releases_clears_it_too(server: Server, source: Path, aside: Path) -> None:
    configure(server, keep_releases=5)
    for text in ("4", "5", "6"):
        deploy(server, source, text)
    report = server.prune(2).wait()
    assert len(report.removed) == 3
    assert not aside.parent.exists()
    assert faults(site(server), server) == []


@pytest.mark.parametrize("said", [{"copy": "hardlink"}, {"recycle": False}])
def test_where_it_is_switched_off_none_is_kept_and_the_one_there_goes(
    server: Server, source: Path, aside: Path, said: dict[str, object]
) -> None:
    configure(server, keep_releases=2, **said)
    for text in ("4", "5", "6"):
        deploy(server, source, text)
        assert not aside.parent.exists()


def test_what_shares_its_files_with_another_release_is_never_kept_aside(
    server: Server, source: Path
) -> None:
    """Releases that were made with hard links, and then the setting was changed."""
    configure(server, keep_releases=2, copy="hardlink")
    (source / "a").write_text("a")
    for text in ("1", "2"):
        deploy(server, source, text)
    configure(server, keep_releases=2)
    for text in ("3", "4", "5", "6", "7"):
        before = {path: snapshot(path) for path in (site(server) / "releases").iterdir()}
        (source / "a").chmod(0o600 if int(text) % 2 else 0o644)
        deploy(server, source, text)
        after = {path: snapshot(path) for path in before if path.exists()}
        assert {path: before[path] for path in after} == after
        assert faults(site(server), server) == []


def test_usage_shows_what_it_takes(server: Server, source: Path, aside: Path) -> None:
    (source / "big").write_bytes(b"x" * 100_000)
    for text in ("4", "5", "6"):
        deploy(server, source, text)
    used = server.usage().set_index("name")
    assert list(used.index[-2:]) == ["kept aside", "shared"]
    kept = used.loc["kept aside"]
    assert kept["apparent"] > 100_000
    assert kept["own"] == kept["disk"] >= 100_000
    server.prune().wait()
    assert "kept aside" not in list(server.usage()["name"])
