"""Every kind of server, by the name that the table gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.servers.cycle import Account
from tests.support.servers import Dropbear, Jailed, TinySsh, file_system
from tests.support.sshd import LOGIN_SHELLS, NOISE, NOISE_BANNER, RealSshd

Kind = Callable[[], AbstractContextManager[Account]]


@contextmanager
def on(make: Callable[[], RealSshd]) -> Iterator[Account]:
    """The home of the account on a server."""
    with make() as server:
        yield account(server)


def account(server: RealSshd) -> Account:
    """The account on a server that runs."""
    on_disk = server.on_disk if isinstance(server, Jailed) else Path
    return Account(server.url, server.ssh_config, server.deploy_to.parent, on_disk)


@contextmanager
def by_sftp(make: Callable[[], RealSshd]) -> Iterator[Account]:
    """The same, with an address that asks for SFTP alone."""
    with on(make) as found:

        def url(path: Path) -> str:
            return found.url(path).replace("ssh://", "sftp://", 1)

        yield replace(found, url=url)


@contextmanager
def disk(kind: str) -> Iterator[Account]:
    """An ordinary sshd, with a file system of its own for the site."""
    with RealSshd() as server, file_system(kind, server.base) as place:
        server.own(place)
        yield Account(server.url, server.ssh_config, place, Path)


def shell(name: str) -> RealSshd:
    """An ordinary sshd, a login shell whose rc file prints, and a banner."""
    return RealSshd(shell=name, rc=NOISE, banner=NOISE_BANNER)


NO_SHELL = "what is missing: a shell"
SFTP_ONLY = "ForceCommand internal-sftp"


def only_sftp() -> RealSshd:
    """An account that is given SFTP whatever it asks for."""
    return RealSshd(options=[SFTP_ONLY])


def jailed_sftp() -> RealSshd:
    """The same, locked up in a directory."""
    return Jailed(tools=False, options=(SFTP_ONLY,))


def busybox() -> RealSshd:
    """A system with BusyBox's tools and nothing else."""
    return Jailed(tools=True)


WHOLE: dict[str, Kind] = {
    **{f"OpenSSH, login shell {name}": partial(on, partial(shell, name)) for name in LOGIN_SHELLS},
    "OpenSSH, `MaxSessions 2`": partial(on, partial(RealSshd, options=["MaxSessions 2"])),
    "OpenSSH, `MaxSessions 1`": partial(on, partial(RealSshd, options=["MaxSessions 1"])),
    "OpenSSH, `MaxStartups 2:90:3`": partial(on, partial(RealSshd, options=["MaxStartups 2:90:3"])),
    "Dropbear": partial(on, Dropbear),
    "TinySSH": partial(on, TinySsh),
    "SFTP only, `sftp://`": partial(by_sftp, only_sftp),
    "SFTP only, locked up (`ChrootDirectory`), `sftp://`": partial(by_sftp, jailed_sftp),
    "BusyBox tools only, `sftp://`": partial(by_sftp, busybox),
    "on ext4": partial(disk, "ext4"),
    "on XFS with reflink": partial(disk, "xfs"),
    "on btrfs": partial(disk, "btrfs"),
    "on tmpfs": partial(disk, "tmpfs"),
    "on overlay": partial(disk, "overlay"),
}
"""Servers on which the whole cycle works."""

REFUSED: dict[str, tuple[Kind, str]] = {
    "BusyBox tools only, `ssh://`": (
        partial(on, busybox),
        "the server lacks what an atomic release needs: comm, flock, find -printf",
    ),
    "SFTP only, `ssh://`": (partial(on, only_sftp), NO_SHELL),
    "SFTP only, locked up, `ssh://`": (partial(on, jailed_sftp), NO_SHELL),
}
"""Servers that are refused before the first write, and what that says."""
