"""A promote: what one server runs, on another, byte for byte; and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import opsnb
from opsnb.core import promotion
from opsnb.core.config import Settings
from opsnb.core.events import Log, Outcome
from opsnb.core.listing import Base
from opsnb.core.manifest import Entry, Kind, Manifest
from opsnb.core.release import Record, State
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.engine import promote
from opsnb.errors import (
    ConfigError,
    ConnectError,
    Locked,
    NoSuchRelease,
    OpsnbError,
    StalePlan,
)
from opsnb.server import PromotePlan, Server
from tests.engine.conftest import configure, site
from tests.engine.test_manage import what
from tests.support.site import faults
from tests.support.sshd import RealSshd

ODD = [
    b"new\nline",
    b"-rf",
    b"quote'\"$(x)",
    b"\xff\xfe",
    b" a ",
    b"n" * 255,
    b"%2e",
    b"back\\slash",
]


def fill(folder: Path) -> Path:
    """A source with everything that a release may hold."""
    here = os.fsencode(folder)
    os.makedirs(here + b"/deep/er/" + b"d" * 200, exist_ok=True)
    os.makedirs(here + b"/empty", exist_ok=True)
    for name in ODD:
        with open(here + b"/" + name, "wb") as file:
            file.write(name * 7)
    (folder / "zero").write_bytes(b"")
    (folder / "big").write_bytes(os.urandom(3_000_000))
    (folder / "block").write_bytes(b"x" * 512)
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    (folder / "private").write_text("mine")
    (folder / "private").chmod(0o600)
    with open(here + b"/deep/er/" + b"d" * 200 + b"/leaf", "wb") as file:
        file.write(b"leaf")
    (folder / "to-tool").symlink_to("tool")
    (folder / "to-nowhere").symlink_to("../" * 40 + "etc/" + "long" * 40)
    os.utime(folder / "tool", (1_600_000_000, 1_600_000_000))
    return folder


def tree(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything below a folder: kinds, modes, contents."""
    found: dict[bytes, tuple[object, ...]] = {}
    base = os.fsencode(root.resolve())
    for above, folders, files in os.walk(base):
        for name in [*folders, *files]:
            path = os.path.join(above, name)
            key = path.removeprefix(base + b"/")
            if os.path.islink(path):
                found[key] = ("l", os.readlink(path))
            elif os.path.isdir(path):
                found[key] = ("d", os.stat(path).st_mode)
            else:
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found[key] = ("f", os.stat(path).st_mode, int(os.stat(path).st_mtime), digest)
    return found


def left_here() -> list[str]:
    """What promotes have left on this machine."""
    return [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("opsnb-promote")]


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return fill(folder)


class Pair:
    """A server to promote from, and one to promote to."""

    def __init__(self, staging: Server, live: Server, source: Path) -> None:
        self.staging, self.live = staging, live
        staging.deploy(source, revision="r1").wait()

    @property
    def manifests(self) -> tuple[str, str]:
        releases = (self.staging.look().live, self.live.look().live)
        return tuple(r.record.manifest if r and r.record else "" for r in releases)  # type: ignore[return-value]


@pytest.fixture
def pair(tmp_path: Path, source: Path) -> Iterator[Pair]:
    servers = [Server(f"file://{tmp_path}/{name}", name=name) for name in ("staging1", "web1")]
    yield Pair(servers[0], servers[1], source)
    for server in servers:
        server.close()


KINDS = ("folder", "embedded", "sshd", "sftp", "mixed")


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture(scope="module")
def embedded() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    with EmbeddedServer() as one, EmbeddedServer() as other:
        yield one, other


