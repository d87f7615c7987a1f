"""Old assets on real sites: reachable for their time, and part of the release meanwhile."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import opsnb
from opsnb.core.config import Settings
from opsnb.errors import OpsnbError
from opsnb.server import Server, here
from tests.engine.conftest import configure, site
from tests.support.sshd import RealSshd

START = datetime(2026, 3, 25, 14, 0, 0, tzinfo=UTC)
KEEPING = {"keep_assets": ["assets/"], "keep_assets_for": "7d"}
Go = Callable[[float], None]


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Go:
    """Set the operator's clock to so many days after the start."""

    def to(days: float) -> None:
        monkeypatch.setattr(here, "now", lambda: START + timedelta(days=days))

    to(0)
    return to


def built(folder: Path, version: int) -> Path:
    """A site as a bundler writes it: pages, and assets named by their content."""
    for old in folder.rglob("app.*.js"):
        old.unlink()
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(f'<script src="assets/app.{version}.js">')
    (folder / "assets" / f"app.{version}.js").write_text(f"version {version}")
    (folder / "assets" / "logo.svg").write_text("the same")
    return folder


def assets(server: Server) -> list[str]:
    live = Path(server.deploy_to) / "current" / "assets"
    return sorted(path.name for path in live.iterdir()) if live.exists() else []


def deploy(server: Server, folder: Path, version: int) -> None:
    server.deploy(built(folder, version)).wait()


@pytest.mark.parametrize(
    "how",
    [{}, {"copy": "hardlink"}, {"recycle": False}, {"base": "clean"}, {"verify": "all"}],
    ids=["recycle", "hardlink", "copy", "clean", "verify all"],
)
def test_each_old_asset_stays_for_its_time_however_releases_are_made(
    server: Server, source: Path, go: Go, how: dict[str, object]
) -> None:
    configure(server, **KEEPING, **how)
    for number in range(1, 8):
        go(3 * (number - 1))
        deploy(server, source, number)
        kept = [f"app.{n}.js" for n in range(max(1, number - 3), number + 1)]
        assert assets(server) == [*kept, "logo.svg"]
    text = (site(server) / "current" / "assets" / "app.4.js").read_text()
    assert text == "version 4"
    assert server.drift() == ()
    assert server.plan(source).nothing
    assert server.plan(source).plan.carried == ()
    go(60)
    assert server.plan(source).nothing


def test_the_plan_says_what_is_kept_and_until_when(server: Server, source: Path, go: Go) -> None:
    configure(server, **KEEPING)
    deploy(server, source, 1)
    go(1)
    plan = server.plan(built(source, 2))
    assert "keep     1 old asset, 9 B, the oldest until 2026-04-02 14:00 UTC" in str(plan)
    assert b"assets/app.1.js" not in plan.plan.difference.removed
    server.deploy(plan).wait()
    assert "app.1.js" in assets(server)


def test_a_rollback_needs_nothing_and_what_a_failed_release_brought_is_not_kept(
    server: Server, source: Path, go: Go
) -> None:
    configure(server, **KEEPING)
    deploy(server, source, 1)
    go(1)
    deploy(server, source, 2)
    configure(server, **KEEPING, after_publish=["false"])
    with pytest.raises(OpsnbError):
        deploy(server, source, 3)
    assert assets(server) == ["app.1.js", "app.2.js", "logo.svg"]
    configure(server, **KEEPING)
    go(2)
    deploy(server, source, 4)
    assert assets(server) == ["app.1.js", "app.2.js", "app.4.js", "logo.svg"]
    server.rollback().wait()
    assert assets(server) == ["app.1.js", "app.2.js", "logo.svg"]


def test_an_old_asset_that_was_changed_on_the_server_is_not_carried_on(
    server: Server, source: Path, go: Go
) -> None:
    configure(server, **KEEPING)
    deploy(server, source, 1)
    go(1)
    deploy(server, source, 2)
    (site(server) / "current" / "assets" / "app.1.js").write_text("changed!!")
    go(2)
    job = server.deploy(built(source, 3))
    warned = job.wait().warnings
    assert "1 old asset not kept, changed on the server: assets/app.1.js" in warned
    assert assets(server) == ["app.2.js", "app.3.js", "logo.svg"]


def test_what_is_known_of_old_assets_goes_with_the_release(
    server: Server, source: Path, go: Go
) -> None:
    configure(server, **KEEPING, keep_releases=1)
    for number in range(1, 5):
        go(number / 10)
        deploy(server, source, number)
    there = {path.name for path in (site(server) / "releases").iterdir()}
    known = {path.name for path in (site(server) / ".opsnb" / "manifests").iterdir()}
    assert {name.removesuffix(".assets") for name in known} == there
    assert any(name.endswith(".assets") for name in known)


def test_a_made_up_list_of_old_assets_is_not_believed(server: Server, source: Path, go: Go) -> None:
    """They count as having left just now: nothing fails, and nothing outside is touched."""
    configure(server, **KEEPING)
    deploy(server, source, 1)
    deploy(server, source, 2)
    for known in (site(server) / ".opsnb" / "manifests").glob("*.assets"):
        known.write_text("opsnb-assets 1\n1 ../../../etc/passwd\n")
    go(30)
    deploy(server, source, 3)
    assert assets(server) == ["app.1.js", "app.2.js", "app.3.js", "logo.svg"]


@pytest.fixture(params=["sshd", "sftp"])
def far(request: pytest.FixtureRequest) -> Iterator[Server]:
    with RealSshd() as running:
        url = running.url()
        if request.param == "sftp":
            url = url.replace("ssh://", "sftp://")
        made = Server(url, ssh_config=running.ssh_config, settings=Settings.model_validate(KEEPING))
        yield made
        made.close()


def test_over_opensshs_server_by_its_shell_and_by_sftp_alone(
    far: Server, source: Path, go: Go
) -> None:
    for number in range(1, 6):
        go(3 * (number - 1))
        deploy(far, source, number)
    assert assets(far) == ["app.2.js", "app.3.js", "app.4.js", "app.5.js", "logo.svg"]
    assert far.drift() == ()


def asked(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("keeping", [True, False], ids=["kept", "the control: not kept"])
def test_a_page_that_is_open_still_gets_its_script(tmp_path: Path, go: Go, keeping: bool) -> None:
    with opsnb.demo() as project:
        server = project.server("demo")
        configure(server, **(KEEPING if keeping else {}))
        answers = []
        for number, day in ((1, 0), (2, 1), (3, 2), (4, 8.5)):
            go(day)
            deploy(server, tmp_path / "source", number)
            answers.append(asked(f"{project.web_url}/assets/app.1.js"))
            assert asked(f"{project.web_url}/assets/app.{number}.js") == 200
    assert answers == ([200, 200, 200, 404] if keeping else [200, 404, 404, 404])
