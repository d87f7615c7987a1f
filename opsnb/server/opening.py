"""A connection that is begun before it is known whether all that is configured is right."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from opsnb.loop import LOOP

if TYPE_CHECKING:
    from opsnb.core.address import Way
    from opsnb.remote.posix import PosixRemote
    from opsnb.remote.sftp.remote import SftpRemote


def remote_by(way: Way, ssh_config: Path | None) -> PosixRemote | SftpRemote:
    """A server, not connected yet.

    Args:
        way: How it is reached.
        ssh_config: The ssh_config file to read; None for the user's own.
    """
    address = way.address
    if address.scheme == "file":
        from opsnb.remote.local import local_remote  # noqa: PLC0415 - import opsnb stays quick

        return local_remote(address.path, way.step_timeout, way.connect_timeout)
    if address.scheme == "sftp":
        from opsnb.remote.sftp.remote import sftp_remote  # noqa: PLC0415 - as above

        return sftp_remote(address, ssh_config, way.step_timeout, way.connect_timeout)
    from opsnb.remote.ssh import ssh_remote  # noqa: PLC0415 - import opsnb stays quick

    return ssh_remote(address, ssh_config, way.step_timeout, way.connect_timeout)


class Opening:
    """A connection that is being made.

    Args:
        way: How the server is reached.
        ssh_config: The ssh_config file to read; None for the user's own.
    """

    def __init__(self, way: Way, ssh_config: Path | None) -> None:
        self._what = (way, ssh_config)
        self._remote: PosixRemote | SftpRemote | None = remote_by(way, ssh_config)
        self._begun: Future[None] = LOOP.submit(self._remote.connect())

    def take(
        self, way: Way, ssh_config: Path | None
    ) -> tuple[PosixRemote | SftpRemote, Future[None]] | None:
        """Let whoever takes it close it; None when it leads elsewhere, or was taken.

        Args:
            way: Where it is to lead.
            ssh_config: The ssh_config file to read.
        """
        if self._remote is None or self._what != (way, ssh_config):
            return None
        remote, self._remote = self._remote, None
        return remote, self._begun

    def close(self) -> None:
        """End it, unless it was taken."""
        remote, self._remote = self._remote, None
        if remote is not None:
            self._begun.cancel()
            LOOP.run(remote.close())
