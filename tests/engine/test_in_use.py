"""Releases that a running process uses stay; room is made early on a disk that is short."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import StalePlan
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.site import faults

HOLD = "import mmap, os, sys, time\n{}\nprint('on', flush=True)\ntime.sleep(600)\n"
HOW = {
    "works in it": "os.chdir(sys.argv[1])",
    "has a file open": "kept = open(sys.argv[1] + '/index')",
    "has a file mapped": "f = open(sys.argv[1] + '/index'); "
    "kept = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); f.close()",
}


@contextmanager
def holding(release: Path, how: str) -> Iterator[int]:
    """A process that uses a release."""
    command = [sys.executable, "-c", HOLD.format(HOW[how]), str(release)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"on\n"
        try:
            yield process.pid
        finally:
            process.kill()


def versions(server: Server, source: Path, *texts: str) -> list[str]:
    """Deploy versions one after the other; their names."""
    names = []
    for text in texts:
        (source / "index").write_text(text)
        names.append(server.deploy(source).wait().release)
    return names


@pytest.mark.parametrize("how", HOW)
def test_a_release_that_a_process_uses_stays_until_it_ends(
    server: Server, source: Path, how: str
) -> None:
    configure(server, keep_releases=2)
    old, *_ = versions(server, source, "one", "two")
    with holding(site(server) / "releases" / old, how) as pid:
        (source / "index").write_text("three")
        plan = server.plan(source)
        assert plan.plan.retention.keep[old].startswith(f"in use by process {pid} (")
        report = server.deploy(source).wait()
        assert report.removed == ()
        assert any(f"{old} stays" in warning for warning in report.warnings)
        assert server.plan_prune().retention.keep[old].startswith(f"in use by process {pid}")
        assert old not in dict(server.prune().wait().removed)
        assert (site(server) / "releases" / old / "index").read_text() == "one"
    assert list(server.plan_prune().retention.remove) == [old]
    assert dict(server.prune().wait().removed).keys() == {old}
    assert faults(site(server), server) == []


def test_the_control_a_setting_switches_that_off(server: Server, source: Path) -> None:
    configure(server, keep_releases=2, keep_in_use=False)
    old, *_ = versions(server, source, "one", "two")
    with holding(site(server) / "releases" / old, "works in it"):
        versions(server, source, "three")
        assert not (site(server) / "releases" / old).exists()


def test_a_process_that_runs_a_program_of_a_release_uses_it(server: Server, source: Path) -> None:
    configure(server, keep_releases=2)
    shutil.copy2(shutil.which("sleep") or "/bin/sleep", source / "tool")
    (source / "tool").chmod(0o755)
    old, *_ = versions(server, source, "one", "two")
    with subprocess.Popen([site(server) / "releases" / old / "tool", "600"], cwd="/") as process:
        try:
            (source / "index").write_text("three")
            assert "(tool)" in server.plan(source).plan.retention.keep[old]
        finally:
            process.kill()


def test_a_release_that_goes_into_use_after_the_plan_stays_and_one_that_leaves_it_too(
    server: Server, source: Path
) -> None:
    configure(server, keep_releases=5)
    old, other, *_ = versions(server, source, "one", "two", "three", "four")
    releases = site(server) / "releases"
    with holding(releases / other, "works in it"):
        plan = server.plan_prune(1)
        assert list(plan.retention.remove) == [old]
    with holding(releases / old, "works in it"):
        report = server.prune(plan).wait()
    # The one was in use when this was agreed to, the other is now.
    assert report.removed == ()
    assert {path.name for path in releases.iterdir()} >= {old, other}
    versions(server, source, "five")
    with pytest.raises(StalePlan):
        server.prune(plan).wait()


def test_nothing_is_made_of_a_release_in_use(server: Server, source: Path) -> None:
    """A release that leaves becomes the next one's tree: not under somebody's feet."""
    configure(server, keep_releases=2)
    old, *_ = versions(server, source, "one", "two")
    with holding(site(server) / "releases" / old, "works in it"):
        versions(server, source, "three", "four")
        assert (site(server) / "releases" / old / "index").read_text() == "one"
        assert not os.path.samefile(site(server) / "releases" / old, site(server) / "current")
    assert versions(server, source, "five")
    assert faults(site(server), server) == []


def test_what_processes_do_elsewhere_keeps_nothing(server: Server, source: Path) -> None:
    configure(server, keep_releases=2)
    old, *_ = versions(server, source, "one", "two")
    (source / "index").write_text("three")
    with holding(source, "works in it"), holding(source, "has a file mapped"):
        assert list(server.plan(source).plan.retention.remove) == [old]
    assert server.deploy(source).wait().outcome is Outcome.DONE
