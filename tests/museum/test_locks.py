"""The lock: bugs of taking, keeping and losing it, each with its public reference.

A hook that waits for a file holds a real deploy in its middle, so every order is forced.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsnb.errors import Locked
from opsnb.job import Job
from tests.faults.guarantees import live
from tests.museum.conftest import Site, page, sh, until
from tests.support.site import faults

# What Deployer's recipe/deploy/lock.php does, to lock and to unlock.
LOCK = '[ -f deploy.lock ] && echo +locked || echo "$1" >deploy.lock'
UNLOCK = "rm -f deploy.lock"
# The same step with a barrier where the scheduler may as well stop it.
SLOW = '[ -f deploy.lock ] && echo +locked || { echo ready; read -r go; echo "$1" >deploy.lock; }'


@contextmanager
def working(site: Site, text: str) -> Iterator[tuple[Job, Path]]:
    """A deploy that stands in its hook until a file is there."""
    begun, go = site.base / f"begun {text}", site.base / f"go {text}"
    hook = f"touch '{begun}'; while ! [ -e '{go}' ]; do sleep 0.05; done"
    job = site.operator(before_publish=[hook]).deploy(site.write(text))
    until(begun.exists)
    try:
        yield job, go
    finally:
        go.touch()


def refused(site: Site, text: str) -> None:
    """Another operator's deploy fails at once, and says by whom it is kept out."""
    with pytest.raises(Locked, match="is locked by"):
        site.operator().deploy(site.write(text)).wait()


def test_of_two_who_come_at_once_one_is_refused(site: Site) -> None:
    """deployphp/deployer, ``recipe/deploy/lock.php`` (said to be reported in #1368, which could not
    be read for this test): it looks, then writes; whoever looks in between is let in, too."""
    site.deploy("first")
    naive = site.copy()
    one = subprocess.Popen(
        ["/bin/sh", "-c", SLOW, "sh", "ann"],
        cwd=naive,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert one.stdout
    assert one.stdout.readline() == "ready\n"
    assert sh(naive, LOCK, "bob") == "", "bob is in"
    assert one.communicate("go\n", timeout=30)[0] == "", "and so is ann"

    with working(site, "second") as (job, go):
        refused(site, "third")
        go.touch()
        second = job.wait().release
    assert (live(site.path), page(site.path)) == (second, "second")
    assert faults(site.path, site.server) == []


def test_a_cancelled_deploy_leaves_no_lock_that_somebody_must_remove(site: Site) -> None:
    """deployphp/deployer#3335, "No unlock after canceling deployment.": a file stays."""
    site.deploy("first")
    naive = site.copy()
    dying = subprocess.Popen(["/bin/sh", "-c", f"{LOCK}; kill -KILL $$", "sh", "ann"], cwd=naive)
    assert dying.wait(30) == -signal.SIGKILL
    assert sh(naive, LOCK, "bob") == "+locked", "for ever"

    begun = site.base / "begun"
    site.write("second")
    with site.another(f"touch {begun}; sleep 300") as client:
        until(begun.exists)
        assert site.server.look().holder is not None
        client.kill()
        client.wait()
    site.deploy("third")
    assert page(site.path) == "third"
    assert faults(site.path, site.server) == []


def test_who_is_refused_does_not_take_the_lock_of_another_away(site: Site) -> None:
    """deployphp/deployer#958, "Try to remove deploy.lock when deploy is fail", reverted by its
    maintainer: the second fails at the lock, removes it, and a third comes in."""
    site.deploy("first")
    naive = site.copy()
    assert sh(naive, LOCK, "ann") == ""
    assert sh(naive, f'[ -z "$({LOCK})" ] || {{ {UNLOCK}; echo failed; }}', "bob") == "failed"
    assert sh(naive, LOCK, "cem") == "", "cem works beside ann"

    with working(site, "second") as (job, go):
        for text in ("third", "fourth", "fifth"):
            refused(site, text)
        site.operator().plan(site.write("sixth"))
        assert site.server.look().holder is not None
        go.touch()
        second = job.wait().release
    assert (live(site.path), page(site.path)) == (second, "second")
    assert faults(site.path, site.server) == []


def old(folder: Path) -> None:
    """Make every file look as if it had been written yesterday, as after a night's sleep."""
    for path in folder.iterdir():
        status = path.stat()
        if path.is_file():
            os.utime(path, (status.st_mtime - 86_400, status.st_mtime - 86_400))


def test_a_lock_does_not_grow_old_while_its_holder_lives(site: Site) -> None:
    """borgbackup/borg#9883 (mended in #9888, "locking: misc fixes"): a laptop slept, the clock
    on the wall went on, and a live holder's lock was removed since it looked stale."""
    site.deploy("first")
    naive = site.copy()
    assert sh(naive, LOCK, "ann") == ""
    old(naive)
    sh(naive, "find . -maxdepth 1 -name deploy.lock -mmin +30 -delete")
    assert sh(naive, LOCK, "bob") == "", "ann is still at work"

    with working(site, "second") as (job, go):
        old(site.path / ".opsnb")
        refused(site, "third")
        go.touch()
        second = job.wait().release
    assert (live(site.path), page(site.path)) == (second, "second")
    assert faults(site.path, site.server) == []


def test_who_wakes_up_after_the_lock_was_taken_can_do_no_more(site: Site) -> None:
    """The other half of borg#9883: a lock can be lost while one sleeps. Without a token that is
    checked at each step, the sleeper goes on where it was."""
    site.deploy("first")
    naive = site.copy()
    step = f"{LOCK}; echo ready; read -r go; ln -sfn nowhere current"
    sleeper = subprocess.Popen(
        ["/bin/sh", "-c", step, "sh", "ann"],
        cwd=naive,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sleeper.stdout
    assert sleeper.stdout.readline() == "ready\n"
    sh(naive, UNLOCK)
    assert sh(naive, LOCK, "bob") == ""
    sleeper.communicate("go\n", timeout=30)
    assert page(naive) == "", "ann switched under bob's lock"

    begun, go = site.base / "begun", site.base / "go"
    site.write("second")
    hook = f"touch {begun}; while ! [ -e {go} ]; do sleep 0.05; done"
    with site.another(hook) as client:
        until(begun.exists)
        client.send_signal(signal.SIGSTOP)
        site.operator().unhold(force=True).wait()
        (third,) = site.deploy("third")
        go.touch()
        client.send_signal(signal.SIGCONT)
        assert client.wait(60) != 0
    assert (live(site.path), page(site.path)) == (third, "third")
    assert faults(site.path, site.server) == []
