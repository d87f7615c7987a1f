"""A site in a plain directory, or with a directory at ``current``, becomes one of opsnb's."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import ConfigError, NotReady, StalePlan
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import snapshot
from tests.support.process import until
from tests.support.site import faults
from tests.support.sshd import RealSshd, absent

OURS = ("releases", "shared", "current", ".opsnb")


def content(folder: Path) -> Path:
    """A site's files, nasty names among them."""
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "uploads").mkdir()
    (folder / "index.html").write_text("old")
    (folder / "uploads" / "photo").write_text("precious")
    (folder / ".env").write_text("SECRET=1")
    (folder / "-rf").write_text("a name")
    (folder / "new\nline").write_text("another")
    (folder / "sub" / "tool").write_text("#!/bin/sh\n")
    (folder / "sub" / "tool").chmod(0o755)
    (folder / "sub" / "link").symlink_to("../index.html")
    return folder


def plain(server: Server) -> Path:
    return content(site(server))


def directory(server: Server) -> Path:
    content(site(server) / "current")
    return site(server)


def theirs(made: Path) -> dict[str, tuple[object, ...]]:
    """All that was there before opsnb."""
    return {path: seen for path, seen in snapshot(made).items() if Path(path).parts[0] not in OURS}


def known(made: Path) -> dict[str, tuple[object, ...]]:
    """A tree without the times of its directories."""
    return snapshot(made)


@contextmanager
def reading(path: Path) -> Iterator[list[str]]:
    """Open a file again and again; what went wrong."""
    failed: list[str] = []
    stop = threading.Event()
    tries = [0]

    def read() -> None:
        while not stop.is_set():
            tries[0] += 1
            try:
                with path.open() as file:
                    if not file.read():
                        failed.append("empty")
            except OSError as error:
                failed.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield failed
        until(lambda: tries[0] > 10)
    finally:
        stop.set()
        thread.join()


def test_a_plain_site_is_copied_beside_itself_and_everything_works(
    server: Server, source: Path
) -> None:
    made = plain(server)
    before = theirs(made)
    with pytest.raises(NotReady, match="holds something else") as refused:
        server.deploy(source).wait()
    assert "opsnb adopt" in refused.value.hint
    plan = server.plan_adopt(shared=["uploads", ".env"])
    assert known(made) == {**before}
    assert (plan.kind, plan.shared) == ("plain", (b".env", b"uploads"))
    assert set(plan.copy) == {b"index.html", b"sub", b"-rf", b"new\nline"}
    with reading(made / "index.html") as failed:
        report = server.adopt(plan).wait()
    assert failed == []
    assert report.outcome is Outcome.DONE
    assert theirs(made) == before
    live = made / "current"
    assert (live / "index.html").read_text() == "old"
    assert (live / "uploads").readlink() == Path("../../shared/uploads")
    assert (live / "uploads" / "photo").read_text() == "precious"
    assert os.access(live / "sub" / "tool", os.X_OK)
    assert (live / "sub" / "link").readlink() == Path("../index.html")
    assert faults(made, server) == []
    assert server.adopt().wait().outcome is Outcome.NOTHING
    configure(server, base="clean")
    report = server.deploy(source).wait()
    assert (live / "index").read_text() == "one"
    assert (live / "uploads" / "photo").read_text() == "precious"
    assert server.rollback().wait().live == plan.release or report.previous
    assert (live / "index.html").read_text() == "old"
    assert server.verify_log() == []


def test_a_real_directory_and_a_link_change_places_with_no_moment_without_a_site(
    server: Server, source: Path
) -> None:
    made = directory(server)
    old = snapshot(made / "current")
    plan = server.plan_adopt(shared=["uploads"])
    assert plan.exchange in ("mv", "python3", "perl")
    with reading(made / "current" / "index.html") as failed:
        assert server.adopt(plan).wait().outcome is Outcome.DONE
    assert failed == []
    assert (made / "current").readlink() == Path("releases") / server.look().current.name
    assert snapshot(made / ".opsnb" / "was") == old
    assert (made / "current" / "uploads" / "photo").read_text() == "precious"
    assert faults(made, server) == []
    assert server.deploy(source).wait().previous
    with pytest.raises(NotReady, match="has deployed since"):
        server.plan_adopt(undo=True)


