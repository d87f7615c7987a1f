"""The folder to release: read without blocking, filtered as git does, sent as it was read."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.manifest import Entry, Kind
from opsnb.engine import sending
from opsnb.engine import source as under_test
from opsnb.engine.ignore import Rules
from opsnb.engine.sending import pieces, stream
from opsnb.engine.source import Source, scan
from opsnb.errors import SourceError
from tests.support.sshd import require


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dist"
    made.mkdir()
    return made


class Blocked(BaseException):
    """No error of the operating system, which the code under test would translate."""


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Whatever blocks for ever is ended by an alarm, not by the patience of a reader."""

    def ring(_number: int, _frame: object) -> None:
        raise Blocked

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def put(folder: Path, *paths: str) -> None:
    """Files whose content is their own path; a path that ends with ``/`` is a directory."""
    for path in paths:
        there = folder / path
        if path.endswith("/"):
            there.mkdir(parents=True, exist_ok=True)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text(path)


def files(scanned: Source) -> set[str]:
    return {os.fsdecode(p) for p, e in scanned.manifest.items() if e.kind is not Kind.DIR}


NASTY = [
    b"n" * 255,
    b"a\nb",
    b"-rf",
    b"--help",
    b"'\"`$(x)\\",
    b" ",
    b"\xff\xfe",
    "é漢🎉".encode(),
    b"*",
    b"#comment",
    b"!not",
    b"~",
    b".hidden",
    b"...",
]


def test_every_name_is_read_as_its_bytes(folder: Path) -> None:
    deep = b"/".join([b"d" * 200] * 4)
    os.makedirs(os.path.join(os.fsencode(folder), deep))
    for name in [*NASTY, deep + b"/f", deep + b"/\xff\n"]:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(name)
    scanned = scan(folder)
    found = {p for p, e in scanned.manifest.items() if e.kind is Kind.FILE}
    assert found == {*NASTY, deep + b"/f", deep + b"/\xff\n"}
    for name in found:
        entry = scanned.manifest[name]
        assert (entry.size, entry.sha256) == (len(name), hashlib.sha256(name).hexdigest())


def test_modes_kinds_targets_and_times_are_read(folder: Path) -> None:
    put(folder, "run", "empty/")
    (folder / "run").chmod(0o4750)
    (folder / "empty").chmod(0o2711)
    (folder / "link").symlink_to("../a b\n")
    os.utime(folder / "run", (1, 1_774_447_200.9))
    scanned = scan(folder)
    assert scanned.manifest[b"run"].mode == 0o4750
    assert scanned.manifest[b"empty"] == Entry(b"empty", Kind.DIR, 0o711)
    assert scanned.manifest[b"link"] == Entry(b"link", Kind.LINK, target=b"../a b\n")
    with tarfile.open(fileobj=io.BytesIO(b"".join(send(scanned)))) as sent:
        assert sent.getmember("run").mtime == 1_774_447_200
    assert scanned.root == folder


def test_links_are_never_followed_so_that_loops_end(folder: Path) -> None:
    put(folder, "d/f")
    (folder / "d/self").symlink_to(".")
    (folder / "d/up").symlink_to("..")
    (folder / "me").symlink_to("me")
    (folder / "abs").symlink_to("/")
    assert files(scan(folder)) == {"d/f", "d/self", "d/up", "me", "abs"}


def test_a_source_that_is_itself_a_link_is_followed_once(folder: Path, tmp_path: Path) -> None:
    put(folder, "f")
    (tmp_path / "link").symlink_to("dist")
    assert files(scan(tmp_path / "link")) == {"f"}


def test_a_fifo_a_socket_and_a_device_are_refused_by_name_without_being_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "d/f")
    os.mkfifo(folder / "d/pi\x1bpe")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("sock")
    with pytest.raises(SourceError) as caught:
        scan(folder)
    assert "d/pi\\x1bpe (FIFO), sock (socket)" in caught.value.message
    assert ".deployignore" in caught.value.hint


