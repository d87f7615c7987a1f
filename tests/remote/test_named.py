"""Files that ssh's configuration names and that are missing: passed over, as OpenSSH does it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.errors import ConnectError, HostKeyError, LoginError
from opsnb.server import Server
from tests.support.sshd import RealSshd, require


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the user's own, with nothing in ``.ssh``, and no agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def agent(sshd: RealSshd, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real agent that holds the key of the login."""
    socket = home / "agent"
    running = subprocess.Popen([require("ssh-agent"), "-D", "-a", socket], stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert running.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run([require("ssh-add"), "-q", sshd.client_key], check=True)
        yield
    finally:
        running.terminate()
        running.communicate()


def configured(sshd: RealSshd, folder: Path, *lines: str) -> Path:
    """An ssh_config that says where the server is, and these lines."""
    config = folder / "ssh_config"
    place = (f"HostName {sshd.host}", f"Port {sshd.port}", f"User {sshd.user}")
    config.write_text("\n".join([*place, "BatchMode yes", *lines, ""]))
    return config


def key(sshd: RealSshd) -> str:
    return f"IdentityFile {sshd.client_key}"


def known(sshd: RealSshd) -> str:
    return f"UserKnownHostsFile {sshd.known_hosts}"


def other_key(folder: Path) -> Path:
    """A key that the server does not know."""
    made = folder / "other"
    keygen = require("ssh-keygen")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", made], check=True)
    return made


def fingerprint(sshd: RealSshd) -> str:
    keygen = [require("ssh-keygen"), "-l", "-f", str(sshd.known_hosts)]
    return subprocess.run(keygen, capture_output=True, text=True, check=True).stdout.split()[1]


def look(config: Path | None) -> str:
    one = Server("ssh://web1/srv/x", ssh_config=config)
    try:
        return one.look().user
    finally:
        one.close()


def openssh(sshd: RealSshd, config: Path) -> bool:
    """Whether OpenSSH's client comes in with the same configuration."""
    return sshd.run("true", config=config).returncode == 0


# known_hosts files


@pytest.mark.parametrize(
    "names",
    ["{known} {gone}", "{gone} {known}", "{folder}/no/where {known}", "{known}/in-a-file {known}"],
)
def test_a_known_hosts_file_that_is_missing_is_passed_over(
    sshd: RealSshd, home: Path, names: str
) -> None:
    files = names.format(known=sshd.known_hosts, gone=home / "gone", folder=home)
    config = configured(sshd, home, key(sshd), f"UserKnownHostsFile {files}")
    assert openssh(sshd, config)
    assert look(config) == sshd.user


def test_so_it_is_in_the_user_s_own_configuration(sshd: RealSshd, home: Path) -> None:
    (home / ".ssh" / "known_hosts").write_text(sshd.known_hosts.read_text())
    names = "UserKnownHostsFile ~/.ssh/known_hosts ~/.ssh/known_hosts2"
    configured(sshd, home, key(sshd), names).rename(home / ".ssh" / "config")
    assert look(None) == sshd.user


@pytest.mark.parametrize("extra", ["", "StrictHostKeyChecking no"])
def test_where_every_known_hosts_file_is_missing_the_key_is_unknown(
    sshd: RealSshd, home: Path, extra: str
) -> None:
    # What the user's own file knows does not count where others are named.
    (home / ".ssh" / "known_hosts").write_text(sshd.known_hosts.read_text())
    names = f"UserKnownHostsFile {home}/gone {home}/gone-too"
    config = configured(sshd, home, key(sshd), names, extra)
    before = len(sshd.log())
    with pytest.raises(HostKeyError, match="unknown") as refused:
        look(config)
    assert fingerprint(sshd) in refused.value.message
    assert "connect once with ssh" in refused.value.hint
    assert "Accepted" not in sshd.log()[before:]
    assert not (home / "gone").exists()


@pytest.mark.parametrize("names", ["{there} {gone}", "{gone} {there}"])
def test_a_wrong_key_in_the_file_that_is_there_is_refused(
    sshd: RealSshd, home: Path, names: str
) -> None:
    there = home / "there"
    wrong = other_key(home).with_suffix(".pub").read_text()
    there.write_text(f"[{sshd.host}]:{sshd.port} {wrong}")
    files = names.format(there=there, gone=home / "gone")
    config = configured(sshd, home, key(sshd), f"UserKnownHostsFile {files}")
    assert not openssh(sshd, config)
    before = len(sshd.log())
    with pytest.raises(HostKeyError, match="CHANGED") as refused:
        look(config)
    assert fingerprint(sshd) in refused.value.message
    assert "Accepted" not in sshd.log()[before:]


def test_a_revoked_key_stays_revoked_beside_a_missing_file(sshd: RealSshd, home: Path) -> None:
    (home / "revoked").write_text(f"@revoked {sshd.known_hosts.read_text()}")
    names = f"{known(sshd)} {home}/gone {home}/revoked"
    config = configured(sshd, home, key(sshd), names)
    assert not openssh(sshd, config)
    with pytest.raises(HostKeyError):
        look(config)


def test_a_file_that_is_there_and_cannot_be_read_is_no_missing_one(
    sshd: RealSshd, home: Path
) -> None:
    config = configured(sshd, home, key(sshd), f"{known(sshd)} {home}")
    with pytest.raises(ConnectError, match="Is a directory"):
        look(config)


def test_global_known_hosts_files_are_passed_over_likewise(sshd: RealSshd, home: Path) -> None:
    gone, own = f"{home}/gone", home / ".ssh" / "known_hosts"
    for lines in (
        (known(sshd), f"GlobalKnownHostsFile {gone}"),
        (f"UserKnownHostsFile {gone}", f"GlobalKnownHostsFile {gone} {sshd.known_hosts}"),
    ):
        config = configured(sshd, home, key(sshd), *lines)
        assert openssh(sshd, config)
        assert look(config) == sshd.user
    # Nothing else is named: the user's own file counts.
    config = configured(sshd, home, key(sshd), f"GlobalKnownHostsFile {gone}")
    with pytest.raises(HostKeyError, match="unknown"):
        look(config)
    own.write_text(sshd.known_hosts.read_text())
    assert look(config) == sshd.user
    config = configured(sshd, home, key(sshd), "UserKnownHostsFile none", "GlobalKnownHostsFile x")
    with pytest.raises(HostKeyError, match="UserKnownHostsFile none"):
        look(config)


def test_a_name_with_a_token_is_not_taken_for_a_missing_file(sshd: RealSshd, home: Path) -> None:
    (home / "web1").write_text(sshd.known_hosts.read_text())
    (home / "revoked-web1").write_text(f"@revoked {sshd.known_hosts.read_text()}")
    config = configured(sshd, home, key(sshd), "UserKnownHostsFile %d/%n")
    assert look(config) == sshd.user
    configured(sshd, home, key(sshd), "UserKnownHostsFile %d/%n ${HOME}/revoked-%n")
    with pytest.raises(HostKeyError):
        look(config)
    configured(sshd, home, key(sshd), "UserKnownHostsFile %d/%n %d/%Z")
    with pytest.raises(ConnectError, match="cannot be used: Invalid token"):
        look(config)


# Keys and certificates


@pytest.mark.parametrize("only", ["yes", "no"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_identity_file_that_is_missing_is_passed_over(
    sshd: RealSshd, home: Path, order: int, only: str
) -> None:
    keys = [f"IdentityFile {home}/gone", key(sshd)][::order]
    config = configured(sshd, home, known(sshd), *keys, f"IdentitiesOnly {only}")
    assert openssh(sshd, config)
    assert look(config) == sshd.user


def test_so_is_a_certificate_file(sshd: RealSshd, home: Path) -> None:
    lines = [known(sshd), f"CertificateFile {home}/gone-cert.pub"]
    config = configured(sshd, home, *lines, key(sshd))
    assert openssh(sshd, config)
    assert look(config) == sshd.user
    # With the keys that ssh tries when none is named.
    shutil.copy(sshd.client_key, home / ".ssh" / "id_ed25519")
    assert look(configured(sshd, home, *lines)) == sshd.user


@pytest.mark.parametrize("only", ["yes", "no"])
def test_where_every_identity_file_is_missing_the_login_is_refused(
    sshd: RealSshd, home: Path, only: str
) -> None:
    # The keys that ssh tries when none is named are not tried where one is.
    shutil.copy(sshd.client_key, home / ".ssh" / "id_ed25519")
    lines = [known(sshd), f"IdentitiesOnly {only}"]
    gone = f"IdentityFile {home}/gone"
    config = configured(sshd, home, *lines, gone, f"{gone}-too")
    assert not openssh(sshd, config)
    with pytest.raises(LoginError, match=f"refused the login of {sshd.user}"):
        look(config)
    assert look(configured(sshd, home, *lines)) == sshd.user


@pytest.mark.usefixtures("agent")
def test_the_agent_s_keys_are_tried_unless_identities_only_says_no(
    sshd: RealSshd, home: Path
) -> None:
    gone = f"IdentityFile {home}/gone"
    config = configured(sshd, home, known(sshd), gone)
    assert openssh(sshd, config)
    assert look(config) == sshd.user
    configured(sshd, home, known(sshd), gone, "IdentitiesOnly yes")
    assert not openssh(sshd, config)
    with pytest.raises(LoginError):
        look(config)


@pytest.mark.usefixtures("agent")
def test_the_public_half_of_a_missing_key_says_which_of_the_agent_s_it_is(
    sshd: RealSshd, home: Path
) -> None:
    config = configured(sshd, home, known(sshd), f"IdentityFile {home}/mine", "IdentitiesOnly yes")
    other = other_key(home)
    subprocess.run([require("ssh-add"), "-q", other], check=True)
    shutil.copy(other.with_suffix(".pub"), home / "mine.pub")
    assert not openssh(sshd, config)
    with pytest.raises(LoginError):
        look(config)
    shutil.copy(sshd.client_key.with_suffix(".pub"), home / "mine.pub")
    assert openssh(sshd, config)
    assert look(config) == sshd.user


def test_a_key_with_a_passphrase_is_still_passed_over(sshd: RealSshd, home: Path) -> None:
    closed = home / "closed"
    keygen = [require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "secret", "-f", str(closed)]
    subprocess.run(keygen, check=True)
    config = configured(
        sshd, home, known(sshd), f"IdentityFile {closed}", f"IdentityFile {home}/gone", key(sshd)
    )
    assert openssh(sshd, config)
    assert look(config) == sshd.user


def test_a_key_that_is_there_and_cannot_be_read_is_an_error(sshd: RealSshd, home: Path) -> None:
    config = configured(sshd, home, known(sshd), f"IdentityFile {home}", key(sshd))
    with pytest.raises(ConnectError, match="cannot be used: Is a directory"):
        look(config)