@pytest.fixture
def pairs(
    tmp_path: Path,
    source: Path,
    sshd: RealSshd,
    embedded: tuple[EmbeddedServer, EmbeddedServer],
) -> Iterator[Callable[[str], Pair]]:
    """Makes a pair of a kind."""
    made: list[Server] = []

    def at_embedded(server: EmbeddedServer) -> Server:
        path = Path(server.root) / tmp_path.name / "site"
        url = f"ssh://{server.user}@{server.host}:{server.port}{path}"
        return Server(url, name=f"e{server.port}", ssh_config=server.ssh_config)

    def at_sshd(name: str, scheme: str = "ssh") -> Server:
        url = sshd.url(sshd.home / f"{tmp_path.name}-{name}").replace("ssh://", f"{scheme}://")
        return Server(url, name=name, ssh_config=sshd.ssh_config)

    def make(kind: str) -> Pair:
        if kind == "folder":
            both = [Server(f"file://{tmp_path}/{name}", name=name) for name in ("a", "b")]
        elif kind == "embedded":
            both = [at_embedded(server) for server in embedded]
        elif kind == "mixed":
            both = [at_embedded(embedded[0]), at_sshd("to")]
        else:
            both = [at_sshd("from", "sftp" if kind == "sftp" else "ssh"), at_sshd("to")]
        made.extend(both)
        return Pair(both[0], both[1], source)

    yield make
    for server in made:
        server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_modes_and_times_under_the_same_manifest(
    pairs: Callable[[str], Pair], kind: str
) -> None:
    pair = pairs(kind)
    # SFTP tells whole times and no inode; a shell is the same for both.
    report = pair.live.promote(pair.staging).wait()
    assert (report.outcome, report.verb) == (Outcome.DONE, "promote")
    assert f"{report.release} is live" in report.sentence
    there, here = (tree(site(server) / "current") for server in (pair.staging, pair.live))
    assert there == here
    assert len(here) > len(ODD) + 10
    one, two = pair.manifests
    assert one == two != ""
    record = pair.live.look().live.record  # type: ignore[union-attr]
    origin = pair.staging.look().current.name
    assert record
    assert record.source == f"promoted from {pair.staging.name} {origin}"
    assert (record.revision, record.state) == ("r1", "good")
    assert "deploy.promoted" in what(pair.live)
    assert pair.live.verify_log() == []
    assert faults(site(pair.live)) == []
    assert left_here() == []
    assert pair.live.promote(pair.staging).wait().outcome is Outcome.NOTHING


@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_only_what_is_lacked_is_read(pairs: Callable[[str], Pair], source: Path, kind: str) -> None:
    pair = pairs(kind)
    pair.live.promote(pair.staging).wait()
    (source / "private").write_text("other")
    (source / "zero").unlink()
    pair.staging.deploy(source, revision="r2").wait()
    job = pair.live.promote(pair.staging)
    report = job.wait()
    said = [event.text for event in job.events if isinstance(event, Log)]
    assert any(line.startswith("reading 2 files") for line in said)  # and REVISION
    assert report.files == 2
    assert pair.manifests[0] == pair.manifests[1]
    assert not (site(pair.live) / "current/zero").exists()


def test_a_plan_reads_only_and_is_carried_out_as_it_was_shown(pair: Pair, source: Path) -> None:
    plan = pair.live.plan_promote(pair.staging)
    assert isinstance(plan, PromotePlan)
    assert not site(pair.live).exists()
    assert left_here() == []
    name = pair.staging.look().current.name
    assert str(plan).startswith(f"promote {name} from staging1\ndeploy on web1")
    assert repr(plan).startswith("<DeployPlan")
    assert pair.live.deploy(plan).wait().verb == "promote"
    with pytest.raises(ConfigError, match="not for staging1"):
        pair.staging.promote(plan)
    again = pair.live.plan_promote(pair.staging)
    assert again.nothing


def test_a_plan_is_stale_when_the_other_server_has_changed(pair: Pair, source: Path) -> None:
    """Also where what is to be sent has the same names."""
    plan = pair.live.plan_promote(pair.staging)
    (source / "private").write_text("else")
    pair.staging.deploy(source, revision="r1").wait()
    with pytest.raises(StalePlan, match="runs another release"):
        pair.live.promote(plan).wait()
    assert pair.live.look().current.name == ""


def test_what_the_application_wrote_and_what_is_shared_stays_where_it_is(
    pair: Pair, source: Path
) -> None:
    (site(pair.staging) / "shared/uploads").mkdir()
    (site(pair.staging) / "shared/uploads/cat.jpg").write_text("staging's")
    pair.staging.deploy(source, force=True).wait()
    (site(pair.staging) / "current/written-by-the-application").write_text("x")
    (site(pair.staging) / "current/uploads/dog.jpg").write_text("staging's")
    pair.live.promote(pair.staging).wait()
    current = site(pair.live) / "current"
    assert not (current / "written-by-the-application").exists()
    assert not (current / "uploads").exists()
    assert pair.manifests[0] == pair.manifests[1]


def test_a_project_promotes_by_the_names_of_servers_and_environments(
    tmp_path: Path, source: Path
) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text(
        "[environments.staging]\n[environments.production]\n"
        f'[servers.staging1]\nurl = "file://{tmp_path}/s"\nenvironment = "staging"\n'
        f'[servers.web1]\nurl = "file://{tmp_path}/p"\nenvironment = "production"\n'
    )
    project = opsnb.load(file)
    project.server("staging1").deploy(source).wait()
    assert project.plan_promote("staging", "production").origin.name == "staging1"
    assert project.promote("staging1", "production").wait().outcome is Outcome.DONE
    assert project.promote("staging", "web1").wait().outcome is Outcome.NOTHING
    with pytest.raises(ConfigError, match="to itself"):
        project.promote("staging", "staging1")


