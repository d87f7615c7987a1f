"""Hooks around the switch: where they run, what they find, what they leave, and what they end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core import scripts
from opsnb.core.events import Log, Outcome
from opsnb.errors import DeployFailed, NotReady, OpsnbError, Restored, SourceError
from opsnb.project import load
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.process import runs, until
from tests.support.site import faults
from tests.support.sshd import RealSshd, absent, require

SHOW = 'echo "$OPSNB_SERVER|$OPSNB_RELEASE|$OPSNB_PREVIOUS|$OPSNB_REVISION|$(pwd -P)"'


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture(params=["a folder", "sshd"])
def there(request: pytest.FixtureRequest, tmp_path: Path, sshd: RealSshd) -> Iterator[Server]:
    """A server, by a shell of this machine and by OpenSSH."""
    url = f"file://{tmp_path}/site"
    if request.param == "sshd":
        url = sshd.url(sshd.home / f"hooks{time.monotonic_ns()}")
    made = Server(url, name="web1", ssh_config=sshd.ssh_config, folder=tmp_path)
    yield made
    assert faults(site(made), made) == []
    assert made.verify_log() == []
    made.close()


def heard(job: object, stream: str = "hook") -> list[str]:
    events = job.events  # type: ignore[attr-defined]
    return [event.text for event in events if isinstance(event, Log) and event.stream == stream]


def deployed(server: Server, source: Path, text: str = "one", **how: str) -> list[str]:
    """Deploy, and what hooks said."""
    (source / "index").write_text(text)
    job = server.deploy(source, **how)  # type: ignore[arg-type]
    job.wait()
    return heard(job)


def audited(server: Server) -> list[dict[str, str]]:
    lines = map(json.loads, server.audit_log().splitlines())
    return [line for line in lines if line["what"].startswith("hook.")]


def acts(server: Server) -> list[tuple[object, ...]]:
    """What the audit log has of hooks."""
    return [(line["what"], line["point"], line.get("status")) for line in audited(server)]


def test_each_point_has_its_place_and_its_turn(there: Server, source: Path) -> None:
    configure(there, before_deploy=[SHOW], before_publish=[SHOW], after_publish=[SHOW])
    said = [line.split("|") for line in deployed(there, source, revision="r1")]
    name, home = there.look().current.name, os.path.realpath(there.deploy_to)
    assert [line[:4] for line in said] == [["web1", name, "", "r1"]] * 3
    release = f"{home}/releases/{name}"
    assert [line[4] for line in said] == [home, release, release]
    points = ("before_deploy", "before_publish", "after_publish")
    each = [(("hook.begin", point, None), ("hook.end", point, 0)) for point in points]
    assert acts(there) == [act for both in each for act in both]


def test_a_rollback_has_its_own(there: Server, source: Path) -> None:
    deployed(there, source, "one")
    deployed(there, source, "two")
    configure(
        there,
        before_publish=["echo never"],
        before_rollback=["readlink ../../current; cat index"],
        after_publish=["readlink ../../current"],
        after_rollback=["echo after"],
    )
    live = there.look().current.name
    job = there.rollback()
    back = job.wait().live
    assert heard(job) == [f"releases/{live}", "one", f"releases/{back}", "after"]


def test_hooks_for_the_first_deploy_and_for_all_others(there: Server, source: Path) -> None:
    hooks = [{"command": f"echo {on}", "on": on} for on in ("first", "after_first", "all")]
    configure(there, before_publish=hooks)
    assert deployed(there, source, "one") == ["first", "all"]
    assert deployed(there, source, "two") == ["after_first", "all"]


def test_a_hook_of_this_machine_runs_here_and_finds_little(
    there: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNRELATED", "of my own")
    monkeypatch.setenv("DEPLOY_TOKEN", "a-secret-of-mine")
    script = 'pwd; echo "$OPSNB_RELEASE $OPSNB_SERVER ${UNRELATED-nothing}"; echo "$DEPLOY_TOKEN"'
    local = {"command": script, "where": "local"}
    configure(there, after_publish=[local], secrets=["DEPLOY_TOKEN"])
    said = deployed(there, source)
    assert said == [str(tmp_path), f"{there.look().current.name} web1 nothing", "***"]


def test_a_hook_of_this_machine_comes_when_what_is_before_it_is_done(
    there: Server, source: Path
) -> None:
    """Steps may be sent together, but not past it."""
    deployed(there, source)
    look = f'cat "{there.deploy_to}/releases/$OPSNB_RELEASE/index"'
    configure(there, before_publish=[{"command": look, "where": "local"}])
    assert deployed(there, source, "two") == ["two"]


def test_by_sftp_alone_hooks_of_this_machine_run_and_others_are_refused(
    sshd: RealSshd, source: Path
) -> None:
    url = sshd.url(sshd.home / "sftp").replace("ssh://", "sftp://")
    there = Server(url, name="web1", ssh_config=sshd.ssh_config)
    here = [{"command": "echo $OPSNB_RELEASE", "where": "local"}]
    configure(there, before_publish=here, on_failure=["echo x"])
    with pytest.raises(NotReady, match="SFTP alone runs nothing for on_failure"):
        there.plan(source)
    configure(there, before_deploy=here, before_publish=here, after_publish=here)
    assert deployed(there, source) == [there.look().current.name] * 3
    there.close()


def test_a_hook_of_this_machine_keeps_the_release_as_planned(there: Server, source: Path) -> None:
    """Only what runs on the server may write into a release: it may still be made of the last."""
    configure(there, keep_releases=1, before_publish=[{"command": "true", "where": "local"}])
    for text in ("one", "two", "three"):
        deployed(there, source, text)
    assert there.look().spare is not None


def test_a_failed_hook_of_this_machine_fails_the_deploy(there: Server, source: Path) -> None:
    deployed(there, source)
    configure(there, before_publish=[{"command": "exit 4", "where": "local"}])
    (source / "index").write_text("two")
    with pytest.raises(DeployFailed, match="before_publish hook exit 4 exited with 4"):
        there.deploy(source).wait()


def test_a_script_is_a_file_of_the_operators(there: Server, source: Path, tmp_path: Path) -> None:
    shell, other = tmp_path / "a.sh", tmp_path / "b.py"
    shell.write_text('#!/bin/sh\necho "shell $OPSNB_RELEASE"\n')
    other.write_text(
        "#!/usr/bin/env python3\nimport os\nprint('python', os.environ['OPSNB_RELEASE'])\n"
    )
    hooks = [
        {"file": str(path), "where": where}
        for path in (shell, other)
        for where in ("server", "local")
    ]
    configure(there, after_publish=hooks)
    said = deployed(there, source)
    name = there.look().current.name
    assert said == [f"{what} {name}" for what in ("shell", "shell", "python", "python")]


def test_a_script_that_is_not_there_is_noticed_before_anything_is_done(
    server: Server, source: Path, tmp_path: Path
) -> None:
    configure(server, after_publish=[{"file": str(tmp_path / "none.sh")}], before_deploy=["echo x"])
    job = server.deploy(source)
    with pytest.raises(SourceError, match=r"none\.sh cannot be read: No such file"):
        job.wait()
    assert heard(job) == []
    assert not server.look().releases


def test_a_failure_that_does_not_matter_is_a_warning(there: Server, source: Path) -> None:
    fails = {"command": "exit 3", "ignore_failure": True}
    configure(there, before_publish=[fails], after_publish=[fails, "echo next"])
    job = there.deploy(source)
    report = job.wait()
    assert report.outcome is Outcome.DONE
    assert [w for w in report.warnings if "hook" in w] == [
        "the before_publish hook exit 3 exited with 3",
        "the after_publish hook exit 3 exited with 3",
    ]
    assert heard(job) == ["next"]


def test_the_log_says_how_each_hook_ended_and_hides_what_is_secret(
    there: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "a-secret-of-mine")
    slow = {"command": "sleep 60", "timeout": 1, "ignore_failure": True}
    shows = {"command": "echo a-secret-of-mine; exit 3", "ignore_failure": True}
    configure(there, before_publish=[shows], after_publish=[slow], secrets=["DEPLOY_TOKEN"])
    deployed(there, source)
    assert [status for what, _, status in acts(there) if what == "hook.end"] == [3, "ended"]
    assert audited(there)[0]["hook"] == "echo ***; exit 3"
    assert b"a-secret-of-mine" not in there.audit_log()


@pytest.mark.parametrize("base", ["previous", "clean"])
def test_what_a_hook_changes_before_anything_is_made_is_planned_for(
    there: Server, source: Path, base: str
) -> None:
    """As a switch to maintenance does, which writes into the live release."""
    deployed(there, source)
    write = '[ -e current ] && echo "$OPSNB_RELEASE" >current/down'
    configure(there, base=base, before_deploy=[write])
    deployed(there, source, "two")
    name = there.look().current.name
    down = site(there) / "current" / "down"
    assert down.exists() is (base == "previous")
    assert base == "clean" or down.read_text() == f"{name}\n"
    assert there.drift() == ()
    old = next(release.name for release in there.look().releases if not release.live)
    (site(there) / "releases" / old / "down").unlink()


def test_after_the_switch_a_hook_that_was_ended_may_not_matter_either(
    there: Server, source: Path
) -> None:
    slow = {"command": "echo $$; sleep 60", "timeout": 1, "ignore_failure": True}
    configure(there, after_publish=[slow, "echo next"])
    job = there.deploy(source)
    report = job.wait()
    assert report.outcome is Outcome.DONE
    assert any("did not end within 1 s" in warning for warning in report.warnings)
    pid, *rest = heard(job)
    assert rest == ["next"]
    until(lambda: not runs(int(pid)))


def test_what_a_hook_leaves_behind_is_let_alone_and_is_in_nobodys_answer(
    there: Server, source: Path
) -> None:
    """One keeps the hook's streams and goes on talking while the deploy goes on; one does not."""
    leave = "sh -c 'while sleep 0.05; do echo later || exit; done' & echo pid $!; echo begun"
    daemon = "setsid sh -c 'sleep 30' >/dev/null 2>&1 & echo pid $!"
    configure(there, before_publish=[leave, daemon, "sleep 0.3; echo well"])
    said = deployed(there, source)
    pids = [int(line.split()[1]) for line in said if line.startswith("pid")]
    try:
        assert [line for line in said if line[:3] not in ("lat", "pid")] == ["begun", "well"]
        assert runs(pids[1])
        site_seen = there.look()
        assert (site_seen.holder, len(site_seen.releases)) == (None, 1)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_what_a_hook_says_comes_as_it_is(there: Server, source: Path) -> None:
    talk = "printf 'a\\n\\nb'; printf 'no end' >&2"
    configure(there, before_publish=[talk, "printf ''", "echo last"])
    assert deployed(there, source) == ["a", "", "bno end", "last"]


