"""Builds: a clean copy, what a command finds there, how far it reaches, and what it must leave."""

from __future__ import annotations

import gc
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Log, Outcome
from opsnb.core.secrets import Secrets
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.engine import making
from opsnb.engine.building import isolation
from opsnb.errors import (
    BuildFailed,
    CheckFailed,
    ConfigError,
    ConnectError,
    Interrupted,
    NotReady,
    SourceError,
)
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.git import Repository
from tests.support.process import runs, until
from tests.support.sshd import require


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("OPSNB_CACHE", str(place))
    return place


@pytest.fixture(params=["isolated", "not isolated"])
def how(request: pytest.FixtureRequest) -> dict[str, str]:
    """With bubblewrap, which must be there for it, and without."""
    if request.param == "isolated":
        require("bwrap")
        return {"isolation": "required"}
    return {"isolation": "none"}


@pytest.fixture
def shop(server: Server, source: Path, cache: Path) -> Iterator[Server]:
    """A server; at the end nothing that was built lies about."""
    configure(server, source=str(source))
    yield server
    server.close()
    server.jobs.clear()
    # What failed is held by the frames that it went through, in a circle.
    until(lambda: gc.collect() >= 0 and not list((cache / "work").glob("[wg]*")))


def build(server: Server, *commands: str, **more: object) -> Server:
    return configure(server, source=server.settings.source, build=list(commands), **more)


def live(server: Server) -> Path:
    return site(server) / "current"


def said(server: Server) -> list[str]:
    """What the last change said."""
    return [event.text for event in server.jobs[-1].events if isinstance(event, Log)]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- the copy ----------------------------------------------------------------------------------


def test_the_output_of_the_commands_is_released_and_nothing_else(
    shop: Server, source: Path, how: dict[str, str]
) -> None:
    build(shop, "mkdir -p dist/deep", "cp index dist/deep/made", output="dist", **how)
    shop.deploy().wait()
    assert files(live(shop).resolve()) == ["deep", "deep/made"]
    assert (live(shop) / "deep/made").read_text() == "one"
    assert files(source) == ["index"]


def test_without_an_output_the_copy_itself_is_released(shop: Server, how: dict[str, str]) -> None:
    build(shop, "tr a-z A-Z < index > shouted", **how)
    shop.deploy().wait()
    assert files(live(shop).resolve()) == ["index", "shouted"]


def test_the_users_folder_stays_as_it_is(shop: Server, source: Path, how: dict[str, str]) -> None:
    before = source.stat().st_mtime_ns, (source / "index").stat()
    build(shop, "echo gone > index; touch new; rm -rf ./index; echo x > index", **how)
    shop.deploy().wait()
    assert (source.stat().st_mtime_ns, (source / "index").stat()) == before
    assert (source / "index").read_text() == "one"


