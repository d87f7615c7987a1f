"""One SSH server for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncssh
import pytest

from opsnb.embedded.sshd import EmbeddedServer


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with asyncssh.connect(server.host, config=[str(server.ssh_config)]) as connection:
        yield connection