def test_a_hook_that_pays_no_heed_is_ended_on_the_server(there: Server, source: Path) -> None:
    deployed(there, source)
    script = "trap '' TERM INT HUP; sh -c \"trap '' TERM; sleep 300\" & echo $$ $!; sleep 300"
    configure(there, before_publish=[{"command": script, "timeout": 1}])
    (source / "index").write_text("two")
    job = there.deploy(source)
    with pytest.raises(DeployFailed, match="did not end within 1 s"):
        job.wait()
    pids = [int(pid) for pid in heard(job)[0].split()]
    until(lambda: not any(map(runs, pids)))
    configure(there)
    assert deployed(there, source, "three") == []


# --- after a failure ---------------------------------------------------------------------------

TOLD = 'echo "$OPSNB_OUTCOME: $OPSNB_ERROR"; pwd -P'


def test_after_a_failure_before_the_switch_its_hook_runs(there: Server, source: Path) -> None:
    deployed(there, source)
    configure(there, before_publish=["exit 9"], on_failure=[TOLD])
    (source / "index").write_text("two")
    job = there.deploy(source)
    with pytest.raises(DeployFailed) as failed:
        job.wait()
    assert failed.value.report.exit_status == 20
    error = "the before_publish hook exit 9 exited with 9"
    assert heard(job) == [f"not done: {error}", os.path.realpath(there.deploy_to)]


