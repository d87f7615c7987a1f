"""A real OpenSSH server on loopback, run by an ordinary user.

Rule 1: the machine stays as it is: no account, no system file, no privilege.
    ``libnss_wrapper`` shows sshd, and every command that runs under it, a passwd file of ours.
Rule 2: what was started here is ended here, even if it detached itself.

Linux only: it reads ``/proc``.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

import pytest

from tests.support.ports import free_port

HOST = "127.0.0.1"
USER = "deploy"
ALIAS = "web1"

ROOT_RUNS_AS = 41234
"""The uid and gid of `USER` when root runs the tests. Anybody else runs the server as himself."""

LOGIN_SHELLS: dict[str, str] = {
    "bash": "/bin/bash",
    "dash": "/bin/dash",
    "zsh": "/bin/zsh",
    "mksh": "/bin/mksh",
    "fish": "/usr/bin/fish",
    "tcsh": "/bin/tcsh",
    "ash": "/bin/busybox",
}
"""The login shells to test with. BusyBox gets a link named ``ash``: it goes by its own name."""

NOISE = r"""echo 'noise: welcome to this server'
/bin/sh -c 'echo "noise: and mind the step" >&2'
/usr/bin/printf 'noise: \377\376 \303\050 \033[31m\n'
"""
"""An rc file for every shell here: text on stdout, text on stderr, bytes that are not UTF-8."""

NOISE_BANNER = "banner: authorised use only — \x1b[31mbe warned\x1b[0m\n"

# Where each shell looks when sshd starts it with ``-c``. The others read nothing then, so theirs
# is the file that sshd itself runs, by /bin/sh, before the command of any user.
_RC_FILES = {
    "bash": ".bashrc",
    "zsh": ".zshenv",
    "fish": ".config/fish/config.fish",
    "tcsh": ".tcshrc",
}
_SSHD_RC_FILE = ".ssh/rc"

_PACKAGES = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "libnss_wrapper.so": "libnss-wrapper",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "dropbear": "dropbear-bin",
    "dropbearkey": "dropbear-bin",
    "tinysshd-makekey": "tinysshd",
    "tinysshd-printkey": "tinysshd",
    "losetup": "mount",
    "umount": "mount",
}

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_PORTS_TO_TRY = 5
_MARK = "OPSNB_TEST_SSHD"


def require(tool: str) -> str:
    """Find a program, or a shared library (``libnss_wrapper.so``), and return its path.

    Without it a test is skipped with the name of the Debian package; in CI it fails, since a test
    that never runs proves nothing.
    """
    if tool.endswith(".so"):
        found = next((str(path) for path in Path("/usr").glob(f"lib*/**/{tool}")), None)
    else:
        found = shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        _missing(tool)
    return found


def _missing(tool: str) -> NoReturn:
    name = Path(tool).name
    absent(f"{tool} is not here: apt-get install {_PACKAGES.get(name, name)}")


def absent(text: str) -> NoReturn:
    """Skip a test whose real part is missing; in CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{text} (in CI nothing is skipped)")
    pytest.skip(text)


