"""What the console can do, and what it refuses, on a real server and without a widget."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import opsnb
from opsnb.errors import ConnectError
from opsnb.job import Job
from opsnb.notebook.console import pictures
from opsnb.notebook.console.code import PLAN, call
from opsnb.notebook.console.desk import Desk


class Sight:
    """What a desk has shown, the last of each part, and the changes it began."""

    def __init__(self, project: opsnb.Project, server: str) -> None:
        self.now: dict[str, Any] = {}
        self.told: list[tuple[str, Any]] = []
        self.jobs: list[Job] = []
        self.desk = Desk(project, server, self._show, self.jobs.append)
        self.desk.do({"do": "begin"})

    def _show(self, part: str, picture: Any) -> None:
        self.now[part] = picture
        self.told.append((part, picture))

    def do(self, what: str, **more: Any) -> Any:
        """Ask for something; what was said of it."""
        self.now["said"] = None
        self.desk.do({"do": what, **more})
        return self.now["said"]

    def apply(self, **more: Any) -> opsnb.Report:
        """Carry the plan out and wait."""
        said = self.do("apply", sure=True, **more)
        assert said is None, said
        report = self.jobs[-1].wait()
        self.desk.do({"do": "settle"})
        return report


@pytest.fixture
def sight(demo: opsnb.DemoProject) -> Sight:
    server = demo.server("demo")
    server.deploy(demo.site("v1"), revision="a" * 40).wait()
    server.deploy(demo.site("v2")).wait()
    return Sight(demo, "demo")


def names(sight: Sight) -> list[str]:
    return [row["name"] for row in sight.now["site"]["releases"]]


def test_it_begins_read_only_and_shows_what_is_there(sight: Sight) -> None:
    place, site = sight.now["place"], sight.now["site"]
    assert place["unlocked"] is False
    assert place["server"] == "demo"
    assert [row["live"] for row in site["releases"]] == [True, False]
    assert site["live"] == names(sight)[0]
    assert site["measured"]
    assert all(row["disk"]["words"] for row in site["releases"])
    assert site["releases"][1]["revision"] == "a" * 10
    assert "no drift" in site["facts"]
    assert site["warnings"] == []


def test_releases_are_shown_before_what_they_take_is_known(sight: Sight) -> None:
    sites = [picture for part, picture in sight.told if part == "site" and picture]
    assert [site["measured"] for site in sites] == [False, True]


@pytest.mark.parametrize(
    "wish",
    [
        {"do": "apply", "sure": True},
        {"do": "pin", "name": "x", "sure": True},
        {"do": "unpin", "name": "x", "sure": True},
        {"do": "hold", "why": "x", "sure": True},
        {"do": "unhold", "force": True, "sure": True},
        {"do": "adopt", "sure": True},
    ],
    ids=lambda wish: str(wish["do"]),
)
def test_nothing_can_be_changed_while_it_is_read_only(sight: Sight, wish: dict[str, Any]) -> None:
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    assert sight.now["plan"]["verb"] == "deploy"
    sight.desk.do(wish)
    assert sight.now["said"]["kind"] == "error"
    assert "read-only" in sight.now["said"]["text"]
    assert sight.jobs == []
    # The control: unlocked, the same plan is carried out.
    sight.do("unlock")
    sight.do("apply", sure=True)
    assert sight.jobs[-1].wait().outcome is opsnb.Outcome.DONE


def test_a_deploy_needs_a_plan_and_uses_it_once(sight: Sight) -> None:
    sight.do("unlock")
    assert "no plan" in sight.do("apply", sure=True)["text"]
    sight.do("plan", source=str(sight.desk.project.sources[0]), revision="r1")
    plan = sight.now["plan"]
    assert {change["word"] for change in plan["changes"]} == {"added", "changed", "removed"}
    report = sight.apply()
    assert sight.now["plan"] is None
    assert sight.now["site"]["live"] == report.release
    assert sight.now["site"]["releases"][0]["revision"] == "r1"
    assert "no plan" in sight.do("apply", sure=True)["text"]


def test_a_click_is_confirmed_by_a_second_one(sight: Sight) -> None:
    sight.do("unlock")
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    assert "not confirmed" in sight.do("apply")["text"]
    assert "not confirmed" in sight.do("apply", sure="true")["text"]
    assert sight.now["plan"] is not None
    assert sight.apply().outcome is opsnb.Outcome.DONE


def guarded(demo: opsnb.DemoProject, folder: Path) -> opsnb.Project:
    """The demo's server as one of a production environment."""
    url = demo.server("demo").url
    file = folder / "opsnb.toml"
    file.write_text(
        '[environments.production]\nconfirm = "type-name"\n[environments.dev]\nconfirm = "none"\n'
        f'[servers.web1]\nurl = "{url}"\nenvironment = "production"\n'
        f'[servers.local]\nurl = "{url}-dev"\nenvironment = "dev"\n'
        '[servers.gone]\nurl = "ssh://x@127.0.0.1:9/var/www/shop"\n'
    )
    return opsnb.load(file, ssh_config=demo.embedded.ssh_config)


