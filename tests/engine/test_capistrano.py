"""A site that the real Capistrano made is taken over, and goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.server import Server
from tests.faults.guarantees import snapshot
from tests.support.site import faults
from tests.support.sshd import RealSshd, absent

PROJECT = Path(__file__).parents[1] / "benchmarks" / "tools" / "templates" / "capistrano"
MOST = 60  # seconds for one of its deploys


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    if not shutil.which("cap"):
        absent("apt-get install capistrano ruby-ed25519 ruby-bcrypt-pbkdf")
    with RealSshd() as running:
        yield running


def deployed(sshd: RealSshd, folder: Path, place: Path, text: str) -> str:
    """Deploy a version with Capistrano; the release's name."""
    project, tree = folder / "project", folder / "tree"
    shutil.copytree(PROJECT, project, dirs_exist_ok=True)
    tree.mkdir(exist_ok=True)
    (tree / "index").write_text(text)
    config = folder / "ssh_config"
    host = f"Host bench\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
    keys = f"  IdentityFile {sshd.client_key}\n  UserKnownHostsFile {sshd.known_hosts}\n"
    config.write_text(host + keys)
    before = set((place / "releases").iterdir()) if place.exists() else set()
    given = {"DEPLOY_TO": str(place), "TREE": str(tree), "SSH_CONFIG": str(config)}
    ran = subprocess.run(
        ["cap", "bench", "deploy"],
        cwd=project,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=MOST,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (made,) = set((place / "releases").iterdir()) - before
    return made.name


def test_a_site_of_capistranos_is_taken_over_and_goes_on(sshd: RealSshd, tmp_path: Path) -> None:
    place = sshd.home / "capistrano"
    first = deployed(sshd, tmp_path, place, "one")
    time.sleep(1.1)  # its releases are named by the second
    second = deployed(sshd, tmp_path, place, "two")
    assert (place / "current").readlink().is_absolute()
    before = snapshot(place)
    server = Server(sshd.url(place), ssh_config=sshd.ssh_config)
    plan = server.plan_adopt()
    assert (plan.kind, plan.made_by, set(plan.records)) == (
        "records",
        "Capistrano",
        {first, second},
    )
    assert snapshot(place) == before
    assert server.adopt(plan).wait().outcome is Outcome.DONE
    after = snapshot(place)
    assert {path: after[path] for path in before} == before
    records = {r.name: r.record for r in server.look().releases}
    earlier, later = records[first], records[second]
    assert earlier is not None
    assert later is not None
    assert later.by == earlier.by
    assert later.revision
    source = tmp_path / "new"
    source.mkdir()
    (source / "index").write_text("three")
    planned = server.plan(source)
    assert set(planned.plan.difference.changed) == {b"index"}
    report = server.deploy(planned).wait()
    assert (report.previous, (place / "current" / "index").read_text()) == (second, "three")
    assert server.rollback().wait().live == second
    assert server.rollback(to=first).wait().live == first
    assert (place / "current" / "index").read_text() == "one"
    assert faults(place, server) == []
    server.close()


def test_an_adoption_of_capistranos_site_can_be_undone(sshd: RealSshd, tmp_path: Path) -> None:
    place = sshd.home / "undone"
    deployed(sshd, tmp_path, place, "one")
    before = snapshot(place)
    server = Server(sshd.url(place), ssh_config=sshd.ssh_config)
    server.adopt().wait()
    server.adopt(undo=True).wait()
    assert snapshot(place) == before
    server.close()
    assert deployed(sshd, tmp_path, place, "two")
