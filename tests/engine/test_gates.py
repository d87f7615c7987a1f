"""Freezes, hours and read-only mode, as every face of a change meets them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import opsnb
from opsnb.core.events import Outcome
from opsnb.errors import ConfigError, HeldBack, Locked, ReadOnly
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.engine.test_manage import what
from tests.support.site import faults

HOUR = timedelta(hours=1)


def closed() -> dict[str, object]:
    """Hours that are over now, and today and tomorrow."""
    day = datetime.now(UTC) + timedelta(days=3)
    return {"windows": [f"{day:%a} 03:00-03:01"]}


@pytest.fixture
def deployed(server: Server, source: Path) -> Server:
    """A server with two releases."""
    server.deploy(source).wait()
    (source / "index").write_text("two")
    server.deploy(source).wait()
    (source / "index").write_text("three")
    return server


def test_a_freeze_stops_deploys_and_prunes_and_lets_a_rollback_pass(
    deployed: Server, source: Path
) -> None:
    deployed.freeze("christmas sale").wait()
    seen = deployed.look()
    assert seen.hold
    assert seen.hold.freezes
    for change in (lambda: deployed.deploy(source), lambda: deployed.prune(1)):
        with pytest.raises(Locked, match=r"frozen by .*christmas sale") as caught:
            change().wait()
        assert caught.value.exit_status == 12
    assert any("frozen by" in warning for warning in deployed.plan(source).plan.warnings)
    deployed.pin(deployed.look().current.name).wait()
    assert deployed.rollback().wait().outcome is Outcome.DONE
    assert (site(deployed) / "current/index").read_text() == "one"
    deployed.unfreeze().wait()
    assert deployed.deploy(source).wait().outcome is Outcome.DONE
    assert [act for act in what(deployed) if act.startswith("freeze")] == [
        "freeze.acquire",
        "freeze.release",
    ]
    assert deployed.verify_log() == []
    assert faults(site(deployed)) == []


def test_a_freeze_is_its_owners_and_a_hold_is_none(
    deployed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSNB_USER", "alice")
    deployed.freeze("sale").wait()
    deployed.freeze("sale, still", until="2h").wait()
    assert "still" in str(deployed.look().hold)
    with pytest.raises(Locked, match="frozen by"):
        deployed.hold("migration").wait()
    with pytest.raises(Locked) as caught:
        deployed.unhold().wait()
    assert "unfreeze" in caught.value.hint
    monkeypatch.setenv("OPSNB_USER", "bob")
    for change in (lambda: deployed.freeze("mine"), deployed.unfreeze):
        with pytest.raises(Locked, match="alice"):
            change().wait()
    deployed.unfreeze(force=True).wait()
    deployed.hold("migration").wait()
    with pytest.raises(Locked) as caught:
        deployed.unfreeze().wait()
    assert "lock local release" in caught.value.hint
    deployed.unhold().wait()
    assert deployed.unfreeze().wait().outcome is Outcome.NOTHING


@pytest.mark.parametrize("place", ["hold", "freeze"])
def test_what_has_ended_by_itself_holds_nobody_back(
    deployed: Server, source: Path, place: str
) -> None:
    getattr(deployed, place)("for a moment", HOUR).wait()
    with pytest.raises(Locked, match="until "):
        deployed.deploy(source).wait()
    file = site(deployed) / ".opsnb/hold.json"
    text, year = file.read_text(), f"{datetime.now(UTC):%Y-}"
    until = text.index('"until": "') + len('"until": "')
    assert text[until:].startswith((year, f"{int(year[:4]) + 1}-"))
    file.write_text(f"{text[:until]}2020-{text[until + 5 :]}")
    seen = deployed.look()
    assert seen.hold is None
    assert seen.lapsed
    assert deployed.deploy(source).wait().outcome is Outcome.DONE
    # It still lies there, for a clock that goes otherwise; taking it away finds it.
    undo = deployed.unfreeze() if place == "freeze" else deployed.unhold()
    assert undo.wait().outcome is Outcome.DONE
    assert not file.exists()


def test_a_hold_of_an_older_opsnb_is_a_hold(deployed: Server, source: Path) -> None:
    (site(deployed) / ".opsnb/hold.json").write_text(
        '{"host": "h", "pid": 0, "since": "2026", "token": 0, "who": "old", "why": "w"}\n'
    )
    for change in (lambda: deployed.deploy(source), deployed.rollback):
        with pytest.raises(Locked, match="held by old@h since 2026: w"):
            change().wait()


@pytest.mark.parametrize("when", [timedelta(0), -HOUR, datetime(2020, 1, 1, tzinfo=UTC), "soon"])
def test_a_hold_that_would_be_over_already_is_refused(
    deployed: Server, when: timedelta | datetime | str
) -> None:
    with pytest.raises(ConfigError):
        deployed.hold("why", when)
    assert not (site(deployed) / ".opsnb/hold.json").exists()


# --- what is configured ------------------------------------------------------------------------


def test_a_configured_freeze_refuses_before_there_is_a_connection(source: Path) -> None:
    nowhere = configure(Server("ssh://nobody@127.0.0.1:1/srv/shop"), freeze="christmas sale")
    with pytest.raises(HeldBack, match="frozen: christmas sale") as caught:
        nowhere.deploy(source).wait()
    assert caught.value.exit_status == 12
    assert caught.value.report.outcome is Outcome.NOT_DONE
    # The control: what may pass meets the closed port.
    with pytest.raises(opsnb.errors.ConnectError):
        nowhere.rollback().wait()


def test_outside_of_the_hours_a_deploy_needs_a_reason_and_the_log_keeps_it(
    deployed: Server, source: Path
) -> None:
    live = deployed.look().current.name
    configure(deployed, **closed())
    with pytest.raises(HeldBack, match="the next window opens"):
        deployed.deploy(source).wait()
    planned = deployed.plan(source)
    assert any("would be refused" in warning for warning in planned.plan.warnings)
    with pytest.raises(HeldBack):
        deployed.deploy(planned).wait()
    assert deployed.look().current.name == live
    report = deployed.deploy(planned, outside_window="the shop is down").wait()
    assert any("the shop is down" in warning for warning in report.warnings)
    entries = deployed.log()
    outside = entries[entries["what"] == "deploy.outside"]
    assert "the shop is down" in outside["details"].iloc[0]
    assert deployed.rollback().wait().outcome is Outcome.DONE


def test_inside_of_the_hours_a_reason_is_not_written_down(deployed: Server, source: Path) -> None:
    configure(deployed, windows=["00:00-24:00"])
    deployed.deploy(source, outside_window="just in case").wait()
    assert "deploy.outside" not in what(deployed)


def test_the_hours_may_end_while_a_deploy_waits_for_the_lock(
    deployed: Server, source: Path
) -> None:
    """What was allowed when it was asked for is not when it would begin."""
    from opsnb.core.gates import Gates
    from opsnb.engine.asked import given
    from opsnb.engine.change import Change
    from opsnb.engine.deploy import DeployWork, Order
    from opsnb.engine.telling import Actor
    from opsnb.loop import LOOP

    configure(deployed, windows=["daily 00:00-00:02"])
    clock = iter([datetime(2026, 3, 25, 0, 1, tzinfo=UTC)])
    late = datetime(2026, 3, 25, 0, 2, tzinfo=UTC)
    asked: list[str] = []

    def now() -> datetime:
        return next(clock, late) if asked else datetime(2026, 3, 25, 0, 1, tzinfo=UTC)

    planned = deployed.plan(source)

    async def work(change: Change) -> None:
        asked.append("begun")
        await DeployWork(Order(given(planned.wish, planned.source)))(change)

    actor = Actor("local", "ann", "here", lambda _: None, now)
    gates = Gates("local", deployed.settings)
    _, error = LOOP.run(Change(deployed._remote(), actor, "deploy", gates=gates).run(work))
    assert isinstance(error, HeldBack)


# --- read-only ---------------------------------------------------------------------------------


def changes(server: Server, source: Path) -> list[object]:
    """Every change there is, as what begins it."""
    return [
        lambda: server.deploy(source),
        server.rollback,
        server.prune,
        lambda: server.pin("x"),
        lambda: server.unpin("x"),
        server.adopt,
        lambda: server.hold("x"),
        lambda: server.unhold(force=True),
        lambda: server.freeze("x"),
        server.unfreeze,
    ]


@pytest.mark.parametrize("how", ["argument", "configuration", "environment"])
def test_read_only_refuses_every_change_before_there_is_a_connection(
    source: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server("ssh://nobody@127.0.0.1:1/srv/shop", read_only=how == "argument")
    if how == "configuration":
        configure(server, read_only=True)
    if how == "environment":
        monkeypatch.setenv("OPSNB_READ_ONLY", "1")
    for change in changes(server, source):
        with pytest.raises(ReadOnly, match="read-only") as caught:
            change()  # type: ignore[operator]
        assert caught.value.exit_status == 2
        assert caught.value.hint
    with pytest.raises(ReadOnly):
        server.run("rm x", change=True)
    assert server.jobs == []
    # A question is asked all the same: the port is closed.
    with pytest.raises(opsnb.errors.ConnectError):
        server.look()


def test_nothing_is_read_only_by_itself_or_with_0(
    deployed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "0"):
        monkeypatch.setenv("OPSNB_READ_ONLY", value)
        assert deployed.read_only == ""
    assert deployed.rollback().wait().outcome is Outcome.DONE


def test_a_project_can_be_opened_to_be_looked_at(tmp_path: Path, source: Path) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text(f'[servers.web1]\nurl = "file://{tmp_path}/site"\n')
    looking = opsnb.load(file, read_only=True).server("web1")
    with pytest.raises(ReadOnly):
        looking.deploy(source)
    with pytest.raises(ReadOnly):
        opsnb.load(file, read_only=True).server(f"file://{tmp_path}/site").deploy(source)
    assert opsnb.load(file).server("web1").deploy(source).wait().outcome is Outcome.DONE
    assert looking.run("ls").status == 0


@pytest.mark.parametrize("why", ["", "two\nlines"], ids=["held back", "a wrong reason"])
def test_what_is_refused_at_once_is_not_built(
    server: Server, source: Path, tmp_path: Path, why: str
) -> None:
    ran = tmp_path / "ran"
    build = {"build": [f"touch {ran}"], "isolation": "none", "output": "."}
    configure(server, **build, freeze="the audit")
    with pytest.raises((HeldBack, ConfigError)):
        server.deploy(source, outside_window=why).wait()
    time.sleep(0.5)
    assert not ran.exists()
    configure(server, **build)
    server.deploy(source).wait()
    assert ran.exists()  # the control: else it is built