def test_production_is_confirmed_by_its_name(demo: opsnb.DemoProject, tmp_path: Path) -> None:
    project = guarded(demo, tmp_path)
    sight = Sight(project, "web1")
    here = {one["name"]: one for one in sight.now["place"]["environments"]}["production"]
    assert here["guarded"]
    assert here["color"] == "red"
    sight.do("unlock")
    sight.do("plan", source=str(demo.site("v1")))
    for typed in ("", "web", "WEB1", None, True):
        assert "not confirmed" in sight.do("apply", typed=typed, sure=True)["text"]
    assert sight.jobs == []
    assert sight.apply(typed="web1").outcome is opsnb.Outcome.DONE
    project.close()


def test_an_environment_may_ask_for_nothing(demo: opsnb.DemoProject, tmp_path: Path) -> None:
    project = guarded(demo, tmp_path)
    sight = Sight(project, "local")
    sight.do("unlock")
    sight.do("plan", source=str(demo.site("v1")))
    assert sight.do("apply") is None
    assert sight.jobs[-1].wait().outcome is opsnb.Outcome.DONE
    project.close()


def test_another_server_is_read_only_again_and_forgets_the_plan(
    demo: opsnb.DemoProject, tmp_path: Path
) -> None:
    project = guarded(demo, tmp_path)
    sight = Sight(project, "local")
    sight.do("unlock")
    sight.do("plan", source=str(demo.site("v1")))
    sight.do("pick", environment="production")
    assert sight.now["place"]["server"] == "web1"
    assert sight.now["place"]["unlocked"] is False
    assert sight.now["plan"] is None
    sight.do("unlock")
    assert "no plan" in sight.do("apply", sure=True, typed="web1")["text"]
    project.close()


def test_a_server_that_is_not_there_is_said_and_another_can_be_picked(
    demo: opsnb.DemoProject, tmp_path: Path
) -> None:
    project = guarded(demo, tmp_path)
    sight = Sight(project, "gone")
    assert sight.now["said"]["kind"] == "error"
    assert "127.0.0.1" in sight.now["said"]["text"]
    assert sight.now["said"]["hint"]
    assert sight.now["said"]["trace"] == ""
    pictured = sight.now["site"]
    assert pictured is None
    assert sight.do("pick", server="local") is None
    assert sight.now["site"] is not None
    assert "no server" in sight.do("pick", server="nobody")["text"]
    project.close()


@pytest.fixture
def leaving(
    demo: opsnb.DemoProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Sight]]:
    """An unlocked desk whose user picks another server while this one answers, or fails to."""
    project = guarded(demo, tmp_path)
    project.server("local").deploy(demo.site("v1")).wait()

    def leaves(question: str, error: Exception | None = None) -> Sight:
        sight = Sight(project, "local")
        sight.do("unlock")
        asked = getattr(sight.desk.server, question)

        def ask(*args: Any, **more: Any) -> Any:
            answer = asked(*args, **more)
            monkeypatch.undo()
            sight.desk.do({"do": "pick", "server": "web1"})
            sight.desk.do({"do": "unlock"})
            if error:
                raise error
            return answer

        monkeypatch.setattr(sight.desk.server, question, ask)
        return sight

    yield leaves
    project.close()


def test_a_change_of_a_server_that_was_left_meanwhile_is_not_begun(
    leaving: Callable[..., Sight],
) -> None:
    sight = leaving("look")
    left, (name,) = sight.desk.server, names(sight)
    said = sight.do("pin", name=name, sure=True)
    assert sight.desk.server.name == "web1"
    assert said["text"] == "local: another server was picked meanwhile: nothing was changed"
    assert sight.jobs == []
    assert not left.look().releases[0].pinned


