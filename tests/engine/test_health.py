"""Health checks against real answers: from this machine, and from the server by what is there."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.asking import Question
from opsnb.core.events import Log, Outcome
from opsnb.engine.http import ask
from opsnb.errors import (
    CheckFailed,
    ConfigError,
    DeployFailed,
    Interrupted,
    NotReady,
    NotRestored,
    Restored,
)
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.process import running, until
from tests.support.sshd import absent, require

QUICK = {"retries": 0, "timeout": 5}
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "no_proxy")


@dataclass
class Web:
    """A web server whose answers a test chooses.

    Attributes:
        url: Its address, without a slash at the end.
        answers: Status, headers and body by path.
        seen: Method, path and headers of the questions.
    """

    url: str = ""
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        """Choose an answer; its address."""
        pairs = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, pairs, body)
        return self.url + path


def handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            web.seen.append((self.command, self.path, dict(self.headers)))
            if self.path == "/trickle":
                return self.trickle()
            if self.path == "/silent":
                web.stop.wait(60)
                return None
            status, headers, body = web.answers.get(self.path, (404, {}, b"nothing here"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            return None

        def trickle(self) -> None:
            """A byte at a time, for ever."""
            self.send_response(200)
            self.end_headers()
            try:
                while not web.stop.wait(0.05):
                    self.wfile.write(b"x")
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            return

    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
        setattr(Handler, f"do_{method}", Handler.answer)
    return Handler


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


def programs(folder: Path, *without: str) -> str:
    """A PATH with all programs of this machine but some."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(":")):
        for path in Path(place).glob("*") if Path(place).is_dir() else ():
            if path.name not in without and os.access(path, os.X_OK):
                (folder / path.name).unlink(missing_ok=True)
                (folder / path.name).symlink_to(path)
    return str(folder)


WITHOUT = {
    "python3": (),
    "curl": ("python3",),
    "wget": ("python3", "curl"),
}


