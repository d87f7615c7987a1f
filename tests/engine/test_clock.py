"""Clocks that stand still or go backwards: names stay unique and in order, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.core.release import rollback_targets
from opsnb.engine.change import Change
from opsnb.engine.switch import RollbackWork
from opsnb.engine.telling import Actor
from opsnb.remote.local import local_remote
from tests.faults.lab import SETTINGS, deploying

START = datetime(2026, 3, 25, 14, 0, 0, tzinfo=UTC)


def still() -> Callable[[], datetime]:
    return lambda: START


def backwards() -> Callable[[], datetime]:
    moments = (START - timedelta(hours=number) for number in range(100_000))
    return lambda: next(moments)


@pytest.mark.parametrize("clock", [still, backwards])
async def test_releases_keep_their_order_whatever_the_clock_says(
    tmp_path: Path, source: Path, clock: Callable[[], Callable[[], datetime]]
) -> None:
    now = clock()
    remote = local_remote(str(tmp_path / "site"), 60, 20)
    actor = Actor("local", "tester", "here", lambda _event: None, now)
    made = []
    for text in ("1", "2", "3", "4"):
        (source / "index").write_text(text)
        report, error = await Change(remote, actor, "deploy").run(deploying(source))
        assert (error, report.warnings) == (None, ())
        made.append(report.release)
    assert made == sorted(set(made))
    site = await remote.look()
    assert [release.name for release in site.releases if release.present] == made[1:]
    assert rollback_targets(site)[0].name == made[2]
    report, error = await Change(remote, actor, "rollback").run(RollbackWork(SETTINGS))
    assert (error, report.outcome, report.live) == (None, Outcome.DONE, made[2])
    await remote.close()