def test_what_is_no_folder_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "dist.zip").touch()
    with pytest.raises(SourceError, match=r"dist\.zip is a file, not a folder") as caught:
        scan(tmp_path / "dist.zip")
    assert "Build it" not in caught.value.hint
    with pytest.raises(SourceError, match=r"dist is not a folder") as caught:
        scan(tmp_path / "dist")
    assert caught.value.hint == "It is not there. Build it first?"


def test_a_fifo_that_a_rule_keeps_out_is_no_hindrance(folder: Path) -> None:
    put(folder, "f")
    os.mkfifo(folder / "pipe")
    assert files(scan(folder, ["pipe"])) == {"f"}


def test_a_rules_file_that_is_a_fifo_is_refused_without_being_opened(folder: Path) -> None:
    put(folder, "f")
    os.mkfifo(folder / ".deployignore")
    assert files(scan(folder)) == {"f"}


def test_a_file_that_becomes_a_fifo_or_a_link_while_it_is_read_is_found_out(folder: Path) -> None:
    put(folder, "f", "secret")
    scanned = scan(folder)
    for turn in (os.mkfifo, lambda path: os.symlink("secret", path)):
        (folder / "f").unlink()
        turn(folder / "f")
        with pytest.raises(SourceError, match=r"^f changed|f changed its kind"):
            b"".join(send(scanned))


@pytest.mark.parametrize("where", ["missing", "file", "x" * 300, "~nobody-of-that-name/dist", ""])
def test_what_is_no_folder_is_refused(
    folder: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "file")
    monkeypatch.chdir(folder / "..")
    target = Path(where) if where.startswith("~") else folder / "file" / where
    with pytest.raises(SourceError):
        scan(target)


def test_an_empty_folder_and_one_that_the_rules_empty_are_refused(folder: Path) -> None:
    with pytest.raises(SourceError, match="is empty"):
        scan(folder)
    put(folder, "f", ".git/config", ".deployignore")
    with pytest.raises(SourceError, match="is empty"):
        scan(folder, ["f"])
    put(folder, "d/")
    assert list(scan(folder, ["f"]).manifest) == [b"d"]


def test_a_rule_that_cannot_be_read_is_refused_by_name(folder: Path) -> None:
    put(folder, "f")
    with pytest.raises(SourceError, match=r"a rule of `exclude` or .deployignore is wrong: .*'!'"):
        scan(folder, ["!"])


UNREADABLE = """
import os, sys
from pathlib import Path
from opsnb.engine.source import scan
from opsnb.errors import SourceError
os.setuid(65534) if os.geteuid() == 0 else None
try:
    scan(Path(sys.argv[1]))
except SourceError as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    ("path", "mode"), [("d/secret", 0o000), ("d", 0o000), (".deployignore", 0o000)]
)
def test_what_cannot_be_read_is_refused_by_name(path: str, mode: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        top = Path(made)
        top.chmod(0o755)
        root = top / "dist"
        put(root, "d/secret", ".deployignore")
        (root / path).chmod(mode)
        try:
            ran = _as_nobody(root)
        finally:
            (root / path).chmod(0o755)
        assert ran == f"cannot read {root / path}: Permission denied"


def test_a_folder_that_may_not_even_be_looked_at_is_refused() -> None:
    with tempfile.TemporaryDirectory() as made:
        put(Path(made), "dist/f")
        Path(made).chmod(0o000)
        try:
            ran = _as_nobody(Path(made) / "dist")
        finally:
            Path(made).chmod(0o755)
        assert ran == f"cannot read {made}/dist: Permission denied"


def _as_nobody(root: Path) -> str:
    import sys

    ran = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return ran.stdout.strip()


def test_a_file_that_goes_while_the_folder_is_read_is_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a", "b")
    real = under_test._digest

    def and_then_remove(path: bytes, size: int) -> tuple[int, str]:
        (folder / "b").unlink(missing_ok=True)
        return real(path, size)

    monkeypatch.setattr(under_test, "_digest", and_then_remove)
    with pytest.raises(SourceError, match=r"cannot read .*/dist/b: No such file"):
        scan(folder)


def test_what_goes_while_its_directory_is_read_is_named_with_its_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells the name alone of what stands in an open directory."""
    put(folder, "d/one", "d/two")
    real = Rules.ignores

    def and_remove_the_other(rules: Rules, path: str, is_dir: bool) -> bool:
        if path.startswith("d/"):
            (folder / "d" / ("one" if path == "d/two" else "two")).unlink()
        return real(rules, path, is_dir)

    monkeypatch.setattr(Rules, "ignores", and_remove_the_other)
    with pytest.raises(SourceError, match=r"cannot read .*/dist/d/(one|two): No such file"):
        scan(folder)