@pytest.fixture(params=["local", *WITHOUT])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a check is asked from; on the server with one of its programs."""
    if request.param == "local":
        return "local"
    require(request.param)
    path = programs(tmp_path / "programs", *WITHOUT[request.param])
    monkeypatch.setenv("PATH", path)
    return "server"


def deploy(server: Server, source: Path, *checks: dict[str, Any], **more: Any) -> Any:
    configure(server, health=[QUICK | check for check in checks], **more)
    return server.deploy(source, force=True).wait()


def said(job: Any) -> str:
    return "\n".join(event.text for event in job.events if isinstance(event, Log))


def test_every_way_of_asking_answers_alike(
    server: Server, source: Path, web: Web, way: str
) -> None:
    body = b'{"data": {"status": "ok"}}'
    good = web.answer("/ok?a=b%20c", body, X_Version="v1.2")
    web.answer("/moved", status=302, Location="/ok?a=b%20c")
    gone = web.answer("/gone", b"sorry, gone", status=410)
    json = {"path": "data.status", "equals": "ok"}
    checks: list[dict[str, object]] = [
        {"url": good, "contains": "status", "json": json},
        {"url": good, "header": {"name": "x-version", "matches": r"^v1\.\d$"}},
        {"url": gone, "status": [404, 410], "contains": "sorry"},
        {"url": f"{web.url}/moved", "contains": "ok"},
        {"url": f"{web.url}/moved", "redirects": False, "status": 302},
        {"url": good, "method": "HEAD"},
        {"url": web.answer("/post"), "method": "POST", "headers": {"X-Mine": 'a "b" \\c'}},
        {"url": web.answer("/large", b"y" * 3_000_000), "contains": "yyy"},
    ]
    report = deploy(server, source, *({"from": way} | check for check in checks))
    assert report.outcome is Outcome.DONE
    asked = [(method, path) for method, path, _ in web.seen]
    assert asked[5:] == [
        ("GET", "/moved"),
        ("HEAD", "/ok?a=b%20c"),
        ("POST", "/post"),
        ("GET", "/large"),
    ]
    posted = web.seen[7][2]
    assert (posted["X-Mine"], posted["User-Agent"]) == ('a "b" \\c', "opsnb")


@pytest.mark.parametrize(
    ("path", "more", "wanted"),
    [
        ("/none", {}, "answered 404, not 200"),
        ("/round", {}, "leads round in a circle"),
        ("/odd", {}, "leads to what is no address"),
        ("/ok", {"contains": "never"}, "does not contain 'never'"),
        ("/trickle", {"timeout": 1}, "did not answer"),
        ("/silent", {"timeout": 1}, "did not answer"),
    ],
)
def test_every_way_of_asking_finds_the_same_faults(
    server: Server, source: Path, web: Web, way: str, path: str, more: dict[str, Any], wanted: str
) -> None:
    web.answer("/ok", b"ok")
    web.answer("/round", status=302, Location="/round")
    web.answer("/odd", status=301, Location="file:///etc/passwd")
    with pytest.raises(NotRestored, match=wanted):
        deploy(server, source, {"url": web.url + path, "from": way} | more)


def test_where_nobody_listens_that_is_said(server: Server, source: Path, way: str) -> None:
    with pytest.raises(NotRestored, match=r"http://127.0.0.1:9/ did not answer: .+"):
        deploy(server, source, {"url": "http://127.0.0.1:9/", "from": way})


# --- secrets ------------------------------------------------------------------------------------


def test_a_header_may_name_a_secret_that_nobody_is_shown(
    server: Server, source: Path, web: Web, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret-token")
    url = web.answer("/ok", b"your token is s3cret-token", X_Seen="s3cret-token")
    check = {
        "url": url,
        "from": way,
        "headers": {"Authorization": "Bearer ${SHOP_TOKEN}"},
        "header": {"name": "X-Seen", "contains": "other"},
        **QUICK,
    }
    configure(server, health=[check], secrets=["SHOP_TOKEN"])
    assert "s3cret" not in str(server.plan(source))
    job = server.deploy(source)
    with pytest.raises(NotRestored, match=r"has X-Seen: \*\*\*") as failed:
        job.wait()
    assert web.seen[0][2]["Authorization"] == "Bearer s3cret-token"
    told = f"{said(job)} {failed.value} {failed.value.report} {server.audit_log()!r}"
    assert "s3cret" not in told


def test_a_secret_that_is_not_listed_is_refused_before_anything_is_made(
    server: Server, source: Path
) -> None:
    check = {"url": "http://127.0.0.1:9/", "headers": {"X-Key": "${SHOP_TOKEN}"}}
    with pytest.raises(ConfigError, match="SHOP_TOKEN"):
        deploy(server, source, check)
    assert not site(server).exists()


# --- what the server lacks -----------------------------------------------------------------------


def test_what_the_server_lacks_is_refused_before_anything_is_made(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = programs(tmp_path / "programs", "python3", "curl", "wget", "bash", "nc", "setsid")
    monkeypatch.setenv("PATH", path)
    configure(
        server,
        watchdog=60,
        health=[
            {"url": "http://127.0.0.1:9/", "from": "server"},
            {"tcp": "127.0.0.1:9", "from": "server"},
        ],
    )
    with pytest.raises(NotReady, match=r"python3, curl, wget.*bash.*setsid"):
        server.plan(source)
    with pytest.raises(NotReady):
        server.deploy(source).wait()
    assert not site(server).exists()


# --- connections ---------------------------------------------------------------------------------

TCP = {"local": None, "python3": (), "bash": ("python3",), "nc": ("python3", "bash")}


@pytest.mark.parametrize("tool", TCP)
def test_a_port_is_tried_from_here_and_from_there(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    without = TCP[tool]
    if without is not None:
        if shutil.which(tool) is None:
            absent(f"{tool} is not installed")
        monkeypatch.setenv("PATH", programs(tmp_path / "programs", *without))
    where = "local" if tool == "local" else "server"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        deploy(server, source, {"tcp": f"127.0.0.1:{port}", "from": where})
    (source / "index").write_text("two")
    with pytest.raises(Restored, match=f"tcp 127.0.0.1:{port} (took no connection|did not)"):
        deploy(server, source, {"tcp": f"127.0.0.1:{port}", "from": where, "timeout": 2})


# --- when, and how often -------------------------------------------------------------------------


def test_a_check_before_the_switch_sees_the_release_and_stops_a_bad_one(
    server: Server, source: Path, web: Web
) -> None:
    first = deploy(server, source, {"command": "true"}).release
    (source / "index").write_text("two")
    before = {"command": "test ! -e ../../current/index || grep -q one ../../current/index"}
    here = {"command": "grep -q two index && test $OPSNB_RELEASE != ''"}
    with pytest.raises(DeployFailed, match=r"/preview/\d{14} answered 404") as failed:
        deploy(
            server,
            source,
            before | {"when": "before"},
            here | {"when": "both"},
            {"url": web.url + "/preview/{release}", "when": "before"},
        )
    assert failed.value.report.exit_status == 20
    assert (site(server) / "current").resolve().name == first
    assert [path.name for path in (site(server) / "releases").iterdir()] == [first]
    report = deploy(server, source, before | {"when": "before"}, here | {"when": "both"})
    assert report.outcome is Outcome.DONE


def test_a_check_before_a_rollback_is_asked_of_the_release_it_goes_to(
    server: Server, source: Path
) -> None:
    deploy(server, source, {"command": "true"})
    (source / "index").write_text("two")
    live = deploy(server, source, {"command": "true"}).release
    configure(server, health=[QUICK | {"command": "grep -q two index", "when": "before"}])
    job = server.rollback()
    with pytest.raises(CheckFailed, match="exited with 1") as failed:
        job.wait()
    assert failed.value.report.exit_status == 20
    assert server.look().current.name == live


def test_each_try_is_told_with_what_was_seen(server: Server, source: Path, web: Web) -> None:
    url = web.answer("/ok", b"starting", status=503)
    check = {"url": url, "retries": 2, "delay": 0.1, "initial_delay": 0.1}
    configure(server, health=[check])
    job = server.deploy(source)
    with pytest.raises(NotRestored, match="answered 503"):
        job.wait()
    told = said(job)
    assert f"check: {url} answered 503, not 200 (try 1 of 3); trying again in 0.1 s" in told
    assert "(try 2 of 3)" in told
    assert len(web.seen) == 3


def test_a_deadline_ends_a_check_before_its_tries_are_used_up(
    server: Server, source: Path, web: Web
) -> None:
    check = {"url": f"{web.url}/none", "retries": 100, "delay": 0.2, "deadline": 1}
    with pytest.raises(NotRestored, match="its 1 s are over"):
        deploy(server, source, check)
    assert 1 < len(web.seen) < 20


def test_a_command_that_does_not_end_in_time_is_ended_and_tried_again(
    server: Server, source: Path
) -> None:
    require("timeout")
    line = "echo x >>../../tries; sleep 30.17 | cat"
    check = {"command": line, "timeout": 0.5, "retries": 1, "delay": 0}
    with pytest.raises(NotRestored, match=r"did not end within 0.5 s \(status 124\)"):
        deploy(server, source, check)
    assert (site(server) / "tries").read_text() == "x\nx\n"
    assert not running("30.17"), "all that it started is ended, too"


def test_an_abort_ends_a_command_with_all_it_started(server: Server, source: Path) -> None:
    require("timeout")
    configure(server, health=[{"command": "sleep 60.19 | cat", "timeout": 3000}])
    job = server.deploy(source)
    until(lambda: running("60.19"))
    job.cancel()
    with pytest.raises(Interrupted):
        job.wait(30)
    until(lambda: not running("60.19"), 10)


@pytest.mark.parametrize("path", ["/silent", "/trickle"])
def test_an_abort_does_not_wait_for_an_answer(
    server: Server, source: Path, web: Web, path: str
) -> None:
    configure(server, health=[{"url": web.url + path, "timeout": 3000}])
    job = server.deploy(source)
    while not web.seen:
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(Interrupted, match="after the switch"):
        job.wait(20)


# --- certificates and proxies --------------------------------------------------------------------


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: Server, source: Path, tmp_path: Path, web: Web, way: str
) -> None:
    import ssl

    key, cert = tmp_path / "key", tmp_path / "cert"
    made = [require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    subprocess.run(
        [*made, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    secure = ThreadingHTTPServer(("127.0.0.1", 0), handler(web))
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    thread = threading.Thread(target=secure.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    web.answer("/ok", b"ok")
    url = f"https://127.0.0.1:{secure.server_port}/ok"
    try:
        with pytest.raises(NotRestored, match="did not answer"):
            deploy(server, source, {"url": url, "from": way})
        assert web.seen == []
        # The control: with that certificate among the trusted ones it is asked.
        (source / "index").write_text("two")
        with pytest.MonkeyPatch.context() as patch:
            for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
                patch.setenv(name, str(cert))
            if way == "local":
                assert deploy(server, source, {"url": url}).outcome is Outcome.DONE
    finally:
        secure.shutdown()
        thread.join()
        secure.server_close()


async def test_a_question_goes_through_the_proxy_that_the_environment_names(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = web.url.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://me:pass%20word@{host}")
    web.answers["http://shop.test/x?y"] = (200, {}, b"through")
    got = await ask(Question("http://shop.test/x?y"))
    assert (got.status, got.body) == (200, b"through")
    wanted = base64.b64encode(b"me:pass word").decode()
    assert web.seen[0][2]["Proxy-Authorization"] == f"Basic {wanted}"
    assert web.seen[0][2]["Host"] == "shop.test"
