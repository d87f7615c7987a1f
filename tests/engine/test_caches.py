"""Caches are told of every switch: real HTTP on loopback, and PHP-FPM with its code cache."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import fastcgi
from opsnb.core.caches import variables
from opsnb.core.events import Outcome
from opsnb.errors import ConfigError, NotReady, Restored
from opsnb.server import Server
from tests.downtime.web import nginx, php
from tests.engine.conftest import configure, site
from tests.support.process import until
from tests.support.site import faults
from tests.support.sshd import RealSshd, require


class Cache(ThreadingHTTPServer):
    """A cache that remembers what it was asked, and answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Asked)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cache

    def answer(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        # It does not hang up: whoever asks must not wait for that.
        self.close_connection = False

    do_PURGE = do_BAN = do_GET = answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def cache() -> Iterator[Cache]:
    made = Cache()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def deploy(server: Server, source: Path, text: str, file: str = "index") -> Any:
    (source / file).write_text(text)
    return server.deploy(source).wait()


def acts(server: Server) -> list[dict[str, Any]]:
    lines = map(json.loads, server.audit_log().splitlines())
    return [line for line in lines if line["what"].startswith("cache.")]


# --- purging -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["local", "server"])
def test_every_address_is_purged_after_a_deploy_and_after_a_rollback(
    server: Server, source: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("CACHE_KEY", 'k"e\\y of $mine')
    purge = {
        "urls": [f"{cache.url}/a?b=c", f"{cache.url}/{{release}}/"],
        "headers": {"X-Key": "is ${CACHE_KEY}"},
        "from": where,
    }
    configure(server, purge=[purge], secrets=["CACHE_KEY"])
    first = deploy(server, source, "one").release
    assert [(method, path) for method, path, _ in cache.asked] == [
        ("PURGE", "/a?b=c"),
        ("PURGE", f"/{first}/"),
    ]
    assert {headers["x-key"] for *_, headers in cache.asked} == {'is k"e\\y of $mine'}
    assert {headers["user-agent"] for *_, headers in cache.asked} == {"opsnb"}
    deploy(server, source, "two")
    cache.asked.clear()
    server.rollback().wait()
    assert cache.asked[1][1] == f"/{first}/"
    assert [line["done"] for line in acts(server)] == [True] * 3
    assert b"of $mine" not in server.audit_log()
    assert server.verify_log() == []


@pytest.fixture
def only(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A search path of this machine's programs, with one of the three that can ask."""
    require(request.param)
    others = {"curl", "python3", "wget"} - {request.param}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for program in Path("/usr/bin").iterdir():
            if program.name not in others:
                Path(folder, program.name).symlink_to(program)
        yield Path(folder)


@pytest.mark.parametrize("only", ["curl", "python3", "wget"], indirect=True)
def test_the_server_asks_with_whatever_it_has(only: Path, source: Path, cache: Cache) -> None:
    with RealSshd(environment={"PATH": str(only)}) as running:
        there = Server(running.url(running.home / "site"), ssh_config=running.ssh_config)
        purge = {"urls": [f"{cache.url}/x"], "headers": {"X-One": "1 2"}, "from": "server"}
        configure(there, purge=[{**purge, "required": True, "method": "BAN"}])
        assert deploy(there, source, "one").outcome is Outcome.DONE
        there.close()
    method, path, headers = cache.asked[0]
    assert (method, path, headers["x-one"]) == ("BAN", "/x", "1 2")
    assert headers["user-agent"] == "opsnb"


def test_a_purge_that_fails_is_a_warning(server: Server, source: Path, cache: Cache) -> None:
    cache.status = 405
    gone = {"urls": ["http://127.0.0.1:9/"], "timeout": 5}
    configure(server, purge=[{"urls": [cache.url]}, gone, {"command": "exit 3"}])
    report = deploy(server, source, "one")
    assert report.outcome is Outcome.DONE
    said = [warning for warning in report.warnings if warning.startswith("purge:")]
    assert [text.partition(":")[2] for text in said] == [
        f" {cache.url} answered 405: PURGE {cache.url} from this machine",
        " http://127.0.0.1:9/ did not answer: [Errno 111] Connect call failed ('127.0.0.1', 9): "
        "PURGE http://127.0.0.1:9/ from this machine",
        " exit 3 exited with 3: exit 3 from this machine",
    ]
    assert [line["done"] for line in acts(server)] == [False] * 3


def test_what_is_not_in_the_cache_need_not_be_purged(
    server: Server, source: Path, cache: Cache
) -> None:
    cache.status = 404
    configure(server, purge=[{"urls": [cache.url], "required": True}])
    assert deploy(server, source, "one").outcome is Outcome.DONE


def test_a_purge_that_is_required_puts_the_release_back_and_is_tried_again(
    server: Server, source: Path, cache: Cache
) -> None:
    first = deploy(server, source, "one").release
    cache.status = 500
    configure(server, purge=[{"urls": [f"{cache.url}/{{release}}"], "required": True}])
    with pytest.raises(Restored, match="answered 500"):
        deploy(server, source, "two")
    assert server.look().current.name == first
    assert [path for _, path, _ in cache.asked][1:] == [f"/{first}"]
    assert faults(site(server), server) == []


def test_a_cache_that_says_nothing_takes_its_time_and_no_more(server: Server, source: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        configure(server, purge=[{"urls": [url], "timeout": 0.3}])
        report = deploy(server, source, "one")
    assert any("nothing within 0.3 s" in warning for warning in report.warnings)


@pytest.mark.parametrize("where", ["local", "server"])
def test_a_command_purges_in_its_place(
    server: Server, source: Path, tmp_path: Path, where: str
) -> None:
    mark = tmp_path / "purged"
    configure(server, purge=[{"command": f'echo "$OPSNB_RELEASE" >{mark}', "from": where}])
    name = deploy(server, source, "one").release
    assert mark.read_text() == f"{name}\n"


def test_a_plan_says_what_is_purged_and_no_header(server: Server, source: Path) -> None:
    purge = {"urls": ["http://h/a", "http://h/b"], "headers": {"X-Key": "value-of-it"}}
    configure(server, purge=[purge], opcache={"fastcgi": "/run/fpm.sock"})
    text = str(server.plan(source))
    assert "opcache  emptied by FastCGI at /run/fpm.sock" in text
    assert "purge    PURGE http://h/a and 1 more address from this machine" in text
    assert "value-of-it" not in text


def test_what_a_header_cannot_hold_is_refused_before_anything_is_done(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_KEY", "first\r\nX-Other: two")
    purge = {"urls": ["http://h/"], "headers": {"X-Key": "${CACHE_KEY}"}}
    configure(server, purge=[purge])
    with pytest.raises(ConfigError, match="names CACHE_KEY, which `secrets` does not list"):
        server.plan(source)
    configure(server, purge=[purge], secrets=["CACHE_KEY"])
    with pytest.raises(ConfigError, match="not plain ASCII on one line"):
        deploy(server, source, "one")
    assert not server.look().releases


def test_a_command_on_the_server_that_had_to_be_ended_is_a_warning_like_any_other(
    server: Server, source: Path
) -> None:
    """The lock went with it, and is taken again."""
    slow = {"command": "sleep 60", "from": "server", "timeout": 0.5}
    configure(server, purge=[slow, {"command": "true", "from": "server"}])
    report = deploy(server, source, "one")
    assert report.outcome is Outcome.DONE
    assert [w for w in report.warnings if w.startswith("purge: sleep 60 did not end within 0.5 s")]
    assert [line["done"] for line in acts(server)] == [False, True]
    assert server.look().live is not None
    assert str(server.look().live.state) == "good"  # type: ignore[union-attr]
    assert faults(site(server), server) == []


def test_by_sftp_alone_this_machine_purges_and_there_is_no_script_of_ours(
    sshd: RealSshd, source: Path, cache: Cache
) -> None:
    url = sshd.url(sshd.home / "sftp").replace("ssh://", "sftp://")
    there = Server(url, ssh_config=sshd.ssh_config)
    purge = {"urls": [cache.url], "required": True}
    configure(there, opcache={"fastcgi": "/run/fpm.sock"}, purge=[purge])
    with pytest.raises(NotReady, match="SFTP alone runs nothing for opcache"):
        there.plan(source)
    configure(there, purge=[{**purge, "from": "server"}])
    with pytest.raises(NotReady, match="SFTP alone runs nothing for purge"):
        there.plan(source)
    configure(there, purge=[purge])
    deploy(there, source, "one")
    assert len(cache.asked) == 1
    there.close()


# --- PHP's cache of compiled code --------------------------------------------------------------


def page(text: str) -> str:
    return f"<?php echo '{text}';\n"


def seen(listening: str, path: Path) -> set[str]:
    """What each of PHP's workers makes of a page, as the web server asks for it."""
    found = set()
    for _ in range(12):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(listening)
            line.sendall(fastcgi.request(variables(str(path))))
            answer = fastcgi.Answer()
            while not answer.ended:
                answer.feed(line.recv(65536))
        found.add(answer.out.partition(b"\r\n\r\n")[2].decode())
    return found


@pytest.fixture(scope="module")
def fpm(sshd: RealSshd) -> Iterator[str]:
    with php(sshd, "fpm") as listening:
        yield listening


@pytest.fixture
def shop(sshd: RealSshd, request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(sshd.url(sshd.home / request.node.name[:60]), ssh_config=sshd.ssh_config)
    yield made
    assert faults(site(made), made) == []
    assert list(Path(made.deploy_to).rglob("*opsnb-*.php")) == []
    made.close()


def test_the_control_php_runs_the_old_code_after_a_switch(
    shop: Server, source: Path, fpm: str
) -> None:
    deploy(shop, source, page("one"), "index.php")
    where = site(shop) / "current" / "index.php"
    assert seen(fpm, where) == {"one"}
    deploy(shop, source, page("two"), "index.php")
    assert "one" in seen(fpm, where)


@pytest.mark.parametrize("docroot", ["", "public"])
def test_by_fastcgi_php_runs_the_new_code_after_a_switch_and_the_old_after_one_back(
    shop: Server, source: Path, fpm: str, docroot: str
) -> None:
    (source / "public").mkdir()
    (source / "public" / "x").write_text("")
    opcache = {"fastcgi": fpm, "docroot": docroot, "required": True}
    configure(shop, opcache=opcache)
    where = site(shop) / "current" / "index.php"
    deploy(shop, source, page("one"), "index.php")
    assert seen(fpm, where) == {"one"}
    deploy(shop, source, page("two"), "index.php")
    assert seen(fpm, where) == {"two"}
    shop.rollback().wait()
    assert seen(fpm, where) == {"one"}
    configure(shop, opcache=opcache, health=[{"command": "exit 1", "retries": 0}])
    with pytest.raises(Restored):
        deploy(shop, source, page("three"), "index.php")
    assert seen(fpm, where) == {"one"}
    assert {line["what"] for line in acts(shop)} == {"cache.opcache"}
    assert shop.drift() == ()


def test_by_the_address_of_the_document_root(
    shop: Server, source: Path, sshd: RealSshd, fpm: str
) -> None:
    (source / "public").mkdir()
    root = site(shop) / "current" / "public"
    handler = (
        f"location ~ \\.php$ {{ fastcgi_pass unix:{fpm}; "
        "fastcgi_param REQUEST_METHOD $request_method; "
        f"fastcgi_param SCRIPT_FILENAME {root}$fastcgi_script_name; }}"
    )
    with nginx(sshd, root, handler, "nginx-caches") as port:
        opcache = {"url": f"http://127.0.0.1:{port}", "docroot": "public", "required": True}
        configure(shop, opcache=opcache)
        for text in ("one", "two"):
            deploy(shop, source, page(text), "public/index.php")
            assert seen(fpm, root / "index.php") == {text}


def test_where_the_server_forwards_nothing_its_own_program_asks(source: Path) -> None:
    require("cgi-fcgi")
    with RealSshd(options=["DisableForwarding yes"]) as closed, php(closed, "fpm") as listening:
        there = Server(closed.url(closed.home / "site"), ssh_config=closed.ssh_config)
        configure(there, opcache={"fastcgi": listening, "required": True})
        where = site(there) / "current" / "index.php"
        for text in ("one", "two"):
            deploy(there, source, page(text), "index.php")
            assert seen(listening, where) == {text}
        there.close()


def test_what_does_not_answer_is_a_warning_and_leaves_no_script(
    shop: Server, source: Path, sshd: RealSshd
) -> None:
    configure(shop, opcache={"fastcgi": f"{sshd.base}/none.sock"})
    report = deploy(shop, source, page("one"), "index.php")
    assert report.outcome is Outcome.DONE
    assert any("none.sock" in warning for warning in report.warnings)


@pytest.mark.parametrize("by", ["ssh", "sftp"])
def test_a_script_that_a_crash_left_is_gone_after_the_next_change_and_in_no_release(
    shop: Server, sshd: RealSshd, source: Path, by: str
) -> None:
    """Neither in the release where it was left, nor in a copy of it."""
    (source / "public").mkdir()
    (source / "public" / "x").write_text("")
    live = deploy(shop, source, "one").release
    path = f"releases/{live}/public/opsnb-{'0f' * 16}.php"
    (site(shop) / path).write_text("<?php")
    (site(shop) / ".opsnb" / "tmp.placed").write_text(f"{path}\n")
    if os.geteuid() == 0:
        owner = (site(shop) / "releases").stat()
        for left in (site(shop) / path, site(shop) / ".opsnb" / "tmp.placed"):
            os.chown(left, owner.st_uid, owner.st_gid)
    (source / "index").write_text("two")
    other = Server(shop.url.replace("ssh://", f"{by}://"), ssh_config=sshd.ssh_config)
    assert "opsnb-" not in str(other.plan(source))
    new = other.deploy(source).wait().release
    other.close()
    assert not (site(shop) / path).exists()
    assert sorted(os.listdir(site(shop) / "releases" / new / "public")) == ["x"]


CLIENT = """
import sys
from opsnb.core.config import Settings
from opsnb.server import Server
server = Server(sys.argv[1], ssh_config=sys.argv[2])
opcache = {"fastcgi": sys.argv[4], "docroot": "public", "timeout": 300}
server.settings = Settings.model_validate({"opcache": opcache})
server.deploy(sys.argv[3]).wait()
"""


def test_a_client_that_dies_while_the_script_is_there_leaves_it_to_the_next_change(
    shop: Server, source: Path, sshd: RealSshd
) -> None:
    (source / "public").mkdir()
    (source / "public" / "x").write_text("")
    deploy(shop, source, "one")
    (source / "index").write_text("two")
    left = site(shop) / "releases"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(sshd.base / "silent.sock"))
        (sshd.base / "silent.sock").chmod(0o777)
        silent.listen()
        how = [shop.url, str(sshd.ssh_config), str(source), str(sshd.base / "silent.sock")]
        client = subprocess.Popen([sys.executable, "-c", CLIENT, *how], stderr=subprocess.DEVNULL)
        until(lambda: list(left.rglob("opsnb-*.php")), 60)
        client.kill()
        client.wait()
    until(lambda: shop.look().holder is None, 60)
    assert len(list(left.rglob("opsnb-*.php"))) == 1, "the control: it was left"
    deploy(shop, source, "three")
    assert list(left.rglob("opsnb-*.php")) == []


@pytest.mark.parametrize("left", ["shared/opsnb-1.php", "releases/../x.php", "current", "/x"])
def test_what_is_written_down_leads_to_nothing_else(
    server: Server, source: Path, left: str
) -> None:
    deploy(server, source, "one")
    for name in ("shared/opsnb-1.php", "x.php"):
        (site(server) / name).write_text("mine")
    (site(server) / ".opsnb" / "tmp.placed").write_text(f"{left}\n")
    server.pin(server.look().current.name).wait()
    assert (site(server) / "shared" / "opsnb-1.php").exists()
    assert (site(server) / "x.php").exists()
    assert (site(server) / "current").is_symlink()
    assert not (site(server) / ".opsnb" / "tmp.placed").exists()
