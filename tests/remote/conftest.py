"""The three kinds of remote, each with a site of its own for every test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.address import Address
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import OpsnbError
from opsnb.remote.local import local_remote
from opsnb.remote.ssh import ssh_remote
from tests.support.sshd import RealSshd

COUNTER = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where a kind of remote keeps its sites.

    Attributes:
        kind: ``folder``, ``embedded`` or ``sshd``.
        base: A directory that the remote's user may write to.
        url: Gives the address of a path.
        config: The ssh_config for it; None for a folder.
        own: Gives a path to the remote's user.
    """

    kind: str
    base: Path
    url: Callable[[Path], str]
    config: Path | None
    own: Callable[[Path], Path]

    def remote(self, site: Path) -> Any:
        """A new client for a site."""
        if self.config is None:
            return local_remote(str(site), 60, 20)
        return ssh_remote(Address.parse(self.url(site)), self.config, 60, 20)


@pytest.fixture(scope="package", params=["folder", "embedded", "sshd"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    if request.param == "folder":
        base = tmp_path_factory.mktemp("folder")
        yield Place("folder", base, lambda path: f"file://{path}", None, lambda path: path)
    elif request.param == "embedded":
        with EmbeddedServer() as server:
            host = f"ssh://{server.user}@{server.host}:{server.port}"
            yield Place(
                "embedded",
                Path(server.root),
                lambda path: f"{host}{path}",
                server.ssh_config,
                lambda path: path,
            )
    else:
        with RealSshd() as sshd:
            yield Place("sshd", sshd.home, sshd.url, sshd.ssh_config, sshd.own)


@pytest.fixture
def where(place: Place) -> Path:
    """The path of a site that is not there yet."""
    return place.base / f"site{next(COUNTER)}"


@pytest.fixture
async def remote(place: Place, where: Path) -> AsyncIterator[Any]:
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
