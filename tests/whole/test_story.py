"""The whole of it: a complete opsnb.toml, OpenSSH's sshd, nginx, git, a build, two environments.

A site comes from a repository, is built, gets its configuration, goes to staging, is promoted to
production, breaks there, and is put back: by the health check, and by the server itself when the
operator's process dies right after the switch. The last lines say what visitors got meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsnb.core.release import State
from opsnb.errors import Restored
from opsnb.project import Project, load
from tests.downtime.web import nginx
from tests.support.process import until
from tests.support.sshd import HOST, RealSshd, require

TOML = """
[project]
name = "almanac"
git = "repository"
ref = "main"
build = ["python3 build.py"]
output = "public"
env = {{ SITE = "Almanac" }}
keep_releases = 3
keep_assets = ["assets/"]
keep_assets_for = "7d"
secrets = ["ALMANAC_TOKEN"]
before_publish = ["test -s index.html", "echo token $ALMANAC_TOKEN"]
after_publish = [
    {{ command = "date -u >> $OPSNB_SHARED/switched", on = "all" }},
    {{ command = "echo told {{release}} of $OPSNB_ENVIRONMENT", where = "local" }},
]
on_failure = ["echo failed: $OPSNB_OUTCOME"]

[project.secret_vars]
KEY = {{ env = "ALMANAC_KEY" }}

[[project.files]]
path = "settings.json"
template = "deploy/settings.j2"
mode = "0640"

[[project.files]]
path = "app.conf"
to = "shared"
content = "environment = {{{{ environment }}}}"

[environments.staging]
confirm = "none"

[environments.production]
color = "red"
confirm = "type-name"
watchdog = 6

[servers.stage1]
url = "{stage}"
environment = "staging"

[[servers.stage1.health]]
url = "http://{host}:{stage_port}/"
contains = "<h1>Almanac</h1>"
header = {{ name = "Content-Type", contains = "text/html" }}
retries = 2
delay = 0.2

[servers.web1]
url = "{live}"
environment = "production"

[[servers.web1.health]]
url = "http://{host}:{live_port}/status.json"
json = {{ path = "status", equals = "ok" }}
retries = 1
delay = 0.2

[[servers.web1.health]]
tcp = "{host}:{live_port}"
from = "server"

[[servers.web1.health]]
command = "test -s index.html"
when = "both"
"""
BUILD = """
import json, os, pathlib
out = pathlib.Path("public")
(out / "assets").mkdir(parents=True)
words = pathlib.Path("words.txt").read_text().strip()
style = f"app.{len(words)}{words[:3]}.css"
(out / "assets" / style).write_text("body { color: black }")
page = f"<h1>{os.environ['SITE']}</h1><p>{words}</p><link href=assets/{style}>"
(out / "index.html").write_text(page * 3)
(out / "status.json").write_text(json.dumps({"status": "broken" if "broken" in words else "ok"}))
print("built", words)
"""
SETTINGS = '{"environment": "{{ environment }}", "key": "{{ secrets.KEY }}"}\n'
SECRETS = {"ALMANAC_KEY": "a-key-of-the-almanac", "ALMANAC_TOKEN": "a-token-of-the-almanac"}
DIES = """
import os, signal, sys
from opsnb.core.events import Switched
from opsnb.project import load
project = load(sys.argv[1], ssh_config=sys.argv[2])
for event in project.promote("stage1", "web1"):
    if isinstance(event, Switched):
        os.kill(os.getpid(), signal.SIGKILL)
