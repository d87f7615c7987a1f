"""The account that the README shows: a key that starts one shell, and can do nothing else."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.server import Server
from tests.support.sshd import RealSshd, require

LINE = 'restrict,command="exec /bin/sh -s"'


@pytest.fixture
def sshd() -> Iterator[RealSshd]:
    with RealSshd(options=["AllowTcpForwarding yes", "AllowAgentForwarding yes"]) as running:
        yield running


def restrict(sshd: RealSshd) -> None:
    keys = sshd.base / "sshd" / "authorized_keys"
    keys.write_text(f"{LINE} {keys.read_text()}")


def test_opsnb_does_everything_through_it(sshd: RealSshd, tmp_path: Path) -> None:
    restrict(sshd)
    (tmp_path / "index").write_text("one")
    there = Server(sshd.url(), ssh_config=sshd.ssh_config)
    assert all(finding.ok is not False for finding in there.findings())
    there.deploy(tmp_path).wait()
    (tmp_path / "index").write_text("two")
    there.deploy(tmp_path).wait()
    there.rollback().wait()
    assert there.run("cat index", directory="current").out == "one"
    there.hold("why").wait()
    there.unhold().wait()
    there.prune(1).wait()
    assert len(there.releases()) > 0
    assert there.verify_log() == []
    there.close()


def said(sshd: RealSshd, *args: str, program: str = "ssh", stdin: bytes = b"") -> bytes:
    """What a client says before it ends, or is ended since it waits for ever."""
    command = [require(program), "-F", str(sshd.ssh_config), *args]
    try:
        ran = subprocess.run(command, input=stdin, capture_output=True, timeout=3, check=False)
    except subprocess.TimeoutExpired as late:
        return late.stdout or b""
    return ran.stdout


def doors(sshd: RealSshd) -> set[str]:
    """What else that key opens."""
    found = set()
    if said(sshd, sshd.alias, f"touch {sshd.home}/command; echo ran") == b"ran\n":
        found.add("commands")
    if said(sshd, "-tt", sshd.alias, "tty").startswith(b"/dev/"):
        found.add("terminal")
    if b"/home" in said(sshd, "-b", "-", sshd.alias, program="sftp", stdin=b"pwd\n"):
        found.add("sftp")
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.2)
        said(sshd, "-W", f"127.0.0.1:{inside.getsockname()[1]}", sshd.alias)
        try:
            inside.accept()[0].close()
        except TimeoutError:
            return found
    return found | {"forwarding"}


def test_it_opens_nothing_else(sshd: RealSshd) -> None:
    restrict(sshd)
    assert doors(sshd) == set()
    assert not (sshd.home / "command").exists()


def test_the_control_without_it_the_key_opens_everything(sshd: RealSshd) -> None:
    assert doors(sshd) >= {"commands", "sftp", "forwarding"}


def test_it_is_no_cage_for_who_holds_the_key(sshd: RealSshd) -> None:
    """As the README says: what the shell is sent, it runs with the rights of the account."""
    restrict(sshd)
    ran = sshd.run("ignored", b"id -u; touch here\n")
    assert ran.stdout.strip() == str(sshd.uid).encode()
    assert (sshd.home / "here").exists()


def test_the_readme_shows_this_line() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = re.findall(r"^restrict,.*?\"(?= )", readme, re.MULTILINE)
    assert shown in ([], [LINE])
