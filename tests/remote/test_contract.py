"""One contract for every kind of remote: a folder, the embedded server, a real sshd."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import listing
from opsnb.core.manifest import Entry, Kind
from opsnb.core.marks import Holder, Watch
from opsnb.core.release import CurrentKind
from opsnb.core.watch import guarded
from opsnb.errors import Disconnected, LockLost, NotReady, RemoteError, StepFailed, StepTimedOut
from opsnb.remote import tar
from opsnb.remote.base import Patched
from tests.faults.guarantees import snapshot
from tests.remote.conftest import Place
from tests.support.disk import small_disk
from tests.support.site import NASTY

ONE, TWO, NONE = "20260101000000", "20260101000001", "29990101000000"
NAMES = [b"new\nline", b"-rf", b"quote'\"$(x)", b"\xff", b" a ", b"n" * 255]
SECONDS = 20.0


def record(name: str, seq: int) -> bytes:
    return f'{{"name": "{name}", "seq": {seq}, "state": "good"}}\n'.encode()


async def stream(files: dict[bytes, bytes]) -> AsyncIterator[bytes]:
    for path, content in sorted(files.items()):
        yield tar.header(Entry(path, Kind.FILE, 0o640, len(content)), 1_700_000_000)
        yield content + tar.padding(len(content))
    for end in tar.trailer():
        yield end


async def steps(told: list[bytes]) -> AsyncIterator[bytes]:
    """What a patch is told."""
    for piece in told:
        yield piece


async def test_every_kind_of_remote_keeps_the_contract(remote: Any) -> None:
    held = await remote.lock("tester", "here", "now", "contract")
    assert await remote.lock("other", "here", "now", "contract") is None
    files = {name: name * 3 for name in NAMES} | {b"big": b"0123456789abcdef" * 400_000}
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream(files))
    digests = await remote.hashes(ONE, list(files))
    assert digests == {path: hashlib.sha256(text).hexdigest() for path, text in files.items()}
    await held.link(ONE, [b"deep/up\nload", b"conf"])
    await held.modes(ONE, [(b"-rf", 0o600), (b"new\nline", 0o755)])
    seen = listing.read(await held.finish(ONE))
    assert {path: seen[path].entry.size for path in files} == {p: len(t) for p, t in files.items()}
    assert (seen[b"-rf"].entry.mode, seen[b"new\nline"].entry.mode) == (0o600, 0o755)
    assert seen[b"deep/up\nload"].entry.target == b"../../../shared/deep/up\nload"
    with pytest.raises(StepFailed):
        await held.unpack("29990101000000", stream(files))
    with pytest.raises(StepFailed):
        await held.publish("29990101000000", b"")
    await held.publish(ONE, b"")
    with pytest.raises(StepFailed):
        await held.publish(ONE, b"releases/other")
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=True)
    await held.drop(TWO, [*NAMES[:3], b"deep", b"conf"])
    await held.unpack(TWO, stream({b"big": b"small"}))
    assert (await remote.hashes(ONE, [b"big"]))[b"big"] == digests[b"big"]
    changes = await remote.changes(ONE)
    assert changes.gone == b"" or changes.now, "linking an inode may touch its ctime only"
    said: list[bytes] = []
    status = await held.hook(
        f"releases/{TWO}", 'printf "$X\\n"; exit 3', {"X": "7"}, 20, said.append
    )
    assert (status, b"".join(said).strip()) == (3, b"7")
    await held.append_audit(b'{"what": "contract"}\n')
    assert await remote.audit() == b'{"what": "contract"}\n'
    with pytest.raises(StepFailed):
        await held.discard([ONE])
    await held.flush()
    await held.publish(TWO, f"releases/{ONE}".encode())
    assert await held.discard([ONE])
    site = await remote.look()
    assert [release.name for release in site.releases if release.present] == [TWO]
    assert site.current.name == TWO
    assert site.holder is not None
    assert {use.name for use in (await remote.usage())[1]} == {TWO, "shared"}
    await held.release()
    assert (await remote.look()).holder is None


# --- looking ---------------------------------------------------------------------------------


async def test_looking_makes_nothing_and_answers_for_a_path_that_is_not_there(
    remote: Any, where: Path
) -> None:
    site = await remote.look()
    assert (site.exists, site.ours, site.missing, site.writable) == (False, False, (), True)
    assert site.free_bytes > 0
    assert site.current.kind is CurrentKind.NONE
    assert await remote.audit() == b""
    assert (await remote.usage())[1] == []
    assert len(await remote.manifest(ONE)) == 0
    assert await remote.shared([b"a", b"b"]) == {b"a": {}, b"b": {}}
    assert remote.deploy_to == str(where)
    assert snapshot(where.parent).keys().isdisjoint({where.name})


@pytest.fixture(params=["a file", "a link to nothing"])
def odd(where: Path, request: pytest.FixtureRequest) -> None:
    """What stands at the path, and is no directory."""
    if request.param == "a file":
        where.write_text("mine")
    else:
        where.symlink_to("nowhere")


@pytest.mark.usefixtures("odd")
async def test_a_path_that_leads_to_no_directory_is_told(remote: Any) -> None:
    with pytest.raises(NotReady, match="is no directory"):
        await remote.look()


@pytest.mark.parametrize("names", [["a b"], ["-x", ".hidden", "a"], [f"r{n}" for n in range(9)]])
async def test_what_releases_take_is_measured_of_each_alone(
    remote: Any, where: Path, place: Place, names: list[str]
) -> None:
    """In two halves, side by side: a file counts once, and as its own where no other has it."""
    both, wanted = where / "both", {}
    releases = where / "releases"
    releases.mkdir(parents=True)
    both.write_bytes(b"b" * 9000)
    for number, name in enumerate(names):
        below = releases / name / "d" / "e"
        below.mkdir(parents=True)
        (below / "own").write_bytes(b"o" * (5000 * (number + 1)))
        os.link(below / "own", below / "again")
        os.link(both, below / "both")
        (below / "link").symlink_to("own")
        sizes = [path.stat() for path in (below / "own", below / "both")]
        blocks = [status.st_blocks * 512 for status in sizes]
        wanted[name] = (2 * sizes[0].st_size + 9000, sum(blocks), blocks[0], 3)
    (releases / "file").write_bytes(b"no release")
    (releases / "leads").symlink_to(names[0])
    place.own(where)
    measured = (await remote.usage())[1]
    found = {use.name: (use.apparent, use.disk, use.own, use.files) for use in measured}
    assert {name: found[name] for name in names} == wanted
    assert set(found) - set(names) <= {"file", "leads"}


async def test_a_connection_that_was_closed_is_made_again_for_a_question(remote: Any) -> None:
    first = await remote.look()
    await remote.close()
    assert (await remote.look()).user == first.user


@pytest.mark.parametrize("name", NASTY)
async def test_any_legal_name_passes_through_every_method(
    remote: Any, held: Any, where: Path, name: bytes
) -> None:
    deep = b"in " + name[:200] + b"/" + name
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({name: b"1", deep: b"22"}))
    await held.modes(ONE, [(name, 0o755), (deep, 0o600)])
    assert await remote.hashes(ONE, [name, deep]) == {
        name: hashlib.sha256(b"1").hexdigest(),
        deep: hashlib.sha256(b"22").hexdigest(),
    }
    seen = listing.read(await held.finish(ONE))
    assert seen[name].entry == Entry(name, Kind.FILE, 0o755, 1)
    assert seen[deep].entry == Entry(deep, Kind.FILE, 0o600, 2)
    await held.drop(ONE, [name])
    await held.link(ONE, [name])
    await held.make_shared(name)
    await held.seed(ONE, b"in " + name[:200])
    shared = await remote.shared([name, b"in " + name[:200], b"nothing"])
    assert shared == {name: {}, b"in " + name[:200]: {name: "f"}, b"nothing": {}}
    assert set((await remote.look()).shared) == {name, b"in " + name[:200]}
    seen = listing.read(await held.finish(ONE))
    assert seen[name].entry.target == b"../../shared/" + name
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=False)
    await held.drop(TWO, [name])
    assert listing.read(await held.finish(TWO)) == {}
    assert name in os.listdir(os.fsencode(where / "shared"))
    assert not [path for path in snapshot(where) if path.endswith("pwned")]


async def test_twenty_megabytes_arrive_as_they_were_sent(remote: Any, held: Any) -> None:
    block = os.urandom(1 << 20)

    async def big() -> AsyncIterator[bytes]:
        yield tar.header(Entry(b"big", Kind.FILE, 0o644, 20 << 20), 0)
        for _ in range(20):
            yield block
        for end in tar.trailer():
            yield end

    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, big())
    digest = hashlib.sha256(block * 20).hexdigest()
    assert await remote.hashes(ONE, [b"big"]) == {b"big": digest}


# --- steps that fail -------------------------------------------------------------------------

Step = Callable[[Any], Awaitable[object]]

FAILING: dict[str, Step] = {
    "unpack nowhere": lambda held: held.unpack(NONE, stream({b"x": b"x" * 3_000_000})),
    "unpack what is no tar": lambda held: held.unpack(ONE, garbage()),
    "copy nothing": lambda held: held.copy(NONE, ONE, hardlink=False),
    "copy into nothing": lambda held: held.copy(ONE, NONE, hardlink=False),
    "drop nowhere": lambda held: held.drop(NONE, [b"x"]),
    "modes nowhere": lambda held: held.modes(NONE, [(b"x", 0o644)]),
    "mode of nothing": lambda held: held.modes(ONE, [(b"nothing", 0o644)]),
    "link nowhere": lambda held: held.link(NONE, [b"x"]),
    "link over a file": lambda held: held.link(ONE, [b"file"]),
    "link below a file": lambda held: held.link(ONE, [b"file/below"]),
    "seed nothing": lambda held: held.seed(ONE, b"nothing"),
    "make a directory below a file": lambda held: held.make_shared(b"file/below"),
    "finish nothing": lambda held: held.finish(NONE),
    "store nowhere": lambda held: held.store(".opsnb/nowhere/file", b"x"),
    "begin twice": lambda held: held.begin(ONE, record(ONE, 1)),
    "publish nothing": lambda held: held.publish(NONE, b""),
    "publish when current is another": lambda held: held.publish(ONE, b"releases/other"),
}


async def garbage() -> AsyncIterator[bytes]:
    yield b"this is no tar archive" * 100_000


@pytest.mark.parametrize("what", FAILING)
async def test_a_step_that_fails_says_so_changes_nothing_and_leaves_the_shell_usable(
    remote: Any, held: Any, where: Path, what: str
) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"file": b"x"}))
    await held.seed(ONE, b"file")
    await held.unpack(ONE, stream({b"file": b"y"}))
    before = everything_but_signs_of_life(where)
    for _twice in range(2):
        with pytest.raises(StepFailed) as failed:
            await FAILING[what](held)
        assert failed.value.status not in (0, 92)
        assert not held.broken
    assert everything_but_signs_of_life(where) == before
    await held.flush()
    await held.publish(ONE, b"")
    assert (await remote.look()).current.name == ONE


def everything_but_signs_of_life(where: Path) -> dict[str, object]:
    """A site without what any step under the lock may touch."""
    return {
        path: seen
        for path, seen in snapshot(where).items()
        if path not in (".opsnb/beat", ".opsnb") and not path.startswith(".opsnb/tmp.")
    }


@pytest.mark.parametrize("name", [b"nothing", b"dir"])
async def test_hashing_what_is_no_file_fails(remote: Any, held: Any, name: bytes) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.link(ONE, [b"dir/x"])
    with pytest.raises(RemoteError):
        await remote.hashes(ONE, [name])
    with pytest.raises(RemoteError):
        await remote.changes(NONE)
    assert (await remote.look()).ours


@pytest.fixture
def small(place: Place, where: Path) -> Iterator[Path]:
    """The site on a file system of one megabyte."""
    with small_disk(where, "1m") as disk:
        yield place.own(disk)


async def test_a_full_disk_fails_the_step_and_room_mends_it(
    remote: Any, small: Path, held: Any
) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.append_audit(b'{"what": "before"}\n')
    with pytest.raises(StepFailed):
        await held.unpack(ONE, stream({b"big": b"x" * 5_000_000}))
    with pytest.raises(StepFailed):
        await held.store(".opsnb/hold.json", b"x" * 100_000)
    assert not (small / ".opsnb" / "hold.json").exists(), "never half a file"
    assert not held.broken
    assert await held.discard([ONE])
    await held.append_audit(b'{"what": "after"}\n')
    await held.begin(TWO, record(TWO, 2))
    await held.unpack(TWO, stream({b"small": b"x"}))
    assert await remote.audit() == b'{"what": "before"}\n{"what": "after"}\n'


# --- hooks -----------------------------------------------------------------------------------


async def hooked(held: Any, command: str, **env: str) -> tuple[int, bytes]:
    """Run a hook in a new release; its exit status and all of its output."""
    said: list[bytes] = []
    await held.begin(TWO, record(TWO, 2))
    status = await held.hook(f"releases/{TWO}", command, env, SECONDS, said.append)
    return status, b"".join(said)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\n",
        b"no line break",
        b"line\n",
        b"\n\nblank lines\n\n",
        b"a\0b\0\n\0",
        b"\xff\xfe\x1b[2J",
        b"0 91\n\nabc 0\n",
        b"x" * 300_000 + b"\n" * 1000,
    ],
    ids=range(9),
)
async def test_a_hooks_output_arrives_byte_by_byte_as_it_was(
    held: Any, where: Path, place: Place, output: bytes
) -> None:
    text = where / "text"
    text.write_bytes(output)
    place.own(text)
    assert await hooked(held, 'cat "$TEXT"; cat "$TEXT" >&2', TEXT=str(text)) == (0, output * 2)


@pytest.mark.parametrize("status", [1, 3, 91, 92, 93, 94, 95, 96, 97, 126, 127, 130, 255])
async def test_a_hooks_exit_status_is_its_own_whatever_it_is(held: Any, status: int) -> None:
    assert await hooked(held, f"exit {status}") == (status, b"")
    await held.flush()


async def test_a_hooks_command_and_environment_arrive_as_they_were(held: Any) -> None:
    value = 'it\'s "$HOME" `x` \\ ünï * '
    command = 'printf "%s" "$VALUE"\n\n# a comment with \'quotes\'\nprintf "%s" \'\\n $x\''
    status, said = await hooked(held, command, VALUE=value)
    assert (status, said) == (0, value.encode() + b"\\n $x")


async def test_a_hooks_output_is_told_while_it_runs(held: Any, where: Path, place: Place) -> None:
    """The hook goes on only when a file appears that is made on hearing its first words."""
    go = where / "go"
    said: list[bytes] = []

    def hear(data: bytes) -> None:
        said.append(data)
        if b"".join(said) == b"ready? ":
            go.write_text("")
            place.own(go)

    await held.begin(ONE, record(ONE, 1))
    command = "printf 'ready? '; while [ ! -e ../../go ]; do sleep 0.05; done; echo steady"
    assert await held.hook(f"releases/{ONE}", command, {}, SECONDS, hear) == 0
    assert b"".join(said) == b"ready? steady\n"


async def test_a_hook_reads_nothing_of_ours(held: Any) -> None:
    assert await hooked(held, "cat; cat <&3; cat <&9; echo end") == (
        0,
        (await hooked_errors()) + b"end\n",
    )


async def hooked_errors() -> bytes:
    """What this machine's /bin/sh says of two descriptors that are not open."""
    done = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        "cat; cat <&3; cat <&9; :",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"LC_ALL": "C"},
        close_fds=True,
    )
    out, _ = await done.communicate()
    return out


