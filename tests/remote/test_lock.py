"""The lock: one changer, dead ones leave at once, robbed ones can do no more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.events import Outcome
from opsnb.core.marks import Holder
from opsnb.errors import Disconnected, LockLost, NotReady, StepFailed
from opsnb.remote import held
from opsnb.remote.local import local_remote
from opsnb.server import Server
from tests.support.sshd import RealSshd, require

CONTENDERS = 40
BEGIN = b'{"name": "20260101000000", "seq": 1, "state": "unfinished"}\n'

CLIENT = """
import sys
from opsnb.core.config import Settings
from opsnb.server import Server
settings = Settings.model_validate({"before_publish": ["echo begun; sleep 300"]})
server = Server(sys.argv[1], ssh_config=sys.argv[2] or None, settings=settings)
for event in server.deploy(sys.argv[3]):
    print(getattr(event, "text", ""), flush=True)
"""


def remote(path: Path) -> Any:
    return local_remote(str(path / "site"), 60, 20)


def paths(folder: Path) -> list[str]:
    """What stands in a site; not what comes and goes with a lock."""
    found = (str(path) for path in folder.rglob("*"))
    return sorted(path for path in found if "tmp." not in path and "holder" not in path)


async def take(one: Any) -> Any:
    return await one.lock("tester", "here", "now", "a test")


async def test_of_forty_contenders_one_wins_each_round(tmp_path: Path) -> None:
    remotes = [remote(tmp_path) for _ in range(CONTENDERS)]
    tokens = []
    for _round in range(3):
        helds = [held for held in await asyncio.gather(*map(take, remotes)) if held]
        assert len(helds) == 1
        tokens.append(helds[0].token)
        await helds[0].release()
    assert tokens == sorted(set(tokens)), "a token never comes twice"
    for one in remotes:
        await one.close()


async def test_the_holder_is_named_while_it_holds_and_not_afterwards(tmp_path: Path) -> None:
    one, other = remote(tmp_path), remote(tmp_path)
    held = await take(one)
    seen = (await other.look()).holder
    assert (seen.who, seen.host, seen.why) == ("tester", "here", "a test")
    assert seen.token == held.token
    await held.release()
    assert (await other.look()).holder is None
    await one.close()
    await other.close()


async def test_a_robbed_holder_can_do_no_more(tmp_path: Path) -> None:
    one, other = remote(tmp_path), remote(tmp_path)
    held = await take(one)
    await held.begin("20260101000000", BEGIN)
    # Robbed without being killed, as when the thief may not send signals: pid 0 sends none.
    holder = (await other.look()).holder
    robbery = asyncio.create_task(
        other.break_lock(Holder("", "", "", "", token=holder.token, pid=0))
    )
    await asyncio.sleep(0.2)
    before = paths(tmp_path)
    steps = [
        lambda: held.begin("20260101000001", BEGIN),
        lambda: held.store(".opsnb/hold.json", b"{}"),
        lambda: held.drop("20260101000000", [b"x"]),
        lambda: held.publish("20260101000000", b""),
        lambda: held.discard(["20260101000000"]),
        lambda: held.append_audit(b"{}\n"),
    ]
    for step in steps:
        with pytest.raises((LockLost, Disconnected)):
            await step()
    assert paths(tmp_path) == before
    await robbery
    again = await take(other)
    assert again is not None
    assert again.token > held.token
    with suppress(Disconnected):
        await held.release()
    assert (await one.look()).holder is not None, "the robbed one took nothing with it"
    await again.release()
    await one.close()
    await other.close()


async def test_a_payload_is_never_read_as_a_call(tmp_path: Path) -> None:
    """Also when its step refuses before it has read it, and at every size around a frame's."""
    one = remote(tmp_path)
    held = await take(one)
    canary = tmp_path / "canary"
    line = f"touch {canary}\n".encode()
    for size in (len(line), 1 << 18, (1 << 18) + len(line), 3 << 20):
        content = (line * (size // len(line) + 1))[:size]
        for path in ("nowhere/file", "records/../../../nowhere/file"):
            with pytest.raises(StepFailed):
                await held.store(f".opsnb/{path}", content)
        with pytest.raises(StepFailed):
            await held.drop("29990101000000", [content.replace(b"\0", b"")])
        await held.store(".opsnb/hold.json", b"{}")
    assert not canary.exists()
    await held.release()
    await one.close()


async def test_breaking_a_lock_that_has_changed_hands_is_refused(tmp_path: Path) -> None:
    one, other = remote(tmp_path), remote(tmp_path)
    held = await take(one)
    stale = Holder("", "", "", "", token=held.token - 1, pid=0)
    with pytest.raises(LockLost, match="changed hands"):
        await other.break_lock(stale)
    await held.flush()
    await held.release()
    await one.close()
    await other.close()


async def test_a_hook_that_leaves_a_process_behind_does_not_hold_the_lock(tmp_path: Path) -> None:
    one = remote(tmp_path)
    held = await take(one)
    await held.begin("20260101000000", BEGIN)
    said: list[bytes] = []
    began = time.monotonic()
    status = await held.hook(
        "releases/20260101000000", "setsid sleep 8 & echo left", {}, 20, said.append
    )
    assert status == 0
    assert time.monotonic() - began < 10
    assert b"".join(said).split() == [b"left"]
    await held.release()
    again = await take(one)
    assert again is not None
    await again.release()
    await one.close()


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def begun(url: str, config: str, source: Path) -> subprocess.Popen[str]:
    """A client whose deploy hangs in a hook."""
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, url, config, str(source)], stdout=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    for line in client.stdout:
        if line.strip() == "begun":
            return client
    raise AssertionError(f"the client ended with {client.wait()}")


def source_of(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    (folder / "index").write_text(text)
    return folder


def until_free(server: Server, seconds: float) -> float:
    began = time.monotonic()
    while server.look().holder:
        assert time.monotonic() - began < seconds, "the lock is still held"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.mark.parametrize("how", ["sshd", "local"])
def test_after_a_kill_9_the_next_deploy_goes_through_by_itself(
    sshd: RealSshd, tmp_path: Path, how: str
) -> None:
    url = sshd.url(f"{sshd.home}/killed") if how == "sshd" else f"file://{tmp_path}/site"
    config = str(sshd.ssh_config) if how == "sshd" else ""
    server = Server(url, ssh_config=config or None)
    server.deploy(source_of(tmp_path, "one")).wait()
    client = begun(url, config, source_of(tmp_path, "two"))
    assert server.look().holder is not None
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert client.stdout is not None
    client.stdout.close()
    until_free(server, 30)
    report = server.deploy(source_of(tmp_path, "three")).wait()
    assert report.outcome is Outcome.DONE
    site = server.look()
    assert [release.state for release in site.releases] == ["good", "good"]
    assert site.debris == 0
    server.close()


def test_a_frozen_client_loses_the_lock_within_a_minute_and_can_do_no_harm_when_it_wakes(
    sshd: RealSshd, tmp_path: Path
) -> None:
    url = sshd.url(f"{sshd.home}/frozen")
    server = Server(url, ssh_config=sshd.ssh_config)
    server.deploy(source_of(tmp_path, "one")).wait()
    client = begun(url, str(sshd.ssh_config), source_of(tmp_path, "two"))
    os.kill(client.pid, signal.SIGSTOP)
    took = until_free(server, 60)
    assert took > 5, "it was frozen, not gone"
    report = server.deploy(source_of(tmp_path, "three")).wait()
    before = server.look()
    os.kill(client.pid, signal.SIGCONT)
    client.communicate(timeout=120)
    after = server.look()
    assert after.current.name == report.release
    assert [r.name for r in after.releases if r.present] == [
        r.name for r in before.releases if r.present
    ]
    assert server.verify_log() == []
    server.close()


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh", "mksh"])
@pytest.mark.parametrize("call", ["end_change", "break_lock"])
def test_every_shell_ends_the_whole_of_a_change(tmp_path: Path, shell: str, call: str) -> None:
    (tmp_path / ".opsnb").mkdir()
    (tmp_path / ".opsnb/token").write_text("7\n")
    program, *more = shell.split()
    agent = Path(held.__file__).with_name("agent.sh").read_text().removesuffix("serve\n")
    change = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"], start_new_session=True)
    try:
        script = f"N=x; D={tmp_path}\n{agent}\n{call} {change.pid} 7\n"
        subprocess.run([require(program), *more, "-s"], input=script, text=True, check=False)
        assert change.wait(10) == -signal.SIGKILL
    finally:
        with suppress(ProcessLookupError):
            os.killpg(change.pid, signal.SIGKILL)
        change.wait()


async def test_where_no_further_shell_runs_signs_of_life_come_between_the_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an account may have no more processes: the session opens, and its shell ends."""
    monkeypatch.setattr(held, "BEAT", 0.05)
    one = remote(tmp_path)
    await one.look()
    lock = await take(one)

    async def no_more() -> None:
        raise NotReady("what is missing: a shell")

    monkeypatch.setattr(one, "_open", no_more)
    beat = tmp_path / "site/.opsnb/beat"
    seen: set[str] = set()
    until = time.monotonic() + 20
    while len(seen) < 3 and time.monotonic() < until:
        with suppress(FileNotFoundError):
            seen.add(beat.read_text())
        await asyncio.sleep(0.02)
    assert len(seen) >= 3
    await lock.release()
    await one.close()
