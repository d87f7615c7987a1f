"""Objects show themselves: as text and as HTML, the same in both, and escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

import opsnb
from opsnb.core import facts, tree
from opsnb.core.events import Outcome, Report
from opsnb.core.release import Site
from opsnb.notebook import objects

ENEMY = "<img src=x onerror=alert(1)>\x1b[31m\u202e"


class Words(HTMLParser):
    """The text of a page, and the names of its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.names: set[str] = set()
        self._style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self._style = tag == "style"
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data


def test_a_server_draws_its_tree(demo: opsnb.DemoProject) -> None:
    server = demo.server("demo")
    first = server.deploy(demo.site("v1")).wait().release
    second = server.deploy(demo.site("v2")).wait().release
    shown = objects.server(server)
    lines = shown.text.splitlines()
    assert f"├── current → releases/{second}" in lines
    assert lines.index("├── releases/") < next(
        n for n, line in enumerate(lines) if "● live" in line
    )
    assert re.search(rf"{second}  ● live +\d+ s +\d+ kB", shown.text)
    assert re.search(rf"{first}    good +\d+ s +\d+ kB", shown.text)
    assert "└── shared/" in shown.text
    for line in lines[1:-1]:
        assert line in Words(shown.html).text


def test_a_server_that_cannot_be_reached_is_an_answer_and_no_traceback() -> None:
    shown = objects.server(opsnb.Server("ssh://x@127.0.0.1:9/var/www/shop"))
    assert "✕ cannot connect to 127.0.0.1: Connection refused" in shown.text
    assert "Traceback" not in shown.text
    assert "role=" in shown.html


def test_a_project_lists_its_servers_and_asks_none(tmp_path: Path) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text(
        '[environments.production]\nconfirm = "type-name"\n'
        '[servers.web1]\nurl = "ssh://nobody@127.0.0.1:9/srv/x"\nenvironment = "production"\n'
    )
    shown = objects.project(opsnb.load(file))
    assert "web1" in shown.text
    assert "▲ PRODUCTION" in Words(shown.html).text
    file.write_text("")
    assert "names no server" in Words(objects.project(opsnb.load(file)).html).text


def test_a_plan_shows_counts_paths_and_that_nothing_has_changed(demo: opsnb.DemoProject) -> None:
    server = demo.server("demo")
    server.deploy(demo.site("v1")).wait()
    plan = server.plan(demo.site("v2"))
    shown = objects.deploy_plan(plan)
    page = Words(shown.html)
    assert shown.text == str(plan)
    assert facts.counts(plan.plan) in page.text
    assert "nothing has changed yet" in page.text
    assert "~ index.html" in page.text
    assert "details" in page.names
    assert "nothing to do" in objects.deploy_plan(server.plan(demo.site("v1"))).text
    assert "there is nothing to remove" in objects.plan(server.plan_prune()).text


@pytest.mark.parametrize("verb", ["deploy", "rollback", "prune", "pin", "hold"])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_report_says_the_same_in_both(verb: str, outcome: Outcome) -> None:
    error = "" if outcome in (Outcome.DONE, Outcome.NOTHING) else "it broke"
    report = Report(
        verb,
        "web1",
        outcome,
        release="20260101000001",
        previous="20260101000000",
        live="20260101000000",
        switched=None if outcome is Outcome.UNKNOWN else outcome is Outcome.DONE,
        error=error,
        hint="do this" if error else "",
        removed=(("20250101000000", "older"),),
        warnings=("mind the gap",),
    )
    shown = objects.report(report)
    page = Words(shown.html).text
    for fact in facts.report_facts(report):
        assert fact.text in shown.text
        assert fact.text in page
    assert ("✕ failed" in page) is bool(error)
    if verb == "deploy" and outcome is Outcome.UNKNOWN:
        assert "not known whether the switch happened" in page


def test_what_came_from_a_server_is_never_code(demo: opsnb.DemoProject) -> None:
    server = demo.server("demo")
    report = Report(
        ENEMY, ENEMY, Outcome.NOT_DONE, ENEMY, ENEMY, ENEMY, error=ENEMY, hint=ENEMY,
        warnings=(ENEMY,), removed=((ENEMY, ENEMY),), phases=((ENEMY, 1.0),),
    )  # fmt: skip
    site = Site(deploy_to=ENEMY, entries={ENEMY.encode(): "d"}, shared={ENEMY.encode(): "d"})
    drawn = tree.tree(site, datetime.now(UTC))
    for html in (
        objects.report(report).html,
        objects.tree_html(drawn),
        objects.trouble(opsnb.errors.ConfigError(ENEMY, ENEMY), ENEMY).html,
    ):
        assert "img" not in Words(html).names
        assert "\x1b" not in html
    assert "\x1b" not in objects.report(report).text
    assert "\u202e" not in objects.report(report).text
    assert server.name == "demo"


def test_a_receipt_says_who_where_what_and_where_the_log_is(demo: opsnb.DemoProject) -> None:
    server = demo.server("demo")
    job = server.deploy(demo.site("v1"))
    report = job.wait()
    shown = objects.receipt(job)
    page = Words(shown.html).text
    assert job.log_file is not None
    for word in (
        job.by,
        report.release,
        str(job.log_file),
        "Last lines of the log",
        "nothing -> ",
    ):
        assert word in page, word
        assert word.lower() in shown.text.lower(), word
    assert "the switch happened" in page
    log = job.log_file.read_text()
    assert log.splitlines()[0].endswith("deploy on demo begins")
    assert log.splitlines()[-1].endswith(report.sentence)
    assert job.log_file.stat().st_mode & 0o777 == 0o600


def test_a_receipt_of_what_still_runs_says_so(demo: opsnb.DemoProject, tmp_path: Path) -> None:
    file = tmp_path / "opsnb.toml"
    url = demo.server("demo").url
    file.write_text(f'[servers.web1]\nurl = "{url}"\nbefore_publish = ["sleep 30"]\n')
    project = opsnb.load(file, ssh_config=demo.embedded.ssh_config)
    job = project.server("web1").deploy(demo.site("v1"))
    assert "running" in objects.receipt(job).text
    job.cancel()
    with pytest.raises(opsnb.errors.Interrupted):
        job.wait()
    shown = objects.receipt(job).text
    assert "the switch did not happen" in shown
    assert "✕ " in shown
    project.close()


def test_the_picture_of_a_broken_site_says_what_is_wrong() -> None:
    from opsnb.core.release import Current, CurrentKind

    site = Site(deploy_to="/srv", current=Current(CurrentKind.DANGLING, b"releases/gone"))
    now = datetime.now(UTC)
    assert "releases/gone, which is no release" in tree.text(tree.tree(site, now))
    shared = {f"dir{n}".encode(): "d" for n in range(12)}
    text = tree.text(tree.tree(replace(site, shared=shared), now))
    assert "└── and 4 more" in text
