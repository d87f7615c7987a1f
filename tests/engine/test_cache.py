"""What is remembered of a source is only ever a saving: what has changed is always read again."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.core.manifest import Manifest
from opsnb.engine import cache, look
from opsnb.engine import source as under_test
from opsnb.engine.source import Memory, Source, scan
from opsnb.errors import DeployFailed
from opsnb.server import Server
from tests.core import worlds
from tests.engine.conftest import configure, site
from tests.support.disk import small_disk
from tests.support.sshd import absent


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own, and files that count as settled after a moment."""
    place = tmp_path / "cache"
    monkeypatch.setenv("OPSNB_CACHE", str(place))
    monkeypatch.setattr(under_test, "SETTLED", 1_000_000)
    return place


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, as they are."""
    names: list[str] = []
    really = under_test._digest

    def digest(path: bytes, size: int) -> tuple[int, str]:
        names.append(os.path.basename(os.fsdecode(path)))
        return really(path, size)

    monkeypatch.setattr(under_test, "_digest", digest)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dist"
    (made / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c\nd"):
        (made / name).write_text(name)
    time.sleep(0.05)
    return made


def right(found: Source, folder: Path) -> bool:
    """Whether a scan is what one that remembers nothing gives."""
    return found.manifest.encode() == scan(folder).manifest.encode()


# --- what is read again ----------------------------------------------------------------------


def test_what_has_not_changed_is_not_read_again_in_this_process_nor_in_the_next(
    folder: Path, read: list[str]
) -> None:
    memory = Memory()
    first = scan(folder, memory=memory)
    assert sorted(read) == ["a", "b", "c\nd"]
    read.clear()
    second = scan(folder, memory=memory)
    third = scan(folder, memory=Memory())
    assert read == []
    assert second.manifest is first.manifest, "whoever compares them sees it at once"
    assert third.manifest.encode() == first.manifest.encode()


def rewrite(path: Path) -> None:
    """Other content of the same size, and the time as it was."""
    status = path.stat()
    path.write_text("X" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def exchange(path: Path) -> None:
    """Another file of the same size and time in its place."""
    other, status = path.with_name("other"), path.stat()
    other.write_text("X" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


CHANGES = {
    "rewritten, its time restored": rewrite,
    "another file in its place": exchange,
    "longer": lambda path: path.write_text("longer than it was"),
    "touched": os.utime,
    "another mode": lambda path: path.chmod(0o755),
    "a second name": lambda path: os.link(path, path.with_name("second")),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("process", ["this", "the next"])
def test_a_file_that_was_changed_in_any_way_is_read_again(
    folder: Path, read: list[str], how: str, process: str
) -> None:
    memory = Memory()
    scan(folder, memory=memory)
    read.clear()
    CHANGES[how](folder / "a")
    found = scan(folder, memory=memory if process == "this" else Memory())
    assert set(read) >= {"a"}
    assert "b" not in read
    assert right(found, folder)


def test_what_came_and_what_went_is_seen(folder: Path, read: list[str]) -> None:
    memory = Memory()
    scan(folder, memory=memory)
    (folder / "a").unlink()
    (folder / "new").write_text("new")
    (folder / "b").unlink()
    (folder / "b").mkdir()
    found = scan(folder, memory=memory)
    assert set(found.manifest) == {b"b", b"new", b"sub", b"sub/c\nd"}
    assert right(found, folder)
    (folder / "a").write_text("a")
    assert right(scan(folder, memory=memory), folder)


def test_rules_hold_also_for_what_is_remembered(folder: Path) -> None:
    memory = Memory()
    scan(folder, memory=memory)
    found = scan(folder, ["a"], memory)
    assert b"a" not in found.manifest
    assert found.excluded == 1
    assert b"a" in scan(folder, memory=memory).manifest


def test_two_folders_are_not_taken_for_each_other(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("b")
    memory = Memory()
    for root in (folder, other, folder, other):
        assert right(scan(root, memory=memory), root)


def test_a_file_that_changed_a_moment_ago_is_read_again_whatever_it_looks_like(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change once more within the clock's tick, and then nothing but content tells."""
    monkeypatch.setattr(under_test, "SETTLED", 2_000_000_000)
    memory = Memory()
    for _ in range(2):
        scan(folder, memory=memory)
        assert sorted(read) == ["a", "b", "c\nd"]
        read.clear()
    assert memory.known == {}
    scan(folder, memory=Memory())
    assert len(read) == 3