@pytest.mark.parametrize(
    ("question", "wish", "part"),
    [
        ("plan_prune", {"do": "plan prune", "keep": 1}, "plan"),
        ("audit_log", {"do": "audit"}, "audit"),
        ("look", {"do": "refresh"}, "site"),
    ],
)
def test_an_answer_of_a_server_that_was_left_meanwhile_is_not_shown(
    leaving: Callable[..., Sight], question: str, wish: dict[str, Any], part: str
) -> None:
    sight = leaving(question)
    sight.do(**{"what" if key == "do" else key: value for key, value in wish.items()})
    shown = sight.now[part]
    assert sight.desk.proposal is None
    assert shown is None or (part == "site" and not shown["releases"]), shown


def test_what_went_wrong_at_a_server_that_was_left_is_told_under_its_name(
    leaving: Callable[..., Sight],
) -> None:
    said = leaving("audit_log", ConnectError("no answer", "Is it up?")).do("audit")
    assert (said["kind"], said["text"], said["hint"]) == ("error", "local: no answer", "Is it up?")


def test_what_went_wrong_there_by_itself_is_not_told(leaving: Callable[..., Sight]) -> None:
    said = leaving("look", ConnectError("no answer")).do("glance")
    assert said["kind"] == "done"
    assert "web1" in said["text"]


