"""What the laboratory's tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.faults.calls import Calls, counting
from tests.faults.clients import Clients
from tests.faults.lab import Lab, in_memory, over_ssh
from tests.support.matrix import LABORATORY, Row
from tests.support.sshd import RealSshd

Tell = Callable[[Row], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Write a row of the laboratory's table, before it is asserted that nothing is broken."""
    return lambda row: record_property(LABORATORY, row.told())


@pytest.fixture(scope="module")
def calls() -> Iterator[Calls]:
    """The count of what programs do to the files of a site."""
    with counting() as made:
        yield made


@pytest.fixture(scope="module")
def sshd(calls: Calls) -> Iterator[RealSshd]:
    """A server whose programs are counted."""
    with RealSshd(preload=calls.library, environment=calls.environment) as running:
        yield running


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, sshd: RealSshd) -> Iterator[Lab]:
    """A laboratory on that server; releases have ``BULK`` more files if the module says so."""
    with in_memory() as base:
        base.chmod(0o755)
        made = over_ssh(sshd, base, bulk=getattr(request.module, "BULK", 0))
        asyncio.run(made.build())
        yield made


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """Makes clients that are killed or frozen."""
    made = Clients()
    yield made
    made.close()