def test_two_seconds_are_what_a_file_takes_to_settle() -> None:
    """FAT knows no smaller ones; the fixture above shortens it for all other tests."""
    ran = subprocess.run(
        [sys.executable, "-c", "from opsnb.engine import source; print(source.SETTLED)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(ran.stdout) == 2_000_000_000


def test_a_file_from_the_future_is_never_remembered(folder: Path, read: list[str]) -> None:
    later = time.time() + 3600
    os.utime(folder / "a", (later, later))
    memory = Memory()
    scan(folder, memory=memory)
    read.clear()
    scan(folder, memory=memory)
    assert read == ["a"]


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = under_test._digest

    def growing(path: bytes, size: int) -> tuple[int, str]:
        if path.endswith(b"/a"):
            (folder / "a").write_text("grown meanwhile")
        return really(path, size)

    memory = Memory()
    with monkeypatch.context() as patch:
        patch.setattr(under_test, "_digest", growing)
        scan(folder, memory=memory)
    assert b"a" not in memory.known
    assert right(scan(folder, memory=memory), folder)


# --- what is kept ----------------------------------------------------------------------------


def kept(own: Path) -> list[Path]:
    return [path for path in own.rglob("*") if path.is_file()]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_it_is_the_users_alone(folder: Path, own: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        scan(folder, memory=Memory())
        cache.keep_manifest("0" * 64, b"x")
    finally:
        os.umask(before)
    assert len(kept(own)) == 2
    for path in [own, *own.rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: text[:31],
        lambda text: text[:32],
        lambda text: text[:-1],
        lambda text: text + b"\0",
        lambda text: bytes(len(text)),
        lambda text: text[:40] + b"X" + text[41:],
        lambda text: b"somebody else's file",
        lambda text: hashlib.sha256(b"").digest(),
        lambda text: hashlib.sha256(b"a").digest() + b"a",
        lambda text: hashlib.sha256(b"a\0\xff\0b").digest() + b"a\0\xff\0b",
    ],
    ids=range(11),
)
def test_a_torn_or_foreign_index_is_as_good_as_none(
    folder: Path, own: Path, read: list[str], spoil: object
) -> None:
    scan(folder, memory=Memory())
    [index] = kept(own)
    index.write_bytes(spoil(index.read_bytes()))  # type: ignore[operator]
    read.clear()
    assert right(scan(folder, memory=Memory()), folder)
    assert set(read) == {"a", "b", "c\nd"}
    read.clear()
    scan(folder, memory=Memory())
    assert read == [], "and it has been replaced by a good one"


TEXT = worlds.tree(worlds.file("a", "1")).encode()
DIGEST = hashlib.sha256(TEXT).hexdigest()


def test_a_manifest_is_believed_for_its_digest_alone(own: Path) -> None:
    assert cache.manifest(DIGEST) is None
    cache.keep_manifest(DIGEST, TEXT)
    assert cache.manifest(DIGEST) == TEXT
    [file] = kept(own)
    for other in (b"", TEXT[:-1], TEXT + b"x", b"another"):
        file.write_bytes(other)
        assert cache.manifest(DIGEST) is None
        cache.keep_manifest(DIGEST, TEXT)
        assert cache.manifest(DIGEST) == TEXT, "a torn one is not in the way for ever"


@pytest.mark.parametrize("digest", ["", "../index", "a/b", ".", "..", "/etc/passwd", "\0"])
def test_what_a_server_calls_a_digest_never_names_a_file_elsewhere(digest: str) -> None:
    assert cache.manifest(digest) is None


def test_the_manifests_used_last_are_kept(own: Path) -> None:
    text = Manifest().encode()
    for number in [0, *range(25), 0, *range(25, 50)]:
        for path in kept(own):
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
        cache.keep_manifest(f"{number:064}", text)
    names = {int(path.name) for path in kept(own)}
    assert len(names) == cache.MANIFESTS_KEPT
    assert names == {0, *range(21, 50)}


# --- what is read before it is asked for -----------------------------------------------------


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> look.Recent:
    """What a new process has had to do with."""
    monkeypatch.setattr(look, "RECENT", look.Recent())
    return look.RECENT


async def test_the_manifests_used_last_are_read_while_a_server_has_not_answered(
    own: Path, recent: look.Recent
) -> None:
    trees = [worlds.tree(worlds.file("a", str(number))) for number in range(5)]
    for number, tree in enumerate(trees):
        cache.keep_manifest(tree.id, tree.encode())
        os.utime(own / "manifests" / tree.id, (number, number))
    (own / "manifests" / trees[4].id).write_bytes(b"torn")
    os.utime(own / "manifests" / trees[4].id, (9, 9))
    cache.expect_manifest(trees[1].id)
    await look.recall(trees[0], lambda: False)
    assert [recent.get(tree.id) for tree in trees] == [None, trees[1], None, None, None]
    await look.recall(trees[0], lambda: True)
    assert recent.get(trees[3].id) is None
    await look.recall(trees[0], lambda: False)
    assert [recent.get(tree.id) for tree in trees] == [None, trees[1], None, trees[3], None]


async def test_none_is_read_that_would_not_be_kept(
    recent: look.Recent, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = worlds.tree(worlds.file("a", "1"))
    large = worlds.tree(*(worlds.file(name, "1") for name in "abcd"))
    monkeypatch.setattr(recent, "entries", 3)
    cache.keep_manifest(small.id, small.encode())
    await look.recall(large, lambda: False)
    assert recent.get(small.id) is None
    await look.recall(small, lambda: False)
    assert recent.get(small.id) == small
    cache.keep_manifest(large.id, large.encode())
    reads: list[str] = []
    monkeypatch.setattr(Manifest, "decode", lambda *_: reads.append("large"))
    await look.recall(small, lambda: False)
    assert reads == []


def test_a_deploy_leaves_in_front_what_the_next_one_needs(folder: Path, tmp_path: Path) -> None:
    server = Server(f"file://{tmp_path}/site")
    for text in "12345":
        (folder / "a").write_text(text)
        server.deploy(folder, keep=2).wait()
    found = server.look()
    assert found.live
    assert found.live.record
    assert found.spare
    needed = {found.live.record.manifest, found.spare.manifest}
    assert set(cache.manifests()[: look.LIKELY]) == needed
    assert len(needed) == look.LIKELY
    server.close()


# --- where nothing can be kept ---------------------------------------------------------------


@pytest.mark.parametrize("place", ["/proc/opsnb", "file", "file/below", "/dev/null"])
def test_where_nothing_can_be_written_a_source_is_read_as_ever(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OPSNB_CACHE", str(tmp_path / place))
    for _ in range(2):
        assert right(scan(folder, memory=Memory()), folder)
    cache.keep_manifest(DIGEST, TEXT)
    assert cache.manifest(DIGEST) is None
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "256k") as disk:
        monkeypatch.setenv("OPSNB_CACHE", str(disk / "cache"))
        yield disk


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def test_on_a_full_disk_nothing_is_kept_and_nothing_is_left_half_done(
    folder: Path, full: Path
) -> None:
    scan(folder, memory=Memory())
    [index] = kept(full)
    with pytest.raises(OSError, match="space"):
        fill(full / "fill")
    cache.keep_manifest(DIGEST, TEXT * 3000)
    (folder / "a").write_text("changed")
    time.sleep(0.05)
    assert right(scan(folder, memory=Memory()), folder)
    assert kept(full / "cache") == [index]


HOMELESS = """
import os, sys
from pathlib import Path
from opsnb.engine import cache, look
from opsnb.engine.source import Memory, scan
os.setgroups([]); os.setgid(54321); os.setuid(54321)
print(cache.folder(), len(scan(Path(sys.argv[1]), memory=Memory()).manifest))
"""


def test_a_user_without_a_home_deploys_all_the_same() -> None:
    if os.geteuid() != 0:
        absent("only root may become a user that nobody knows")
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        (Path(root) / "file").write_text("x")
        ran = subprocess.run(
            [sys.executable, "-c", HOMELESS, root],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env={"PATH": os.environ["PATH"]},
        )
    assert (ran.stdout, ran.stderr) == ("/dev/null 1\n", "")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"OPSNB_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/opsnb"),
        ({"HOME": "/c"}, "/c/.cache/opsnb"),
        ({"OPSNB_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/opsnb"),
    ],
)
def test_where_it_is(monkeypatch: pytest.MonkeyPatch, said: dict[str, str], place: str) -> None:
    for name in ("OPSNB_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert cache.folder() == Path(place)


# --- in a deploy -----------------------------------------------------------------------------


def test_verify_all_reads_every_file_each_time(
    server: Server, source: Path, read: list[str]
) -> None:
    (source / "more").write_text("more")
    time.sleep(0.05)
    configure(server, verify="all")
    for _ in range(2):
        server.plan(source)
        assert sorted(read) == ["index", "more"]
        read.clear()
    configure(server, verify="written")
    server.plan(source)
    read.clear()
    server.plan(source)
    assert read == []


def test_verify_all_finds_on_the_server_what_was_not_sent_this_time(
    server: Server, source: Path
) -> None:
    configure(server, verify="all")
    (source / "other").write_text("1")
    server.deploy(source).wait()
    live = site(server) / "current"
    status = (live / "other").stat()
    (live / "other").write_text("2")
    os.utime(live / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (source / "index").write_text("two")
    assert server.deploy(source).wait().outcome is Outcome.DONE
    assert (live / "other").read_text() == "1"


def test_a_change_that_only_the_inode_tells_is_deployed(server: Server, source: Path) -> None:
    (source / "index").write_text("one")
    time.sleep(0.05)
    server.deploy(source).wait()
    rewrite(source / "index")
    assert server.deploy(source).wait().files == 1
    assert (site(server) / "current" / "index").read_text() == "XXX"


def test_a_memory_that_lies_is_found_out_by_the_server(server: Server, source: Path) -> None:
    """Whoever can write into the cache can delay a deploy; what is live is still what was sent."""
    time.sleep(0.05)
    server.plan(source)
    known = cache.index(os.fsencode(source))
    lie = hashlib.sha256(b"something else").hexdigest().encode()
    cache.keep_index(os.fsencode(source), {p: lie + text[64:] for p, text in known.items()})
    fresh = Server(server.url, name="fresh")
    with pytest.raises(DeployFailed, match="other content than planned: index"):
        fresh.deploy(source).wait()
    fresh.close()
    assert not (site(server) / "current").exists()
