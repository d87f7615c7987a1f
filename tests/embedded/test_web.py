"""The web server in front of ``current``, asked over plain sockets and by http.client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opsnb.embedded.web import WebServer
from opsnb.errors import OpsnbError


@pytest.fixture
def deploy_to(tmp_path: Path) -> Path:
    """Two small releases, the first one live, and a file outside."""
    (tmp_path / "secret").write_text("secret")
    site = tmp_path / "site"
    for name in ("1", "2"):
        release = site / "releases" / name
        (release / "sub").mkdir(parents=True)
        (release / "empty").mkdir()
        (release / "index.html").write_text(f"release {name}")
        (release / "sub" / "index.html").write_text("sub")
        (release / "style.css").write_text("css")
        (release / "out").symlink_to("../../../secret")
        (release / "outdir").symlink_to("/etc")
        (release / "loop").symlink_to("loop")
        (release / "uploads").symlink_to("../../shared/uploads")
    (site / "shared" / "uploads").mkdir(parents=True)
    (site / "shared" / "uploads" / "photo.svg").write_text("<svg/>")
    (site / "current").symlink_to("releases/1")
    return site


@pytest.fixture
def web(deploy_to: Path) -> Iterator[WebServer]:
    with WebServer(deploy_to / "current") as web:
        yield web


def ask(web: WebServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    with closing(HTTPConnection(urlsplit(web.url).netloc, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def test_the_live_release_is_served_and_named(web: WebServer) -> None:
    answer, body = ask(web, "/")
    assert (answer.status, body) == (200, "release 1")
    assert answer.headers["X-Release"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_switch_is_seen_by_the_next_request_of_the_same_connection(
    web: WebServer, deploy_to: Path
) -> None:
    with closing(HTTPConnection(urlsplit(web.url).netloc, timeout=10)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"release 1"
        (deploy_to / "next").symlink_to("releases/2")
        (deploy_to / "next").rename(deploy_to / "current")
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"release 2"


def test_an_older_release_is_not_hidden_by_the_browser_cache(web: WebServer) -> None:
    answer, _ = ask(web, "/", **{"If-Modified-Since": "Fri, 01 Jan 2038 00:00:00 GMT"})
    assert answer.status == 200


def test_head_has_the_headers_and_no_body(web: WebServer) -> None:
    answer, body = ask(web, "/style.css", "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "3", "")
    assert answer.headers["Content-Type"] == "text/css"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(web: WebServer, method: str) -> None:
    answer, _ = ask(web, "/", method)
    assert answer.status == 501


def test_a_shared_link_is_followed(web: WebServer) -> None:
    answer, body = ask(web, "/uploads/photo.svg")
    assert (answer.status, body) == (200, "<svg/>")
    assert answer.headers["Content-Type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "path",
    [
        "/../../secret",
        "/%2e%2e/%2e%2e/secret",
        "/sub/../style.css",
        "/..",
        "/out",
        "/out?x",
        "/outdir/passwd",
        "/outdir/",
        "//etc/passwd",
        "/uploads/../../../secret",
        "/loop",
        "/style.css%00",
        "/empty/",
        "/missing",
    ],
)
def test_what_is_outside_or_missing_is_not_there(web: WebServer, path: str) -> None:
    answer, body = ask(web, path)
    assert answer.status == 404
    assert "secret" not in body
    assert "root:" not in body


@pytest.mark.parametrize("name", ["index.html", "index.htm"])
def test_the_page_of_a_directory_leads_nowhere_else(
    web: WebServer, deploy_to: Path, name: str
) -> None:
    folder = deploy_to / "releases" / "1" / "empty"
    (folder / name).symlink_to("../../../../secret")
    answer, body = ask(web, "/empty/")
    assert (answer.status, "secret" in body) == (404, False)
    (folder / name).unlink()
    (folder / name).symlink_to("../style.css")  # the control: what is inside is served
    assert ask(web, "/empty/")[1] == "css"


def test_dots_in_a_raw_request_are_refused(web: WebServer) -> None:
    """A client need not tidy its path as http.client and browsers may do."""
    host, port = urlsplit(web.url).netloc.split(":")
    with socket.create_connection((host, int(port)), 10) as line:
        line.sendall(b"GET ../../secret HTTP/1.0\r\n\r\n")
        with line.makefile("rb") as reader:
            assert b"404" in reader.readline()


@pytest.mark.parametrize("target", [None, "releases/missing", "/etc"])
def test_without_a_release_the_site_says_503(
    web: WebServer, deploy_to: Path, target: str | None
) -> None:
    (deploy_to / "current").unlink()
    if target:
        (deploy_to / "current").symlink_to(target)
    answer, body = ask(web, "/")
    assert answer.status == 503
    assert "No release is live yet." in body
    assert "X-Release" not in answer.headers


def test_requests_are_counted_over_restarts(web: WebServer) -> None:
    ask(web, "/")
    ask(web, "/missing")
    web.stop()
    web.stop()
    assert web.requests == 2
    with pytest.raises(OpsnbError, match="not running"):
        _ = web.url
    with web.start():
        ask(web, "/")
        assert web.requests == 3


def test_stop_closes_connections_and_ends_threads(deploy_to: Path) -> None:
    before = set(threading.enumerate())
    web = WebServer(deploy_to / "current").start()
    with closing(HTTPConnection(urlsplit(web.url).netloc, timeout=10)) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        web.stop()
        assert connection.sock is not None
        assert connection.sock.recv(1) == b""
    assert set(threading.enumerate()) <= before


def test_a_visitor_that_goes_away_is_no_error(
    web: WebServer, capfd: pytest.CaptureFixture[str]
) -> None:
    host, port = urlsplit(web.url).netloc.split(":")
    for _ in range(5):
        line = socket.create_connection((host, int(port)), 10)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        line.sendall(b"GET / HTTP/1.1\r\n")
        line.close()  # with a reset
    ask(web, "/")
    web.stop()
    assert capfd.readouterr() == ("", "")
