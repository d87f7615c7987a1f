"""A server that lies, shouts, goes silent or leaves: opsnb says so, and nothing else happens.

Each lie (liar.py) is told to what asks for it: a table, a plan, a deploy, a rollback. What comes of
it is an answer or an error in words, before its deadline, with little memory, without a write on
this machine but in cache and logs, and without a step on the server that leads out of the site.

The real agent acts on what opsnb then asks of it. It runs as another user, who owns the canary too.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.address import Address
from opsnb.core.config import Settings
from opsnb.core.marks import Intent
from opsnb.core.numbers import MOST, number, octal
from opsnb.engine.look import RECENT
from opsnb.errors import OpsnbError, RemoteError
from opsnb.loop import LOOP
from opsnb.remote import replies
from opsnb.remote.posix import PosixRemote
from opsnb.remote.shell import Shell
from opsnb.remote.ssh import SshConnection
from opsnb.server import Server
from tests.security import liar
from tests.security.corpus import controls, in_a_page
from tests.security.sample import WHOLE, sample
from tests.support.sshd import RealSshd

PATIENCE = 150.0  # seconds after which something hangs; no statement about speed
ROOM = 300_000_000  # bytes that a process may grow by, whatever it is told
OF_TREES = 600_000_000  # the same where a listing of two million paths has to have room
WRITERS = ("open", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.truncate", "os.chmod")
WRITTEN: list[list[str]] = []


def hook(event: str, args: tuple[Any, ...]) -> None:
    """Python tells of every file that it writes; such a hook stays to the end of the process."""
    if not WRITTEN or event not in WRITERS:
        return
    path, *rest = args
    if event == "open" and not (isinstance(rest[1], int) and rest[1] & (os.O_WRONLY | os.O_RDWR)):
        return
    if isinstance(path, str | bytes):
        WRITTEN[-1].append(os.fsdecode(path))


sys.addaudithook(hook)


@contextmanager
def writing() -> Iterator[list[str]]:
    """What this process writes meanwhile."""
    WRITTEN.append([])
    try:
        yield WRITTEN[-1]
    finally:
        WRITTEN.pop()


def strangers(written: list[str], tmp_path: Path) -> list[str]:
    """Places that are written to and are neither cache nor log nor nothing."""
    mine = (str(tmp_path / "opsnb_cache"), str(tmp_path / "opsnb_logs"), os.devnull)
    return [path for path in written if not os.path.abspath(path).startswith(mine)]


class Lied(Server):
    """A server about which is lied."""

    plot: liar.Plot

    def _make_remote(self) -> PosixRemote:
        seconds = self.settings.connect_timeout
        line = SshConnection(Address.parse(self.url), self._ssh_config, seconds)
        dial = self.plot.wrap(line.dial)
        return PosixRemote(
            self.deploy_to, dial, line.hang_up, self.settings.step_timeout, seconds, line.round_trip
        )


class Stage:
    """A site of another user, a canary beside it, and opsnb, as far as it is lied to."""

    def __init__(self, sshd: RealSshd, source: Path) -> None:
        self.sshd, self.source = sshd, source
        self.pattern, self.site = sshd.home / "pattern", sshd.home / "site"
        self.canary = sshd.home / "canary"
        self.plot = liar.Plot(canary=os.fsencode(self.canary))
        self.sh(f"mkdir {self.canary}; echo yes >{self.canary}/alive; mkdir {self.canary}/made")
        (source / "same").mkdir()
        there = self.server(at=self.pattern)
        for text in ("one", "two"):
            (source / "index.html").write_text(text)
            there.deploy(source).wait()
            self.sh(f"mkdir -p {self.pattern}/shared/same/deeper {self.pattern}/shared/uploads")
        there.close()
        self.sh(f"echo by hand >{self.pattern}/current/index.html")
        (source / "index.html").write_text("three")
        (source / "same" / "page").write_text("x")
        self.before = self.around()

    def sh(self, script: str) -> str:
        """Run something as the server's user, in his home."""
        return self.sshd.as_user("/bin/sh", "-c", script).decode()

    def anew(self) -> None:
        """A site that nobody has changed."""
        self.sh(f"rm -rf {self.site}; cp -a {self.pattern} {self.site}")
        RECENT.__init__()  # type: ignore[misc]  # what an earlier lie left is not known

    def around(self) -> str:
        """Everything of that user's but the site."""
        seen = self.sh("find . -path ./site -prune -o -printf '%p %y %m %s %l\\n' | sort")
        return "\n".join(line for line in seen.splitlines() if not line.startswith(". "))

    def server(self, at: Path | None = None, hooks: tuple[str, ...] = ("echo a hook",)) -> Lied:
        given = {
            "connect_timeout": 5,
            "step_timeout": 5,
            "before_publish": [{"command": line, "timeout": 3} for line in hooks],
        }
        made = Lied(
            self.sshd.url(at or self.site),
            ssh_config=self.sshd.ssh_config,
            settings=Settings.model_validate(given),
        )
        made.plot = self.plot
        return made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    (folder / "source").mkdir()
    with RealSshd() as sshd:
        yield Stage(sshd, folder / "source")


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache, logs, home and working directory are empty folders."""
    for name in ("OPSNB_CACHE", "OPSNB_LOGS", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)


def questions(stage: Stage) -> dict[str, Callable[[Server], object]]:
    """What is asked of a server."""
    return {
        "releases": lambda on: on.releases().to_html() + on.releases().to_string(),
        "usage": lambda on: on.usage().to_html() + on.usage().to_string(),
        "log": lambda on: on.log().to_html(),
        "verify": lambda on: str(on.verify_log()[:3]),
        "check": lambda on: on.check().to_html(),
        "shown": _shown,
        "drift": lambda on: str(on.drift()),
        "diff": lambda on: on.diff(*[r.name for r in on.look().releases][:2]).to_html(),
        "plan": lambda on: str(on.plan(stage.source)),
        "plan_rollback": lambda on: str(on.plan_rollback()),
        "run": lambda on: on.run("pwd", directory=".", timeout=4).out,
        "hold": lambda on: str(on.hold("why").wait()),
        "unhold": lambda on: str(on.unhold(force=True).wait()),
        "deploy": lambda on: str(on.deploy(stage.source, force=True).wait()),
        "rollback": lambda on: str(on.rollback().wait()),
        "prune": lambda on: str(on.prune(1).wait()),
    }


TRIES = 3  # on a busy machine a deadline may end all that would have asked for the lie
ASKS: dict[str, tuple[str, ...]] = {
    "look": ("releases", "usage", "check", "shown", "diff", "plan", "rollback", "deploy"),
    "live": ("plan", "deploy"),
    "aside": ("plan", "deploy"),
    "manifest": ("diff", "drift", "plan"),
    "hashes": ("drift", "plan"),
    "shared": ("plan", "deploy"),
    "usage": ("usage",),
    "audit": ("log", "verify"),
    "take": ("hold", "deploy", "prune"),
    "ready": ("releases", "deploy", "run"),
    "run": ("run",),
}
CHANGES = ("deploy", "rollback")


def _shown(on: Server) -> str:
    from opsnb.notebook import objects

    drawn = objects.server(on)
    assert in_a_page(drawn.html) == []
    return drawn.text


def asked(on: Server, ask: Callable[[Server], object]) -> str:
    """What an answer or an error of ours says; anything else is raised."""
    said: list[object] = []

    def work() -> None:
        try:
            said.append(ask(on))
        except OpsnbError as error:
            said.append(str(error))
        except BaseException as error:  # noqa: BLE001 - told below
            said.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert said, f"no answer within {PATIENCE:g} s"
    if isinstance(said[0], BaseException):
        raise AssertionError(f"a bare error: {said[0]!r}") from said[0]
    return str(said[0])


def memory(what: str) -> int:
    """Bytes of this process: ``VmRSS``, or the most there were (``VmHWM``) since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{what}:\s+(\d+) kB", status)[0]) * 1024


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def endure(stage: Stage, name: str, tmp_path: Path) -> None:
    """Tell a lie to all that asks for it."""
    kind = liar.LIES[name].call
    stage.anew()
    stage.plot.lie, stage.plot.told = name, 0
    try:
        asks = ASKS.get(kind, CHANGES)
        for what in asks[:1] if name in liar.ENDLESS else asks * TRIES:
            on = stage.server()
            with writing() as written:
                said = asked(on, questions(stage)[what])
            on.close()
            assert controls(said) == [], what
            assert strangers(written, tmp_path) == [], what
            if stage.plot.told and what == asks[-1]:
                break
        assert stage.plot.told
    finally:
        stage.plot.lie = ""
    assert stage.around() == stage.before


