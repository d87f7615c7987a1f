"""A switch with a watchdog, on every kind of remote and in every shell."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import audit
from opsnb.core.marks import Watch
from opsnb.core.release import Record, State
from opsnb.core.watch import guarded
from opsnb.errors import StepFailed
from opsnb.remote import watchdog
from opsnb.remote.local import local_remote
from tests.faults.test_watchdog import is_over, watchdogs
from tests.support.disk import small_disk
from tests.support.sshd import require

ONE, TWO = "20260101000000", "20260101000001"
SHELLS = ("dash", "bash", "busybox")
WAIT = 30.0


def mark(token: int, seconds: int) -> Watch:
    return Watch(token, "deploy", TWO, ONE, seconds, "tester", "here", "2026-01-01T00:00:00Z")


def record(name: str, seq: int) -> Record:
    return Record(name, seq, State.UNCONFIRMED if name == TWO else State.GOOD)


async def two(held: Any) -> None:
    """Two releases; the first is live."""
    for seq, name in enumerate((ONE, TWO), 1):
        await held.begin(name, record(name, seq).encode())
    await held.append_audit(audit.line(b"", {"what": "contract", "at": "now"}))
    await held.publish(ONE, b"")


async def switched(held: Any, seconds: int) -> None:
    made = guarded(mark(held.token, seconds), record(TWO, 2))
    await held.publish_guarded(TWO, f"releases/{ONE}".encode(), made)


async def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < end, "it never came to be so"
        await asyncio.sleep(0.05)


def live(where: Path) -> str:
    return (where / "current").resolve().name


def log(where: Path) -> list[str]:
    text = (where / ".opsnb" / "audit.jsonl").read_bytes()
    assert audit.verify(text) == []
    return [entry["what"] for entry in audit.read(text)]


async def test_a_switch_that_is_confirmed_stays(remote: Any, held: Any, where: Path) -> None:
    await two(held)
    await switched(held, 60)
    seen = (await remote.look()).watch
    assert seen == mark(held.token, 60)
    assert len(watchdogs(where)) == 1
    await held.disarm(held.token)
    assert (await remote.look()).watches == ()
    await is_over(where)
    assert live(where) == TWO
    with pytest.raises(StepFailed) as late:
        await held.disarm(held.token)
    assert late.value.status == 89


async def test_a_switch_that_is_not_confirmed_goes_back_and_ends_its_change(
    remote: Any, held: Any, where: Path
) -> None:
    await two(held)
    await switched(held, 1)
    await is_over(where)
    assert live(where) == ONE
    assert log(where) == ["contract", "restore.intent", "deploy.restored"]
    site = await remote.look()
    assert (site.watches, site.holder, site.intent) == ((), None, None)
    assert [release.state for release in site.releases] == [State.GOOD, State.BAD]
    with pytest.raises(Exception, match=r"lost|closed|taken"):
        await held.disarm(held.token)


async def test_it_outlives_the_connection(remote: Any, held: Any, where: Path) -> None:
    await two(held)
    await switched(held, 2)
    await remote.close()
    await held.kill()
    await remote.close()
    assert live(where) == TWO
    await is_over(where)
    assert live(where) == ONE


async def test_from_another_holder_the_lock_is_not_taken(
    remote: Any, held: Any, where: Path
) -> None:
    """Who has it now finds the mark, and decides; the watchdog waits for that."""
    await two(held)
    await switched(held, 1)
    await held.release()
    other = await remote.lock("other", "here", "now", "contract")
    assert other is not None
    fired = where / ".opsnb" / "watch" / f"{held.token}.fired"
    await until(fired.exists)
    await asyncio.sleep(1.5)
    assert live(where) == TWO
    seen = (await remote.look()).watch
    assert (seen.fired, seen.alive) == (True, True)
    await other.publish(ONE, f"releases/{TWO}".encode())
    await other.forget([f".opsnb/watch/{held.token}.fired"])
    await is_over(where)
    await other.append_audit(audit.line(await last(remote), {"what": "mine", "at": "now"}))
    await other.release()
    assert log(where) == ["contract", "mine"]


async def last(remote: Any) -> bytes:
    tail: bytes = (await remote.look()).audit_tail
    return tail


async def test_where_the_watchdog_cannot_begin_nothing_is_switched(held: Any, where: Path) -> None:
    await two(held)
    made = guarded(mark(held.token + 1, 60), None)  # of another mark than the one that is written
    with pytest.raises(StepFailed, match="did not begin"):
        await held.publish_guarded(TWO, f"releases/{ONE}".encode(), made)
    assert live(where) == ONE
    assert watchdogs(where) == []


@pytest.mark.parametrize("shell", SHELLS)
async def test_every_shell_is_a_watchdog(shell: str, tmp_path: Path) -> None:
    found = require(shell)
    where = tmp_path / "site"
    remote = local_remote(str(where), 60, 20)
    held = await remote.lock("tester", "here", "now", "contract")
    assert held is not None
    await two(held)
    made = guarded(mark(held.token, 1), record(TWO, 2))
    (where / ".opsnb" / "watch").mkdir()
    (where / ".opsnb" / "watch" / str(held.token)).write_bytes(made.watch.encode())
    await held.publish(TWO, f"releases/{ONE}".encode())
    told = {**made.told, "guard_group": "0"}
    process = await asyncio.create_subprocess_exec(
        *(found, *(["sh"] if shell == "busybox" else []), "-s", "opsnb-watchdog", str(where)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "D": str(where)},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(watchdog.script(told))
    await process.stdin.drain()
    assert await process.stdout.readline() == b"ready\n"
    process.stdin.close()
    await held.release()
    async with asyncio.timeout(WAIT):
        assert await process.wait() == 0
    assert live(where) == ONE
    assert log(where) == ["contract", "restore.intent", "deploy.restored"]
    await remote.close()


async def test_a_full_disk_does_not_keep_it_from_the_switch(tmp_path: Path) -> None:
    """What it cannot write down, the mark tells the next change."""
    with small_disk(tmp_path / "small", "2m") as disk:
        where = disk / "site"
        remote = local_remote(str(where), 60, 20)
        held = await remote.lock("tester", "here", "now", "contract")
        assert held is not None
        await two(held)
        await switched(held, 2)
        (where / ".opsnb" / "reserve").unlink(missing_ok=True)
        fill(disk / "bulk")
        await held.kill()
        await is_over(where)
        assert live(where) == ONE
        (disk / "bulk").unlink()
        seen = await remote.look()
        assert seen.current.name == ONE
        await remote.close()


def fill(path: Path) -> None:
    """Write until nothing more can be."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