# --- rules -------------------------------------------------------------------------------------

TREE = [
    "index.html",
    "app.map",
    "build/app.map",
    "build/keep.txt",
    "docs/build/x",
    "logs/a.log",
    "logs/keep.log",
    "node_modules/x/index.js",
    "sub/node_modules/y",
    "sub/index.html",
    "a b",
    "#hash",
    "!bang",
    "deep/er/still/file.txt",
]
RULES = [
    ["*.map"],
    ["/app.map"],
    ["build/"],
    ["/build/"],
    ["build"],
    ["build/*", "!build/keep.txt"],
    ["build/", "!build/keep.txt"],
    ["build/**", "!build/keep.txt"],
    ["logs/*.log", "!keep.log"],
    ["node_modules/"],
    ["/node_modules"],
    ["sub/node_modules"],
    ["**/still"],
    ["deep/**/file.txt"],
    ["deep/**"],
    ["**"],
    ["*", "!*/", "!*.html"],
    ["*", "!index.html"],
    ["a\\ b"],
    ["a b  "],
    ["\\#hash", "# a comment", ""],
    ["\\!bang"],
    ["in[a-d]ex.html"],
    ["?ndex.html"],
    ["*.html", "!/sub/*.html"],
    ["sub", "!sub/index.html"],
    ["/*", "!/sub"],
    ["*", "!*/", "!sub/**"],
    ["*", "!sub/", "!sub/index.html"],
    ["sub/*", "!sub/node_modules/"],
    ["**/build/"],
    ["build/**/"],
    ["deep/**/"],
    ["**/"],
    ["*/", "!docs/"],
    ["docs/**/x"],
    ["!*.map", "*.map"],
    ["*.map", "!*.map"],
    ["build/[!a]*"],
    ["node_modules", "!sub/node_modules/"],
]


