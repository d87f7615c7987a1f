"""A kernel that ends in the middle of a change; the server outlives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.cells import LOOK, SLOW, STARTED
from tests.kernel.session import Session
from tests.support.sshd import RealSshd


@pytest.fixture
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def server(sshd: RealSshd) -> str:
    return (
        "import opsnb\n"
        "from opsnb.embedded.demo import Demo\n"
        f"web = opsnb.Server({sshd.url()!r}, name='web1', ssh_config={str(sshd.ssh_config)!r})\n"
    )


@pytest.mark.parametrize("now", [True, False], ids=["killed", "asked"])
def test_a_kernel_restart_leaves_the_site_whole(
    session: Session, sshd: RealSshd, now: bool
) -> None:
    """Kernel restart in the middle, headless: the site is whole, the next deploy works."""
    begun = server(sshd) + "first = web.deploy(Demo.site('v1')).wait()\nprint(first.release)"
    live = session.run(begun).split()[-1]
    session.run(SLOW)
    cell = session.begin("web.deploy(Demo.site('v2')).wait()")
    session.says(cell, STARTED)
    building = set(_releases(sshd.deploy_to)) - {live}
    assert len(building) == 1, "it was not in the middle"

    session.restart(now=now)

    assert sshd.deploy_to.joinpath("current").resolve().name == live
    found = json.loads(session.run(server(sshd) + LOOK))
    assert found["live"] == live
    session.run("report = web.deploy(Demo.site('v2')).wait()\nassert report.switched, report")
    after = json.loads(session.run(LOOK))
    assert after["live"] != live
    assert not after["held"]
    assert not after["intent"]
    # What was being built was no release: it is gone.
    assert set(_releases(sshd.deploy_to)) == {live, after["live"]}


def _releases(site: Path) -> list[str]:
    return [path.name for path in site.joinpath("releases").iterdir()]
