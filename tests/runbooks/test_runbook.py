"""What a runbook's cells use: scenes, gates, confirmation, and the visitor's side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import opsnb
from opsnb.core.release import State
from opsnb.errors import ConfigError, GateClosed, NotConfirmed
from opsnb.runbooks import Runbook
from opsnb.runbooks.scenes import SCENES


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
    book.gate("all is well", [1])
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


def test_where_visitors_come_in_is_told_by_the_first_health_check(tmp_path: Path) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text(
        f'[servers.web1]\nurl = "file://{tmp_path}/site"\n'
        '[[servers.web1.health]]\nurl = "http://127.0.0.1:9/health?deep=1"\n'
    )
    assert opsnb.runbook("web1", str(file)).url == "http://127.0.0.1:9"
    assert (
        opsnb.runbook("web1", str(file), url="http://127.0.0.1:8/x").url == "http://127.0.0.1:8/x"
    )


def test_a_wrong_scene_or_server_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no scene"):
        opsnb.runbook(scene="party")
    with pytest.raises(ConfigError, match="cannot read"):
        opsnb.runbook("web1", "none.toml")
