"""A connection that dies under a command: asyncssh calls that neither success nor failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from opsnb.core.config import Settings
from opsnb.errors import Disconnected, OpsnbError, OutcomeUnknown
from opsnb.server import Server
from tests.faults.guarantees import live
from tests.museum.conftest import page, until
from tests.support.proxy import Relay
from tests.support.site import faults
from tests.support.sshd import RealSshd


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


async def naive(sshd: RealSshd, relay: Relay, begun: Path) -> asyncssh.SSHCompletedProcess:
    """What a careful user of asyncssh writes: any failure raises, so whatever returns went well."""
    config = [str(sshd.via(relay.port))]
    async with asyncssh.connect("127.0.0.1", relay.port, config=config) as connection:
        running = asyncio.create_task(
            connection.run(f"touch {begun}; sleep 60; touch {begun}.done", check=True)
        )
        await asyncio.to_thread(until, begun.exists)
        relay.cut()
        return await running


@contextmanager
def cut_at(begun: Path, relay: Relay) -> Iterator[None]:
    """Cut the line as soon as a file is there."""

    def cut() -> None:
        until(begun.exists)
        relay.cut()

    cutting = threading.Thread(target=cut, daemon=True)
    cutting.start()
    yield
    cutting.join()


def test_a_command_whose_connection_died_is_not_taken_for_done(
    sshd: RealSshd, tmp_path: Path
) -> None:
    """ronf/asyncssh#45, "get_exit_status() returning `None`", and MatterMiners/tardis#367, "Fix
    ssh loss of already established connection": ``run(check=True)`` returns as after a success."""
    with Relay(sshd.port) as relay:
        result = asyncio.run(naive(sshd, relay, sshd.home / "begun"))
        assert result.exit_status is None
        assert not (sshd.home / "begun.done").exists(), "it was never done"

        site = sshd.home / "shop"
        source = tmp_path / "source"
        source.mkdir()
        config = sshd.via(relay.port)
        server = Server(sshd.url(port=relay.port), ssh_config=config)
        for text in ("first", "second"):
            (source / "index").write_text(text)
            server.deploy(source).wait()
        second = live(site)

        begun = site / "begun"
        with cut_at(begun, relay), pytest.raises(Disconnected):
            server.run(f"touch {begun}; sleep 60", change=True)

        begun.unlink()
        hook = {"command": f"[ -e {begun} ] || {{ touch {begun}; sleep 60; }}", "timeout": 60}
        server.settings = Settings.model_validate({"before_publish": [hook], "lock_wait": 60})
        (source / "index").write_text("third")
        job = server.deploy(source)
        until(begun.exists)
        relay.cut()
        with pytest.raises(OpsnbError) as failed:
            job.wait(60)
        assert not isinstance(failed.value, OutcomeUnknown), "it was settled by looking again"
        assert failed.value.report.switched is False
        assert (live(site), page(site)) == (second, "second")
        server.deploy(source).wait()
        assert page(site) == "third"
        assert faults(site, server) == []
        server.close()
