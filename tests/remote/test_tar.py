"""The stream is read alike by Python's tarfile and by GNU tar, whatever the names."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.manifest import Entry, Kind
from opsnb.remote import tar
from tests.support.sshd import require

MTIME = 1_774_447_200
CONTENT = b"content\n"


def file(path: bytes, mode: int = 0o644, size: int = len(CONTENT)) -> Entry:
    return Entry(path, Kind.FILE, mode, size)


def folder(path: bytes, mode: int = 0o755) -> Entry:
    return Entry(path, Kind.DIR, mode)


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, Kind.LINK, target=target)


DEEP = b"/".join([b"d" * 90] * 4)
NASTY = [
    folder(b"empty"),
    folder(b"closed", 0o555),
    folder(b"d" * 99),
    folder(b"d" * 100),
    *(folder(b"/".join([b"d" * 90] * depth)) for depth in range(1, 5)),
    file(b"f" * 99),
    file(b"f" * 100),
    file(b"f" * 101),
    file(b"n" * 255),
    file(DEEP + b"/" + b"x" * 200),
    file(b"a\nb"),
    file(b"'quoted' \"twice\" `thrice` $(x) \\n"),
    file(b"-rf"),
    file(b"--checkpoint-action=exec=sh"),
    file(b"@list"),
    file(b"*?[a]"),
    file(b" "),
    file(b"tab\t"),
    file(b"\xff\xfe\x80"),
    file("é漢🎉".encode()),
    file(b"C:colon"),
    file(b"setuid", 0o4755),
    file(b"all", 0o7777),
    file(b"none", 0o000),
    file(b"zero", size=0),
    file(b"block", size=512),
    link(b"short", b"a\nb"),
    link(b"t" * 120, b"../" * 10 + b"x"),
    link(b"l100", b"t" * 100),
    link(b"l101", b"t" * 101),
    link(b"l1000", b"t/" * 500 + b"\xff"),
    link(b"absolute", b"/nowhere"),
    link(b"-link", b"-target"),
]


def content(entry: Entry) -> bytes:
    return (CONTENT * 64)[: entry.size] if entry.kind is Kind.FILE else b""


def stream(entries: Iterable[Entry]) -> bytes:
    pieces = []
    for entry in entries:
        body = content(entry)
        pieces += [tar.header(entry, MTIME), body, tar.padding(len(body))]
    return b"".join([*pieces, *tar.trailer()])


def test_python_reads_every_name_mode_target_and_content() -> None:
    raw = io.BytesIO(stream(NASTY))
    with tarfile.open(fileobj=raw, mode="r:", encoding="utf-8", errors="surrogateescape") as read:
        members = read.getmembers()
        assert len(members) == len(NASTY)
        for member, entry in zip(members, NASTY, strict=True):
            assert os.fsencode(member.name) == entry.path
            assert member.mtime == MTIME
            assert (member.uid, member.gid) == (0, 0)
            match entry.kind:
                case Kind.FILE:
                    assert member.isreg()
                    assert (member.mode, member.size) == (entry.mode, entry.size)
                    taken = read.extractfile(member)
                    assert taken
                    assert taken.read() == content(entry)
                case Kind.DIR:
                    assert member.isdir()
                    assert member.mode == entry.mode
                case Kind.LINK:
                    assert member.issym()
                    assert os.fsencode(member.linkname) == entry.target


def unpack(raw: bytes, into: Path, *program: str) -> None:
    # As the agent does it.
    subprocess.run([*program, "-x", "-p", "-f", "-"], input=raw, check=True, cwd=into)


def check(entry: Entry, into: Path, modes: bool = True) -> None:
    path = os.path.join(os.fsencode(into), entry.path)
    status = os.lstat(path)
    match entry.kind:
        case Kind.FILE:
            assert Path(os.fsdecode(path)).read_bytes() == content(entry)
        case Kind.DIR:
            assert Path(os.fsdecode(path)).is_dir()
        case Kind.LINK:
            assert os.readlink(path) == entry.target
            return
    assert not modes or status.st_mode & 0o7777 == entry.mode, entry.path
    assert int(status.st_mtime) == MTIME or not modes


@pytest.fixture
def into(tmp_path: Path) -> Path:
    made = tmp_path / "into"
    made.mkdir()
    return made


def test_gnu_tar_unpacks_every_name_mode_target_and_content(into: Path) -> None:
    readable = [entry for entry in NASTY if os.geteuid() == 0 or entry.path != b"none"]
    unpack(stream(readable), into, "tar", "--no-same-owner", "--delay-directory-restore")
    for entry in readable:
        check(entry, into)
    found = sum(len(names) + len(files) for _, names, files in os.walk(into))
    assert found == len(readable)


def test_busybox_unpacks_them_too(into: Path) -> None:
    plain = [e for e in NASTY if e.mode & 0o7000 == 0 and (os.geteuid() == 0 or e.mode & 0o400)]
    unpack(stream(plain), into, require("busybox"), "tar")
    for entry in plain:
        check(entry, into, modes=False)


def test_gnu_tar_lists_the_stream_without_a_complaint() -> None:
    listed = subprocess.run(
        ["tar", "-t", "-f", "-", "--quoting-style=literal", "--null"],
        input=stream(NASTY),
        capture_output=True,
        check=True,
    )
    assert listed.stderr == b""
    assert len(listed.stdout) > sum(len(entry.path) for entry in NASTY)


@pytest.mark.parametrize("size", [8 * 2**30 - 1, 8 * 2**30, 9 * 2**30, 2**50])
def test_sizes_from_eight_gibibytes_on_are_read_back(size: int) -> None:
    head = tar.header(file(b"large", size=size), MTIME)
    assert len(head) == tar.BLOCK
    assert tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape").size == size
    listed = subprocess.run(
        ["tar", "-t", "-v", "-f", "-"], input=head, capture_output=True, check=False
    )
    assert str(size).encode() in listed.stdout.split()


@pytest.mark.parametrize("mtime", [-5, 0, 2**33 - 1, 2**33, 2**40])
def test_any_time_is_written_and_one_before_the_epoch_as_the_epoch(mtime: int) -> None:
    head = tar.header(file(b"f"), mtime)
    assert tarfile.TarInfo.frombuf(head, "utf-8", "strict").mtime == max(0, mtime)


PART = (
    st.binary(min_size=1, max_size=120)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"\n"))
    .filter(lambda part: part not in (b".", b".."))
)
PATHS = st.lists(PART, min_size=1, max_size=4).map(b"/".join)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(PATHS, PATHS, st.sampled_from(list(Kind)), st.integers(0, 0o7777))
def test_any_path_and_any_target_are_read_back(
    path: bytes, target: bytes, kind: Kind, mode: int
) -> None:
    wanted = target if kind is Kind.LINK else b""
    entry = Entry(path, kind, mode, 3 if kind is Kind.FILE else 0, target=wanted)
    raw = stream([entry])
    assert len(raw) % tar.BLOCK == 0
    with tarfile.open(
        fileobj=io.BytesIO(raw), mode="r:", encoding="utf-8", errors="surrogateescape"
    ) as read:
        (member,) = read.getmembers()
    assert os.fsencode(member.name) == path
    assert os.fsencode(member.linkname) == wanted
    assert kind is Kind.LINK or member.mode == mode


def test_the_control_a_wrong_checksum_is_not_read() -> None:
    raw = bytearray(stream([file(b"f")]))
    raw[0] ^= 1
    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(bytes(raw)), mode="r:"):
        pass