def test_what_a_build_makes_itself_is_not_copied_from_the_folder(
    shop: Server, source: Path
) -> None:
    """Neither its output, nor what it caches, nor modules, nor .git: these could be stale."""
    for name in ("dist/stale", "node_modules/a", "sub/node_modules/b", "kept/c", ".git/HEAD"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    (source / "[odd] *").mkdir()
    (source / "[odd] *" / "file").write_text("x")
    cached = {"paths": ["kept", "[odd] *"]}
    build(shop, "find . -type f | sort > /dev/stdout", "mkdir dist; echo > dist/a", output="dist")
    configure(shop, **shop.settings.model_dump(exclude_unset=True) | {"cache": [cached]})
    shop.deploy().wait()
    assert not [
        line for line in said(shop) if "/" in line and line.startswith("./") and line != "./index"
    ]


def test_what_is_excluded_from_releases_is_there_for_the_build(shop: Server, source: Path) -> None:
    (source / "Makefile").write_text("x")
    (source / ".deployignore").write_text("notes\n")
    (source / "notes").write_text("x")
    build(shop, "test -f Makefile && test -f notes && cp Makefile made", exclude=["Makefile"])
    shop.deploy().wait()
    assert files(live(shop).resolve()) == ["index", "made"]


def test_a_folder_with_a_pipe_in_it_does_not_hang(shop: Server, source: Path) -> None:
    os.mkfifo(source / "pipe")
    build(shop, "test ! -e pipe && echo > made")
    shop.deploy().wait()
    assert files(live(shop).resolve()) == ["index", "made"]


def test_modes_and_links_are_copied(shop: Server, source: Path) -> None:
    (source / "run").write_text("#!/bin/sh\necho ran > made\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("run")
    build(shop, "./link")
    shop.deploy().wait()
    assert (live(shop) / "made").read_text() == "ran\n"
    assert os.readlink(live(shop) / "link") == "run"


def test_a_build_of_a_folder_that_is_none_is_refused(shop: Server) -> None:
    build(shop, "true")
    with pytest.raises(SourceError, match="is not a folder"):
        shop.plan("/nowhere/at/all")


# --- what a command finds ----------------------------------------------------------------------


def test_a_command_finds_a_small_environment(
    shop: Server, how: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for builds")
    build(shop, "env > made", env={"NODE_ENV": "production"}, **how)
    shop.plan(revision="r1")
    shop.deploy(revision="r1").wait()
    found = dict(line.split("=", 1) for line in (live(shop) / "made").read_text().splitlines())
    ours = {"PATH", "HOME", "TMPDIR", "LANG", "TERM", "CI", "NODE_ENV"}
    assert found.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {*ours, "OPSNB_REVISION", "OPSNB_USER"}
    assert (found["CI"], found["TERM"], found["NODE_ENV"]) == ("true", "dumb", "production")
    assert found["OPSNB_REVISION"] == "r1"
    assert found["HOME"] not in ("", os.environ["HOME"])


def test_a_command_has_a_home_and_room_of_its_own(shop: Server, how: dict[str, str]) -> None:
    build(shop, 'touch "$HOME/a" "$TMPDIR/b" && ls -A "$HOME" "$TMPDIR" | wc -l > made', **how)
    shop.deploy().wait()
    assert (live(shop) / "made").read_text().strip() == "5"


def test_a_secret_is_there_for_the_build_and_shown_nowhere(
    shop: Server, how: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "registry-token-0123456789"
    monkeypatch.setenv("NPM_TOKEN", token)
    commands = ('test ${#NPM_TOKEN} = 25 && echo "it is $NPM_TOKEN"', "env | sort", "ps ax || true")
    build(shop, *commands, "echo well > made", build_secrets=["NPM_TOKEN"], **how)
    heard: list[str] = []
    planned = shop.plan(on_output=heard.append)
    job = shop.deploy(planned)
    job.wait()
    assert "it is ***" in heard
    seen = [*heard, str(planned), repr(planned.wish), str(job.events), shop.audit_log().decode()]
    assert token not in "".join(seen)
    monkeypatch.delenv("NPM_TOKEN")
    with pytest.raises(ConfigError, match="the secret NPM_TOKEN is not set"):
        shop.plan()


def test_the_hooks_before_a_build_run_in_its_copy(
    shop: Server, source: Path, how: dict[str, str]
) -> None:
    build(shop, "cat from-hook > made", before_build=["echo hooked > from-hook; pwd"], **how)
    shop.deploy().wait()
    assert (live(shop) / "made").read_text() == "hooked\n"
    assert not (source / "from-hook").exists()
    build(shop, "true", before_build=["exit 3"])
    with pytest.raises(CheckFailed, match="exited with 3"):
        shop.plan()


# --- how far it reaches ------------------------------------------------------------------------


def test_an_isolated_build_reaches_nothing_but_its_copy(
    shop: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the home, not its keys, no process, no file outside; the same build outside can."""
    require("bwrap")
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("a key\n")
    monkeypatch.setenv("HOME", str(home))
    canary = tmp_path / "canary"
    canary.write_text("alive")
    script = (
        f"(cat {home}/.ssh/id || echo no key) > made 2>/dev/null; "
        f"echo dead > {canary}; "
        f"ls {cache} >> made 2>/dev/null; "
        f"(kill -0 {os.getpid()} && echo process || echo no process) >> made 2>/dev/null; true"
    )
    build(shop, script, isolation="required")
    shop.deploy().wait()  # which leaves a manifest in the cache
    shop.deploy(force=True).wait()
    assert (live(shop) / "made").read_text().splitlines() == ["no key", "work", "no process"]
    assert canary.read_text() == "alive"
    # The control.
    build(shop, script, isolation="none")
    shop.deploy(force=True).wait()
    control = (live(shop) / "made").read_text().splitlines()
    assert (control[0], control[-1]) == ("a key", "process")
    assert {"manifests", "work"} < set(control)
    assert canary.read_text() == "dead\n"


def test_a_build_without_network_has_none(shop: Server) -> None:
    require("bwrap")
    build(shop, "grep -c : /proc/net/dev > made", network=False)
    assert "without network" in str(shop.plan())
    assert made(shop) == "1"  # loopback
    build(shop, "cat /proc/net/dev > made")
    names = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()]
    assert all(name in made(shop) for name in names)


def made(server: Server) -> str:
    server.deploy(force=True).wait()
    return (live(server) / "made").read_text().strip()


def test_where_it_cannot_be_isolated_that_is_said_or_refused(
    shop: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without bubblewrap: its PATH has everything else."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for place in filter(os.path.isdir, ("/usr/bin", "/bin")):
        for name in {*os.listdir(place)} - {"bwrap", "podman", "docker"} - {*os.listdir(programs)}:
            (programs / name).symlink_to(f"{place}/{name}")
    monkeypatch.setenv("PATH", str(programs))
    build(shop, "echo > made")
    planned = shop.plan()
    assert "not isolated: bubblewrap is not installed" in str(planned)
    for more in ({"isolation": "required"}, {"network": False}):
        build(shop, "echo > made", **more)
        with pytest.raises(ConfigError, match="cannot be had: bubblewrap is not installed"):
            shop.plan()
    # One that may not make namespaces, as in some containers.
    (programs / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    build(shop, "echo > made")
    assert "not isolated: bubblewrap may not make namespaces" in str(shop.plan())
    build(shop, "echo > made", container="node:22")
    with pytest.raises(ConfigError, match="needs podman or docker"):
        shop.plan()


def test_how_it_is_isolated_is_in_the_plan_and_in_the_log(shop: Server) -> None:
    require("bwrap")
    build(shop, "echo > made")
    assert "isolated by bubblewrap" in str(shop.plan())
    shop.deploy().wait()
    assert "building: isolated by bubblewrap" in said(shop)


def test_a_container_is_given_names_and_no_values(tmp_path: Path) -> None:
    made = isolation.Isolation("podman", "", "/usr/bin/podman", "node:22", network=False)
    room = isolation.Room(tmp_path, tmp_path / "home", tmp_path / "tmp")
    argv = made.argv("npm ci", room, tmp_path / "tree", {"PATH": "/bin", "TOKEN": "secret-value"})
    assert argv[-5:] == ["--", "node:22", "/bin/sh", "-c", "npm ci"]
    assert "secret-value" not in " ".join(argv)
    given = [argv[at + 1] for at, word in enumerate(argv) if word == "--env"]
    assert given == [f"HOME={tmp_path}/home", f"TMPDIR={tmp_path}/tmp", "TOKEN"]
    assert made.environment(Secrets({"TOKEN": "x", "HOME": "y"}))["HOME"] == os.environ["HOME"]
    assert argv[argv.index("--network") + 1] == "none"
    assert made.ending() == ["/usr/bin/podman", "rm", "--force", made.name]


STAND_IN = """#!/bin/sh
echo "$@" >> {log}
[ "$1" = run ] || exit 1
while [ "$1" != -- ]; do shift; done
shift 2
exec "$@"
"""


def test_a_container_is_run_and_removed_by_its_client(
    shop: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for podman, which runs the command here: what it is told, and what it finds."""
    programs, log = tmp_path / "programs", tmp_path / "log"
    programs.mkdir()
    (programs / "podman").write_text(STAND_IN.format(log=log))
    (programs / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TOKEN", "a-token-of-the-registry")
    build(shop, 'test "$TOKEN" && echo > made', container="node:22", build_secrets=["TOKEN"])
    assert "in a container of node:22, by podman" in str(shop.plan())
    first, last = log.read_text().splitlines()
    name = first.split(" --name ")[1].split()[0]
    assert last == f"rm --force {name}"
    assert "a-token-of-the-registry" not in log.read_text()
    assert first.endswith(f"-- node:22 /bin/sh -c {shop.settings.build[0]}")


# --- what it must leave ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["exit 3", "kill -9 $$"])
def test_a_build_that_fails_changes_nothing_on_the_server(
    shop: Server, command: str, how: dict[str, str]
) -> None:
    shop.deploy().wait()
    before = {path: path.lstat().st_mtime_ns for path in site(shop).rglob("*")}
    build(shop, "echo working", command, "echo never", **how)
    with pytest.raises(BuildFailed, match="the build failed") as caught:
        shop.deploy().wait()
    assert caught.value.exit_status == 20
    assert caught.value.report.outcome is Outcome.NOT_DONE
    assert caught.value.report.switched is False
    assert "working" in said(shop)
    assert "never" not in said(shop)
    after = {path: path.lstat().st_mtime_ns for path in site(shop).rglob("*")}
    assert after.keys() == before.keys()
    assert all(after[path] == mtime for path, mtime in before.items() if path.name != "log")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("true", "made no directory dist"),
        ("echo > dist", "made no directory dist"),
        ("mkdir dist", "left dist empty"),
        ("ln -s /etc dist", "as a link to another place"),
        (
            "mkdir real dist; echo > real/a; rmdir dist; ln -s real dist",
            "as a link to another place",
        ),
        ("mkdir dist real; echo > real/a; ln -s ../real/a dist/a", "dist/a|a → ../real/a"),
        ('mkdir dist; echo > dist/a; ln -s "$PWD/dist/a" dist/b', "b → /"),
    ],
)
def test_an_output_that_no_server_could_have_is_refused(
    shop: Server, command: str, why: str
) -> None:
    build(shop, command, output="dist")
    with pytest.raises(BuildFailed, match=why):
        shop.plan()


def test_links_that_mean_something_on_a_server_stay(shop: Server) -> None:
    commands = "ln -s index a; mkdir d; ln -s ../index d/b; ln -s /etc/hostname c; ln -s ../x e"
    build(shop, commands)
    shop.deploy().wait()
    assert os.readlink(live(shop) / "c") == "/etc/hostname"
    assert os.readlink(live(shop) / "e") == "../x"


def test_a_build_that_takes_too_long_is_ended_with_all_it_began(
    shop: Server, how: dict[str, str]
) -> None:
    build(shop, "sleep 61 & sleep 62", build_timeout=1.5, **how)
    with pytest.raises(BuildFailed, match=r"did not end within 1\.5 s"):
        shop.plan()
    until(lambda: not sleeping("61", "62"), 10)


def sleeping(*seconds: str) -> list[str]:
    """Processes of this test that sleep for so long."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            words[0].endswith(b"sleep")
            and words[1].decode() in seconds
            and runs(int(place.parent.name))
        ):
            found.append(place.parent.name)
    return found


def test_what_a_build_leaves_running_ends_with_it(shop: Server, how: dict[str, str]) -> None:
    build(shop, "sleep 63 > /dev/null 2>&1 & echo > made", **how)
    shop.deploy().wait()
    until(lambda: not sleeping("63"), 10)


def test_an_abort_ends_the_build_and_removes_its_copy(
    shop: Server, cache: Path, how: dict[str, str]
) -> None:
    build(shop, "trap '' TERM; echo begun; sleep 64; sleep 64", **how)
    job = shop.deploy()
    until(lambda: any(isinstance(e, Log) and e.text == "begun" for e in job.events))
    assert list((cache / "work").glob("w.*"))
    job.cancel()
    with pytest.raises(Interrupted):
        job.wait()
    until(lambda: not sleeping("64"), 10)
    assert not list((cache / "work").glob("w.*"))
    assert shop.look().current.name == ""


def test_a_server_that_cannot_be_reached_is_told_of_before_the_build_ends(
    tmp_path: Path, source: Path, cache: Path
) -> None:
    shut = Server("ssh://nobody@127.0.0.1:9/srv/site", name="shut")
    build(shut, "sleep 65")
    shut.settings = shut.settings.model_copy(update={"source": str(source)})
    began = time.monotonic()
    with pytest.raises(ConnectError):
        shut.plan()
    with pytest.raises(ConnectError):
        shut.deploy().wait()
    assert time.monotonic() - began < 50
    until(lambda: not sleeping("65"), 10)
    shut.close()


def test_a_plan_can_be_interrupted(tmp_path: Path, source: Path, cache: Path) -> None:
    """A process of its own, told Ctrl-C: it ends with its build, and leaves nothing."""
    program = (
        "from opsnb import Server\nfrom opsnb.core.config import Settings\n"
        f"server = Server('file://{tmp_path}/site')\n"
        f"server.settings = Settings.model_validate({{'source': '{source}',"
        " 'build': ['echo begun; sleep 66']})\n"
        "server.plan(on_output=lambda line: print(line, flush=True))\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout
    while running.stdout.readline() != b"begun\n":
        pass
    running.send_signal(2)
    running.communicate(timeout=30)
    assert running.returncode != 0
    until(lambda: not sleeping("66"), 10)
    until(lambda: not list((cache / "work").glob("w.*")), 10)


@pytest.mark.parametrize("isolated", [True, False])
def test_a_killed_client_leaves_nothing_that_the_next_build_does_not_clear(
    tmp_path: Path, source: Path, cache: Path, shop: Server, isolated: bool
) -> None:
    """Isolated, what it had begun ends with it, too."""
    if isolated:
        require("bwrap")
    how = "required" if isolated else "none"
    program = (
        "from opsnb import Server\nfrom opsnb.core.config import Settings\n"
        f"server = Server('file://{tmp_path}/site')\n"
        f"server.settings = Settings.model_validate({{'source': '{source}',"
        f" 'isolation': '{how}', 'build': ['echo begun; sleep 67']}})\n"
        "server.plan(on_output=lambda line: print(line, flush=True))\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert running.stdout
    while running.stdout.readline() != b"begun\n":
        pass
    (left,) = (cache / "work").glob("w.*")
    running.kill()
    running.wait()
    running.stdout.close()
    if isolated:
        until(lambda: not sleeping("67"), 10)
    for pid in sleeping("67"):
        os.kill(int(pid), 9)
    build(shop, "true")
    shop.plan()
    assert not left.exists()


# --- once --------------------------------------------------------------------------------------


@pytest.fixture
def counted(shop: Server, tmp_path: Path) -> Path:
    """A build that counts how often it is run, of a repository."""
    repository = Repository(tmp_path / "repository")
    repository.commit({"index": "one"}, "Open the shop")
    counter = tmp_path / "counter"
    configure(
        shop,
        git=str(repository.path),
        build=[f"echo >> {counter}", "mkdir dist; cp index dist"],
        output="dist",
        isolation="none",
    )
    return counter


def test_a_plan_and_its_deploy_build_once(shop: Server, counted: Path) -> None:
    planned = shop.plan()
    assert planned.plan.origin.build
    shop.deploy(planned).wait()
    assert len(counted.read_text()) == 1


def test_the_same_commit_is_built_once_while_it_is_kept(shop: Server, counted: Path) -> None:
    shop.plan()
    shop.deploy().wait()
    assert shop.deploy().wait().outcome is Outcome.NOTHING
    assert len(counted.read_text()) == 1
    assert any("is made already: taking that" in line for line in said(shop))


def test_servers_of_one_project_share_a_build(shop: Server, counted: Path, tmp_path: Path) -> None:
    """Deployed to at the same time: the one waits for what the other makes."""
    other = Server(f"file://{tmp_path}/other", name="other", settings=shop.settings)
    jobs = [server.deploy() for server in (shop, other)]
    assert [job.wait().outcome for job in jobs] == [Outcome.DONE] * 2
    assert len(counted.read_text()) == 1
    assert (live(other) / "index").read_text() == "one"
    other.close()
    other.jobs.clear()


def test_a_site_that_cannot_take_a_release_is_told_before_the_build(
    shop: Server, counted: Path
) -> None:
    live(shop).mkdir(parents=True)
    for ask in (shop.plan, lambda: shop.deploy().wait()):
        with pytest.raises(NotReady):
            ask()
    assert not counted.exists()


@pytest.mark.parametrize(
    "change", [{"env": {"A": "b"}}, {"build": ["echo >> counter; mkdir dist; echo > dist/x"]}]
)
def test_another_environment_or_command_is_another_build(
    shop: Server, counted: Path, change: dict[str, object]
) -> None:
    shop.plan()
    said_before = shop.settings.model_dump(exclude_unset=True)
    configure(shop, **said_before | change)
    heard: list[str] = []
    shop.plan(on_output=heard.append)
    assert not any("is made already" in line for line in heard)


def test_force_builds_anew_and_so_does_time(
    shop: Server, counted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.plan()
    shop.plan(force=True)
    assert len(counted.read_text()) == 2
    monkeypatch.setattr(making, "REUSED_FOR", -1.0)
    shop.plan()
    assert len(counted.read_text()) == 3


def test_what_was_kept_out_of_the_output_gives_its_room_back(shop: Server, counted: Path) -> None:
    root = shop.plan().source.root
    assert [path.name for path in root.parent.iterdir() if path.is_dir()] == ["dist"]


def test_what_stays_out_is_not_removed_through_a_link_that_a_build_made(
    shop: Server, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "kept").write_text("x")
    repository = Repository(tmp_path / "repository")
    repository.commit({".gitattributes": "docs/kept export-ignore\n", "docs/kept": "x"})
    configure(
        shop, git=str(repository.path), build=[f"rm -r docs; ln -s {canary} docs"], isolation="none"
    )
    shop.plan()
    assert (canary / "kept").read_text() == "x"


# --- what is kept from one build to the next ---------------------------------------------------


@pytest.fixture
def keeping(shop: Server, source: Path) -> Server:
    """A build whose modules are slow to come by: it says when it makes them."""
    (source / "lock").write_text("1")
    command = "test -d modules/a || { mkdir -p modules/a; cp lock modules/a/b; echo making; }"
    kept = {"key": ["lock"], "paths": ["modules"]}
    return build(shop, command, "mkdir dist; cp modules/a/b dist/b", output="dist", cache=kept)


def heard(server: Server) -> list[str]:
    lines: list[str] = []
    server.plan(on_output=lines.append)
    return lines


def kept(cache: Path) -> list[Path]:
    return [path for path in (cache / "built").glob("*/*") if len(path.name) == 32]


def test_directories_are_kept_for_the_next_build(keeping: Server, cache: Path) -> None:
    first, second = heard(keeping), heard(keeping)
    assert "making" in first
    assert "nothing kept for modules" in first
    assert "making" not in second
    assert "taking modules as an earlier build left it" in second
    keeping.deploy().wait()
    assert (live(keeping) / "b").read_text() == "1"
    (place,) = kept(cache)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_with_another_key_they_are_made_anew(keeping: Server, source: Path, cache: Path) -> None:
    for number in ("1", "2", "1"):
        (source / "lock").write_text(number)
        made = "making" in heard(keeping)
        keeping.deploy().wait()
        assert (live(keeping) / "b").read_text() == number
    assert not made
    assert len(kept(cache)) == 2


def test_a_build_that_failed_leaves_nothing_for_the_next(keeping: Server, cache: Path) -> None:
    commands = keeping.settings.build
    build(keeping, *commands, "exit 1", output="dist", cache=keeping.settings.cache)
    with pytest.raises(BuildFailed):
        keeping.plan()
    assert kept(cache) == []


@pytest.mark.parametrize("how_", ["a file is gone", "a file is cut", "no mark", "the mark is torn"])
def test_what_was_damaged_meanwhile_counts_as_nothing(
    keeping: Server, cache: Path, how_: str
) -> None:
    heard(keeping)
    (place,) = kept(cache)
    if how_ == "a file is gone":
        (place / "0" / "a" / "b").unlink()
    elif how_ == "a file is cut":
        (place / "0" / "a" / "b").write_text("")
    elif how_ == "no mark":
        (place / "whole.json").unlink()
    else:
        (place / "whole.json").write_text("{")
    again = heard(keeping)
    assert "making" in again
    assert "what was kept for modules is not whole: it is made anew" in again
    assert "making" not in heard(keeping)


def test_a_link_in_the_place_of_a_directory_is_not_kept(shop: Server, cache: Path) -> None:
    build(
        shop, "ln -s /etc modules; echo > made", cache={"paths": ["modules"]}, exclude=["modules"]
    )
    shop.plan()
    assert kept(cache) == []


def test_what_is_kept_does_not_follow_a_link_of_the_source(
    shop: Server, cache: Path, tmp_path: Path
) -> None:
    """A commit that has a link out of the tree where the last one had none."""
    victim = tmp_path / "victim"
    victim.mkdir()
    repository = Repository(tmp_path / "repository")
    repository.commit({"lock": "1"})
    command = "test -e stop || { mkdir modules; echo > modules/a; }"
    cached = {"key": ["lock"], "paths": ["modules"]}
    configure(shop, git=str(repository.path), build=[command], cache=cached, isolation="none")
    shop.plan()
    assert len(kept(cache)) == 1
    (repository.path / "modules").symlink_to(victim)
    repository.commit({"stop": "x"})
    shop.plan()
    assert os.listdir(victim) == []


def test_few_keys_are_kept(keeping: Server, source: Path, cache: Path) -> None:
    for number in range(5):
        (source / "lock").write_text(str(number))
        heard(keeping)
    assert len(kept(cache)) == 3


def test_what_is_kept_is_a_copy_that_a_release_cannot_change(shop: Server, cache: Path) -> None:
    """A cached directory that is released, too, stays in the release."""
    build(shop, "mkdir -p modules; echo >> modules/count", cache={"paths": ["modules"]})
    shop.plan()
    shop.deploy().wait()
    assert (live(shop) / "modules/count").exists()
    assert len(kept(cache)) == 1


# --- for real ----------------------------------------------------------------------------------

LOCK = {
    "name": "site",
    "version": "1.0.0",
    "lockfileVersion": 3,
    "requires": True,
    "packages": {
        "": {"name": "site", "version": "1.0.0", "dependencies": {"marked": "15.0.12"}},
        "node_modules/marked": {
            "version": "15.0.12",
            "integrity": "sha512-8dD6FusOQSrpv9Z1rdNMdlSgQOIP880DHqnohobOmYLElGEqAL/"
            "JvxvuxZO16r4HtjTlfPRDC1hbvxC9dPN2nA==",
            "license": "MIT",
            "bin": {"marked": "bin/marked.js"},
        },
    },
}
PAGE = "# Fog & Ferry\n\nOpen *daily*.\n"


@pytest.fixture
def embedded(shop: Server, source: Path) -> Iterator[Server]:
    """A server by SSH, inside this process."""
    with EmbeddedServer() as running:
        config = running.ssh_config
        made = Server(running.url, name="web1", settings=shop.settings, ssh_config=config)
        yield made
        made.close()
        made.jobs.clear()


def test_a_site_of_npm_is_built_from_git_and_deployed(
    embedded: Server, tmp_path: Path, how: dict[str, str]
) -> None:
    """`npm ci` of a real package, which renders the page; the second time from what was kept."""
    require("npm")
    repository = Repository(tmp_path / "repository")
    script = "mkdir -p dist && marked -i page.md -o dist/index.html"
    package = {
        "name": "site",
        "version": "1.0.0",
        "private": True,
        "scripts": {"build": script},
        "dependencies": {"marked": "15.0.12"},
    }
    repository.commit(
        {
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(LOCK),
            "page.md": PAGE,
            ".gitignore": "node_modules\ndist\n",
        },
        "Open the shop",
    )
    configure(
        embedded,
        git=str(repository.path),
        build=["test -d node_modules || npm ci", "npm run build"],
        output="dist",
        env={"NODE_ENV": "production"},
        cache={"key": ["package-lock.json"], "paths": ["node_modules"]},
        **how,
    )
    embedded.deploy().wait()
    assert files(live(embedded).resolve()) == ["REVISION", "index.html"]
    assert "<em>daily</em>" in (live(embedded) / "index.html").read_text()
    repository.commit({"page.md": PAGE.replace("daily", "never")})
    embedded.deploy().wait()
    assert "<em>never</em>" in (live(embedded) / "index.html").read_text()
    assert "taking node_modules as an earlier build left it" in said(embedded)


def test_a_site_of_a_python_generator_is_built_and_deployed(
    embedded: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MkDocs, by pip, in isolation where that is to be had."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    (source / "requirements.txt").write_text("mkdocs==1.6.1\n")
    (source / "mkdocs.yml").write_text("site_name: Fog & Ferry\n")
    (source / "docs").mkdir()
    (source / "docs" / "index.md").write_text(PAGE)
    build(
        embedded,
        "python -m pip install --quiet --target .packages -r requirements.txt",
        "PYTHONPATH=.packages python -m mkdocs build --quiet --site-dir dist",
        output="dist",
        cache={"key": ["requirements.txt"], "paths": [".packages"]},
    )
    embedded.deploy().wait()
    assert "<em>daily</em>" in (live(embedded) / "index.html").read_text()
    assert (live(embedded) / "sitemap.xml").exists()