QUIET = {name: lie for name, lie in liar.LIES.items() if name not in liar.ENDLESS}
ENDLESS = {name: liar.LIES[name] for name in liar.ENDLESS}


def test_the_lies_are_more_than_fifty() -> None:
    assert len(liar.LIES) > 150


@pytest.mark.parametrize("name", [*sample(QUIET, every=3)])
def test_a_lie_ends_in_an_answer_or_in_words(stage: Stage, tmp_path: Path, name: str) -> None:
    endure(stage, name, tmp_path)


@pytest.mark.parametrize("name", [*sample(ENDLESS, every=2)])
def test_what_never_ends_takes_little_memory(stage: Stage, tmp_path: Path, name: str) -> None:
    before = forget_peak()
    endure(stage, name, tmp_path)
    room = OF_TREES if liar.LIES[name].call == "live" else ROOM
    assert memory("VmHWM") - before < room
    logs = sum(path.stat().st_size for path in (tmp_path / "opsnb_logs").glob("*"))
    assert logs < 32_000_000


# --- the controls ------------------------------------------------------------------------------


def test_the_control_without_a_lie_everything_is_answered(stage: Stage, tmp_path: Path) -> None:
    stage.anew()
    on = stage.server()
    with writing() as written:
        for ask in questions(stage).values():
            ask(on)
    on.close()
    assert written
    assert strangers(written, tmp_path) == []
    assert stage.around() == stage.before
    assert set(ASKS) | {lie.call for lie in liar.LIES.values()} >= {"live", "hook", "finish"}


