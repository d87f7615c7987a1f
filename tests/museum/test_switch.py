"""The switch: bugs of how ``current`` is replaced, each with its public reference."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsnb.errors import DeployFailed, NotReady
from tests.faults.guarantees import live, snapshot
from tests.museum.conftest import Site, busybox, page, sh
from tests.support.site import faults

# Capistrano's since 3.3: a link beside the releases, then a rename without -T.
CAPISTRANO = 'ln -s "$PWD/releases/$1" releases/current && mv releases/current .'
LATER = "29990101000000"


def test_a_temporary_link_that_a_dead_deploy_left_is_never_published(site: Site) -> None:
    """capistrano/capistrano#1097, "Make symlink:release an atomic operation" (and the talk about
    left over links in #1781): ``ln -s`` puts its link *into* the release that a stale one leads
    to, and the rename publishes the stale one. Both exit with 0."""
    first, _second = site.deploy("first", "second")
    naive = site.copy()
    stale = naive / "releases" / "current"
    stale.symlink_to(naive / "releases" / first)
    sh(naive, f"mkdir releases/{LATER} && echo new >releases/{LATER}/index")
    sh(naive, CAPISTRANO, LATER)
    assert page(naive) == "first", "the oldest release is live, and nobody was told"
    assert (naive / "releases" / first / LATER).is_symlink()

    # Ours would be called so in the next change.
    token = int((site.path / ".opsnb" / "token").read_text()) + 1
    link = site.path / f".current.opsnb.{token}.1"
    link.symlink_to(f"releases/{first}")
    third = site.server.deploy(site.write("third")).wait().release
    assert (live(site.path), page(site.path)) == (third, "third")
    assert faults(site.path, site.server) == []


def test_not_even_one_that_appears_in_the_middle_of_the_change(site: Site) -> None:
    """The same, when the link comes too late to be cleared: the deploy fails, nothing switches."""
    first, second = site.deploy("first", "second")
    token = int((site.path / ".opsnb" / "token").read_text()) + 1
    plant = f"ln -s releases/{first} ../../.current.opsnb.{token}.1"
    operator = site.operator(before_publish=[plant])
    before = snapshot(site.path / "releases" / first)
    with pytest.raises(DeployFailed, match="publish"):
        operator.deploy(site.write("third")).wait()
    assert (live(site.path), page(site.path)) == (second, "second")
    assert snapshot(site.path / "releases" / first) == before
    site.deploy("fourth")
    assert page(site.path) == "fourth"
    assert faults(site.path, site.server) == []


class Reader(threading.Thread):
    """Opens the page for ever, and counts how often it is not there.

    Args:
        site: The site.
    """

    def __init__(self, site: Path) -> None:
        super().__init__(daemon=True)
        self._path = str(site / "current" / "index")
        self.opened = self.missed = 0
        self.over = False

    def run(self) -> None:
        """Until it is over."""
        while not self.over:
            try:
                os.close(os.open(self._path, os.O_RDONLY))
            except OSError:
                self.missed += 1
            self.opened += 1


@contextmanager
def reading(site: Path) -> Iterator[Reader]:
    reader = Reader(site)
    reader.start()
    try:
        yield reader
    finally:
        reader.over = True
        reader.join()


def test_the_link_is_there_at_every_instant(site: Site) -> None:
    """mina-deploy/mina#16, "ln -sfn is NOT atomic", and capistrano/capistrano#1188, "Switching
    symlink during deploy - not atomic?": unlink, then symlink. BusyBox's does so today."""
    first, second = site.deploy("first", "second")
    naive = site.copy()
    loop = (
        'while :; do "$0" ln -sfn "releases/$1" current; "$0" ln -sfn "releases/$2" current; done'
    )
    words = ["/bin/sh", "-c", loop, busybox(), first, second]
    switching = subprocess.Popen(words, cwd=naive)
    try:
        with reading(naive) as reader:
            deadline = time.monotonic() + 30
            while not reader.missed and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        switching.kill()
        switching.wait()
    assert reader.missed, "the control found the link at every instant"

    with reading(site.path) as reader:
        for number in range(3):
            site.deploy(f"more {number}")
            site.server.rollback().wait()
    assert reader.opened > 100
    assert reader.missed == 0
    assert faults(site.path, site.server) == []


def test_a_current_that_is_a_real_directory_is_left_alone(site: Site) -> None:
    """ansistrano/deploy, ``tasks/symlink.yml`` ("Remove current folder if it's a directory", from
    #112): whoever has been deploying in place loses the site, and what visitors uploaded."""
    made = site.path
    (made / "current" / "uploads").mkdir(parents=True)
    (made / "current" / "index").write_text("live")
    (made / "current" / "uploads" / "photo").write_text("precious")
    naive = site.copy()
    sh(naive, f"mkdir -p releases/{LATER} && echo new >releases/{LATER}/index")
    sh(naive, f"[ ! -d current ] || rm -rf current; ln -s releases/{LATER} current")
    assert not (naive / "current" / "uploads").exists(), "the photo is gone"

    before = snapshot(made)
    with pytest.raises(NotReady):
        site.server.deploy(site.write("new")).wait()
    assert snapshot(made) == before
    assert page(made) == "live"
