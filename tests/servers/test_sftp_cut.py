"""A line that is cut during a change by SFTP: a true verdict, and the next one succeeds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.server import Server
from tests.servers.kinds import only_sftp
from tests.support.proxy import Relay
from tests.support.site import faults, tree
from tests.support.sshd import RealSshd

WHOLE = range(1_000, 60_000, 1_000)
AFTER = WHOLE if os.getenv("OPSNB_FAULTS") == "whole" else [1_500, 6_000, 12_000, 20_000, 30_000]
FILES = {f"f{number}": f"{number}" for number in range(20)}


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with only_sftp() as running:
        yield running


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_line_gives_a_true_verdict_and_the_next_deploy_succeeds(
    sshd: RealSshd, tmp_path: Path, direction: str, after: int
) -> None:
    site = sshd.home / f"cut-{direction}-{after}"
    straight = Server(f"sftp://web1{site}", ssh_config=sshd.ssh_config)
    first = straight.deploy(tree(tmp_path / "source", FILES)).wait()
    (tmp_path / "source" / "f0").write_text("two")
    with Relay(sshd.port) as relay:
        one = Server(f"sftp://web1{site}", ssh_config=sshd.via(relay.port))
        one.look()
        relay.cut_after(**{direction: after})
        job = one.deploy(tmp_path / "source")
        while not job.done:
            time.sleep(0.02)
        report = job.report
        one.close()
    assert report is not None
    now = straight.look().current.name
    if report.switched is not None:
        assert (now == report.release) is report.switched
        assert (now == first.release) is not report.switched
    assert faults(site) == []
    (tmp_path / "source" / "f0").write_text("three")
    assert straight.deploy(tmp_path / "source").wait().outcome is Outcome.DONE
    assert faults(site, straight) == []
    straight.close()
