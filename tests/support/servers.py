"""Servers of other kinds than an ordinary sshd, each on loopback, each gone at the end.

Dropbear and TinySSH run as the same ordinary user as :class:`RealSshd`. Two kinds need root, for
``ChrootDirectory``: a system that has BusyBox's tools and nothing else, and an account that is
locked up with SFTP. Their sshd has a ``/run`` of its own, so that the machine stays as it is.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.sshd import RealSshd, absent, require

_START = 10.0  # seconds


class _Other(RealSshd):
    """Another SSH server with what RealSshd lays out: user, home, keys and ssh_config."""

    def _command(self, port: int) -> list[str]:
        raise NotImplementedError

    def _lay_out(self) -> None:
        super()._lay_out()
        keys = self.home / ".ssh" / "authorized_keys"
        keys.parent.mkdir(0o700, exist_ok=True)
        shutil.copy(self.client_key.with_suffix(".pub"), keys)
        keys.chmod(0o600)
        (self._private / "host_key.pub").write_text(self._host_key())
        self.own(self.home)
        self.own(self._private)

    def _host_key(self) -> str:
        """Make the server's key; its public half, as OpenSSH writes it."""
        raise NotImplementedError

    def _listen(self, port: int) -> bool:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment() | {"PATH": os.defpath},
                umask=0o022,
                start_new_session=True,
                **self._as_user,
            )
        deadline = time.monotonic() + _START
        while not self._answers(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not listen:\n{self.log()}")
            time.sleep(0.01)
        return True

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection((self.host, port), _START) as line:
                return line.recv(64).startswith(b"SSH-2.0-")
        except ConnectionRefusedError:
            return False


class Dropbear(_Other):
    """Dropbear's server."""

    def _host_key(self) -> str:
        key = str(self._private / "dropbear_key")
        made = subprocess.run(
            [require("dropbearkey"), "-t", "ed25519", "-f", key],
            capture_output=True,
            text=True,
            check=True,
        )
        return next(line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519"))

    def _command(self, port: int) -> list[str]:
        key = str(self._private / "dropbear_key")
        where = f"{self.host}:{port}"
        return [require("dropbear"), "-F", "-E", "-s", "-m", "-r", key, "-p", where, "-P", ""]


_INETD = """
import os, signal, socket, sys
host, port, uid, gid, *argv = sys.argv[1:]
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listening = socket.create_server((host, int(port)))
while True:
    line, _ = listening.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        for number in (0, 1):
            os.dup2(line.fileno(), number)
        os.execv(argv[0], argv)
    line.close()
"""
"""What TinySSH needs before it: it serves one connection, on its standard input and output."""


class TinySsh(_Other):
    """TinySSH's server."""

    def __init__(self) -> None:
        # It trusts no key below a directory that everybody may write to, as /tmp is.
        above = "/run" if os.geteuid() == 0 else Path.home()
        base = Path(tempfile.mkdtemp(prefix="opsnb-tinyssh-", dir=above))
        base.chmod(0o711)
        super().__init__(base)
        self._own_base = True

    def _host_key(self) -> str:
        keys = str(self._private / "tinyssh")
        subprocess.run([require("tinysshd-makekey"), keys], check=True, capture_output=True)
        shown = subprocess.run(
            [require("tinysshd-printkey"), keys], check=True, capture_output=True, text=True
        )
        kind, key = next(
            line.split()[-2:] for line in shown.stdout.splitlines() if "ssh-ed25519" in line
        )
        return f"{kind} {key}\n"

    def _command(self, port: int) -> list[str]:
        serve = [require("tinysshd"), "-v"]
        ids = [str(self.uid), str(self.gid)]
        keys = str(self._private / "tinyssh")
        return [sys.executable, "-c", _INETD, self.host, str(port), *ids, *serve, keys]

    def _listen(self, port: int) -> bool:
        """The waiting is done by Python, which that user may not be able to run."""
        user, self._as_user = self._as_user, {}
        try:
            return super()._listen(port)
        finally:
            self._as_user = user


class Jailed(RealSshd):
    """An sshd whose sessions see nothing but a directory of their own, ``jail``.

    Args:
        tools: Whether BusyBox is in there, under all its names, and what it needs.
        options: As of RealSshd.
    """

    def __init__(self, *, tools: bool, options: tuple[str, ...] = ()) -> None:
        if os.geteuid() != 0:
            absent("only root may lock up an account of sshd")
        self._tools = tools
        super().__init__(options=[*options, "ChrootDirectory /run/jail"])
        self.jail = self.base / "jail"
        self._sshd_user = {"user": 0, "group": 0}

    def _lay_out(self) -> None:
        super()._lay_out()
        with (self._private / "passwd").open("a") as users:
            users.write("root:x:0:0:root:/root:/bin/sh\nsshd:x:41235:41235::/run/sshd:/bin/false\n")
        self.jail.mkdir(0o755)
        place = self.jail / "srv"
        place.mkdir(0o755)
        os.chown(place, self.uid, self.gid)
        self.deploy_to = Path("/srv/shop")
        if self._tools:
            self._furnish()

    def on_disk(self, path: Path) -> Path:
        """Where a path of a session is on this machine."""
        return self.jail / path.relative_to("/")

    def _furnish(self) -> None:
        """BusyBox under each of its names, its libraries, and three devices."""
        busybox = require("busybox")
        told = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
        needed = [word for word in told.split() if word.startswith("/")]
        for path in (busybox, *needed):
            place = self.jail / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        (self.jail / "bin").mkdir(exist_ok=True)
        for name in names.stdout.split():
            link = self.jail / "bin" / name
            if not link.exists():
                link.symlink_to(busybox)
        (self.jail / "tmp").mkdir()
        (self.jail / "tmp").chmod(0o1777)
        (self.jail / "dev").mkdir()
        for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
            os.mknod(self.jail / "dev" / name, 0o20666, os.makedev(1, minor))
            (self.jail / "dev" / name).chmod(0o666)
        (self.jail / "proc").mkdir()

    def _listen(self, port: int) -> bool:
        """As root, in a namespace with a /run of its own, with the jail in it."""
        script = (
            "mount -t tmpfs -o mode=755 tmpfs /run && mkdir -m 755 /run/sshd /run/jail &&"
            f" mount --bind '{self.jail}' /run/jail &&"
            " if [ -d /run/jail/proc ]; then mount --bind /proc /run/jail/proc; fi &&"
            ' exec "$0" "$@"'
        )
        real, user = self._sshd, self._as_user
        wrapper = self._private / "sshd-in-a-namespace"
        wrapper.write_text(
            f"#!/bin/sh\nexec {require('unshare')} --mount --propagation slave"
            f" /bin/sh -c '{script.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
            f' {real} "$@"\n'
        )
        wrapper.chmod(0o755)
        self._sshd, self._as_user = str(wrapper), {}
        try:
            return super()._listen(port)
        finally:
            self._sshd, self._as_user = real, user


LOOPS = {
    "ext4": ("160M", ("-q", "-F")),
    "xfs": ("320M", ("-q", "-m", "reflink=1")),
    "btrfs": ("320M", ("-q", "-f")),
}
"""What a file system's own program makes it with, and how large it has to be."""


@contextmanager
def file_system(kind: str, base: Path) -> Iterator[Path]:
    """Mount a file system below a directory, for as long as it is needed.

    Args:
        kind: ``ext4``, ``xfs`` (with reflink), ``btrfs``, ``tmpfs`` or ``overlay``.
        base: The directory.
    """
    place, image = base / kind, base / f"{kind}.img"
    place.mkdir()
    below = None
    if kind in LOOPS:
        size, options = LOOPS[kind]
        make = require(f"mkfs.{kind}")
        with image.open("wb") as file:
            file.truncate(int(size[:-1]) << 20)
        subprocess.run([make, *options, str(image)], check=True, capture_output=True)
        how = ["-o", "loop", str(image)]
    elif kind == "tmpfs":
        how = ["-t", "tmpfs", "-o", "size=160m", "tmpfs"]
    else:
        # Its upper half on a tmpfs of its own: an overlay lies on no other overlay.
        below = base / "below"
        below.mkdir()
        _mount(["-t", "tmpfs", "-o", "size=160m", "tmpfs", str(below)])
        for part in ("lower", "upper", "work"):
            (below / part).mkdir()
        dirs = f"lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work"
        how = ["-t", "overlay", "-o", dirs, "overlay"]
    try:
        _mount([*how, str(place)])
        try:
            place.chmod(0o755)
            yield place
        finally:
            _unmount(place)
    finally:
        if below:
            _unmount(below)
            below.rmdir()
        image.unlink(missing_ok=True)
        place.rmdir()


def _mount(words: list[str]) -> None:
    done = subprocess.run([require("mount"), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        absent(f"a file system cannot be mounted here: {done.stderr.strip()}")


def _unmount(place: Path) -> None:
    """Unmount, as soon as what ran there has gone."""
    deadline = time.monotonic() + _START
    words = [require("umount"), str(place)]
    while subprocess.run(words, capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{place} cannot be unmounted")
        time.sleep(0.05)