@pytest.mark.parametrize("how", ["python3", "perl"])
def test_each_program_that_is_there_can_do_it(
    server: Server, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which(how):
        absent(f"{how} is not here")
    hidden = {"python3", "perl"} - {how}
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name not in hidden and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    (tools / "mv").unlink()
    (tools / "mv").write_text(
        '#!/bin/sh\ncase $* in *--exchange*) exit 1 ;; esac\nexec /bin/mv "$@"\n'
    )
    (tools / "mv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    made = directory(server)
    assert server.plan_adopt().exchange == how
    assert server.adopt().wait().outcome is Outcome.DONE
    assert faults(made, server) == []
    assert server.adopt(undo=True).wait().outcome is Outcome.DONE
    assert (made / "current" / "index.html").read_text() == "old"


def test_the_control_a_move_and_a_link_leave_a_moment_without_a_site(server: Server) -> None:
    made = directory(server)
    (made / "releases").mkdir()
    with reading(made / "current" / "index.html") as failed:
        for number in range(300):
            os.rename(made / "current", made / "releases" / "x")
            (made / "current").symlink_to("releases/x")
            (made / "current").unlink()
            os.rename(made / "releases" / "x", made / "current")
            if failed and number > 10:
                break
    assert failed


@pytest.mark.parametrize("lay_out", [plain, directory])
@pytest.mark.parametrize("shared", [[], ["uploads", "sub/empty"]])
def test_what_an_adoption_made_can_be_taken_away_again_exactly(
    server: Server, lay_out: object, shared: list[str]
) -> None:
    made = lay_out(server)  # type: ignore[operator]
    before = snapshot(made)
    server.adopt(shared=shared).wait()
    assert server.plan_adopt(undo=True).release
    with reading(made / ("current/index.html" if lay_out is directory else "index.html")) as failed:
        assert server.adopt(undo=True).wait().outcome is Outcome.DONE
    assert failed == []
    assert snapshot(made) == before
    assert server.adopt(shared=shared).wait().outcome is Outcome.DONE
    assert faults(made, server) == []


def test_an_undoing_loses_nothing_that_was_written_since(server: Server) -> None:
    made = plain(server)
    server.adopt(shared=["uploads"]).wait()
    (made / "current" / "uploads" / "new").write_text("a visitor's")
    (made / "current" / "log").write_text("the application's")
    with pytest.raises(NotReady, match=r"shared/uploads/new, current/log") as refused:
        server.adopt(undo=True).wait()
    assert "Copy them" in refused.value.hint
    assert (made / "current" / "uploads" / "new").exists()


@pytest.mark.parametrize("lay_out", [plain, directory])
def test_the_end_removes_what_was_copied_and_has_not_changed_since(
    server: Server, source: Path, lay_out: object
) -> None:
    made = lay_out(server)  # type: ignore[operator]
    old = made if lay_out is plain else made / ".opsnb" / "was"
    server.adopt(shared=["uploads"]).wait()
    (old / "uploads" / "late").write_text("came later")
    (old / ".env").write_text("SECRET=2")
    plan = server.plan_adopt(finish=True)
    assert dict(plan.stays) == {
        b"uploads/late": "came after it was copied",
        b".env": "changed since it was copied",
    }
    live = snapshot(made / "current" / "")
    assert server.adopt(plan).wait().outcome is Outcome.DONE
    left = {str(path.relative_to(old)) for path in old.rglob("*")}
    left = {path for path in left if Path(path).parts[0] not in OURS}
    assert left == {"uploads", "uploads/late", ".env"}
    assert snapshot(made / "current" / "") == live
    assert (made / "current" / "uploads" / "photo").read_text() == "precious"
    assert server.deploy(source).wait().outcome is Outcome.DONE
    assert faults(made, server) == []
    assert server.plan_adopt(finish=True).nothing


@pytest.mark.parametrize("lay_out", [plain, directory])
def test_after_the_end_what_is_here_alone_is_not_undone(server: Server, lay_out: object) -> None:
    """Also where something stays at the old place, so that the adoption is known still."""
    made = lay_out(server)  # type: ignore[operator]
    old = made if lay_out is plain else made / ".opsnb" / "was"
    server.adopt(shared=["uploads"]).wait()
    (old / "late").write_text("came later")
    server.adopt(finish=True).wait()
    before = snapshot(made)
    with pytest.raises(NotReady, match="no longer at the old place: -rf") as refused:
        server.adopt(undo=True).wait()
    assert "Copy them back" in refused.value.hint
    assert (made / "current" / "uploads" / "photo").read_text() == "precious"
    assert {path: before[path] for path in theirs(made)} == theirs(made)


def test_what_a_link_of_the_live_release_leads_to_is_not_removed(server: Server) -> None:
    made = plain(server)
    (made / "public").mkdir()
    (made / "public" / "storage").symlink_to(made / "uploads")
    server.adopt().wait()
    with pytest.raises(NotReady, match=r"public/storage is a link to .*/uploads") as refused:
        server.adopt(finish=True).wait()
    assert "current/" in refused.value.hint
    assert (made / "current" / "public" / "storage" / "photo").read_text() == "precious"
    link = made / "current" / "public" / "storage"
    link.unlink()
    link.symlink_to("../uploads")
    (made / "public" / "storage").unlink()
    server.adopt(finish=True).wait()
    assert not (made / "uploads").exists()
    assert (link / "photo").read_text() == "precious"


def test_that_a_copy_will_belong_to_somebody_else_is_told_before(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        absent("only root can give files away")
    with RealSshd() as sshd:
        server = Server(sshd.url(), ssh_config=sshd.ssh_config)
        made = content(Path(server.deploy_to))
        sshd.own(made)
        note = f"the copy will be {sshd.user}'s"
        assert note not in str(server.plan_adopt())
        os.chown(made / "uploads", 0, 0)
        assert note in str(server.plan_adopt())
        server.close()


def test_the_end_waits_for_the_web_server(server: Server, tmp_path: Path) -> None:
    made = plain(server)
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"http {{\n  server {{\n    root {made};\n  }}\n}}\n")
    configure(server, web_config=str(conf))
    plan = server.plan_adopt()
    (line,) = plan.lines
    assert (line.path, line.number) == (str(conf), 3)
    assert (line.old, line.write) == (f"root {made};", f"root {made}/current;")
    assert f"root {made}/current;" in str(plan)
    server.adopt(plan).wait()
    with pytest.raises(NotReady, match="still serves the old files"):
        server.adopt(finish=True).wait()
    conf.write_text(conf.read_text().replace(line.old, line.write))
    with pytest.raises(NotReady, match="serves current/"):
        server.adopt(undo=True).wait()
    server.adopt(finish=True).wait()
    assert not (made / "index.html").exists()
    with pytest.raises(NotReady, match="no adoption"):
        server.plan_adopt(undo=True)


@pytest.mark.parametrize("name", ["releases", "shared"])
def test_a_site_that_has_such_a_name_itself_is_refused_untouched(server: Server, name: str) -> None:
    made = plain(server)
    (made / name).mkdir()
    (made / name / "page").write_text("theirs")
    before = snapshot(made)
    with pytest.raises(NotReady, match=f"{name}"):
        server.adopt().wait()
    if name == "shared":
        assert snapshot(made) == before


def test_what_cannot_be_meant_is_refused_untouched(server: Server, tmp_path: Path) -> None:
    made = plain(server)
    before = snapshot(made)
    for shared in (["no such"], ["uploads", "uploads/photo"]):
        with pytest.raises(NotReady):
            server.adopt(shared=shared).wait()
    for shared in (["../x"], ["/etc"], [""]):
        with pytest.raises(ConfigError):
            server.adopt(shared=shared)
    link = tmp_path / "link"
    link.symlink_to(made)
    other = Server(f"file://{link}")
    with pytest.raises(NotReady, match="is itself a link") as refused:
        other.adopt().wait()
    assert str(made) in refused.value.hint
    other.close()
    plan = server.plan_adopt()
    assert snapshot(made) == before
    (made / "more").write_text("since")
    with pytest.raises(StalePlan):
        server.adopt(plan).wait()
    assert theirs(made) == {**before, "more": theirs(made)["more"]}