@pytest.mark.parametrize("how", ["sleep 30 & echo $!", "setsid sleep 30 & echo $!"])
async def test_a_process_left_by_a_hook_holds_neither_the_call_nor_the_lock_nor_the_end(
    remote: Any, held: Any, how: str
) -> None:
    """Also one in a session of its own, that nobody ends, with its hands on our pipes."""
    began = time.monotonic()
    status, said = await hooked(held, how)
    assert status == 0
    assert is_alive(int(said))
    await held.flush()
    await held.release()
    again = await remote.lock("tester", "here", "now", "again")
    assert again is not None
    await again.release()
    await remote.close()
    assert time.monotonic() - began < 15


async def test_what_a_hook_left_talks_into_no_later_answer_and_lives_on(
    remote: Any, held: Any
) -> None:
    """It has the first hook's streams; it is ended here, and by nobody before."""
    talk = "(while :; do echo noise; sleep 0.005; done) & echo $!"
    await held.begin(ONE, record(ONE, 1))
    first: list[bytes] = []
    assert await held.hook(f"releases/{ONE}", talk, {}, SECONDS, first.append) == 0
    pid = int(b"".join(first).replace(b"noise", b"").split()[0])
    try:
        said: list[bytes] = []
        words = "sleep 0.1; echo mine; exit 3"
        assert await held.hook(f"releases/{ONE}", words, {}, SECONDS, said.append) == 3
        assert b"".join(said) == b"mine\n"
        assert b"noise" not in await held.finish(ONE)
        await held.release()
        again = await taken(remote)
        assert again.seen.releases
        await again.release()
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_a_hook_over_its_time_is_ended_on_the_server_with_its_children(
    remote: Any, held: Any
) -> None:
    said: list[bytes] = []
    await held.begin(ONE, record(ONE, 1))
    command = "sleep 300 & echo $!; (sleep 301; :) & echo $!; echo $$; wait"
    with pytest.raises(StepTimedOut):
        await held.hook(f"releases/{ONE}", command, {}, 1.0, said.append)
    assert held.broken
    pids = [int(word) for word in b"".join(said).split()]
    assert len(pids) == 3
    await until(lambda: not any(map(is_alive, pids)))
    again = await taken(remote)
    await again.release()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def taken(remote: Any) -> Any:
    """The lock, as soon as it is free."""
    deadline = time.monotonic() + SECONDS
    while not (held := await remote.lock("tester", "here", "now", "again")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return held


# --- what must stay --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["directory", "file", "link to a directory of its own"])
async def test_publishing_over_what_is_no_release_link_is_refused(
    held: Any, where: Path, place: Place, what: str
) -> None:
    await held.begin(ONE, record(ONE, 1))
    current = where / "current"
    if what == "directory":
        (current / "inside").mkdir(parents=True)
    elif what == "file":
        current.write_text("precious")
    else:
        (where / "elsewhere").mkdir()
        current.symlink_to("elsewhere")
    place.own(current)
    before = everything_but_signs_of_life(where)
    with pytest.raises(StepFailed):
        await held.publish(ONE, b"")
    assert everything_but_signs_of_life(where) == before


async def test_a_link_in_releases_is_never_published(held: Any, where: Path) -> None:
    (where / "elsewhere").mkdir()
    (where / "releases" / NONE).symlink_to(where / "elsewhere")
    with pytest.raises(StepFailed):
        await held.publish(NONE, b"")
    assert "current" not in snapshot(where)


async def test_discarding_refuses_the_live_release_and_follows_no_link(
    held: Any, where: Path, place: Place
) -> None:
    canary = where.parent / f"{where.name}-canary"
    (canary / "deep").mkdir(parents=True)
    (canary / "deep" / "file").write_text("alive")
    place.own(canary)
    await held.begin(ONE, record(ONE, 1))
    await held.hook(f"releases/{ONE}", f"ln -s {canary} inside; ln -s / root", {}, 9, ignore)
    await held.publish(ONE, b"")
    with pytest.raises(StepFailed) as refused:
        await held.discard([ONE])
    assert refused.value.status == 95
    (where / "releases" / NONE).symlink_to(canary)
    await held.store(f".opsnb/records/{NONE}.json", record(NONE, 9))
    (where / ".opsnb" / "trash" / "thing").symlink_to(canary)
    before = snapshot(canary)
    assert await held.discard([NONE])
    assert await held.sweep()
    await held.begin(TWO, record(TWO, 2))
    await held.publish(TWO, f"releases/{ONE}".encode())
    assert await held.discard([ONE])
    assert snapshot(canary) == before
    assert not (where / "releases" / ONE).exists()
    assert not any((where / ".opsnb" / "trash").iterdir())


def ignore(_data: bytes) -> None:
    return


async def test_a_directory_without_a_record_is_neither_begun_in_nor_discarded(
    held: Any, where: Path, place: Place
) -> None:
    (where / "releases" / NONE).mkdir()
    (where / "releases" / NONE / "file").write_text("somebody else's")
    place.own(where / "releases" / NONE)
    before = snapshot(where / "releases")
    with pytest.raises(StepFailed):
        await held.begin(NONE, record(NONE, 9))
    assert not (where / ".opsnb" / "records" / f"{NONE}.json").exists()
    await held.discard([NONE])
    assert snapshot(where / "releases") == before


async def test_writing_over_hard_links_leaves_the_live_release_alone(
    held: Any, where: Path
) -> None:
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"a": b"live", b"sub/b": b"live", b"c": b"live"}))
    await held.publish(ONE, b"")
    before = snapshot(where / "releases" / ONE)
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=True)
    inodes = [(where / "releases" / name / "a").stat().st_ino for name in (ONE, TWO)]
    assert inodes[0] == inodes[1]
    await held.unpack(TWO, stream({b"a": b"new", b"sub/b": b"", b"d": b"x"}))
    await held.drop(TWO, [b"c"])
    assert snapshot(where / "releases" / ONE) == before
    assert (where / "releases" / TWO / "a").read_bytes() == b"new"


