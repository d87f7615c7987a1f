"""Readers judge pages as whoever looks at them would; the site below them is served for real."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opsnb.embedded.readers import Browser, Part, Readers, View, judge, named
from opsnb.embedded.site import seed_shared, site_path
from opsnb.embedded.web import WebServer


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    """Version 1, in place, with what its owner put there."""
    shutil.copytree(site_path("v1"), tmp_path / "www")
    seed_shared(tmp_path)
    shutil.copytree(tmp_path / "shared", tmp_path / "www", dirs_exist_ok=True)
    return tmp_path / "www"


@pytest.fixture
def browser(docroot: Path) -> Iterator[Browser]:
    with WebServer(docroot) as web:
        browser = Browser(urlsplit(web.url).netloc)
        yield browser
        browser.close()


def opened(browser: Browser, path: str = "/books/") -> tuple[str, str, str]:
    view = browser.view(path)
    return view.kind, view.why, view.where


def test_a_whole_site_is_good_page_by_page(browser: Browser) -> None:
    for path in ("/", "/books/", "/news/", "/visit/"):
        assert opened(browser, path) == ("good", "", "")


def test_a_page_asks_for_everything_that_it_names(browser: Browser) -> None:
    view = browser.view("/")
    page = (site_path("v1") / "index.html").read_bytes()
    assert view.requests == 1 + len(named(page))
    assert {"assets/css/theme.css", "assets/js/release.js", "uploads/photo.svg"} <= {*named(page)}
    assert "books/" not in named(page)


def test_a_new_style_sheet_on_an_old_page_is_mixed(browser: Browser, docroot: Path) -> None:
    shutil.copy(site_path("v2") / "assets/css/theme.css", docroot / "assets/css/theme.css")
    kind, why, where = opened(browser)
    assert (kind, why) == ("mixed", "put together from v1 and v2")
    assert where == "/books/ with /assets/css/theme.css"


def test_a_file_with_a_new_start_and_an_old_end_is_mixed(browser: Browser, docroot: Path) -> None:
    page = docroot / "books" / "index.html"
    with page.open("r+b") as file:
        file.write((site_path("v2") / "books" / "index.html").read_bytes()[:400])
    assert opened(browser)[:2] == ("mixed", "put together from v2 and v1")


@pytest.mark.parametrize(
    ("name", "left", "why"),
    [
        ("books/index.html", 0, "the page itself: empty"),
        ("books/index.html", 600, "the page itself: cut short"),
        ("assets/css/theme.css", 0, "a part of the page: empty"),
        ("assets/css/theme.css", 300, "a part of the page: cut short"),
        ("assets/img/mark.svg", 100, "a part of the page: cut short"),
    ],
)
def test_a_file_that_is_being_written_fails_its_page(
    browser: Browser, docroot: Path, name: str, left: int, why: str
) -> None:
    (docroot / name).write_bytes((docroot / name).read_bytes()[:left])
    assert opened(browser)[:2] == ("failed", why)


def test_a_part_that_is_missing_fails_its_page(browser: Browser, docroot: Path) -> None:
    (docroot / "assets/js/release.js").unlink()
    assert opened(browser) == ("failed", "a part of the page: status 404", "/assets/js/release.js")


def test_a_site_that_is_gone_fails_every_page(docroot: Path) -> None:
    with WebServer(docroot) as web:
        host = urlsplit(web.url).netloc
    view = Browser(host).view("/")
    assert (view.kind, view.why) == ("failed", "the page itself: ConnectionRefusedError")
    assert view.requests == 2


def test_a_page_that_is_whole_when_loaded_again_was_between(docroot: Path) -> None:
    """The release changes while a slow browser is at a page, and has changed when it reloads."""
    with WebServer(docroot) as web:
        browser = Browser(urlsplit(web.url).netloc, dawdle=0.3)
        shutil.copytree(site_path("v2"), docroot.parent / "next")
        shutil.copytree(docroot / "uploads", docroot.parent / "next" / "uploads")
        change = threading.Timer(0.1, swap, (docroot,))
        change.start()
        view = browser.view("/")
        browser.close()
    assert (view.kind, view.version) == ("between", "v1")
    assert "v1" in view.why or "404" in view.why


def swap(docroot: Path) -> None:
    docroot.rename(docroot.parent / "old")
    (docroot.parent / "next").rename(docroot)


def test_judging_a_page_of_one_part() -> None:
    assert judge([Part("/", first="v1", last="v1")])[0] == "good"
    assert judge([Part("/", first="v1", last="v2")])[0] == "mixed"
    assert judge([Part("/", fault="empty")])[0] == "failed"
    assert judge([Part("/a.svg")])[0] == "good"


def readers(url: str, **settings: float) -> Readers:
    return Readers(url, ("/", "/books/", "/news/"), rate=50, **settings)  # type: ignore[arg-type]


def test_readers_open_all_pages_in_turn_and_say_when(docroot: Path) -> None:
    began = time.time()
    with WebServer(docroot) as web, readers(web.url, count=2) as crowd:
        wait_for(lambda: len(crowd.views) > 12)
        views = crowd.stop()
    assert {view.path for view in views} == {"/", "/books/", "/news/"}
    assert {view.kind for view in views} == {"good"}
    assert views == sorted(views, key=lambda view: view.at)
    assert all(began <= view.at <= time.time() and view.seconds > 0 for view in views)


def test_readers_keep_to_their_rate(docroot: Path) -> None:
    with WebServer(docroot) as web, Readers(web.url, rate=5, count=2) as crowd:
        time.sleep(0.9)
        views = crowd.stop()
    assert 2 <= len(views) <= 2 * 5 + 2


def test_readers_go_home_after_max_seconds_and_leave_no_thread(docroot: Path) -> None:
    with WebServer(docroot) as web, readers(web.url, max_seconds=0.2):
        wait_for(lambda: not any(t.name == "opsnb-reader" for t in threading.enumerate()))


def test_views_may_be_read_while_readers_read(docroot: Path) -> None:
    with WebServer(docroot) as web, readers(web.url, count=4) as crowd:
        wait_for(lambda: bool(crowd.views))
        seen: list[View] = crowd.views
        wait_for(lambda: len(crowd.views) > len(seen))
    assert crowd.views[: len(seen)] != []


def wait_for(true: object) -> None:
    assert callable(true)
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
