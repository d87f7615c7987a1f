"""Every exit status that can be provoked, and what is said with it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from opsnb.cli.border import Border
from opsnb.cli.main import opsnb
from opsnb.embedded.sshd import EmbeddedServer
from tests.cli.conftest import OPSNB, Shell, wait_for
from tests.support.process import running

HOOKED = """
[servers.web1]
url = "{url}"
[servers.fails]
url = "{url}"
before_publish = ["echo told by the hook; exit 3"]
[servers.sick]
url = "{url}"
health = [{command = "exit 7", retries = 0}]
[servers.slow]
url = "{url}"
before_publish = ["touch $OPSNB_SHARED/../hook-began; sleep 30"]
[servers.slow-after]
url = "{url}"
after_publish = ["touch $OPSNB_SHARED/../hook-began; sleep 30"]
[servers.short]
url = "{url}"
before_publish = ["touch $OPSNB_SHARED/../hook-began; sleep 1"]
"""


def test_a_deploy_that_went_well_ends_with_0_and_names_what_is_live(shell: Shell) -> None:
    ran = shell("deploy", shell.server, shell.source("v1"), "--yes")
    assert ran.returncode == 0
    assert f"{shell.live} is live" in ran.stdout
    assert "sent 1 file, 2 B" in ran.stdout
    assert (shell.deploy_to / "current" / "index.html").read_text() == "v1"


def test_a_deploy_that_changes_nothing_ends_with_0(shell: Shell) -> None:
    live = shell.deployed("v1")
    ran = shell("deploy", shell.server, "v1", "--yes")
    assert (ran.returncode, shell.live) == (0, live)
    assert "nothing to do" in ran.stdout
    assert shell("plan", shell.server, "v1").returncode == 0


@pytest.mark.parametrize(
    "args",
    [
        ["deploy", "file:///nowhere/at/all", "no-such-folder", "--yes"],
        ["releases", "no-such-server"],
        ["releases", "ssh://host/without/../a/path"],
    ],
)
def test_a_wrong_input_ends_with_2_a_message_and_no_trace(shell: Shell, args: list[str]) -> None:
    ran = shell(*args)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert re.search("^✕ ", ran.stderr, re.M)
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Usage: opsnb"),
        (["deploy", "--yes"], "Missing argument 'SERVER'"),
        (["nonsense"], "No such command"),
        (["releases", "web1", "--nonsense"], "--nonsense"),
        (["prune", "web1", "--keep", "0", "--yes"], "--keep"),
        (["--config", "missing.toml", "releases", "web1"], "cannot read missing.toml"),
        (["--ssh-config", "missing", "releases", "web1"], "--ssh-config"),
        (["lock", "web1"], "Missing command"),
        (["lock", "web1", "acquire", "--yes"], "Missing option '-m'"),
    ],
)
def test_a_wrong_usage_ends_with_2_and_names_what_is_wrong(args: list[str], said: str) -> None:
    ran = CliRunner().invoke(opsnb, args)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert said in ran.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rollbak", "web1"], "No such command 'rollbak'. Did you mean rollback?"),
        (["lock", "web1", "relase"], "No such command 'relase'. Did you mean release?"),
        (["prune", "web1", "--kep", "3"], "No such option --kep. Did you mean --keep?"),
        (["--confg", "x", "releases"], "No such option --confg. Did you mean --config?"),
        (["nonsense"], "No such command 'nonsense'."),
        (["releases", "web1", "--nonsense"], "No such option --nonsense."),
        (["releases", "web1", "-x"], "No such option -x."),
        (["-x"], "No such option -x."),
    ],
)
def test_what_was_mistyped_is_told_with_what_is_alike_and_nothing_else(
    args: list[str], said: str
) -> None:
    ran = CliRunner().invoke(opsnb, args)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == f"✕ {said}"


def test_help_and_version_end_with_0_and_answer_on_standard_output() -> None:
    for args in (["--help"], ["-h"], ["--version"], ["deploy", "--help"], ["lock", "--help"]):
        ran = CliRunner().invoke(opsnb, args)
        assert (ran.exit_code, ran.stderr) == (0, "")
        assert ran.stdout.startswith(("Usage: opsnb", "opsnb "))


def test_a_wrong_key_is_named_with_its_file_and_line(shell: Shell) -> None:
    shell.config('[servers.web1]\nurl = "{url}"\nkeep = 3\n')
    ran = shell("releases", "web1")
    assert ran.returncode == 2
    assert "opsnb.toml:3: servers.web1.keep" in ran.stderr


def test_a_change_without_a_terminal_and_without_yes_is_refused_with_2(shell: Shell) -> None:
    shell.source("v1")
    for args in (
        ["deploy", shell.server, "v1"],
        ["rollback", shell.server],
        ["adopt", shell.server],
    ):
        ran = shell(*args)
        assert ran.returncode == 2
        assert "--yes" in ran.stderr
    assert not shell.deploy_to.exists()


def test_an_environment_that_asks_nothing_needs_no_yes(shell: Shell) -> None:
    shell.config(
        '[environments.dev]\nconfirm = "none"\n[servers.web1]\nurl = "{url}"\nenvironment = "dev"\n'
    )
    ran = shell("deploy", "web1", shell.source("v1"))
    assert ran.returncode == 0
    assert shell.live


def test_a_closed_port_ends_with_10(shell: Shell) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        ran = shell("check", f"ssh://nobody@127.0.0.1:{port}/srv/shop")
    assert ran.returncode == 10
    assert ran.stderr.startswith("✕ cannot connect")


def test_an_unknown_host_key_ends_with_10_and_shows_its_fingerprint(
    shell: Shell, sshd: EmbeddedServer
) -> None:
    empty = shell.folder / "known_hosts"
    empty.write_text("")
    config = shell.folder / "ssh_config"
    known = sshd.ssh_config.read_text()
    config.write_text(known.replace(str(sshd.known_hosts), str(empty)))
    ran = shell("--ssh-config", str(config), "releases", sshd.url)
    assert ran.returncode == 10
    assert "is unknown: ssh-ed25519 SHA256:" in ran.stderr
    trusted = shell("--ssh-config", str(sshd.ssh_config), "releases", sshd.url)
    assert trusted.returncode == 0, trusted.stderr


def test_a_site_in_the_way_ends_with_11_for_check_and_for_deploy(shell: Shell) -> None:
    (shell.deploy_to / "current").mkdir(parents=True)
    for ran in (
        shell("check", shell.server),
        shell("deploy", shell.server, shell.source("v1"), "--yes"),
    ):
        assert ran.returncode == 11
        assert "real directory" in ran.stdout + ran.stderr
    assert [path.name for path in shell.deploy_to.iterdir()] == ["current"]


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "below a file"])
def test_a_path_that_is_no_directory_ends_with_11_for_whoever_asks(shell: Shell, what: str) -> None:
    shell.deploy_to.parent.mkdir(parents=True, exist_ok=True)
    server = shell.server
    if what == "a link to nothing":
        shell.deploy_to.symlink_to("nowhere")
    else:
        shell.deploy_to.write_text("mine")
        server += "/sub" if what == "below a file" else ""
    for words in (
        ("check", server),
        ("releases", server),
        ("deploy", server, shell.source("v1"), "--yes"),
    ):
        ran = shell(*words)
        assert ran.returncode == 11, ran.stderr
        assert f"{shell.deploy_to.name} is no directory" in ran.stderr


def test_shared_that_is_a_file_is_told_by_check_and_by_deploy(shell: Shell) -> None:
    shell.deploy_to.mkdir(parents=True)
    (shell.deploy_to / "shared").write_text("mine")
    for ran in (
        shell("check", shell.server),
        shell("deploy", shell.server, shell.source("v1"), "--yes"),
    ):
        assert ran.returncode == 11
        assert "shared is not a directory of its own" in ran.stdout + ran.stderr
    assert [path.name for path in shell.deploy_to.iterdir()] == ["shared"]


def test_a_hold_is_told_by_check_and_by_every_plan_that_it_would_refuse(shell: Shell) -> None:
    shell.deployed("v1", "v2", "v3")
    assert shell("lock", shell.server, "acquire", "-m", "photos on Monday").returncode == 0
    assert shell("check", shell.server).returncode == 12
    for words in (
        ("plan", shell.server, shell.source("v4")),
        ("prune", shell.server, "--keep", "1", "--dry-run"),
    ):
        ran = shell(*words)
        assert ran.returncode == 0
        assert "photos on Monday" in ran.stdout + ran.stderr


def test_what_an_address_is_given_for_names_that_address_in_what_to_do(shell: Shell) -> None:
    """Its host may well be the name of another site."""
    shell.deployed("v1")
    held = shell("lock", shell.server, "acquire", "-m", "photos")
    assert f"`opsnb lock {shell.server} release`" in " ".join(held.stdout.split())
    ran = shell("deploy", shell.server, shell.source("v2"), "--yes")
    assert ran.returncode == 12
    assert f"`opsnb lock {shell.server} release --force`" in " ".join(ran.stderr.split())


def test_a_secret_that_is_not_set_is_told_by_the_plan(shell: Shell) -> None:
    (shell.folder / "opsnb.toml").write_text(
        f"[servers.web1]\nurl = '{shell.server}'\nsecrets = ['NOT_SET_ANYWHERE']\n"
    )
    ran = shell("deploy", "web1", shell.source("v1"), "--dry-run")
    assert ran.returncode == 0
    assert "the secret NOT_SET_ANYWHERE is not set" in ran.stdout + ran.stderr
    assert shell("deploy", "web1", "v1", "--yes").returncode == 2


def test_a_hold_locks_a_deploy_with_12_until_it_is_released(shell: Shell) -> None:
    shell.deployed("v1")
    assert shell("lock", shell.server, "acquire", "-m", "photos on Monday").returncode == 0
    ran = shell("deploy", shell.server, shell.source("v2"), "--yes")
    assert ran.returncode == 12
    assert "photos on Monday" in ran.stderr
    assert "photos on Monday" in shell("lock", shell.server, "status").stdout
    other = shell("lock", shell.server, "release", OPSNB_USER="bob")
    assert other.returncode == 12
    assert shell("lock", shell.server, "release").returncode == 0
    assert shell("deploy", shell.server, "v2", "--yes").returncode == 0


def test_wait_waits_for_a_running_change_and_without_it_the_status_is_12(shell: Shell) -> None:
    shell.config(HOOKED)
    shell.deployed("v1")
    first = shell.start("deploy", "short", shell.source("v2"), "--yes")
    wait_for((shell.deploy_to / "hook-began").exists, "the hook")
    assert shell("deploy", "web1", shell.source("v3"), "--yes", "--wait", "20").returncode == 0
    assert first.wait(20) == 0
    first.communicate()
    assert (shell.deploy_to / "current" / "index.html").read_text() == "v3"


def test_no_such_release_ends_with_13(shell: Shell) -> None:
    shell.deployed("v1")
    for args in (
        ["rollback", shell.server, "--yes"],
        ["rollback", shell.server, "--to", "20200101000000", "--yes"],
        ["pin", shell.server, "20200101000000"],
        ["diff", shell.server, shell.live, "20200101000000"],
    ):
        assert shell(*args).returncode == 13


def test_a_hook_that_fails_before_the_switch_ends_with_20_and_changes_nothing(shell: Shell) -> None:
    shell.config(HOOKED)
    live = shell.deployed("v1")
    ran = shell("deploy", "fails", shell.source("v2"), "--yes")
    assert (ran.returncode, shell.live) == (20, live)
    assert "│ told by the hook" in ran.stderr
    assert f"the switch did not happen; visitors see {live}" in ran.stderr
    assert ran.stdout == ""


def test_a_check_that_fails_after_the_switch_ends_with_21_and_is_put_back(shell: Shell) -> None:
    shell.config(HOOKED)
    live = shell.deployed("v1")
    ran = shell("deploy", "sick", shell.source("v2"), "--yes")
    assert (ran.returncode, shell.live) == (21, live)
    assert "put back" in ran.stderr


def test_a_first_deploy_that_fails_its_check_ends_with_22(shell: Shell) -> None:
    shell.config(HOOKED)
    ran = shell("deploy", "sick", shell.source("v1"), "--yes")
    assert ran.returncode == 22
    assert "was not put back" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_switch_ends_with_130_and_the_live_site_is_untouched(
    shell: Shell, number: signal.Signals
) -> None:
    shell.config(HOOKED)
    live = shell.deployed("v1")
    process = shell.start("deploy", "slow", shell.source("v2"), "--yes")
    wait_for((shell.deploy_to / "hook-began").exists, "the hook")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, shell.live, out) == (130, live, "")
    assert "interrupted before the switch: the live release is untouched" in err
    assert [path.name for path in (shell.deploy_to / "releases").iterdir()] == [live]
    assert shell("lock", shell.server, "status").stdout.startswith("✓ free")


def test_a_signal_after_the_switch_says_that_it_had_happened(shell: Shell) -> None:
    shell.config(HOOKED)
    live = shell.deployed("v1")
    process = shell.start("deploy", "slow-after", shell.source("v2"), "--yes", "--json")
    wait_for((shell.deploy_to / "hook-began").exists, "the hook")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    report = json.loads(out.splitlines()[-1])
    assert (process.returncode, err) == (130, "")
    assert (report["switched"], report["exit_status"]) == (True, 130)
    assert "interrupted after the switch" in report["error"]
    assert shell.live != live


def test_a_changed_audit_log_ends_with_20_and_an_unchanged_one_with_0(shell: Shell) -> None:
    shell.deployed("v1")
    held = shell("log", shell.server, "--verify")
    assert held.returncode == 0
    assert "the log holds" in held.stdout
    log = shell.deploy_to / ".opsnb" / "audit.jsonl"
    log.write_text(log.read_text().replace("deploy.begin", "deploy.other", 1))
    ran = shell("log", shell.server, "--verify")
    assert ran.returncode == 20
    assert "line 2" in ran.stdout


@click.group(cls=Border)
def broken() -> None:
    """A program with a bug."""


@broken.command()
@click.option("--json", is_flag=True)
def crash(json: bool) -> None:
    raise KeyError("\x1b[31mno such thing")


def test_a_bug_ends_with_1_one_line_and_the_way_to_its_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = CliRunner().invoke(broken, ["crash"])
    assert ran.exit_code == 1
    assert "a bug in opsnb: KeyError" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "\x1b" not in ran.stderr
    assert json.loads(CliRunner().invoke(broken, ["crash", "--json"]).stdout)["exit_status"] == 1
    monkeypatch.setenv("OPSNB_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(broken, ["crash"]).stderr


def test_a_reader_that_goes_away_is_no_error_and_stops_no_change(shell: Shell) -> None:
    process = shell.start("deploy", shell.server, shell.source("v1"), "--yes", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), err) == (0, "")
    assert shell.live


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["words", "JSON"])
def test_a_full_disk_for_its_words_stops_no_change(shell: Shell, more: list[str]) -> None:
    """And the exit status is the change's own."""
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*OPSNB, "deploy", shell.server, shell.source("v1"), "--yes", *more],
            cwd=shell.folder,
            env=shell.env,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=full,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 0
    assert shell.live
    assert shell("log", shell.server).stdout.count("deploy.done") == 1


def test_a_terminal_that_is_closed_ends_the_build_of_a_plan(shell: Shell) -> None:
    shell.config(
        '[servers.web1]\nurl = "{url}"\nbuild = ["sleep 77.31; true"]\nisolation = "none"\n'
    )
    process = shell.start("plan", "web1", shell.source("v1"))
    wait_for(lambda: bool(running("77.31")), "the build")
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert not running("77.31")


def test_a_question_whose_reader_goes_away_is_quiet(shell: Shell) -> None:
    process = shell.start("config")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), err) == (0, "")


def test_the_address_alone_suffices_without_a_configuration(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert not (tmp_path / "opsnb.toml").exists()
    assert shell("check", shell.server).returncode == 0
