"""The connection that a command begins before its configuration is checked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from opsnb.embedded.sshd import EmbeddedServer
from tests.cli.conftest import Shell
from tests.support.proxy import Relay


@pytest.fixture
def line(shell: Shell, sshd: EmbeddedServer) -> Iterator[Relay]:
    """The way to the server, whose ssh_config is in the shell's folder."""
    with Relay(sshd.port) as relay:
        known = sshd.known_hosts.read_text().replace(f":{sshd.port} ", f":{relay.port} ")
        (shell.folder / "known_hosts").write_text(known)
        (shell.folder / "ssh_config").write_text(
            f"IdentityFile {sshd.client_key}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {shell.folder}/known_hosts\nUser {sshd.user}\n"
        )
        yield relay


def configured(shell: Shell, line: Relay, *more: str) -> tuple[str, ...]:
    """Write a configuration of one server, web1; the options that name it."""
    url = f"ssh://127.0.0.1:{line.port}{shell.deploy_to}"
    lines = ("[servers.web1]", f'url = "{url}"', *more)
    (shell.folder / "opsnb.toml").write_text("\n".join(lines))
    return ("--ssh-config", "ssh_config")


def test_it_is_the_one_that_is_used(shell: Shell, line: Relay) -> None:
    live = shell.deployed("v1")
    ran = shell(*configured(shell, line, "connect_timeout = 20"), "releases", "web1", "--json")
    assert json.loads(ran.stdout)[0]["name"] == live, ran.stderr
    assert line.accepted == 1
    ran = shell("--ssh-config", "ssh_config", "deploy", "web1", shell.source("v2"), "--yes")
    assert ran.returncode == 0, ran.stderr
    assert line.accepted == 2


def test_with_a_configuration_that_is_wrong_it_ends_with_the_command(
    shell: Shell, line: Relay
) -> None:
    line.delay_ms = 300
    ran = shell(*configured(shell, line, "colour = 'red'"), "releases", "web1")
    assert ran.returncode == 2
    assert "opsnb.toml:3: servers.web1.colour: no such key" in ran.stderr
    assert ran.stdout == ""


def test_nothing_is_begun_for_a_change_where_everything_is_read_only(
    shell: Shell, line: Relay
) -> None:
    options = configured(shell, line)
    ran = shell(*options, "rollback", "web1", "--yes", OPSNB_READ_ONLY="1")
    assert (ran.returncode, line.accepted) == (2, 0)
    options = configured(shell, line, "read_only = true")
    ran = shell(*options, "rollback", "web1", "--yes")
    assert (ran.returncode, line.accepted) == (2, 0)
    assert "read-only" in ran.stderr
    ran = shell(*options, "releases", "web1")
    assert (ran.returncode, line.accepted) == (0, 1)
