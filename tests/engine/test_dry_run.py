"""What a dry run says is what then happens; and neither it nor a question changes a byte."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from opsnb.cli.main import opsnb
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import live
from tests.support.site import everything
from tests.support.sshd import RealSshd


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def all_of(tree: Path) -> dict[str, tuple[object, ...]]:
    """Names, kinds, modes, owners, times of content and inode, inodes, links, bytes."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [tree, *sorted(tree.rglob("*"))]:
        seen = path.lstat()
        looks = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_nlink)
        times = (seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
        told: object = path.readlink() if path.is_symlink() else None
        told = path.read_bytes() if told is None and path.is_file() else told
        found[str(path.relative_to(tree))] = (*looks, *times, told)
    return found


def asked(address: str, names: list[str], source: Path) -> dict[str, list[str]]:
    """Every question, and every change's dry run, as a shell's words."""
    old, new = names[0], names[-1]
    dry = "--dry-run"
    return {
        "check": ["check", address],
        "plan": ["plan", address, str(source)],
        "releases": ["releases", address],
        "usage": ["usage", address],
        "diff": ["diff", address, old, new],
        "log": ["log", address, "--verify"],
        "lock status": ["lock", address, "status"],
        "deploy": ["deploy", address, str(source), dry],
        "deploy, revision": ["deploy", address, str(source), "--revision", "abc", dry, "--force"],
        "rollback": ["rollback", address, dry],
        "rollback to": ["rollback", address, "--to", old, dry],
        "prune": ["prune", address, "--keep", "1", dry],
        "pin": ["pin", address, old, dry],
        "unpin": ["unpin", address, old, dry],
        "lock acquire": ["lock", address, "acquire", "-m", "because", dry],
        "lock release": ["lock", address, "release", dry],
        "lock release, forced": ["lock", address, "release", "--force", dry],
        "freeze": ["freeze", address, "-m", "because", "--until", "2h", dry],
        "unfreeze": ["unfreeze", address, dry],
        "adopt": ["adopt", address, dry],
        "adopt undo": ["adopt", address, "--undo", dry],
        "adopt finish": ["adopt", address, "--finish", dry],
    }


@pytest.mark.parametrize("scheme", ["ssh", "sftp"])
def test_no_question_and_no_dry_run_changes_a_byte(
    sshd: RealSshd, tmp_path: Path, scheme: str
) -> None:
    place = sshd.home / f"dry-{scheme}"
    address = sshd.url(place).replace("ssh://", f"{scheme}://", 1)
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    server = Server(address, ssh_config=sshd.ssh_config)
    names = []
    for text in ("one", "two", "three"):
        (source / "index").write_text(text)
        (source / "sub" / text).write_text(text)
        names.append(server.deploy(source).wait().release)
    (source / "index").write_text("four")
    before = all_of(place)
    runner = CliRunner()
    for name, words in asked(address, names, source).items():
        for how in ([], ["--json"]):
            ran = runner.invoke(opsnb, ["--ssh-config", str(sshd.ssh_config), *words, *how])
            changed = {path for path, seen in all_of(place).items() if before.get(path) != seen}
            assert not changed, f"{name}: {sorted(changed)}"
            assert ran.output or ran.stderr, name
            # A refusal is an answer; a bug is none.
            assert ran.exit_code != 1, f"{name}: {ran.output}"
    questions: list[Any] = [server.look, server.releases, server.log, server.check, server.drift]
    questions += [lambda: server.plan(source), lambda: server.plan_rollback(files=True)]
    for question in questions:
        question()
    assert all_of(place) == before
    server.pin(names[0]).wait()
    assert all_of(place) != before, "the control: a change is noticed"
    server.close()


@pytest.mark.parametrize("kind", ["plain", "directory", "releases"])
def test_a_dry_run_of_an_adoption_changes_nothing(
    sshd: RealSshd, kind: str, tmp_path: Path
) -> None:
    place = sshd.home / f"dry-{kind}"
    folders = {"plain": place, "directory": place / "current", "releases": place / "releases" / "1"}
    folders[kind].mkdir(parents=True)
    (folders[kind] / "index").write_text("old")
    if kind == "releases":
        (place / "current").symlink_to("releases/1")
    sshd.own(place)
    before = all_of(place)
    words = ["--ssh-config", str(sshd.ssh_config), "adopt", sshd.url(place)]
    for how in (["--dry-run"], ["--dry-run", "--json"], ["--undo", "--dry-run"]):
        ran = CliRunner().invoke(opsnb, [*words, *how])
        assert ran.exit_code in (0, 11), ran.output
        assert all_of(place) == before, how
    told = json.loads(CliRunner().invoke(opsnb, [*words, "--dry-run", "--json"]).stdout)
    assert told["kind"] == {"releases": "records"}.get(kind, kind)
    ran = CliRunner().invoke(opsnb, [*words, "--yes"])
    assert ran.exit_code == 0, ran.output
    assert all_of(place) != before, "the control: a change is noticed"


# --- what is said is what happens ----------------------------------------------------------------


def shuffled(source: Path, chance: random.Random) -> None:
    """Change a source by chance: files come, go, change, change their mode."""
    source.mkdir(exist_ok=True)
    (source / "index").write_text(str(chance.random()))
    for number in range(12):
        folder = source / f"d{number % 3}"
        folder.mkdir(exist_ok=True)
        path = folder / f"f{number}"
        match chance.choice(["keep", "write", "remove", "mode"]):
            case "write":
                path.write_text("x" * chance.randrange(3000))
            case "remove":
                path.unlink(missing_ok=True)
            case "mode" if path.exists():
                path.chmod(chance.choice([0o644, 0o755, 0o600]))


def contents(tree: Path) -> dict[bytes, tuple[object, ...]]:
    """What a release holds, by path, but for links into shared/."""
    found: dict[bytes, tuple[object, ...]] = {}
    for path, entry in everything(tree).items():
        if b"shared/" not in entry.target:
            real = Path(os.fsdecode(os.fsencode(tree) + b"/" + path))
            text = real.read_bytes() if entry.kind == "f" else entry.target
            found[path] = (str(entry.kind), entry.mode, text)
    return found


def gained(old: dict[bytes, Any], new: dict[bytes, Any]) -> tuple[set[bytes], ...]:
    """Paths added, changed in content, changed in mode alone, removed."""
    both = old.keys() & new.keys()
    content = {p for p in both if (old[p][0], old[p][2]) != (new[p][0], new[p][2])}
    mode = {p for p in both if old[p][1] != new[p][1]} - content
    return set(new.keys() - old.keys()), content, mode, set(old.keys() - new.keys())


@pytest.mark.parametrize("seed", range(4))
def test_a_dry_runs_list_is_what_the_real_run_then_did(
    server: Server, source: Path, seed: int
) -> None:
    chance = random.Random(seed)
    made = site(server)
    more = {"recycle": chance.random() < 0.5, "verify": "all"}
    configure(server, keep_releases=chance.choice([1, 2, 3]), **more)
    shuffled(source, chance)
    server.deploy(source).wait()
    (made / "shared" / "uploads").mkdir()
    for _round in range(4):
        shuffled(source, chance)
        if chance.random() < 0.3:
            (made / "current" / "written").write_text("by the application")
        plan = server.plan(source).plan
        assert plan.build
        old = contents(made / "releases" / live(made))
        names = {path.name for path in (made / "releases").iterdir()}
        report = server.deploy(source).wait()
        new = contents(made / "releases" / report.release)
        said = plan.difference
        carried = set(plan.carried)
        told = [set(part) for part in (said.added, said.changed, said.modes, said.removed)]
        did = [part - carried for part in gained(old, new)]
        assert did == told
        assert report.bytes == plan.send_bytes
        assert dict(report.removed) == dict(plan.retention.remove)
        left = {path.name for path in (made / "releases").iterdir()}
        assert left == (names | {report.release}) - plan.retention.remove.keys()
        links = {os.fsencode(p.name) for p in (made / "current").iterdir() if p.is_symlink()}
        assert links == set(plan.build.links)
        if server.plan_prune().retention.remove or len(left) > 1:
            _rolled_back_as_said(server, made)


def _rolled_back_as_said(server: Server, made: Path) -> None:
    targets = [r for r in server.look().releases if r.state == "good" and not r.live]
    if not targets:
        return
    to = targets[-1].name
    plan = server.plan_rollback(to, files=True)
    was = live(made)
    old, new = contents(made / "releases" / was), contents(made / "releases" / to)
    said = plan.difference
    links = set(said.added) | set(said.removed) | set(said.changed)
    added, content, mode, removed = gained(old, new)
    assert added <= set(said.added)
    assert content == set(said.changed) & content
    assert mode == set(said.modes)
    assert removed <= set(said.removed)
    assert links - added - content - removed <= {b"uploads"}
    assert server.rollback(plan).wait().live == to
    assert server.rollback(was).wait().live == was