@pytest.mark.parametrize("hardlink", [True, False])
async def test_dropping_links_into_shared_leaves_shared_alone(
    held: Any, where: Path, place: Place, *, hardlink: bool
) -> None:
    (where / "shared" / "uploads" / "deep").mkdir(parents=True)
    (where / "shared" / "uploads" / "deep" / "photo").write_text("precious")
    (where / "shared" / "file").write_text("precious")
    place.own(where / "shared")
    before = snapshot(where / "shared")
    await held.begin(ONE, record(ONE, 1))
    await held.link(ONE, [b"uploads", b"file", b"up/deep"])
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=hardlink)
    await held.drop(TWO, [b"uploads", b"file", b"up"])
    await held.unpack(TWO, stream({b"uploads/deep/photo": b"the source's", b"file": b"its own"}))
    assert await held.discard([ONE])
    assert snapshot(where / "shared") == before


async def test_shared_is_seeded_once(held: Any, where: Path) -> None:
    for name, text in ((ONE, b"first"), (TWO, b"second")):
        await held.begin(name, record(name, 1))
        await held.unpack(name, stream({b"a/up/file": text, b"b/file": text}))
        await held.seed(name, b"a/up")
    assert (where / "shared" / "a" / "up" / "file").read_bytes() == b"first"
    assert not (where / "releases" / ONE / "a" / "up").exists()
    assert (where / "releases" / TWO / "a" / "up" / "file").read_bytes() == b"second"
    (where / "shared" / "b").symlink_to("nowhere")
    await held.seed(TWO, b"b")
    assert os.readlink(where / "shared" / "b") == "nowhere", "a dangling link is there, too"


