"""A remote that is reached by SFTP alone, in the shape of the contract's other kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.address import Address
from opsnb.errors import OpsnbError
from opsnb.remote.sftp.remote import sftp_remote
from tests.remote.conftest import COUNTER, Place
from tests.servers.kinds import only_sftp


class SftpPlace(Place):
    """Where its sites are."""

    def remote(self, site: Path) -> Any:
        """A new client for a site."""
        return sftp_remote(Address.parse(self.url(site)), self.config, 60, 20)


@pytest.fixture(scope="package")
def place() -> Iterator[SftpPlace]:
    with only_sftp() as sshd:

        def url(path: Path) -> str:
            return sshd.url(path).replace("ssh://", "sftp://", 1)

        yield SftpPlace("sftp", sshd.home, url, sshd.ssh_config, sshd.own)


@pytest.fixture
def where(place: SftpPlace) -> Path:
    """The path of a site that is not there yet."""
    return place.base / f"site{next(COUNTER)}"


@pytest.fixture
async def remote(place: SftpPlace, where: Path) -> AsyncIterator[Any]:
    made = place.remote(where)
    yield made
    await made.close()


@pytest.fixture
async def held(remote: Any) -> AsyncIterator[Any]:
    """The lock of that site."""
    taken = await remote.lock("tester", "here", "now", "contract")
    assert taken is not None
    yield taken
    with suppress(OpsnbError):
        await taken.release()
