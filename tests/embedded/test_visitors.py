"""Visitors count what a site really gave them; the site below them is served for real."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsnb.embedded.site import VERSIONS, site_path
from opsnb.embedded.visitors import Tally, Visitors
from opsnb.embedded.web import WebServer


@pytest.fixture
def deploy_to(tmp_path: Path) -> Path:
    """The three versions as releases; v1 is live."""
    for version in VERSIONS:
        shutil.copytree(site_path(version), tmp_path / "releases" / version)
    switch(tmp_path, "v1", 0)
    return tmp_path


def switch(deploy_to: Path, version: str, number: int) -> None:
    link = deploy_to / f"current.{number}"
    link.symlink_to(f"releases/{version}")
    link.replace(deploy_to / "current")


@contextmanager
def site(deploy_to: Path) -> Iterator[str]:
    with WebServer(deploy_to / "current") as web:
        yield web.url


def visit(url: str, count: int, **settings: float) -> Tally:
    """Let visitors come until they have asked so often."""
    visitors = Visitors(url, rate=5000, max_count=count, **settings).start()  # type: ignore[arg-type]
    until = time.monotonic() + 10
    while visitors.tally.served + visitors.tally.failed < count and time.monotonic() < until:
        time.sleep(0.005)
    return visitors.stop()


def test_no_visitor_notices_five_hundred_switches(deploy_to: Path) -> None:
    with site(deploy_to) as url:
        visitors = Visitors(url, rate=2000, workers=4).start()
        for number in range(1, 501):
            switch(deploy_to, VERSIONS[number % 2], number)
            time.sleep(0.002)
        tally = visitors.stop()
    assert (tally.failed, tally.mixed) == (0, 0), tally
    assert tally.served > 100
    assert tally.by_version["v1"] > 10
    assert tally.by_version["v2"] > 10


def test_a_file_that_is_overwritten_in_place_is_seen_as_mixed(deploy_to: Path) -> None:
    """The negative control: an upload in place, looked at while it is half done."""
    live = deploy_to / "current" / "index.html"
    new = (deploy_to / "releases" / "v2" / "index.html").read_bytes()
    with live.open("r+b") as file:
        file.write(new[: len(new) // 2])
    with site(deploy_to) as url:
        tally = visit(url, 40)
    assert (tally.served, tally.mixed, tally.failed) == (40, 10, 0)
    assert tally.by_version == {"v1": 30, "v2": 10}


def test_a_file_that_is_cut_short_is_seen_as_mixed_and_an_empty_one_as_failed(
    deploy_to: Path,
) -> None:
    """The other half of the control: what a truncating writer leaves for a moment."""
    live = deploy_to / "current" / "index.html"
    live.write_bytes(live.read_bytes()[:600])
    (deploy_to / "current" / "books" / "index.html").write_bytes(b"")
    with site(deploy_to) as url:
        tally = visit(url, 40)
    assert (tally.served, tally.mixed, tally.failed) == (30, 10, 10)
    assert tally.reasons == {"empty": 10}


def test_a_missing_page_fails(deploy_to: Path) -> None:
    (deploy_to / "current" / "assets" / "js" / "release.js").unlink()
    with site(deploy_to) as url:
        tally = visit(url, 40)
    assert (tally.served, tally.failed, tally.reasons) == (30, 10, {"status 404": 10})


def test_a_site_that_is_gone_fails_every_visit(deploy_to: Path) -> None:
    with site(deploy_to) as url:
        pass
    tally = visit(url, 8)
    assert (tally.served, tally.failed) == (0, 8)
    assert tally.reasons == {"ConnectionRefusedError": 8}


def test_visitors_come_back_after_the_server_hung_up(deploy_to: Path) -> None:
    with WebServer(deploy_to / "current") as web:
        port = int(web.url.rstrip("/").rpartition(":")[2])
        with Visitors(web.url, rate=500, workers=1) as visitors:
            wait_for(lambda: visitors.tally.served > 3)
            web.stop()
            wait_for(lambda: visitors.tally.failed > 3)
            with WebServer(deploy_to / "current", port=port):
                seen = visitors.tally.served
                wait_for(lambda: visitors.tally.served > seen + 3)
                visitors.stop()


def test_the_rate_is_shared_by_all_workers(deploy_to: Path) -> None:
    with site(deploy_to) as url, Visitors(url, rate=40, workers=4) as visitors:
        time.sleep(0.5)
        tally = visitors.stop()
    assert 1 <= tally.served <= 40 * tally.seconds + 4
    assert tally.seconds >= 0.5


def test_visitors_go_home_after_max_seconds(deploy_to: Path) -> None:
    with site(deploy_to) as url, Visitors(url, max_seconds=0.1):
        wait_for(lambda: "opsnb-visitor" not in {t.name for t in threading.enumerate()})


def test_stop_may_be_repeated_and_leaves_no_thread(deploy_to: Path) -> None:
    before = set(threading.enumerate())
    with site(deploy_to) as url, Visitors(url) as visitors:
        wait_for(lambda: visitors.tally.served > 0)
        first = visitors.stop()
        assert visitors.stop() == first
    assert set(threading.enumerate()) <= before


def test_visitors_who_never_came_got_nothing() -> None:
    assert Visitors("http://127.0.0.1:1/").stop() == Tally(0, 0, 0, {}, {}, 0.0)


def wait_for(true: object) -> None:
    assert callable(true)
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
