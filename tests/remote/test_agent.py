"""How the agent comes to a server: packed where that can be unpacked, and plain anywhere else."""

from __future__ import annotations

import asyncio
import os
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from opsnb.errors import Disconnected, NotReady, StepTimedOut
from opsnb.remote import agent
from opsnb.remote.local import LocalPipes
from opsnb.remote.posix import PosixRemote
from opsnb.remote.shell import Call, Data, Pipes, Shell
from tests.support.sshd import require

SECONDS = 20.0
CALL = b"text 'a file'\n"
HEAD = b"N=0123\nD='/srv/x'\n"
Dial = Callable[[str], Awaitable[Pipes]]


async def started(*argv: str, path: str = "") -> Pipes:
    env = {**os.environ, **({"PATH": path} if path else {})}
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env, start_new_session=True
    )
    return LocalPipes(process)


def remote(site: Path, dial: Dial) -> PosixRemote:
    async def hang_up() -> None:
        return

    return PosixRemote(str(site), dial, hang_up, SECONDS, SECONDS)


def heard(how: Sequence[str], programs: list[str], path: str = "") -> Dial:
    """What starts a shell as it is asked to, and remembers what it was asked for."""

    async def dial(program: str) -> Pipes:
        programs.append(program)
        return await started(*how, *(("-c", program) if program else ("-s",)), path=path)

    return dial


async def change(there: PosixRemote) -> None:
    """What needs a shell of its own: the lock, taken and given back."""
    held = await there.lock("tester", "here", "now", "")
    assert held is not None
    await held.release()


def forced(programs: list[str]) -> Dial:
    """What starts a plain shell whatever it is asked for, and remembers what that was."""

    async def dial(program: str) -> Pipes:
        programs.append(program)
        return await started("/bin/sh", "-s")

    return dial


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
async def test_it_is_unpacked_in_any_posix_shell(shell: str, tmp_path: Path) -> None:
    program, *more = shell.split()
    programs: list[str] = []
    there = remote(tmp_path, heard([require(program), *more], programs))
    assert (await there.look()).writable
    await change(there)
    assert programs == [agent.READER] * 2
    await there.close()


async def test_a_server_that_starts_a_plain_shell_whatever_it_is_asked_for_gets_it_plain(
    tmp_path: Path,
) -> None:
    programs: list[str] = []
    there = remote(tmp_path, forced(programs))
    assert (await there.look()).writable
    assert (await there.look()).writable
    await change(there)
    assert programs == [agent.READER, "", ""]
    await there.close()


def without(folder: Path, program: str) -> Path:
    """A folder of all programs but one."""
    folder.mkdir()
    for place in ("/bin", "/usr/bin", "/usr/sbin"):
        for tool in Path(place).iterdir():
            if tool.name != program and not (folder / tool.name).is_symlink():
                (folder / tool.name).symlink_to(tool)
    return folder


async def test_a_server_without_gzip_gets_it_plain(tmp_path: Path) -> None:
    programs: list[str] = []
    dial = heard(["/bin/sh"], programs, str(without(tmp_path / "bin", "gzip")))
    there = remote(tmp_path / "site", dial)
    found = await there.look()
    assert not found.missing
    assert "gzip" not in found.packers
    assert programs == [agent.READER, ""]
    await change(there)
    assert programs == [agent.READER, "", ""]
    await there.close()


async def test_a_server_that_runs_nothing_says_why_after_both(tmp_path: Path) -> None:
    programs: list[str] = []

    async def closed(program: str) -> Pipes:
        programs.append(program)
        return await started("/bin/sh", "-c", "cat >/dev/null & echo this account is closed >&2")

    there = remote(tmp_path, closed)
    with pytest.raises(NotReady, match="this account is closed"):
        await there.look()
    assert programs == [agent.READER, ""]
    await there.close()


class Ended:
    """The pipes of a shell that has ended, which who writes is told sooner than who reads."""

    def __init__(self) -> None:
        self._writes = 0
        self._told = asyncio.Event()

    async def write(self, data: Data) -> None:
        del data
        self._writes += 1
        if self._writes > 1:  # the first is the agent itself
            self._told.set()
            raise Disconnected("it has ended") from ConnectionResetError()

    async def read_out(self) -> bytes:
        await self._told.wait()
        await asyncio.sleep(0.05)
        return b""

    async def read_err(self) -> bytes:
        return await self.read_out()

    async def close(self) -> None:
        return


async def test_who_notices_first_that_a_shell_has_ended_makes_no_difference(
    tmp_path: Path,
) -> None:
    programs: list[str] = []

    async def dial(program: str) -> Pipes:
        programs.append(program)
        return Ended() if program else await started("/bin/sh", "-s")

    there = remote(tmp_path, dial)
    assert (await there.look()).writable
    assert programs == [agent.READER, ""]
    await there.close()


class Silent:
    """Real pipes of which nothing is heard before something was said."""

    def __init__(self, real: Pipes, word: bytes) -> None:
        self._real, self._word = real, word
        self._said = asyncio.Event()

    async def write(self, data: Data) -> None:
        await self._real.write(data)
        if self._word in bytes(data):
            self._said.set()

    async def read_out(self) -> bytes:
        await self._said.wait()
        return await self._real.read_out()

    async def read_err(self) -> bytes:
        return await self._real.read_err()

    async def close(self) -> None:
        await self._real.close()