def test_after_a_release_was_put_back_its_hook_runs(there: Server, source: Path) -> None:
    deployed(there, source)
    both = [TOLD, {"command": "echo $OPSNB_OUTCOME here", "where": "local"}]
    configure(there, health=[{"command": "exit 1", "retries": 0}], on_failure=both)
    (source / "index").write_text("two")
    job = there.deploy(source)
    with pytest.raises(Restored) as failed:
        job.wait()
    assert failed.value.report.exit_status == 21
    said = heard(job)
    assert (said[0], said[-1]) == ("restored: exit 1 exited with 1", "restored here")
    assert (site(there) / "current" / "index").read_text() == "one"


def test_its_own_failure_is_a_warning_and_changes_nothing(there: Server, source: Path) -> None:
    deployed(there, source)
    endless = {"command": "sleep 60", "timeout": 1}
    configure(there, before_publish=["exit 9"], on_failure=["exit 5", endless, "echo not reached"])
    (source / "index").write_text("two")
    with pytest.raises(DeployFailed, match="exited with 9") as failed:
        there.deploy(source).wait()
    report = failed.value.report
    assert report.exit_status == 20
    assert [w for w in report.warnings if "on_failure" in w] == [
        "on_failure: the on_failure hook exit 5 exited with 5",
        "on_failure: sleep 60 did not end within 1 s: ended",
        "on_failure was not run, since the lock is not held: echo not reached",
    ]
    configure(there)
    assert deployed(there, source, "three") == []