def test_the_control_a_write_elsewhere_is_found(tmp_path: Path) -> None:
    with writing() as written:
        (tmp_path / "stray").write_text("x")
        (tmp_path / "made").mkdir()
    assert strangers(written, tmp_path) == [str(tmp_path / "stray"), str(tmp_path / "made")]


def test_the_control_who_takes_everything_takes_too_much(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opsnb.remote import shell

    stage.anew()
    stage.plot.lie = "endless_output"
    monkeypatch.setattr(shell, "REPLY_LIMIT", 10**12)
    on, before = stage.server(), forget_peak()
    try:
        with suppress(OpsnbError):
            on.look()
    finally:
        stage.plot.lie = ""
        on.close()
    assert memory("VmHWM") - before > ROOM


def test_the_control_the_agent_itself_removes_what_it_is_told_to(stage: Stage) -> None:
    """So it is opsnb alone that keeps a path inside; here a canary of its own dies for it."""
    stage.anew()
    victim = stage.sshd.home / "victim"
    stage.sh(f"mkdir {victim} && touch {victim}/alive")
    line = SshConnection(Address.parse(stage.sshd.url(stage.site)), stage.sshd.ssh_config, 5)

    async def tell() -> int:
        shell = Shell(await line.dial(), str(stage.site))
        await shell.open(5)
        await shell.call("take", '"who": "a"}')
        name = os.readlink(stage.site / "current").rpartition("/")[2]
        told = await shell.call("drop", name, payload=[b"../../../victim\0"])
        await shell.close()
        await line.hang_up()
        return told.status

    assert LOOP.run(tell()) == 0
    assert not victim.exists()
    assert stage.canary.exists()


# --- single guards -----------------------------------------------------------------------------


@pytest.mark.parametrize("out", [b"7 1\n", b"7 0\n", b"7 -1\n", b"7 +5\n", b"7 1_0\n", b"7\n"])
def test_a_process_that_cannot_hold_a_lock_is_not_believed(out: bytes) -> None:
    with pytest.raises(RemoteError):
        replies.holding_in(out)
    assert replies.holding_in(b"7 4711\n") == (7, 4711)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "../x"}, {"name": "/x"}, {"name": ".."}, {"previous": "a/b"}, {"verb": "\x1b[2J"}],
)
def test_an_intent_names_a_release_and_a_switch_or_is_none(wrong: dict[str, str]) -> None:
    right = {"verb": "deploy", "name": "1", "previous": "", "by": "", "at": ""}
    assert Intent.decode(json.dumps(right)).name == "1"
    with pytest.raises(ValueError, match="not an intent"):
        Intent.decode(json.dumps(right | wrong))