"""


class Visitors:
    """They ask for the live page without a pause, and count what they get."""

    def __init__(self, url: str) -> None:
        self.seen: Counter[str] = Counter()
        self._url, self._on = url, True
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        self._thread.join()

    def _ask(self) -> None:
        while self._on:
            try:
                with urllib.request.urlopen(self._url, timeout=10) as answer:
                    pages = answer.read().decode().split("<h1>Almanac</h1>")[1:]
                self.seen["whole" if len(pages) == 3 and len(set(pages)) == 1 else "mixed"] += 1
            except (urllib.error.URLError, OSError) as error:
                self.seen[f"failed: {error}"] += 1
            time.sleep(0.01)


def git(folder: Path, *words: str) -> str:
    named = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    ran = subprocess.run(
        [require("git"), *named, *words],
        cwd=folder,
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return ran.stdout.strip()


def commit(folder: Path, words: str) -> str:
    (folder / "words.txt").write_text(words + "\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", f"Say {words}")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "build.py").write_text(BUILD)
    return folder


@pytest.fixture
def project(
    tmp_path: Path, sshd: RealSshd, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Project, Callable[[str], str]]]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    stage, live = sshd.home / "stage", sshd.home / "live"
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "settings.j2").write_text(SETTINGS)
    with (
        nginx(sshd, stage / "current", name="stage-nginx") as stage_port,
        nginx(sshd, live / "current", name="live-nginx") as live_port,
    ):
        text = TOML.format(
            host=HOST,
            stage=sshd.url(stage),
            live=sshd.url(live),
            stage_port=stage_port,
            live_port=live_port,
        )
        (tmp_path / "opsnb.toml").write_text(text)
        made = load(tmp_path / "opsnb.toml", ssh_config=sshd.ssh_config)
        yield made, lambda path: f"http://{HOST}:{live_port}/{path}"
        made.close()


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_from_a_commit_to_production_broken_and_put_back(
    project: tuple[Project, Callable[[str], str]],
    repository: Path,
    sshd: RealSshd,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    shop, live = project
    stage, web = shop.server("stage1"), shop.server("web1")

    # From a commit to staging, and on to production.
    first = commit(repository, "one")
    report = stage.deploy().wait()
    assert stage.releases()["revision"][0] == first
    shop.promote("stage1", "web1").wait()
    assert "<p>one</p>" in page(live(""))
    assert json.loads(page(live("settings.json"))) == {
        "environment": "production",
        "key": SECRETS["ALMANAC_KEY"],
    }
    assert (sshd.home / "live/shared/app.conf").read_text() == "environment = production"
    promoted = web.look().live
    assert promoted
    assert promoted.record
    assert promoted.record.source == f"promoted from stage1 {report.release}"
    assert (promoted.record.author, promoted.record.subject) == ("Ada", "Say one")

    with Visitors(live("")) as visitors:
        # A second version; the plan names the commit, and nobody's secret.
        second = commit(repository, "two")
        plan = stage.plan()
        assert f"+ {second[:10]} Say two (Ada" in str(plan)
        assert not [value for value in SECRETS.values() if value in str(plan)]
        stage.deploy(plan).wait()
        shop.promote("stage1", "web1").wait()
        assert "<p>two</p>" in page(live(""))
        # The page that is still open finds its style.
        assert "color" in page(live("assets/app.3one.css"))

        # A broken one passes staging, and is put back in production by the check.
        good = web.look().current.name
        commit(repository, "broken")
        stage.deploy().wait()
        with pytest.raises(Restored) as failed:
            shop.promote("stage1", "web1").wait()
        assert failed.value.report.exit_status == 21
        assert web.look().current.name == good
        assert "<p>two</p>" in page(live(""))

        # A mended one; the operator's process dies right after the switch: the server puts it back.
        commit(repository, "three")
        stage.deploy().wait()
        died = subprocess.run(
            [sys.executable, "-c", DIES, str(tmp_path / "opsnb.toml"), str(sshd.ssh_config)],
            env={**os.environ, **SECRETS},
            timeout=120,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL
        until(lambda: web.look().current.name == good, 60)
        until(lambda: web.look().holder is None, 60)
        assert "<p>two</p>" in page(live(""))

        # And the next promote succeeds with no hand work.
        shop.promote("stage1", "web1").wait()
        assert "<p>three</p>" in page(live(""))

        # Back, and forward again.
        web.rollback(why="three is too many").wait()
        assert "<p>two</p>" in page(live(""))

    assert visitors.seen.keys() == {"whole"}, visitors.seen
    states = [release.state for release in web.look().releases]
    assert states.count(State.GOOD) >= 1
    assert web.verify_log() == []
    assert stage.verify_log() == []
    log = web.audit_log().decode()
    assert not [value for value in SECRETS.values() if value in log]
    record_property("visitors", dict(visitors.seen))