def test_what_has_not_begun_has_no_failure_to_clear_up(server: Server, source: Path) -> None:
    deployed(server, source)
    configure(server, on_failure=["echo never"])
    job = server.deploy(source)
    assert job.wait().outcome is Outcome.NOTHING
    with pytest.raises(OpsnbError):
        server.rollback(to="20200101000000").wait()
    assert heard(job) == []


def test_an_abort_runs_it_too_and_a_second_one_ends_it(there: Server, source: Path) -> None:
    deployed(there, source)
    configure(there, before_publish=["echo on; sleep 60"], on_failure=["echo clearing; sleep 60"])
    (source / "index").write_text("two")
    job = there.deploy(source)
    until(lambda: "on" in heard(job))
    job.cancel()
    until(lambda: "clearing" in heard(job))
    job.cancel()
    with pytest.raises(OpsnbError) as failed:
        job.wait()
    assert failed.value.report.exit_status == 130
    until(lambda: there.look().holder is None)
    configure(there)
    assert deployed(there, source, "three") == []


# --- once, and as somebody else ----------------------------------------------------------------


def test_once_for_an_environment_is_on_its_first_server(source: Path, tmp_path: Path) -> None:
    servers = "".join(
        f'[servers.{name}]\nurl = "file://{tmp_path}/{name}"\nenvironment = "live"\n'
        for name in ("b", "a")
    )
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "migrate.sh").write_text("echo migrating\n")
    (tmp_path / "opsnb.toml").write_text(
        "[project]\n"
        'before_publish = [{ file = "deploy/migrate.sh", once = true }]\n'
        'after_publish = ["echo $OPSNB_ENVIRONMENT"]\n'
        f"[environments.live]\n{servers}"
    )
    project = load(tmp_path / "opsnb.toml")
    assert deployed(project.server("b"), source) == ["migrating", "live"]
    assert deployed(project.server("a"), source) == ["live"]
    (source / "index").write_text("two")
    assert "not run, once, on b: " in str(project.server("a").plan(source))
    project.close()


def root_only() -> None:
    if os.geteuid() != 0:
        absent("only root can become other users")