def test_a_server_that_cannot_be_reached_says_so_without_its_name_where_it_is_shown(
    sight: Sight, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ConnectError("no answer")

    monkeypatch.setattr(sight.desk.server, "look", fail)
    assert sight.do("pick", server="demo")["text"] == "no answer"
    assert sight.do("refresh")["text"] == "no answer"


def test_a_plan_that_is_applied_twice_at_once_is_carried_out_once(
    sight: Sight, monkeypatch: pytest.MonkeyPatch
) -> None:
    sight.do("unlock")
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    server = sight.desk.server
    monkeypatch.setattr(server, "permitted", lambda verb: time.sleep(0.2))
    clicks = [
        threading.Thread(target=sight.desk.do, args=[{"do": "apply", "sure": True}])
        for _ in range(2)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert len(sight.jobs) == 1
    assert sight.jobs[0].wait().outcome is opsnb.Outcome.DONE
    assert "no plan" in sight.now["said"]["text"]


def test_a_plan_is_taken_away_when_the_server_has_changed(sight: Sight) -> None:
    sight.do("unlock")
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    sight.do("glance")
    assert sight.now["plan"] is not None  # the control: nothing has changed
    sight.desk.server.rollback().wait()
    said = sight.do("glance")
    assert said["kind"] == "warning"
    assert "changed" in said["text"]
    assert sight.now["plan"] is None
    assert "no plan" in sight.do("apply", sure=True)["text"]


def test_a_stale_plan_that_nobody_noticed_is_refused_by_the_server(sight: Sight) -> None:
    sight.do("unlock")
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    sight.desk.server.rollback().wait()
    assert sight.do("apply", sure=True) is None
    with pytest.raises(opsnb.errors.StalePlan):
        sight.jobs[-1].wait()


def test_a_quiet_look_shows_only_the_time_when_nothing_has_changed(sight: Sight) -> None:
    before = len([part for part, _ in sight.told if part == "site"])
    sight.do("glance")
    assert len([part for part, _ in sight.told if part == "site"]) == before
    assert sight.now["glance"]["at"] > 0
    sight.desk.server.pin(names(sight)[0]).wait()
    sight.do("glance")
    assert sight.now["site"]["releases"][0]["pinned"]


def test_a_rollback_shows_what_moves_and_what_changes(sight: Sight) -> None:
    new, old = names(sight)
    sight.do("plan rollback", to=old, why="checkout is slow")
    plan = sight.now["plan"]
    assert (plan["previous"], plan["name"], plan["marks_bad"]) == (new, old, new)
    assert plan["moves"]
    assert plan["compared"]
    assert plan["changes"]
    sight.do("unlock")
    assert sight.apply().live == old
    assert sight.now["site"]["live"] == old
    assert "checkout is slow" in sight.now["site"]["releases"][0]["note"]


def test_a_release_that_failed_says_why_nobody_can_go_back_to_it(
    demo: opsnb.DemoProject,
) -> None:
    server = demo.server("demo")
    server.deploy(demo.site("v1")).wait()
    with pytest.raises(opsnb.errors.Restored):
        server.deploy(demo.site("v3")).wait()
    sight = Sight(demo, "demo")
    bad = sight.now["site"]["releases"][0]
    assert bad["state"] == "bad"
    assert "failed its checks" in bad["back"]
    assert "failed its checks" in sight.do("plan rollback", to=bad["name"])["text"]
    assert sight.now["plan"] is None


def test_prune_says_what_goes_and_why(sight: Sight) -> None:
    for version in ("v1", "v2", "v1"):
        demo = sight.desk.project
        assert isinstance(demo, opsnb.DemoProject)
        sight.desk.server.deploy(demo.site(version), keep=9).wait()
    sight.do("plan prune", keep=2)
    plan = sight.now["plan"]
    assert len(plan["removes"]) == 3
    assert all(item["why"] for item in plan["removes"] + plan["keeps"])
    sight.do("unlock")
    assert len(sight.apply().removed) == 3
    assert "at least 1" in sight.do("plan prune", keep=0)["text"]
    assert "at least 1" in sight.do("plan prune", keep="2")["text"]


def test_a_hold_needs_a_reason_and_holds_a_deploy_back(sight: Sight) -> None:
    sight.do("unlock")
    assert "reason" in sight.do("hold", why="  ", sure=True)["text"]
    sight.do("hold", why="migration", sure=True)
    sight.jobs[-1].wait()
    sight.do("settle")
    assert "migration" in sight.now["site"]["hold"]
    assert sight.now["site"]["warnings"][0]["title"] == "Held back"
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    sight.do("apply", sure=True)
    with pytest.raises(opsnb.errors.Locked):
        sight.jobs[-1].wait()
    sight.do("unhold", sure=True)
    sight.jobs[-1].wait()
    sight.do("settle")
    assert sight.now["site"]["hold"] == ""


def test_drift_is_named(demo: opsnb.DemoProject) -> None:
    server = demo.server("demo")
    server.deploy(demo.site("v1")).wait()
    (Path(server.deploy_to) / "current" / "index.html").write_text("edited by hand")
    sight = Sight(demo, "demo")
    assert sight.now["site"]["drift"] == ["index.html"]
    assert "1 path drifted" in sight.now["site"]["facts"]
    assert sight.now["site"]["warnings"][0]["title"] == "Drift"


def test_the_audit_log_and_a_comparison_are_shown(sight: Sight) -> None:
    sight.do("audit")
    audit = sight.now["audit"]
    assert audit["holds"]
    assert audit["entries"][0]["what"] == "deploy.done"
    new, old = names(sight)
    sight.do("diff", old=old, new=new)
    assert sight.now["diff"]["changes"]
    # The control: a log that was changed does not hold.
    log = Path(sight.desk.server.deploy_to) / ".opsnb" / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[1:]))
    sight.do("audit")
    assert not sight.now["audit"]["holds"]


def test_every_wish_has_an_answer_and_a_bug_keeps_its_trace_for_who_asks(sight: Sight) -> None:
    assert "cannot do" in sight.do("dance")["text"]
    assert "cannot do" in sight.do("")["text"]
    sight.desk.project = None  # type: ignore[assignment]
    said = sight.do("pick", server="demo")
    assert said["text"].startswith("a bug in opsnb: AttributeError")
    assert "Traceback" in said["trace"]


def test_a_second_change_waits_for_the_first(demo: opsnb.DemoProject, tmp_path: Path) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text(
        f'[servers.web1]\nurl = "{demo.server("demo").url}"\nbefore_publish = ["sleep 30"]\n'
    )
    project = opsnb.load(file, ssh_config=demo.embedded.ssh_config)
    sight = Sight(project, "web1")
    sight.do("unlock")
    sight.do("plan", source=str(demo.site("v1")))
    sight.do("apply", sure=True)
    sight.do("plan", source=str(demo.site("v2")))
    assert "still running" in sight.do("apply", sure=True)["text"]
    # A console that comes later finds it.
    assert Sight(project, "web1").jobs == [sight.jobs[-1]]
    sight.jobs[-1].cancel()
    with pytest.raises(opsnb.errors.Interrupted):
        sight.jobs[-1].wait()
    project.close()