# --- refused -----------------------------------------------------------------------------------


def refused(pair: Pair, error: type[OpsnbError], said: str) -> None:
    """Both the plan and the promote are refused, and the server is not touched."""
    for ask in (
        lambda: pair.live.plan_promote(pair.staging),
        lambda: pair.live.promote(pair.staging).wait(),
    ):
        with pytest.raises(error, match=said) as caught:
            ask()
        assert caught.value.exit_status in (10, 12, 13)
    assert not site(pair.live).exists()
    assert left_here() == []


def test_nothing_is_promoted_from_a_server_that_runs_nothing(pair: Pair, tmp_path: Path) -> None:
    pair.staging = Server(f"file://{tmp_path}/empty", name="empty")
    refused(pair, NoSuchRelease, "nothing is live on empty")


def test_what_failed_or_was_never_confirmed_is_not_promoted(pair: Pair) -> None:
    for state in ("unconfirmed", "bad"):
        (record,) = (site(pair.staging) / ".opsnb/records").iterdir()
        known = json.loads(record.read_text())
        record.write_text(json.dumps({**known, "state": state}) + "\n")
        refused(pair, NoSuchRelease, f"is {state}, not good")


def test_what_was_changed_on_the_server_is_not_promoted(pair: Pair) -> None:
    (site(pair.staging) / "current/private").write_text("by hand")
    refused(pair, NoSuchRelease, "1 path of .* on staging1 changed there since: private")


def test_a_changed_mode_is_a_change_too(pair: Pair) -> None:
    (site(pair.staging) / "current/private").chmod(0o644)
    refused(pair, NoSuchRelease, "changed there since: private")


def test_what_a_hook_has_changed_is_not_promoted(pair: Pair, source: Path) -> None:
    configure(pair.staging, before_publish=["echo more >>tool"])
    pair.staging.deploy(source, force=True).wait()
    refused(pair, NoSuchRelease, "changed by its hooks: tool")


def test_what_another_tool_made_is_not_promoted(pair: Pair, tmp_path: Path) -> None:
    root = tmp_path / "capistrano"
    (root / "releases/20260101000000").mkdir(parents=True)
    (root / "current").symlink_to("releases/20260101000000")
    pair.staging = Server(f"file://{root}", name="staging1")
    refused(pair, NoSuchRelease, "has no record")
    pair.staging.adopt().wait()
    refused(pair, NoSuchRelease, "made by another tool")


def test_a_server_in_the_middle_of_a_change_is_not_promoted_from(pair: Pair, source: Path) -> None:
    configure(pair.staging, before_publish=["touch $OPSNB_SHARED/began; sleep 30"])
    running = pair.staging.deploy(source, force=True)
    began = site(pair.staging) / "shared/began"
    while not began.exists():
        running.done or pair.staging.look()
    refused(pair, Locked, "in the middle of a change")
    running.cancel()
    with pytest.raises(OpsnbError):
        running.wait()
    # The control: when it has ended, what runs there is good.
    assert pair.live.promote(pair.staging).wait().outcome is Outcome.DONE


def test_a_switch_that_nobody_has_settled_is_not_promoted(pair: Pair) -> None:
    name = pair.staging.look().current.name
    intent = {"verb": "deploy", "name": name, "previous": "", "by": "x", "at": "2026"}
    (site(pair.staging) / ".opsnb/intent.json").write_text(json.dumps(intent) + "\n")
    refused(pair, NoSuchRelease, "ended without a word")


def test_a_server_out_of_reach_is_said_to_be(pair: Pair) -> None:
    pair.staging = Server("ssh://nobody@127.0.0.1:1/srv/shop", name="staging1")
    refused(pair, ConnectError, "cannot connect")


def test_the_gates_of_the_server_it_goes_to_hold_it_back(pair: Pair) -> None:
    configure(pair.live, freeze="christmas sale")
    with pytest.raises(Locked, match="christmas sale"):
        pair.live.promote(pair.staging).wait()
    warnings = pair.live.plan_promote(pair.staging).plan.warnings
    assert any("christmas sale" in warning for warning in warnings)
    pair.live.settings = Settings.model_validate({})
    configure(pair.staging, freeze="christmas sale")
    assert pair.live.promote(pair.staging).wait().outcome is Outcome.DONE


