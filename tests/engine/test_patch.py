"""Large files that are sent as what differs: the same as if they had been sent whole."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.chunks import average
from opsnb.core.events import Outcome, Report
from opsnb.engine import cache, chunking, cutting
from opsnb.engine.source import scan
from opsnb.errors import DeployFailed
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import snapshot
from tests.support.site import everything, faults

SIZE = 9 << 20
NAMES = ["large", "-rf", "a b 'c' $(touch oops)", "sub/deep/\\ä"]


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test knows of its own files alone."""
    monkeypatch.setenv("OPSNB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=NAMES)
def large(source: Path, request: pytest.FixtureRequest) -> Path:
    """A large file in the source."""
    path = source / str(request.param)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@pytest.fixture
def one(source: Path) -> Path:
    """The same, with an ordinary name."""
    path = source / "large"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def deploy(server: Server, source: Path) -> tuple[Report, Path]:
    """Deploy; the report, and the new release."""
    report = server.deploy(source).wait()
    assert report.outcome is Outcome.DONE
    release = site(server) / "releases" / report.release
    assert everything(release) == everything(source)
    assert contents(release) == contents(source)
    assert faults(site(server), server) == []
    return report, release


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), int(path.stat().st_mtime))
        for path in folder.rglob("*")
        if path.is_file()
    }


def patched(server: Server) -> bool:
    """Whether the last change put a file together."""
    log = server.jobs[-1].log_file
    assert log is not None
    return " differ" in log.read_text()