def by_git(root: Path, rules: bytes) -> set[str]:
    """What git itself would not ignore."""
    with tempfile.TemporaryDirectory() as made:
        shutil.copytree(root, made, dirs_exist_ok=True, symlinks=True)
        git = [require("git"), "-C", made, "-c", "core.quotePath=false"]
        subprocess.run([*git, "init", "-q"], check=True)
        (Path(made) / ".git/info/exclude").write_bytes(rules)
        listed = subprocess.run(
            [*git, "ls-files", "-z", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        )
    return {os.fsdecode(path) for path in listed.stdout.split(b"\0") if path}


@pytest.mark.parametrize("rules", RULES, ids=" ".join)
def test_rules_keep_out_what_git_would_ignore(folder: Path, rules: list[str]) -> None:
    put(folder, *TREE, "spare")
    wanted = by_git(folder, ("\n".join(rules) + "\n").encode())
    for scanned in (_scanned(folder, rules), _scanned_by_file(folder, rules)):
        assert scanned == wanted


def _scanned(folder: Path, rules: list[str]) -> set[str]:
    try:
        return files(scan(folder, rules))
    except SourceError as error:
        if "is empty" not in error.message:
            raise
        return set()


def _scanned_by_file(folder: Path, rules: list[str]) -> set[str]:
    (folder / ".deployignore").write_text("\n".join(rules) + "\n")
    return _scanned(folder, [])


def test_the_rules_of_the_folder_come_after_those_of_the_configuration(folder: Path) -> None:
    put(folder, "a.map", "b.map", "c")
    (folder / ".deployignore").write_text("!b.map\nc\n")
    scanned = scan(folder, ["*.map"])
    assert files(scanned) == {"b.map"}
    assert scanned.excluded == 3  # a.map, c and .deployignore itself


def test_git_and_the_rules_file_never_go_out_but_a_deeper_one_does(folder: Path) -> None:
    put(folder, ".git/config", "sub/.git", "sub/.deployignore", ".gitignore", "f")
    (folder / ".deployignore").write_text("")
    assert files(scan(folder)) == {"sub/.deployignore", ".gitignore", "f"}


def test_rules_hold_for_names_of_any_bytes(folder: Path) -> None:
    for name in (b"a\nb.map", b"\xff.map", b"keep\n"):
        (folder / os.fsdecode(name)).touch()
    put(folder, "new\nline/x.map", "new\nline/y", "new\nline/.git/config")
    (folder / ".deployignore").write_bytes(b"*.map\n\xfe\n")
    (folder / "not.map\n").touch()
    assert files(scan(folder)) == {"keep\n", "new\nline/y", "not.map\n"}


# --- sending -----------------------------------------------------------------------------------


def send(scanned: Source, sent: list[tuple[int, int]] | None = None) -> Iterator[bytes]:
    told = [] if sent is None else sent
    entries = dict(scanned.manifest)
    return pieces(scanned, entries, list(entries), lambda count, size: told.append((count, size)))


def unpacked(raw: bytes) -> dict[str, bytes | None]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as read:
        return {
            member.name: taken.read() if (taken := read.extractfile(member)) else None
            for member in read.getmembers()
            if not member.issym()
        }


def test_what_is_sent_is_what_was_read_and_is_counted(folder: Path) -> None:
    put(folder, "a", "d/b", "empty/")
    (folder / "zero").touch()
    told: list[tuple[int, int]] = []
    raw = b"".join(send(scan(folder), told))
    assert unpacked(raw) == {"a": b"a", "d": None, "d/b": b"d/b", "empty": None, "zero": b""}
    assert (sum(count for count, _ in told), sum(size for _, size in told)) == (3, 4)


def test_a_directory_stays_open_to_its_owner_until_it_is_filled(folder: Path) -> None:
    put(folder, "d/f")
    (folder / "d/f").chmod(0o400)
    (folder / "d").chmod(0o500)
    raw = b"".join(send(scan(folder)))
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as read:
        modes = {member.name: member.mode for member in read.getmembers()}
    assert modes == {"d": 0o700, "d/f": 0o400}
    (folder / "d").chmod(0o700)


def test_content_that_is_not_in_the_folder_is_sent_too(folder: Path) -> None:
    put(folder, "a")
    extra = {b"REVISION": b"abc\n"}
    scanned = replace(scan(folder), extra=extra)
    entries = {**scanned.manifest, b"REVISION": Entry(b"REVISION", Kind.FILE, 0o644, 4)}
    raw = b"".join(pieces(scanned, entries, [b"REVISION"], lambda *_: None))
    assert unpacked(raw) == {"REVISION": b"abc\n"}


@pytest.mark.parametrize("left", [0, 1, 99_999])
def test_a_file_that_shrinks_before_it_is_sent_is_found_out(folder: Path, left: int) -> None:
    (folder / "f").write_bytes(b"x" * 100_000)
    scanned = scan(folder)
    os.truncate(folder / "f", left)
    with pytest.raises(SourceError, match="f changed while it was sent: it became shorter"):
        b"".join(send(scanned))


def test_a_file_that_grows_is_sent_as_long_as_it_was(folder: Path) -> None:
    put(folder, "f", "g")
    scanned = scan(folder)
    (folder / "f").write_text("f and more")
    assert unpacked(b"".join(send(scanned))) == {"f": b"f", "g": b"g"}


def test_a_file_that_goes_before_it_is_sent_is_found_out(folder: Path) -> None:
    put(folder, "f\x1b")
    scanned = scan(folder)
    (folder / "f\x1b").unlink()
    with pytest.raises(SourceError, match=r"f\\x1b changed while it was sent: No such file"):
        b"".join(send(scanned))


def test_no_handle_stays_open_when_sending_stops_in_the_middle(folder: Path) -> None:
    (folder / "f").write_bytes(b"x" * (3 << 20))
    before = len(os.listdir("/proc/self/fd"))
    running = send(scan(folder))
    next(running)
    next(running)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    running.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


async def _gather(made: Iterator[bytes]) -> list[bytes]:
    return [piece async for piece in stream(made)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3 << 20), max_size=5))