# --- a server that lies ------------------------------------------------------------------------


class Liar:
    """Between the promote and the server it comes from: what is read there is altered."""

    def __init__(self, remote: Any, lie: Callable[[bytes], Iterator[bytes]]) -> None:
        self._remote, self._lie = remote, lie

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    async def fetch(self, name: str, paths: Sequence[bytes], take: Callable[[bytes], None]) -> None:
        whole = bytearray()
        await self._remote.fetch(name, paths, whole.extend)
        for piece in self._lie(bytes(whole)):
            take(piece)


def renamed(to: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """The first file under another name."""

    def lie(told: bytes) -> Iterator[bytes]:
        yield to.ljust(100, b"\0") + told[100:]

    return lie


def turned(kind: bytes, target: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """The first file as something else, that leads elsewhere."""

    def lie(told: bytes) -> Iterator[bytes]:
        yield told[:156] + kind + target.ljust(100, b"\0") + told[257:]

    return lie


def endless(told: bytes) -> Iterator[bytes]:
    yield told
    while True:
        yield b"\0" * 65536


def other_bytes(told: bytes) -> Iterator[bytes]:
    at = told.index(b"-rf-rf")
    yield told[:at] + b"XXX" + told[at + 3 :]


def larger(told: bytes) -> Iterator[bytes]:
    yield told[:124] + b"77777777777\0" + told[136:]


LIES: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "another name": renamed(b"../../../../../canary"),
    "an absolute name": renamed(b"/tmp/canary"),
    "a link": turned(b"2", b"/etc"),
    "a hard link": turned(b"1", b"/etc/passwd"),
    "a device": turned(b"3", b""),
    "a long name without end": turned(b"L", b""),
    "a sparse file": turned(b"S", b""),
    "no end": endless,
    "other bytes": other_bytes,
    "a larger file": larger,
    "cut short": lambda told: iter([told[: len(told) // 2]]),
    "nothing": lambda told: iter([b""]),
    "noise": lambda told: iter([os.urandom(4096), told]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_writes_nothing_anywhere(
    pair: Pair, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = Liar(pair.staging._remote(), LIES[lie])
    monkeypatch.setattr(pair.staging, "_remote", lambda: liar)
    with pytest.raises(OpsnbError) as caught:
        pair.live.promote(pair.staging).wait()
    assert caught.value.exit_status == 20
    assert caught.value.report.switched is False
    # Not even a lock was taken there: everything is here and verified before that.
    assert not site(pair.live).exists()
    assert left_here() == []
    # The control: without the lie it goes through.
    monkeypatch.undo()
    assert pair.live.promote(pair.staging).wait().outcome is Outcome.DONE


def test_a_server_that_falls_silent_is_waited_for_no_longer_than_said(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Liar):
        async def fetch(self, name: str, paths: Sequence[bytes], take: Any) -> None:
            take(b"\0")
            await asyncio.sleep(600)

    silent = Silent(pair.staging._remote(), lambda told: iter([told]))
    monkeypatch.setattr(pair.staging, "_remote", lambda: silent)
    monkeypatch.setattr(promote, "STALL", 0.2)
    with pytest.raises(OpsnbError, match=r"sent nothing for 0\.2 s"):
        pair.live.promote(pair.staging).wait(30)
    assert left_here() == []


def test_a_manifest_with_something_below_a_link_is_refused(pair: Pair) -> None:
    manifest = Manifest(
        [
            Entry(b"a", Kind.LINK, target=b"/etc"),
            Entry(b"a/passwd", Kind.FILE, 0o644, 1, hashlib.sha256(b"x").hexdigest()),
        ]
    )
    none: frozenset[bytes] = frozenset()
    base = Base("20260101000000", manifest, manifest.entries, none, none, none, none)
    with pytest.raises(NoSuchRelease, match="below a file or a link"):
        promotion.content(base, Record("1", 1, State.GOOD), "staging1")


def test_a_promote_that_is_aborted_leaves_nothing_here_and_nothing_there(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Liar):
        async def fetch(self, name: str, paths: Sequence[bytes], take: Any) -> None:
            began.set()
            await asyncio.sleep(600)

    began = threading.Event()
    slow = Slow(pair.staging._remote(), lambda told: iter([told]))
    monkeypatch.setattr(pair.staging, "_remote", lambda: slow)
    job = pair.live.promote(pair.staging)
    assert began.wait(30)
    assert left_here()
    job.cancel()
    with pytest.raises(OpsnbError) as caught:
        job.wait(30)
    assert caught.value.exit_status == 130
    assert left_here() == []
    assert not site(pair.live).exists()