def test_as_another_user_by_sudo(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real sudo; a secret comes along and stands in nobody's arguments."""
    root_only()
    require("sudo")
    monkeypatch.setenv("DEPLOY_TOKEN", "it's a secret")
    script = (
        'id -un; echo "$OPSNB_RELEASE"; [ ${#DEPLOY_TOKEN} = 13 ] && echo known; '
        "cat /proc/[0-9]*/cmdline 2>/dev/null | grep -c 'it.s [a] secret'"
    )
    hook = {"command": script, "run_as": "nobody", "ignore_failure": True}
    configure(server, after_publish=[hook], secrets=["DEPLOY_TOKEN"])
    said = deployed(server, source)
    assert said == ["nobody", server.look().current.name, "known", "0"]


def test_whom_sudo_does_not_give_is_refused_before_anything_is_begun(
    sshd: RealSshd, source: Path
) -> None:
    """A real sudo, and a login that has no rights with it."""
    require("sudo")
    there = Server(sshd.url(sshd.home / "refused"), ssh_config=sshd.ssh_config)
    hook = {"command": "id -un", "run_as": "nobody"}
    configure(there, before_deploy=["echo x"], after_publish=[hook], on_failure=["echo failed"])
    job = there.deploy(source)
    with pytest.raises(NotReady, match="sudo does not run /bin/sh for deploy as that user") as said:
        job.wait()
    assert said.value.hint == ("Allow it in sudoers: deploy ALL=(nobody) NOPASSWD: /bin/sh -s")
    assert heard(job) == []
    assert not there.look().releases
    there.close()


@pytest.mark.parametrize("how", ["", "Defaults use_pty\n"])
def test_another_users_process_ends_with_who_started_it(tmp_path: Path, how: str) -> None:
    """The login ends its own process group, as the agent does, and may not signal this one.

    By the real sudo, told of both users in a mount.
    """
    root_only()
    for program in ("sudo", "unshare", "setpriv"):
        require(program)
    for name in ("passwd", "group", "shadow"):
        (tmp_path / name).write_bytes(Path(f"/etc/{name}").read_bytes())
    with (tmp_path / "passwd").open("a") as passwd:
        passwd.write("opsnb-login:*:41299:41299::/:/bin/sh\nopsnb-app:*:41298:41298::/:/bin/sh\n")
    allowed = "opsnb-login ALL=(opsnb-app) NOPASSWD: /bin/sh -s\n"
    (tmp_path / "sudoers").write_text(f"{how}{allowed}")
    (tmp_path / "sudoers").chmod(0o440)
    hook = scripts.as_user("opsnb-app", "id -un; echo $$; sleep 60", [], 60)
    mounts = " && ".join(
        f"mount --bind {tmp_path}/{name} /etc/{name}"
        for name in ("passwd", "group", "shadow", "sudoers")
    )
    login = "setpriv --reuid 41299 --regid 41299 --clear-groups"
    running = subprocess.Popen(
        [
            *("unshare", "--mount", "--propagation", "slave"),
            *("sh", "-c", f'{mounts} && exec {login} sh -c "$1"', "sh", hook),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        text=True,
        start_new_session=True,
    )
    assert running.stdout
    watchdog = threading.Timer(30, running.kill)
    watchdog.start()
    try:
        assert running.stdout.readline() == "opsnb-app\n"
        pid = int(running.stdout.readline())
        assert runs(pid)
        end = f"{login} kill -KILL -- -{running.pid}"
        subprocess.run(end.split(), stderr=subprocess.DEVNULL, check=False)
        until(lambda: not runs(pid))
    finally:
        watchdog.cancel()
        running.kill()
        running.stdout.close()
        running.wait()


def test_what_a_hook_removed_from_a_release_comes_with_the_next_one(
    server: Server, source: Path
) -> None:
    """It is not taken for something that is there, since its source had it."""
    (source / "same").write_text("same")
    (source / "index").write_text("one")
    configure(server, before_publish=["rm same"])
    server.deploy(source).wait()
    assert not (site(server) / "current" / "same").exists()
    configure(server)
    for text in ("two", "three", "four"):
        (source / "index").write_text(text)
        server.deploy(source).wait()
        assert (site(server) / "current" / "same").read_text() == "same"
    assert faults(site(server), server) == []