def test_the_stream_has_the_same_bytes_as_the_pieces_and_none_is_empty(sizes: list[int]) -> None:
    made = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    batches = asyncio.run(_gather(iter(made)))
    assert b"".join(batches) == b"".join(made)
    assert all(batches)
    assert all(len(batch) >= under_test.CHUNK for batch in batches[:-1])


async def test_a_folders_stream_is_what_its_pieces_are(folder: Path) -> None:
    put(folder, "a", "d/b")
    (folder / "large").write_bytes(os.urandom((2 << 20) + 5))
    scanned = scan(folder)
    assert b"".join(await _gather(send(scanned))) == b"".join(send(scanned))


async def test_an_error_while_reading_comes_out_of_the_stream(folder: Path) -> None:
    put(folder, "f")
    scanned = scan(folder)
    (folder / "f").unlink()
    with pytest.raises(SourceError):
        await _gather(send(scanned))


@pytest.mark.parametrize(
    "rules",
    [
        b"\xef\xbb\xbf*.map\nlogs/\n",
        b"*.map\r\nlogs/\r\n",
        b"deep\r\r\n",
        b"*.map\rlogs/\n",
        b"*.map\x0clogs/\nsub\xe2\x80\xa8deep\n",
        b"\xff\xfe\n*.map",
    ],
)
def test_the_rules_file_is_read_as_git_reads_it(folder: Path, rules: bytes) -> None:
    put(folder, *TREE, "spare", "deep\r")
    (folder / ".deployignore").write_bytes(rules)
    assert _scanned(folder, []) == by_git(folder, rules) - {".deployignore"}


def test_a_range_that_goes_backwards_is_an_error_that_names_the_rule(folder: Path) -> None:
    put(folder, "a")
    with pytest.raises(SourceError, match=r"a rule of `exclude` or .deployignore is wrong"):
        scan(folder, ["*.[z-a]"])


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_file_that_cannot_be_read_any_more_is_told(
    folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(b"x" * size)
    scanned = scan(folder)

    def stale(*_: object) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "read", stale)
    with pytest.raises(SourceError, match="a changed while it was sent: Stale file handle"):
        list(pieces(scanned, scanned.manifest, [b"a"], lambda *_: None))


def test_one_stall_is_no_slow_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("opsnb.engine.sending.time.monotonic", lambda: now[0])

    def held_up(waits: list[float]) -> bool:
        pace = sending._Pace()
        for wait in waits:
            now[0] += wait
            with pace.works():
                now[0] += 0.01
        return pace.is_held_up()

    chunks = sending.PATIENCE
    assert not held_up([0.0] * (chunks - 1) + [30.0])
    assert not held_up([0.05] * chunks)
    assert held_up([0.2] * chunks)
    assert not held_up([0.2] * (chunks - 1)), "too few to tell"