class RealSshd:
    """``/usr/sbin/sshd`` with its own keys, port, home directory and login shell.

    Parameters:
        base: where to keep its files. Unless its user can reach that directory (pytest's
            ``tmp_path`` is closed to him when root runs the tests), a new one in ``/tmp`` is used
            and removed at the end; `self.base` says which.
        shell: the login shell: a name in `LOGIN_SHELLS`, or a path.
        rc: text of the file that this shell reads before a command; `NOISE` suits all of them.
        banner: text that sshd sends before authentication.
        options: sshd_config lines, or names and values; they win over the defaults here.
            ``SetEnv`` is added to ours.
        preload: a library that is loaded into every program of a session, not into sshd itself.
        environment: variables of every session.

    Lone surrogates in `rc` and `banner` (``"\\udcff"``) become the bytes that they stand for.

    Attributes:
        user, uid, gid, host, port, alias: who and where. `alias` is the name in `ssh_config`.
        base, home, deploy_to: directories; `deploy_to` is not made.
        client_key, known_hosts, ssh_config: files for the client.
    """

    def __init__(
        self,
        base: Path | None = None,
        shell: str = "/bin/sh",
        rc: str | None = None,
        banner: str | None = None,
        options: Mapping[str, str] | Iterable[str] = (),
        preload: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._sshd = require("sshd")
        self._keygen = require("ssh-keygen")
        self._ssh = require("ssh")
        self._nss_wrapper = require("libnss_wrapper.so")
        self._shell = require(LOGIN_SHELLS.get(shell, shell))
        self._rc = rc
        self._banner = banner
        if isinstance(options, Mapping):
            options = [f"{name} {value}" for name, value in options.items()]
        self._options = list(options)
        self._session = dict(environment or {})
        if preload is not None:
            self._session["LD_PRELOAD"] = f"{self._nss_wrapper} {preload}"

        root = os.geteuid() == 0
        self.user = USER
        self.host = HOST
        self.port = 0
        self.alias = ALIAS
        self.uid = ROOT_RUNS_AS if root else os.geteuid()
        self.gid = ROOT_RUNS_AS if root else os.getegid()
        self._as_user: dict[str, Any] = (
            {"user": self.uid, "group": self.gid, "extra_groups": []} if root else {}
        )
        self._mark = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

        self._own_base = base is None or not self._reaches(base)
        if base is None or self._own_base:
            base = Path(tempfile.mkdtemp(prefix="opsnb-sshd-", dir="/tmp"))
        self.base = base
        self.home = base / "home"
        self.deploy_to = self.home / "shop"
        self._private = base / "sshd"
        self._client = base / "client"
        self._log = base / "sshd.log"
        self.client_key = self._client / "id_ed25519"
        self.known_hosts = self._client / "known_hosts"
        self.ssh_config = self._client / "config"

    def __enter__(self) -> Self:
        try:
            self._lay_out()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What a test does with it

    def url(self, path: str | Path | None = None, port: int | None = None) -> str:
        """The address of a path on this server, `deploy_to` if none is given."""
        return f"ssh://{self.user}@{self.host}:{port or self.port}{path or self.deploy_to}"

    def log(self) -> str:
        """What sshd wrote to its log until now."""
        return self._log.read_text(errors="backslashreplace")

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        *,
        timeout: float = 30.0,
        config: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command with OpenSSH's client; the login shell reads it. Nothing is checked."""
        return subprocess.run(
            [self._ssh, "-F", str(config or self.ssh_config), self.alias, command],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def run_script(
        self, script: str, *, timeout: float = 30.0, config: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a POSIX script whatever the login shell is: ``exec /bin/sh -s``, script on stdin."""
        return self.run("exec /bin/sh -s", script.encode(), timeout=timeout, config=config)

    def as_user(self, *argv: str | Path, stdin: bytes = b"") -> bytes:
        """Run a program on this machine as the server's user, in his home; return its stdout."""
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            [str(word) for word in argv],
            input=stdin,
            stdout=subprocess.PIPE,
            cwd=self.home,
            env=self._environment()
            | {"PATH": os.defpath, "HOME": str(self.home), "USER": self.user},
            umask=0o022,
            check=True,
            timeout=60,
            **self._as_user,
        )
        return done.stdout

    def own(self, path: Path) -> Path:
        """Give a path, and all below it, to the server's user; links are not followed."""
        below = [
            Path(top, name) for top, *names in os.walk(path) for some in names for name in some
        ]
        for each in (path, *below):
            os.chown(each, self.uid, self.gid, follow_symlinks=False)
        return path

    def via(self, port: int) -> Path:
        """An ssh_config that reaches this server through another port here, e.g. a relay's."""
        config = self._client / f"config-{port}"
        self._know(port, config)
        return config

    # Its life

    def start(self) -> None:
        """Start sshd, on the port that it had before if there is one, and wait for its greeting."""
        if self._process is not None:
            raise RuntimeError("sshd is running")
        ports = [self.port] if self.port else [free_port() for _ in range(_PORTS_TO_TRY)]
        for port in ports:
            if self._listen(port):
                self.port = port
                self._know(port, self.ssh_config)
                return
        raise RuntimeError(f"sshd got no port of {ports}:\n{self.log()}")

    def stop(self) -> None:
        """End sshd and all that runs under it. `start` brings it back on the same port."""
        if self._process is None:
            return
        everything = self._freeze()
        for pid in everything:
            _send(pid, signal.SIGKILL)
        self._process.wait(_STOP_SECONDS)
        self._process = None
        deadline = time.monotonic() + _STOP_SECONDS
        while left := {pid for pid in everything if _is_alive(pid)}:
            if time.monotonic() > deadline:
                raise RuntimeError(f"still there after SIGKILL: {left}")
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Stop, and remove the directory if it is ours."""
        self.stop()
        if self._own_base and self.base.exists():
            subprocess.run(["chmod", "-R", "u+rwX", str(self.base)], check=True)
            shutil.rmtree(self.base)

    def processes(self) -> set[int]:
        """The pids of sshd and of everything that was started under it and is still alive."""
        table = _process_table()
        found = {pid for pid in table if _has_environment(pid, f"{_MARK}={self._mark}")}
        if self._process is not None and self._process.poll() is None:
            found.add(self._process.pid)
        while more := {pid for pid, row in table.items() if row.parent in found} - found:
            found |= more
        return {pid for pid in found if pid in table and table[pid].state not in "ZX"}

    # How it is made

    def _lay_out(self) -> None:
        if self._own_base:
            self.base.chmod(0o711)
        for folder, mode in ((self._private, 0o700), (self.home, 0o755), (self._client, 0o700)):
            folder.mkdir(mode)
            folder.chmod(mode)

        host_key = self._private / "host_key"
        for key in (host_key, self.client_key):
            subprocess.run(
                [self._keygen, "-q", "-t", "ed25519", "-N", "", "-C", "opsnb-test", "-f", str(key)],
                check=True,
            )
        shutil.copy(self.client_key.with_suffix(".pub"), self._private / "authorized_keys")

        shell = self._shell
        if Path(shell).name == "busybox":
            link = self.base / "ash"
            link.symlink_to(shell)
            shell = str(link)
        (self._private / "passwd").write_text(
            f"{self.user}:x:{self.uid}:{self.gid}:opsnb test:{self.home}:{shell}\n"
        )
        (self._private / "group").write_text(f"{self.user}:x:{self.gid}:\n")
        if self._banner is not None:
            (self._private / "banner").write_text(
                self._banner, encoding="utf-8", errors="surrogateescape"
            )
        if self._rc is not None:
            rc_file = self.home / _RC_FILES.get(Path(shell).name, _SSHD_RC_FILE)
            rc_file.parent.mkdir(parents=True, exist_ok=True)
            rc_file.write_text(self._rc, encoding="utf-8", errors="surrogateescape")

        self.own(self.home)
        self.own(self._private)
        (self._private / "sshd_config").write_text("\n".join([*self._config(host_key), ""]))
        self.own(self._private)

    def _config(self, host_key: Path) -> list[str]:
        # sshd takes the first value that it meets, and of several SetEnv lines only the first
        is_set_env = re.compile(r"\s*SetEnv[\s=]", re.IGNORECASE).match
        set_env = [line.strip()[len("SetEnv") + 1 :] for line in self._options if is_set_env(line)]
        session = self._environment() | self._session
        set_env += [f'"{name}={value}"' for name, value in session.items()]
        lines = [
            *(line for line in self._options if not is_set_env(line)),
            f"SetEnv {' '.join(set_env)}",
            f"ListenAddress {self.host}",
            f"HostKey {host_key}",
            f"AuthorizedKeysFile {self._private / 'authorized_keys'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "PidFile none",
            "PrintMotd no",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]
        if self._banner is not None:
            lines.append(f"Banner {self._private / 'banner'}")
        if self._knows("PerSourcePenalties"):
            # since OpenSSH 9.8: an address whose connections break is refused for a while, and
            # here every test comes from the same address
            lines.append("PerSourcePenalties no")
        return lines

    def _knows(self, option: str) -> bool:
        host_key = self._private / "host_key"
        asked = subprocess.run(
            [self._sshd, "-t", "-f", "/dev/null", "-h", host_key, "-o", f"{option} no"],
            capture_output=True,
            check=False,
            **self._as_user,
        )
        return asked.returncode == 0

    def _environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": self._nss_wrapper,
            "NSS_WRAPPER_PASSWD": str(self._private / "passwd"),
            "NSS_WRAPPER_GROUP": str(self._private / "group"),
            _MARK: self._mark,
        }

    def _listen(self, port: int) -> bool:
        """Start sshd on a port; False if somebody else has it."""
        self._log.touch()
        seen = len(self.log())
        command = [
            self._sshd,
            "-D",
            "-e",
            "-f",
            str(self._private / "sshd_config"),
            "-p",
            str(port),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment(),
                umask=0o022,
                start_new_session=True,
                **self._as_user,
            )
        deadline = time.monotonic() + _START_SECONDS
        while "Server listening on" not in (said := self.log()[seen:]):
            if self._process.poll() is not None:
                self._process = None
                if "Address already in use" in said:
                    return False
                raise RuntimeError(f"sshd ended:\n{said}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"sshd does not listen after {_START_SECONDS:g} s:\n{said}")
            time.sleep(_POLL_SECONDS)
        with socket.create_connection((self.host, port), _START_SECONDS) as line:
            greeting = line.recv(64)
        if not greeting.startswith(b"SSH-2.0-OpenSSH"):
            raise RuntimeError(f"sshd greets with {greeting!r}:\n{self.log()}")
        return True

    def _know(self, port: int, config: Path) -> None:
        kind, key, *_ = (self._private / "host_key.pub").read_text().split()
        entry = f"[{self.host}]:{port} {kind} {key}\n"
        known = self.known_hosts.read_text() if self.known_hosts.exists() else ""
        if entry not in known:
            self.known_hosts.write_text(known + entry)
        config.write_text(
            f"Host {self.alias} {self.host}\n"
            f"  HostName {self.host}\n"
            f"  Port {port}\n"
            f"  User {self.user}\n"
            f"  IdentityFile {self.client_key}\n"
            "  IdentitiesOnly yes\n"
            "  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n"
            "  UpdateHostKeys no\n"
            "  BatchMode yes\n"
        )

    def _reaches(self, folder: Path) -> bool:
        # `test` and not os.access, which answers for root
        asked = subprocess.run(
            ["test", "-x", str(folder)], check=False, env={"PATH": os.defpath}, **self._as_user
        )
        return asked.returncode == 0

    def _freeze(self) -> set[int]:
        """Stop every process of ours where it stands, so that none can fork away; return them."""
        frozen: set[int] = set()
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            table = _process_table()
            found = self.processes()
            moving = {pid for pid in found if pid in table and table[pid].state not in "TtZX"}
            if (found <= frozen and not moving) or time.monotonic() > deadline:
                return found | frozen
            for pid in found - frozen:
                _send(pid, signal.SIGSTOP)
            frozen |= found


class _Row(NamedTuple):
    parent: int
    state: str


def _process_table() -> dict[int, _Row]:
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # the name of the program stands in brackets and may contain anything
                state, parent, *_ = (
                    (folder / "stat").read_text("latin-1").rpartition(")")[2].split()
                )
                table[int(folder.name)] = _Row(int(parent), state)
    return table


def _is_alive(pid: int) -> bool:
    row = _process_table().get(pid)
    return row is not None and row.state not in "ZX"


def _has_environment(pid: int, setting: str) -> bool:
    try:
        return setting.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