Edit = Callable[[bytes], bytes]
EDITS: dict[str, Edit] = {
    "an edit": lambda old: old[:5000] + b"x" * 4096 + old[9096:],
    "an insertion": lambda old: old[:4_000_000] + b"new" + old[4_000_000:],
    "a removal": lambda old: old[:1_000_000] + old[1_070_000:],
    "more at the end": lambda old: old + b"more" * 10_000,
    "less at the end": lambda old: old[: 8 << 20],
    "a block that moved": lambda old: old[3_000_000:6_000_000] + old[:3_000_000] + old[6_000_000:],
    "the first byte": lambda old: b"!" + old[1:],
    "the last byte": lambda old: old[:-1] + b"!",
    "twice the same": lambda old: old + old,
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_comes_of_an_edit_is_the_file_and_little_is_sent(
    server: Server, source: Path, one: Path, edit: str
) -> None:
    deploy(server, source)
    one.write_bytes(EDITS[edit](one.read_bytes()))
    report, _ = deploy(server, source)
    assert patched(server)
    assert report.bytes < 300_000


def test_whatever_its_name_and_with_another_mode(server: Server, source: Path, large: Path) -> None:
    deploy(server, source)
    large.write_bytes(EDITS["an edit"](large.read_bytes()))
    large.chmod(0o750)
    os.utime(large, (1_000_000_000, 1_000_000_000))
    report, _ = deploy(server, source)
    assert patched(server)
    assert report.bytes < 300_000
    assert not list(source.parent.rglob("oops"))


def test_in_a_release_that_is_made_of_the_one_kept_aside(
    server: Server, source: Path, one: Path
) -> None:
    configure(server, keep_releases=2)
    for number in range(6):
        one.write_bytes(EDITS["an insertion"](one.read_bytes()))
        (source / "index").write_text(str(number))
        report, _ = deploy(server, source)
        assert patched(server) == (number > 0)
        assert (report.bytes < 300_000) == (number > 0)


def test_a_file_that_other_releases_share_is_not_written_into(
    server: Server, source: Path, one: Path
) -> None:
    configure(server, copy="hardlink")
    _, first = deploy(server, source)
    before = (first / "large").read_bytes()
    one.write_bytes(EDITS["an edit"](one.read_bytes()))
    deploy(server, source)
    assert patched(server)
    assert (first / "large").read_bytes() == before


UNPATCHED: dict[str, Callable[[Path, Path], object]] = {
    "all of it is new": lambda one, _: one.write_bytes(random.Random(2).randbytes(SIZE)),
    "it is small now": lambda one, _: one.write_bytes(one.read_bytes()[:1_000_000]),
    "somebody changed the live one": lambda _, live: live.write_bytes(live.read_bytes() + b"!"),
    "nothing is known of the old one": lambda _, live: forget(live),
}


def forget(live: Path) -> None:
    del live
    for file in (cache.folder() / "chunks").iterdir():
        file.unlink()


@pytest.mark.parametrize("why", UNPATCHED)
def test_what_cannot_be_put_together_is_sent_whole(
    server: Server, source: Path, one: Path, why: str
) -> None:
    _, release = deploy(server, source)
    one.write_bytes(EDITS["an edit"](one.read_bytes()))
    UNPATCHED[why](one, release / "large")
    report = server.deploy(source).wait()
    assert not patched(server)
    assert report.bytes >= one.stat().st_size
    made = site(server) / "releases" / report.release
    assert contents(made) == contents(source)


def test_a_line_break_in_a_name_is_sent_whole(server: Server, source: Path) -> None:
    odd = source / "a\nb"
    odd.write_bytes(random.Random(1).randbytes(SIZE))
    deploy(server, source)
    odd.write_bytes(EDITS["an edit"](odd.read_bytes()))
    deploy(server, source)
    assert not patched(server)


@pytest.mark.parametrize("kept", [5, 2])
def test_wrong_chunks_are_found_out_and_the_file_is_sent_whole(
    server: Server, source: Path, one: Path, kept: int
) -> None:
    """The control: what was put together is hashed, and nothing is believed."""
    configure(server, keep_releases=kept)
    for number in range(3):
        (source / "index").write_text(str(number))
        deploy(server, source)
    old = scan(source).manifest[b"large"].sha256
    known = cache.chunks(old)
    # As if the second chunk stood where the third does.
    cache.keep_chunks(old, (known[0], known[2], known[1], *known[3:]))
    one.write_bytes(EDITS["an insertion"](one.read_bytes()))
    deploy(server, source)
    log = server.jobs[-1].log_file
    assert log is not None
    assert "large files could not be put together" in log.read_text()


def test_a_torn_list_of_chunks_is_no_list(source: Path, one: Path) -> None:
    folder = scan(source)
    digest = folder.manifest[b"large"].sha256
    made = chunking.cut(folder, folder.manifest[b"large"])
    assert sum(length for length, _ in made) == SIZE
    assert cache.chunks(digest) == made
    file = cache.folder() / "chunks" / digest
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(file.read_bytes()[:-7])
    assert cache.chunks(digest) == ()


@pytest.mark.parametrize("window", [300_000, 1 << 20, 1 << 30])
def test_the_chunks_are_the_same_however_the_file_is_read(
    source: Path, one: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scan(source)
    whole = chunking.cut(folder, folder.manifest[b"large"])
    forget(one)
    monkeypatch.setattr(cutting, "WINDOW", window)
    assert chunking.cut(folder, folder.manifest[b"large"]) == whole
    assert max(length for length, _ in whole) <= cutting.MOST * average(SIZE)
    content, at = one.read_bytes(), 0
    for length, digest in whole:
        assert hashlib.sha256(content[at : at + length]).digest().startswith(digest)
        at += length


def test_a_file_that_became_another_has_no_chunks(source: Path, one: Path) -> None:
    folder = scan(source)
    one.write_bytes(one.read_bytes()[:-1])
    assert chunking.cut(folder, folder.manifest[b"large"]) == ()
    one.unlink()
    assert chunking.cut(folder, folder.manifest[b"large"]) == ()
    os.mkfifo(one)
    assert chunking.cut(folder, folder.manifest[b"large"]) == ()


def test_a_list_of_another_kind_is_no_list(source: Path, one: Path) -> None:
    folder = scan(source)
    digest = folder.manifest[b"large"].sha256
    chunking.cut(folder, folder.manifest[b"large"])
    assert cache.chunks(digest)
    body = b"opsnb-chunks 2\nwhatever comes\n"
    (cache.folder() / "chunks" / digest).write_bytes(hashlib.sha256(body).digest() + body)
    assert cache.chunks(digest) == ()


GONE: dict[str, Callable[[Path], object]] = {
    "became shorter": lambda one: os.truncate(one, SIZE + 500_000),
    "No such file": lambda one: one.unlink(),
}


@pytest.mark.parametrize("how", GONE)
def test_a_file_that_changes_while_it_is_sent_is_refused(
    server: Server, source: Path, one: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    deploy(server, source)
    before = snapshot(site(server) / "releases")
    one.write_bytes(one.read_bytes() + random.Random(2).randbytes(1_000_000))
    real = chunking.payload
    whole = one.read_bytes()

    def and_cut(*args: Any) -> Iterator[bytes]:
        GONE[how](one)
        yield from real(*args)

    monkeypatch.setattr("opsnb.engine.deploy.payload", and_cut)
    with pytest.raises(DeployFailed, match=how):
        server.deploy(source).wait()
    assert snapshot(site(server) / "releases") == before
    monkeypatch.undo()
    monkeypatch.setenv("OPSNB_CACHE", str(source.parent / "cache"))
    one.write_bytes(whole)
    deploy(server, source)
