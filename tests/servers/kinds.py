"""Every kind of server, by the name that the table gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
def disk(kind: str) -> Iterator[Account]:
    """An ordinary sshd, with a file system of its own for the site."""
    with RealSshd() as server, file_system(kind, server.base) as place:
        server.own(place)
        yield Account(server.url, server.ssh_config, place, Path)


def shell(name: str) -> RealSshd:
    """An ordinary sshd, a login shell whose rc file prints, and a banner."""
    return RealSshd(shell=name, rc=NOISE, banner=NOISE_BANNER)


WHOLE: dict[str, Kind] = {
    **{f"OpenSSH, login shell {name}": partial(on, partial(shell, name)) for name in LOGIN_SHELLS},
    "OpenSSH, `MaxSessions 2`": partial(on, partial(RealSshd, options=["MaxSessions 2"])),
    "OpenSSH, `MaxSessions 1`": partial(on, partial(RealSshd, options=["MaxSessions 1"])),
    "OpenSSH, `MaxStartups 2:90:3`": partial(on, partial(RealSshd, options=["MaxStartups 2:90:3"])),
    "Dropbear": partial(on, Dropbear),
    "TinySSH": partial(on, TinySsh),
    "on ext4": partial(disk, "ext4"),
    "on XFS with reflink": partial(disk, "xfs"),
    "on btrfs": partial(disk, "btrfs"),
    "on tmpfs": partial(disk, "tmpfs"),
    "on overlay": partial(disk, "overlay"),
}
"""Servers on which the whole cycle works."""

SFTP_ONLY = "ForceCommand internal-sftp"
REFUSED: dict[str, tuple[Kind, str]] = {
    "BusyBox tools only": (
        partial(on, partial(Jailed, tools=True)),
        "the server lacks what an atomic release needs: comm, flock, find -printf",
    ),
    "SFTP only": (
        partial(on, partial(RealSshd, options=[SFTP_ONLY])),
        "the server ran no /bin/sh",
    ),
    "SFTP only, locked up": (
        partial(on, partial(Jailed, tools=False, options=(SFTP_ONLY,))),
        "the server ran no /bin/sh",
    ),
}
"""Servers that are refused before the first write, and what that says."""