def test_each_click_is_a_line_of_python_that_does_the_same(sight: Sight) -> None:
    new, old = names(sight)
    sight.do("refresh")
    sight.do("plan", source=str(sight.desk.project.sources[0]), revision='it\'s "quoted"')
    sight.do("unlock")
    sight.apply()
    sight.do("plan rollback", to=new, why="why not")
    sight.do("plan prune", keep=2)
    sight.do("audit")
    sight.do("diff", old=old, new=new)
    ran = sight.now["ran"]
    assert ran[0] == "server = project.server('demo')"
    assert len(ran) == 8
    for line in ran:
        ast.parse(f"async def f():\n    {line}")
    # Lines that only ask are run, and give what the click gave.
    space: dict[str, Any] = {"project": sight.desk.project}
    for line in ran:
        if not line.startswith("await"):
            exec(line, space)
    assert space["plan"].verb == "prune"


def test_a_line_of_python_is_written_as_people_write_it() -> None:
    assert call("plan", "dist/", revision="", to="plan") == "plan = server.plan('dist/')"
    assert call("deploy", PLAN, wait=True) == "await server.deploy(plan)"
    assert call("unhold", force=True, wait=True) == "await server.unhold(force=True)"
    assert call("plan_prune", keep=2, to="plan") == "plan = server.plan_prune(keep=2)"


def test_five_hundred_releases_are_one_picture(sight: Sight) -> None:
    site = sight.desk.server.look()
    listed = tuple(
        replace(release, name=f"2026010100{number:04d}", live=False)
        for number, release in enumerate(list(site.releases) * 250)
    )
    settings = sight.desk.server.settings
    picture = pictures.site(replace(site, releases=listed), settings, datetime.now(UTC))
    assert len(picture["releases"]) == 500
    assert len({row["name"] for row in picture["releases"]}) == 500


# --- gates -------------------------------------------------------------------------------------


def gated(sight: Sight, **said: object) -> None:
    """Configure the server, and look anew."""
    server = sight.desk.server
    server.settings = server.settings.model_copy(update=said)
    sight.do("refresh")


def test_a_freeze_is_shown_and_taken_away_and_lets_a_rollback_pass(sight: Sight) -> None:
    sight.do("unlock")
    assert "reason" in sight.do("freeze", why=" ", sure=True)["text"]
    sight.do("freeze", why="christmas sale", until="2h", sure=True)
    sight.jobs[-1].wait()
    sight.do("settle")
    site = sight.now["site"]
    assert site["frozen"]
    assert "christmas sale" in site["hold"]
    assert [one["title"] for one in site["warnings"]] == ["Frozen"]
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    assert any("christmas sale" in warning for warning in sight.now["plan"]["warnings"])
    sight.do("plan rollback")
    assert sight.apply().outcome is opsnb.Outcome.DONE
    sight.do("unfreeze", sure=True)
    sight.jobs[-1].wait()
    sight.do("settle")
    assert not sight.now["site"]["frozen"]
    ran = [line for line in sight.now["ran"] if "freeze" in line]
    assert ran == [
        "await server.freeze('christmas sale', until='2h')",
        "await server.unfreeze()",
    ]


def test_a_plan_that_would_be_refused_says_why_and_is_not_carried_out(sight: Sight) -> None:
    sight.do("unlock")
    gated(sight, freeze="christmas sale")
    assert "christmas sale" in sight.now["site"]["warnings"][0]["text"]
    sight.do("plan", source=str(sight.desk.project.sources[0]))
    assert "christmas sale" in sight.now["plan"]["refused"]
    assert "christmas sale" in sight.do("apply", sure=True)["text"]
    assert sight.jobs == []
    sight.do("plan rollback")
    assert sight.now["plan"]["refused"] == ""
    assert sight.apply().outcome is opsnb.Outcome.DONE


def test_a_server_that_is_read_only_cannot_be_unlocked_and_says_why(sight: Sight) -> None:
    sight.do("unlock")
    gated(sight, read_only=True)
    sight.do("plan rollback")
    assert "read-only" in sight.do("apply", sure=True)["text"]
    sight.do("lock")
    assert "opsnb.toml says so" in sight.now["place"]["barred"]
    said = sight.do("unlock")
    assert "read-only" in said["text"]
    assert "opsnb.toml says so" in said["hint"]
    assert not sight.now["place"]["unlocked"]
    assert sight.jobs == []
