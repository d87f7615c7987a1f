"""Configuration files on real sites: made, placed, put back, and never shown."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import opsnb
from opsnb.core.events import Log, Outcome
from opsnb.core.manifest import Manifest
from opsnb.core.marks import Pending
from opsnb.errors import ConfigError, NotReady, OpsnbError
from opsnb.server import Server
from tests.core import worlds
from tests.engine.conftest import configure, site
from tests.support.sshd import RealSshd

VALUE = "s3cret-value"
ENV = {"path": ".env", "content": "KEY={{ secrets.KEY }}\nON={{ server }}\n", "mode": "0640"}
SHARED = {**ENV, "to": "shared"}
KEY = {"KEY": {"env": "OPSNB_TEST_KEY"}}


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPSNB_TEST_KEY", VALUE)
    # Modes are set whatever the umask says, on both sides.
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def live(server: Server, path: str = ".env") -> Path:
    return site(server) / "current" / path


def shared(server: Server, path: str = ".env") -> Path:
    return site(server) / "shared" / path


def left_over(server: Server) -> list[str]:
    """What is left of placing files."""
    found = [*site(server).rglob("*.config"), *site(server).rglob("tmp.*")]
    found += [*(site(server) / ".opsnb" / "config").glob("pending*")]
    return [str(path) for path in found]


# --- in the release ----------------------------------------------------------------------------


def test_a_file_of_the_release_has_its_content_and_exactly_its_mode(
    server: Server, source: Path
) -> None:
    deep = {"path": "config/app/db.php", "content": "<?php // {{ deploy_to }}\n", "mode": "0604"}
    configure(server, files=[ENV, deep], secret_vars=KEY)
    server.deploy(source).wait()
    assert live(server).read_text() == f"KEY={VALUE}\nON=local\n"
    assert mode(live(server)) == "640"
    assert live(server, "config/app/db.php").read_text() == f"<?php // {server.deploy_to}\n"
    assert (mode(live(server, "config/app/db.php")), mode(live(server, "config"))) == ("604", "755")
    assert server.plan(source).nothing
    assert server.drift() == ()


def test_another_configuration_alone_makes_a_release_and_the_same_makes_none(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, files=[ENV], secret_vars=KEY)
    server.deploy(source).wait()
    assert server.deploy(source).wait().outcome is Outcome.NOTHING
    monkeypatch.setenv("OPSNB_TEST_KEY", "another-value")
    plan = server.plan(source)
    assert (plan.nothing, plan.plan.build and plan.plan.build.send) == (False, (b".env",))
    assert "config   .env changed, mode 640, digest " in str(plan)
    server.deploy(plan).wait()
    assert "another-value" in live(server).read_text()
    configure(server, files=[{**ENV, "mode": "0600"}], secret_vars=KEY)
    assert "config   .env mode, mode 600" in str(server.plan(source))


def test_it_wins_over_the_sources_own_and_a_directory_there_is_refused(
    server: Server, source: Path
) -> None:
    (source / ".env").write_text("of the source")
    configure(server, files=[ENV], secret_vars=KEY)
    report = server.deploy(source).wait()
    assert ".env of the source gives way to the configuration file" in report.warnings
    assert VALUE in live(server).read_text()
    (source / ".env").unlink()
    (source / ".env").mkdir()
    with pytest.raises(ConfigError, match="the source has a directory there"):
        server.plan(source)


def test_a_revision_and_a_configuration_file_come_together(server: Server, source: Path) -> None:
    configure(server, files=[{"path": "v", "content": "{{ revision }}"}])
    server.deploy(source, revision="abc123").wait()
    assert live(server, "v").read_text() == "abc123"
    assert live(server, "REVISION").read_text() == "abc123\n"


def test_what_an_opsnb_toml_says_is_found_beside_it(tmp_path: Path, source: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "env.j2").write_text("{{ project }} {{ environment }} {{ db.host }}\n")
    (tmp_path / "deploy" / "key").write_bytes(b"\xff\x00raw {{ not.a.template }}")
    (tmp_path / "opsnb.toml").write_text(
        '[project]\nname = "shop"\nsource = "source"\n'
        '[project.vars.db]\nhost = "db0"\nport = 1\n'
        '[[project.files]]\npath = "env"\ntemplate = "deploy/env.j2"\n'
        '[[project.files]]\npath = "key"\ncopy = "deploy/key"\nmode = "0400"\n'
        '[environments.live.vars.db]\nhost = "db1"\n'
        '[servers.one]\nurl = "file://' + str(tmp_path) + '/site"\nenvironment = "live"\n'
        '[[servers.one.files]]\npath = "port"\ncontent = "{{ db.port }}"\n'
    )
    server = opsnb.load(tmp_path / "opsnb.toml").server("one")
    server.deploy().wait()
    assert live(server, "env").read_text() == "shop live db1\n"
    assert live(server, "port").read_text() == "1"
    assert live(server, "key").read_bytes() == b"\xff\x00raw {{ not.a.template }}"
    assert mode(live(server, "key")) == "400"
    server.close()


# --- in shared/ --------------------------------------------------------------------------------


def test_a_file_in_shared_is_placed_linked_and_replaced_by_rename(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, files=[SHARED], secret_vars=KEY)
    server.deploy(source).wait()
    assert live(server).is_symlink()
    assert live(server).read_text() == f"KEY={VALUE}\nON=local\n"
    assert mode(shared(server)) == "640"
    assert server.plan(source).nothing
    before = shared(server).stat().st_ino
    monkeypatch.setenv("OPSNB_TEST_KEY", "another-value")
    plan = server.plan(source)
    assert "config   shared/.env changed, mode 640" in str(plan)
    server.deploy(plan).wait()
    assert "another-value" in shared(server).read_text()
    assert shared(server).stat().st_ino != before
    assert left_over(server) == []
    for kept in (site(server) / ".opsnb").rglob("*"):
        if kept.is_file() and kept.parent.name in ("config", "manifests"):
            assert mode(kept) == "600", kept


def test_one_in_a_directory_that_is_not_there_yet(server: Server, source: Path) -> None:
    deep = {**SHARED, "path": "config/app/.env"}
    configure(server, files=[deep], secret_vars=KEY)
    server.deploy(source).wait()
    assert VALUE in live(server, "config/app/.env").read_text()
    assert server.plan(source).nothing


def test_what_a_hand_has_changed_there_is_told_and_overwritten(
    server: Server, source: Path
) -> None:
    configure(server, files=[SHARED], secret_vars=KEY)
    server.deploy(source).wait()
    shared(server).write_text("by hand")
    plan = server.plan(source)
    assert "shared/.env was changed on the server by hand: that will be overwritten" in str(plan)
    server.deploy(plan).wait()
    assert VALUE in shared(server).read_text()


def test_after_a_failed_check_what_was_there_is_back_with_its_content_and_mode(
    server: Server, source: Path
) -> None:
    configure(server)
    server.deploy(source).wait()
    shared(server).write_text("as it was")
    shared(server).chmod(0o604)
    (source / "index").write_text("two")
    new = {**SHARED, "path": "new.env"}
    configure(
        server,
        files=[SHARED, new],
        secret_vars=KEY,
        after_publish=["cat ../../shared/.env >seen; false"],
    )
    job = server.deploy(source)
    with pytest.raises(OpsnbError) as failed:
        job.wait()
    assert failed.value.exit_status == 21
    bad = site(server) / "releases" / job.report.release  # type: ignore[union-attr]
    assert VALUE in (bad / "seen").read_text()  # the control: it had been placed
    assert (shared(server).read_text(), mode(shared(server))) == ("as it was", "604")
    assert not shared(server, "new.env").exists()
    assert left_over(server) == []


def test_a_switch_that_fails_leaves_shared_as_it_was(server: Server, source: Path) -> None:
    configure(server)
    server.deploy(source).wait()
    shared(server).write_text("as it was")
    # A hook before the switch takes current away from under it.
    hook = "rm ../../current && ln -s releases/nowhere ../../current"
    configure(server, files=[SHARED], secret_vars=KEY, before_publish=[hook])
    with pytest.raises(OpsnbError):
        server.deploy(source).wait()
    assert shared(server).read_text() == "as it was"
    assert left_over(server) == []


def test_a_rollback_leaves_it_and_says_that_it_is_newer(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(server, files=[SHARED], secret_vars=KEY)
    server.deploy(source).wait()
    monkeypatch.setenv("OPSNB_TEST_KEY", "another-value")
    server.deploy(source).wait()
    warned = server.rollback().wait().warnings
    assert "shared/.env stays as it is: it is newer than that release" in warned
    assert "another-value" in shared(server).read_text()


@pytest.mark.parametrize(
    "what", ["link", "linked parent", "linked shared", "directory", "dangling"]
)
def test_nothing_is_ever_written_through_a_link(
    server: Server, source: Path, tmp_path: Path, what: str
) -> None:
    configure(server)
    server.deploy(source).wait()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    place = shared(server, "d/file")
    if what == "linked shared":
        shared(server, "").rmdir()
        shared(server, "").symlink_to(outside)
    elif what == "linked parent":
        place.parent.symlink_to(outside)
    else:
        place.parent.mkdir()
        if what == "directory":
            place.mkdir()
        else:
            place.symlink_to(outside / ("file" if what == "link" else "nothing"))
    before = sorted(outside.iterdir())
    configure(server, files=[{**SHARED, "path": "d/file"}], secret_vars=KEY)
    with pytest.raises(NotReady, match="shared/d/file cannot be written"):
        server.deploy(source).wait()
    assert ((outside / "file").read_text(), sorted(outside.iterdir())) == ("precious", before)


def test_by_sftp_alone_one_in_the_release_works_and_one_in_shared_is_refused_first(
    source: Path,
) -> None:
    with RealSshd() as running:
        url = running.url().replace("ssh://", "sftp://")
        server = Server(url, name="far", ssh_config=running.ssh_config)
        configure(server, files=[SHARED], secret_vars=KEY)
        with pytest.raises(NotReady, match="SFTP only"):
            server.deploy(source).wait()
        assert not (running.deploy_to / ".opsnb").exists()
        configure(server, files=[ENV], secret_vars=KEY)
        server.deploy(source).wait()
        placed = running.deploy_to / "current" / ".env"
        assert (placed.read_text(), mode(placed)) == (f"KEY={VALUE}\nON=far\n", "640")
        for kept in (running.deploy_to / ".opsnb" / "manifests").iterdir():
            assert mode(kept) == "600"
        server.close()


def test_what_a_dead_change_has_placed_is_settled_by_a_login_with_a_shell_alone(
    source: Path,
) -> None:
    """A change by SFTP alone says so and does nothing; the next one by a shell goes through."""
    with RealSshd() as running:
        far = Server(running.url(), name="far", ssh_config=running.ssh_config)
        far.deploy(source).wait()
        pending = running.deploy_to / ".opsnb" / "config" / "pending"
        pending.mkdir(parents=True)
        came = worlds.file(".env", "came", 0o644)
        journal = Pending("20990101000000", Manifest(), Manifest([came]))
        (pending / "journal").write_bytes(journal.encode())
        placed = running.deploy_to / "shared" / ".env"
        placed.write_text("came")
        placed.chmod(0o644)
        running.own(running.deploy_to)
        only = running.url().replace("ssh://", "sftp://")
        by_sftp = Server(only, name="far", ssh_config=running.ssh_config)
        (source / "index").write_text("two")
        with pytest.raises(NotReady, match="settled by a login with a shell alone"):
            by_sftp.deploy(source).wait()
        assert (running.deploy_to / "current" / "index").read_text() == "one"
        warned = far.deploy(source).wait().warnings
        assert "shared/.env is again as it was" in warned
        assert not placed.exists()
        assert not pending.exists()
        by_sftp.close()
        far.close()


def test_over_opensshs_server_they_are_placed_and_the_group_stays(source: Path) -> None:
    with RealSshd() as running:
        server = Server(running.url(), name="far", ssh_config=running.ssh_config)
        configure(server, files=[SHARED], secret_vars=KEY)
        server.deploy(source).wait()
        placed = running.deploy_to / "current" / ".env"
        assert (placed.read_text(), mode(placed)) == (f"KEY={VALUE}\nON=far\n", "640")
        assert server.plan(source).nothing
        server.close()


def test_manifests_with_digests_of_configuration_are_not_kept_on_this_machine(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSNB_CACHE", str(tmp_path / "cache"))
    configure(server, files=[ENV], secret_vars=KEY)
    server.deploy(source).wait()
    server.plan(source)
    assert not list((tmp_path / "cache").glob("manifests/*"))
    # The control.
    configure(server)
    server.deploy(source).wait()
    assert list((tmp_path / "cache").glob("manifests/*"))


@pytest.mark.parametrize("origin", [{"env": "OPSNB_TEST_KEY"}, {"command": f"echo {VALUE}"}])
def test_a_hook_of_a_rollback_tells_no_secret(
    server: Server, source: Path, origin: dict[str, str]
) -> None:
    (source / "index").write_text("one")
    server.deploy(source).wait()
    (source / "index").write_text("two")
    server.deploy(source).wait()
    after = [f"echo the key is {VALUE}"]
    files = [{"path": ".env", "content": "{{ secrets.KEY }}"}]
    configure(server, files=files, secret_vars={"KEY": origin}, after_rollback=after)
    job = server.rollback()
    job.wait()
    told = "".join(event.text for event in job.events if isinstance(event, Log))
    assert "the key is " in told
    assert VALUE not in told


def test_a_secret_that_cannot_be_had_keeps_nobody_from_rolling_back(
    server: Server, source: Path
) -> None:
    server.deploy(source).wait()
    (source / "index").write_text("two")
    server.deploy(source).wait()
    gone = {"KEY": {"env": "OPSNB_TEST_NOT_SET"}, "OTHER": {"command": "sleep 60"}}
    files = [{"path": ".env", "content": "{{ secrets.KEY }}"}]
    configure(server, files=files, secret_vars=gone, after_rollback=["true"])
    began = time.monotonic()
    report = server.rollback().wait()
    assert time.monotonic() - began < 30
    assert sum("not masked" in warning for warning in report.warnings) == 2