# --- the lock --------------------------------------------------------------------------------


async def test_the_lock_is_one_mans_its_token_grows_and_it_names_its_holder(
    remote: Any, place: Place, where: Path
) -> None:
    other, tokens = place.remote(where), []
    for _ in range(3):
        held = await remote.lock("me 'quoted' \n \x1b", "here", "now", 'why "so"')
        tokens.append(held.token)
        assert await other.lock("other", "there", "now", "too") is None
        holder = (await other.look()).holder
        assert (holder.who, holder.why) == ("me 'quoted' \n \x1b", 'why "so"')
        assert holder.token == held.token
        await held.release()
        held = await other.lock("other", "there", "now", "too")
        tokens.append(held.token)
        await held.release()
    assert tokens == sorted(set(tokens))
    await other.close()


async def test_the_lock_of_a_killed_step_is_free_at_once(remote: Any, held: Any) -> None:
    await held.begin(ONE, record(ONE, 1))
    running = asyncio.create_task(
        held.hook(f"releases/{ONE}", "echo on; sleep 300", {}, 300, ignore)
    )
    await asyncio.sleep(0.5)
    await held.kill()
    with pytest.raises((Disconnected, LockLost)):
        await running
    assert held.broken
    await (await taken(remote)).release()


HOLDING = """
import asyncio, sys
from pathlib import Path
from opsnb.core.address import Address
from opsnb.remote.local import local_remote
from opsnb.remote.ssh import ssh_remote

async def main(url, config):
    address = Address.parse(url)
    remote = (
        ssh_remote(address, Path(config), 60, 20) if config else local_remote(address.path, 60, 20)
    )
    assert await remote.lock("doomed", "here", "now", "to be killed")
    print("held", flush=True)
    await asyncio.sleep(600)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def started(argv: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdout=subprocess.PIPE)


async def test_kill_9_of_the_whole_client_frees_the_lock(
    remote: Any, place: Place, where: Path
) -> None:
    argv = [sys.executable, "-c", HOLDING, place.url(where), str(place.config or "")]
    with started(argv) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"held\n"
        assert (await remote.look()).holder.who == "doomed"
        assert await remote.lock("tester", "here", "now", "too early") is None
        client.kill()
    await (await taken(remote)).release()


DIGEST = hashlib.sha256(b"x").hexdigest()
WATCH = Watch(1, "deploy", ONE, TWO, 5, "tester", "here", "now")

ROBBED: dict[str, Step] = {
    "begin": lambda held: held.begin(TWO, record(TWO, 2)),
    "copy": lambda held: held.copy(ONE, TWO, hardlink=False),
    "drop": lambda held: held.drop(ONE, [b"file"]),
    "unpack": lambda held: held.unpack(ONE, stream({b"file": b"z" * 600_000})),
    "unpack_verified": lambda held: held.unpack_verified(
        ONE, stream({b"file": b"z" * 600_000}), {b"file": DIGEST}
    ),
    "modes": lambda held: held.modes(ONE, [(b"file", 0o777)]),
    "make_shared": lambda held: held.make_shared(b"made"),
    "seed": lambda held: held.seed(ONE, b"file"),
    "link": lambda held: held.link(ONE, [b"link/deep"]),
    "finish": lambda held: held.finish(ONE),
    "finish_as": lambda held: held.finish_as(ONE, ""),
    "store": lambda held: held.store(".opsnb/hold.json", b"{}"),
    "forget": lambda held: held.forget([f".opsnb/records/{ONE}.json"]),
    "append_audit": lambda held: held.append_audit(b"{}\n"),
    "flush": lambda held: held.flush(),
    "publish": lambda held: held.publish(ONE, b""),
    "publish_guarded": lambda held: held.publish_guarded(ONE, b"", guarded(WATCH, None)),
    "disarm": lambda held: held.disarm(1),
    "hook": lambda held: held.hook(f"releases/{ONE}", "rm -f file", {}, SECONDS, ignore),
    "discard": lambda held: held.discard([ONE]),
    "sweep": lambda held: held.sweep(),
    "recycle": lambda held: held.recycle(ONE),
    "bring": lambda held: held.bring(ONE, ONE, [b"file"]),
    "open_up": lambda held: held.open_up(ONE, ""),
    "patch": lambda held: held.patch(ONE, ONE, Patched(b"file", 0o644, 0), steps([b"end\n"])),
    "verify": lambda held: held.verify(ONE, {b"file": DIGEST}),
    "edit": lambda held: held.edit(f".opsnb/manifests/{ONE}", ".opsnb/none", b"- 1\n", DIGEST),
    "finish_like": lambda held: held.finish_like(ONE, ONE),
    "finish_reused": lambda held: held.finish_reused(ONE, ONE, ""),
    "retire": lambda held: held.retire(ONE),
    "clear_spare": lambda held: held.clear_spare(),
    "remove_idle": lambda held: held.remove_idle([ONE], aside=False),
    "remove_all": lambda held: held.remove_all([ONE], aside=False, idle=True),
    "place": lambda held: held.place(f"releases/{ONE}", f"opsnb-{'0' * 32}.php", b"<?php"),
    "unplace": lambda held: held.unplace(),
    "copy_theirs": lambda held: held.copy_theirs(ONE, "plain"),
    "share": lambda held: held.share(ONE, [b"file"]),
    "unshare": lambda held: held.unshare([b"file"]),
    "exchange": lambda held: held.exchange(ONE, "mv"),
    "exchange_back": lambda held: held.exchange_back(ONE, "mv"),
    "unpublish": lambda held: held.unpublish(ONE),
    "remove_theirs": lambda held: held.remove_theirs("plain", b"", [b"file"]),
    "dissolve": lambda held: held.dissolve(["releases"]),
    "private": lambda held: held.private(".opsnb/config/written", b"x"),
    "config_begin": lambda held: held.config_begin(),
    "config_keep": lambda held: held.config_keep(0, b"file", DIGEST),
    "config_commit": lambda held: held.config_commit(),
    "config_place": lambda held: held.config_place(0, b"file", 0o640),
    "config_back": lambda held: held.config_back(0, b"file", was=False),
    "config_done": lambda held: held.config_done([b"file"]),
}
# What takes no step, and what ends the change: a robbed holder may let go.
NO_STEPS = {"broken", "close", "kill", "release", "let_go", "series", "settle", "then", "unasked"}
# The steps of an adoption.
ADOPTING = {"copy_theirs", "share", "unshare", "exchange", "exchange_back", "unpublish"}
ADOPTING |= {"remove_theirs", "dissolve"}


async def test_after_a_robbery_every_method_says_so_and_changes_nothing(
    remote: Any, held: Any, place: Place, where: Path
) -> None:
    """The robbed shell is alive: its watch, which would end it, is stopped by this test."""
    methods = {name for name in dir(type(held)) if not name.startswith("_")}
    assert methods - set(ROBBED) == NO_STEPS, "every method is tried"
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({b"file": b"x"}))
    with watch_stopped(held._pid):
        thief = place.remote(where)
        seen = (await thief.look()).holder
        # pid 0: as when the thief may not send signals to the holder
        await thief.break_lock(Holder("", "", "", "", token=seen.token, pid=0))
        new = await thief.lock("thief", "there", "now", "robbery")
        assert new.token > held.token
        before = everything_but_signs_of_life(where)
        for name, step in ROBBED.items():
            with pytest.raises(LockLost):
                await step(held)
            assert everything_but_signs_of_life(where) == before, name
        await held.release()
        assert (await thief.look()).holder.token == new.token
        await new.flush()
        await new.release()
        await thief.close()


@contextmanager
def watch_stopped(pid: int) -> Iterator[None]:
    """Keep the agent's own children, which is its watch alone, from noticing anything."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGSTOP)
    try:
        yield
    finally:
        if is_alive(int(children[0])):
            os.kill(int(children[0]), signal.SIGCONT)


async def test_what_is_made_can_be_read_by_a_web_server(
    remote: Any, place: Place, where: Path
) -> None:
    """Whatever umask the login has: the directories above a release let others pass."""
    held = await remote.lock("tester", "here", "now", "umask")
    await held.begin(ONE, record(ONE, 1))
    await held.open_up(ONE, "")
    await held.release()
    for path in (where, where / "releases", where / "releases" / ONE):
        assert stat.S_IMODE(path.stat().st_mode) & 0o055 == 0o055