@pytest.mark.parametrize("name", [b"..", b".", b"../x", b"/x", b"a/b", b""])
def test_a_directory_of_shared_lists_what_is_in_it(name: bytes) -> None:
    assert replies.listings_in(b"fone\0dtwo\0\0\0") == [{b"one": "f", b"two": "d"}, {}]
    with pytest.raises(RemoteError, match="makes no sense"):
        replies.listings_in(b"f" + name + b"\0\0")


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1_0", "٣", " 1", "1e3", "nan", "0x1", "9" * 6_000]
)
def test_a_number_is_digits_and_not_too_many(text: str) -> None:
    assert number("0042") == number(b"42") == 42
    assert number("9" * 20) == MOST
    for read in (number, octal):
        with pytest.raises(ValueError, match="not a"):
            read(text)


@pytest.mark.parametrize("call", ["end_change", "break_lock"])
def test_the_agent_ends_no_process_that_is_everybody(stage: Stage, call: str) -> None:
    """Of the functions only what they would end is told: `kill` is one that says its arguments."""
    stage.anew()
    agent = Path(replies.__file__).with_name("agent.sh").read_text().removesuffix("serve\n")
    told = 'kill() { echo killed "$@"; }; rm() { :; }; sleep() { :; }; '
    head = f"N=x; D={shlex.quote(str(stage.site))}\n"
    for pid, ended in (
        ("0", ""),
        ("1", ""),
        ("-1", ""),
        ("x", ""),
        ("4711", "killed -KILL -4711"),
    ):
        token = stage.sh(f"cat {stage.site}/.opsnb/token").strip()
        script = f"{head}{agent}\n{told}( {call} {pid} {token} ) 2>/dev/null; :"
        assert stage.sshd.as_user("/bin/sh", "-s", stdin=script.encode()).decode().strip() == ended


def test_a_reply_to_a_call_that_was_not_made_is_not_taken_for_the_next(stage: Stage) -> None:
    stage.anew()
    stage.plot.lie = "look_with_replies_to_come"
    on = stage.server()
    try:
        assert on.look().live
        with pytest.raises(RemoteError, match="not asked"):
            on.audit_log()
    finally:
        stage.plot.lie = ""
        on.close()


def test_a_login_shell_that_shouts_for_ever_is_left(tmp_path: Path) -> None:
    """The same as above over a real line: nothing but `yes` answers."""
    with RealSshd() as sshd:
        login = sshd.base / "login"
        login.write_text("#!/bin/sh\nexec yes\n")
        login.chmod(0o755)
        passwd = sshd.base / "sshd" / "passwd"
        passwd.write_text(passwd.read_text().replace("/bin/sh", str(login)))
        before = forget_peak()
        settings = Settings.model_validate({"connect_timeout": 2})
        on = Server(sshd.url(), ssh_config=sshd.ssh_config, settings=settings)
        with pytest.raises(OpsnbError):
            on.look()
        on.close()
        assert memory("VmHWM") - before < ROOM


def test_all_of_it_can_be_asked_for() -> None:
    """What CI leaves out is spread evenly; OPSNB_FAULTS=whole leaves nothing out."""
    told = len(sample(QUIET, every=3))
    assert told == len(QUIET) if WHOLE else told * 3 >= len(QUIET)
