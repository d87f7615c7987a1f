"""A promote takes the release along, and leaves the configuration of each server where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.project import Project, load

TOML = """
[project]
name = "shop"
source = "dist"

[project.secret_vars]
KEY = {{ env = "SHOP_KEY" }}

[[project.files]]
path = ".env"
content = "{{{{ environment }}}} {{{{ server }}}} {{{{ secrets.KEY }}}}"
mode = "0600"

[environments.staging]
[environments.production]

[servers.stage1]
url = "file://{folder}/stage1"
environment = "staging"
[[servers.stage1.files]]
path = "config/only-here.ini"
content = "debug = true"

[servers.web1]
url = "file://{folder}/web1"
environment = "production"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("SHOP_KEY", "kept-for-the-shop")
    (tmp_path / "opsnb.toml").write_text(TOML.format(folder=tmp_path))
    (tmp_path / "dist" / "config").mkdir(parents=True)
    (tmp_path / "dist" / "index").write_text("one")
    (tmp_path / "dist" / "config" / "app.ini").write_text("[app]")
    made = load(tmp_path / "opsnb.toml")
    yield made
    made.close()


def test_production_gets_its_own_configuration(project: Project, tmp_path: Path) -> None:
    project.server("stage1").deploy(revision="r1").wait()
    plan = project.plan_promote("stage1", "web1")
    assert ".env" in str(plan)
    assert "kept-for-the-shop" not in str(plan)
    assert "config/only-here.ini was made for stage1 alone and does not come along" in str(plan)
    assert ".env was made" not in str(plan)
    report = project.server("web1").promote(plan).wait()
    live = tmp_path / "web1" / "current"
    assert (live / ".env").read_text() == "production web1 kept-for-the-shop"
    assert (live / ".env").stat().st_mode & 0o777 == 0o600
    assert (live / "index").read_text() == "one"
    assert sorted(path.name for path in (live / "config").iterdir()) == ["app.ini"]
    assert (live / "REVISION").read_text() == "r1\n"
    assert (tmp_path / "stage1/current/config/only-here.ini").read_text() == "debug = true"
    assert report.warnings == ("no health check is configured: the switch will be taken as good",)


def test_a_configuration_that_has_changed_alone_is_promoted_too(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.server("stage1").deploy().wait()
    project.promote("stage1", "web1").wait()
    assert project.plan_promote("stage1", "web1").nothing
    monkeypatch.setenv("SHOP_KEY", "another-one-now")
    assert not project.plan_promote("stage1", "web1").nothing
    project.promote("stage1", "web1").wait()
    text = (tmp_path / "web1/current/.env").read_text()
    assert text == "production web1 another-one-now"
