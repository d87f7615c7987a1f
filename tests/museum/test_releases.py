"""Which release: bugs of rollback and of cleaning up, each with its public reference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opsnb.errors import NoSuchRelease, Restored
from tests.faults.guarantees import good, live, snapshot
from tests.museum.conftest import Site, page, sh, until
from tests.support.site import faults

# Capistrano's, Deployer's and Mina's in one: the names in order, and the last but one.
BACK = 'ln -sfn "releases/$(ls releases | tail -n 2 | head -n 1)" current'
PUBLISH = 'mkdir "releases/$1" && echo "$1" >"releases/$1/index" && ln -sfn "releases/$1" current'
LATER = "29990101000000"


def test_a_rollback_never_goes_to_a_release_whose_deploy_died(site: Site) -> None:
    """capistrano/capistrano#351, "Rollback doesn't work with some bad deployments": the target
    is the directory before, and a killed deploy leaves a directory, too."""
    (first,) = site.deploy("first")
    begun = site.base / "begun"
    site.write("second")
    with site.another(f"rm index; touch {begun}; sleep 60") as client:
        until(begun.exists)
        client.kill()
        client.wait()
    site.server.look()
    assert len(list((site.path / "releases").iterdir())) == 2, "the dead deploy left its directory"
    naive = site.copy()
    sh(naive, PUBLISH, LATER)
    sh(naive, BACK)
    assert live(naive) not in (first, LATER)
    assert page(naive) == "", "visitors see an unfinished release"

    (third,) = site.deploy("third")
    assert page(site.path) == "third"
    report = site.server.rollback().wait()
    assert (report.previous, report.live) == (third, first)
    assert page(site.path) == "first"
    assert faults(site.path, site.server) == []


def test_failed_releases_evict_no_good_one(site: Site) -> None:
    """capistrano/capistrano#1907, "If releases directory is full of previous failed deploys,
    deploy:cleanup will delete a "good" release", and #2120: the newest N directories stay."""
    (first,) = site.deploy("fine 1")
    site.server.settings = site.operator(
        keep_releases=3, lock_wait=60, health=[{"command": "grep -q fine index", "retries": 0}]
    ).settings
    for text in ("bad 1", "bad 2", "bad 3"):
        with pytest.raises(Restored):
            site.server.deploy(site.write(text)).wait()
    assert (live(site.path), page(site.path)) == (first, "fine 1")
    assert len(list((site.path / "releases").iterdir())) == 4, "the failed ones are still there"
    naive = site.copy()
    sh(naive, PUBLISH, LATER)
    sh(naive, "cd releases && ls | head -n -3 | xargs rm -rf")
    assert not (naive / "releases" / first).exists()
    sh(naive, BACK)
    assert page(naive).startswith("bad"), "there is nothing else to go back to"

    site.deploy("fine 2")
    assert first in good(site.path)
    assert site.server.rollback().wait().live == first
    assert page(site.path) == "fine 1"
    assert faults(site.path, site.server) == []


def disturb(root: Path, names: list[str]) -> None:
    """Turn the order of the modification times round, as a file removed in an old one does."""
    for age, name in enumerate(names):
        os.utime(root / "releases" / name, (1_700_000_000 - age, 1_700_000_000 - age))


def test_the_order_of_releases_does_not_follow_their_modification_times(site: Site) -> None:
    """capistrano/capistrano#552, "(v3) `ls -xt` may return wrongly sorted release list", and
    #1810, "Removing old releases goes wrong": the newest release was removed."""
    names = site.deploy("first", "second", "third")
    naive = site.copy()
    disturb(naive, names)
    assert sh(naive, "ls -t releases | sed -n 2p") == names[1]
    sh(naive, "cd releases && ls -tr | head -n -2 | xargs rm -rf")
    assert live(naive) == names[2]
    assert page(naive) == "", "the live release was removed"

    disturb(site.path, names)
    site.server.prune(2).wait()
    left = sorted(path.name for path in (site.path / "releases").iterdir())
    assert (left, page(site.path)) == (names[1:], "third")
    assert site.server.rollback().wait().live == names[1]
    assert page(site.path) == "second"
    assert faults(site.path, site.server) == []


def test_a_rollback_with_one_release_changes_nothing(site: Site) -> None:
    """mina-deploy/mina, ``tasks/mina/deploy.rb``, task ``rollback`` (its own comment says that a
    check is missing; so does a user in #9, "Rolling back to previous release"): the last but one
    of one is the last, which is linked and then deleted."""
    site.deploy("only")
    naive = site.copy()
    sh(naive, BACK)
    sh(naive, 'rm -rf "releases/$(ls releases | tail -n 1)"')
    assert page(naive) == ""
    assert not any((naive / "releases").iterdir()), "the site is gone"

    before = snapshot(site.path / "releases")
    with pytest.raises(NoSuchRelease):
        site.server.rollback().wait()
    assert snapshot(site.path / "releases") == before
    assert page(site.path) == "only"
    assert faults(site.path, site.server) == []


def test_cleaning_up_after_a_rollback_leaves_the_live_release(site: Site) -> None:
    """shipitjs/shipit-deploy, ``tasks/deploy/clean.js``, and capistrano/capistrano#68,
    "deploy:cleanup should not remove "current"": the newest N stay, whichever is live."""
    names = site.deploy("first", "second", "third")
    site.server.rollback(to=names[0]).wait()
    naive = site.copy()
    keep = "(ls -rd releases/* | head -n 2; ls -d releases/*) | sort | uniq -u | xargs rm -rf"
    sh(naive, keep)
    assert live(naive) == names[0]
    assert page(naive) == "", "current leads to nothing"

    site.server.prune(1).wait()
    assert (live(site.path), page(site.path)) == (names[0], "first")
    site.deploy("fourth")
    assert site.server.rollback().wait().live == names[0]
    assert faults(site.path, site.server) == []