async def test_the_first_calls_wait_for_no_answer(tmp_path: Path) -> None:
    shell = Shell(
        Silent(await started("/bin/sh", "-c", agent.READER), CALL), str(tmp_path), packed=True
    )
    await shell.begin(SECONDS)
    assert (await shell.batch([Call("text", ("a file",))]))[0].status == 1
    assert shell.pid
    await shell.close()


async def test_a_plain_shell_is_asked_only_when_it_is_ready(tmp_path: Path) -> None:
    """It reads further than its script goes: what comes too early is lost."""
    shell = Shell(Silent(await started("/bin/sh", "-s"), CALL), str(tmp_path))
    await shell.begin(0.5)
    with pytest.raises(StepTimedOut, match="did not answer"):
        await shell.batch([Call("text", ("a file",))])
    assert shell.broken


class Counted:
    """Real pipes that remember that they were closed."""

    def __init__(self, real: Pipes, *, lost: bool = False) -> None:
        self._real, self._lost = real, lost
        self.closed = False

    async def write(self, data: Data) -> None:
        await self._real.write(data)

    async def read_out(self) -> bytes:
        if self._lost:
            raise Disconnected("the connection was lost") from OSError("reset")
        return await self._real.read_out()

    async def read_err(self) -> bytes:
        return await self._real.read_err()

    async def close(self) -> None:
        self.closed = True
        await self._real.close()


async def test_whoever_asks_at_once_of_a_server_with_a_plain_shell_alone_is_answered(
    tmp_path: Path,
) -> None:
    opened: list[Counted] = []

    async def dial(_: str) -> Pipes:
        opened.append(Counted(await started("/bin/sh", "-s")))
        return opened[-1]

    there = remote(tmp_path, dial)
    await there.connect()
    looks = await asyncio.gather(*(there.look() for _ in range(5)))
    assert all(look.writable for look in looks)
    assert [pipes.closed for pipes in opened].count(False) == 1
    await there.close()
    assert all(pipes.closed for pipes in opened)


@pytest.mark.parametrize("plain", [False, True])
async def test_the_first_glance_over_a_far_line_is_packed_where_the_agent_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    lines: list[bytes] = []

    class Noting(Counted):
        async def write(self, data: Data) -> None:
            lines.extend(line for line in bytes(data).split(b"\n") if b"aside" in line)
            await super().write(data)

    async def dial(program: str) -> Pipes:
        how = ("-c", program) if program and not plain else ("-s",)
        return Noting(await started("/bin/sh", *how))

    monkeypatch.setattr(PosixRemote, "round_trip", property(lambda _: 0.05))
    there = remote(tmp_path, dial)
    await there.glance()
    calls = [line for line in lines if line.startswith(b"= ")]
    assert calls[0] == b"= packed gzip aside"
    assert calls[1:] == [b"= aside"] * plain
    await there.glance()
    calls = [line for line in lines if line.startswith(b"= ")]
    assert calls[-1] == b"= packed zstd aside"
    await there.close()


async def test_what_a_connection_found_out_before_the_first_question_is_not_tried_again(
    tmp_path: Path,
) -> None:
    programs: list[str] = []
    there = remote(tmp_path, forced(programs))
    await there.connect()
    await asyncio.sleep(0.5)
    assert (await there.look()).writable
    assert programs == [agent.READER, ""]
    await there.close()


async def test_a_connection_that_is_lost_at_the_start_says_nothing_of_what_can_be_unpacked(
    tmp_path: Path,
) -> None:
    programs: list[str] = []

    async def dial(program: str) -> Pipes:
        programs.append(program)
        return Counted(await started("/bin/sh", "-c", program), lost=len(programs) == 1)

    there = remote(tmp_path, dial)
    with pytest.raises(NotReady):
        await there.look()
    assert (await there.look()).writable
    assert programs == [agent.READER] * 2
    await there.close()


async def test_a_shell_that_is_given_up_before_it_is_ready_is_closed(tmp_path: Path) -> None:
    opened: list[Counted] = []

    async def dial(program: str) -> Pipes:
        silent = Silent(await started("/bin/sh", "-c", program), b"never said")
        opened.append(Counted(silent))
        return opened[-1]

    there = remote(tmp_path, dial)
    there._stand_by()
    await asyncio.sleep(0.3)
    assert [pipes.closed for pipes in opened] == [False]
    await there._drop_next()
    assert [pipes.closed for pipes in opened] == [True]


async def test_the_time_for_the_start_is_over_when_it_has_started(tmp_path: Path) -> None:
    there = remote(tmp_path, heard(["/bin/sh"], []))
    there._connect_timeout = 1.0
    await there.connect()
    await asyncio.sleep(1.3)
    assert (await there.look()).writable
    await there.close()


def test_only_what_people_read_is_left_out() -> None:
    whole = Path(agent.__file__).with_name("agent.sh").read_text()
    bare = agent.script(b"", packed=False).decode()
    kept = [line for line in whole.splitlines() if not line.lstrip().startswith("#")]
    assert bare.split() == "\n".join(kept).split()
    assert len(bare) < 0.7 * len(whole)


def test_it_is_on_its_way_at_once_and_can_be_passed_on_by_any_login_shell() -> None:
    """A system sends ten segments of 1,448 bytes before it waits for an answer."""
    packed = agent.script(HEAD, packed=True)
    assert len(packed) < 14_000
    assert not set("'!\n") & set(agent.READER)
    first, length, body = packed.split(b"\n", 2)
    assert (first, int(length)) == (b"exit 111", len(body))
    unpacked = subprocess.run(["gzip", "-dc"], input=body, capture_output=True, check=True)
    assert unpacked.stdout == agent.script(HEAD, packed=False)
