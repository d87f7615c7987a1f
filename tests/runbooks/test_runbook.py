"""What a runbook's cells use: scenes, gates, confirmation, and the visitor's side."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import opsnb
from opsnb.core.release import State
from opsnb.core.settings.health import Health
from opsnb.errors import ConfigError, GateClosed, NotConfirmed
from opsnb.runbooks import Runbook
from opsnb.runbooks.scenes import SCENES
from opsnb.runbooks.visits import Visit, fault, root, visit


@pytest.fixture(params=list(SCENES))
def book(request: pytest.FixtureRequest) -> Iterator[Runbook]:
    """A runbook on the embedded server, in each scene."""
    made = opsnb.runbook(scene=request.param)
    yield made
    made.close()


def test_every_scene_is_the_situation_that_it_is_named_after(
    book: Runbook, request: pytest.FixtureRequest
) -> None:
    site = book.server.look()
    match request.node.callspec.params["book"]:
        case "empty":
            assert site.releases == ()
            assert not book.healthy()
        case "live":
            assert [release.state for release in site.releases] == [State.GOOD, State.GOOD]
            assert book.healthy()
        case "broken":
            assert site.live is not None
            assert not book.healthy()
            assert book.server.plan_rollback().name
        case "full":
            assert len(site.releases) == 8
            assert len(book.server.plan_prune(3).retention.remove) == 4
        case "held":
            assert site.hold is not None
            assert site.hold.who == "ops2"
        case "foreign":
            assert site.made_by == "Capistrano"
            assert book.healthy()


def test_the_embedded_server_needs_no_confirmation(capsys: pytest.CaptureFixture[str]) -> None:
    book = opsnb.runbook(scene="empty")
    book.act()
    assert "demo may be changed" in capsys.readouterr().out
    book.close()


@pytest.mark.parametrize("confirm", ["", "web", "WEB1", "web1 ", "*"])
def test_a_real_one_is_confirmed_by_its_whole_name(tmp_path: Path, confirm: str) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text(f'[servers.web1]\nurl = "file://{tmp_path}/site"\n')
    book = opsnb.runbook("web1", str(file), confirm=confirm)
    with pytest.raises(NotConfirmed, match="web1 was not confirmed"):
        book.act()
    opsnb.runbook("web1", str(file), confirm="web1").act()


def test_an_address_needs_no_configuration(tmp_path: Path) -> None:
    book = opsnb.runbook(f"file://{tmp_path}/site", str(tmp_path / "none.toml"))
    assert not book.demo
    assert book.server.deploy_to == f"{tmp_path}/site"
    with pytest.raises(NotConfirmed):
        book.act()
    with pytest.raises(ConfigError, match="no source"):
        book.folder()


def test_a_gate_tells_what_it_saw_and_closes(capsys: pytest.CaptureFixture[str]) -> None:
    book = opsnb.runbook(scene="empty")
    book.gate("all is well", [1], "nothing")
    with pytest.raises(GateClosed, match="it does not hold that all is well") as closed:
        book.gate("all is well", None, "do this")
    assert closed.value.hint == "do this"
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("✓ ")
    assert told[1].startswith("✕ ")
    book.close()


def test_a_visit_is_a_visitors_answer(tmp_path: Path) -> None:
    book = opsnb.runbook(scene="live")
    page = book.visit()
    assert page.ok
    assert page.status == 200
    assert "<html" in page.text
    assert not book.visit("/none").ok
    book.close()
    gone = book.visit()
    assert gone.status == 0
    assert not gone.ok
    assert "refused" in repr(gone)
    file = tmp_path / "opsnb.toml"
    file.write_text(f'[servers.web1]\nurl = "file://{tmp_path}/site"\n')
    with pytest.raises(ConfigError, match="where visitors come in"):
        opsnb.runbook("web1", str(file)).visit()


def real(folder: Path, checks: str = "", url: str = "") -> Runbook:
    """A runbook on a server that is not the embedded one."""
    file = folder / "opsnb.toml"
    file.write_text(f'[servers.web1]\nurl = "file://{folder}/site"\n{checks}')
    return opsnb.runbook("web1", str(file), url=url)


def checked(url: str, contains: str = "") -> str:
    return f'[[servers.web1.health]]\nurl = "{url}"\ncontains = "{contains}"\n'


def test_where_visitors_come_in_is_told_by_the_first_health_check(tmp_path: Path) -> None:
    check = checked("http://127.0.0.1:9/health?deep=1")
    assert real(tmp_path, check).url == "http://127.0.0.1:9"
    assert real(tmp_path, check, "http://127.0.0.1:8/x").url == "http://127.0.0.1:8/x"


@pytest.mark.parametrize(
    ("url", "front"),
    [
        ("https://shop.example.com/health/deep", "https://shop.example.com"),
        ("https://shop.example.com?health", "https://shop.example.com"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("", ""),
    ],
)
def test_a_front_page_is_the_site_without_the_page(url: str, front: str) -> None:
    assert root(url) == front


def test_every_health_check_is_asked_and_its_answer_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = opsnb.runbook(scene="live")
    front, health = f"{site.url}/", f"{site.url}/health.txt"
    good, missing = checked(health, "ok"), checked(health, "sunshine")
    assert real(tmp_path, good).healthy() is True
    assert real(tmp_path, good, front).healthy() is True
    assert real(tmp_path, good + missing).healthy() is False
    # A front page that is there does not hide a check that fails, nor a check a front page.
    assert real(tmp_path, missing, front).healthy() is False
    assert real(tmp_path, good, f"{front}none").healthy() is False
    said = capsys.readouterr().out
    assert f"{health} is well: HTTP 200 in " in said
    assert f"{health} does not contain 'sunshine'" in said
    assert f"{front}none answered 404, not 200" in said
    site.close()
    assert real(tmp_path, good).healthy() is False
    assert "refused" in capsys.readouterr().out


def test_the_answer_must_name_the_release_that_is_live(tmp_path: Path) -> None:
    site = opsnb.runbook(scene="live")
    current = Path(site.server.deploy_to) / "current"
    assert isinstance(site.project, opsnb.DemoProject)
    file = tmp_path / "opsnb.toml"
    file.write_text(
        f'[servers.web1]\nurl = "{site.server.url}"\n'
        + checked(f"{site.url}/release.txt", "at {release}")
    )
    book = opsnb.runbook("web1", str(file), ssh_config=str(site.project.embedded.ssh_config))
    (current / "release.txt").write_text(f"at {current.readlink().name}")
    assert book.healthy() is True
    (current / "release.txt").write_text("at 20200101000000")
    assert book.healthy() is False
    book.close()
    site.close()


def test_what_nobody_can_ask_is_said_and_proves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = '[[servers.web1.health]]\ncommand = "true"\n'
    for book in (real(tmp_path), real(tmp_path, command)):
        assert book.healthy() is None
        book.prove("look with a browser")
        said = capsys.readouterr().out
        assert said.count("? ") == 2
        assert "not known whether visitors are served" in said
        assert "✓" not in said


def test_a_proof_that_fails_closes_the_gate(tmp_path: Path) -> None:
    book = opsnb.runbook(scene="broken")
    with pytest.raises(GateClosed, match="it does not hold that visitors are served") as closed:
        book.prove("roll back")
    assert closed.value.hint == "roll back"
    book.close()


@pytest.mark.parametrize(
    ("status", "text", "wrong"),
    [
        (200, "all ok", ""),
        (200, "20260325140000 ok", ""),
        (200, "no", "does not contain 'ok'"),
        (503, "all ok", "answered 503, not 200"),
        (0, "refused\x1b[2J", "did not answer: refused\\x1b[2J"),
    ],
)
def test_an_answer_is_judged_as_a_deploy_judges_it(status: int, text: str, wrong: str) -> None:
    check = Health.model_validate({"url": "http://localhost/", "contains": "ok"})
    assert fault(check, Visit(check.url, status, 0.1, text), "20260325140000") == wrong


def test_a_release_by_name_is_looked_for_in_the_answer() -> None:
    check = Health.model_validate({"url": "http://localhost/", "contains": "at {release}"})
    got = Visit(check.url, 200, 0.1, "at 20260325140000")
    assert fault(check, got, "20260325140000") == ""
    assert fault(check, got, "20260325120000")


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\n"])
def test_an_answer_that_is_no_page_is_no_traceback(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def once() -> None:
            asking, _ = listening.accept()
            with asking:
                asking.recv(4096)
                asking.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        got = visit(f"http://127.0.0.1:{listening.getsockname()[1]}/", 5)
        thread.join()
    assert got.ok == answer.startswith(b"HTTP")
    assert re.fullmatch(r"<Visit http://[\d.:]+/: .+ in \d+ ms>", repr(got))


def test_whoever_forgets_to_name_the_server_is_not_shown_the_demos_success() -> None:
    for given in ({"confirm": "web1"}, {"url": "https://shop.example.com"}):
        with pytest.raises(ConfigError, match="no server is named"):
            opsnb.runbook("", **given)
    with pytest.raises(ConfigError, match="is no site's address"):
        opsnb.runbook("web1", url="shop.example.com")


def test_a_wrong_scene_or_server_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no scene"):
        opsnb.runbook(scene="party")
    with pytest.raises(ConfigError, match="cannot read"):
        opsnb.runbook("web1", "none.toml")
