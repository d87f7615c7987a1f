"""The watchdog as a user meets it: in the plan, in the log, and in what is said at the end."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from opsnb.cli.json_out import deploy_plan
from opsnb.core.events import Log, Outcome
from opsnb.core.facts import plan_text
from opsnb.errors import Interrupted, Restored
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.test_watchdog import is_over, marks, watchdogs


def guarded(server: Server, seconds: int, **said: Any) -> Server:
    """Give a server settings with a watchdog, which may be quicker than a user's."""
    made = configure(server, **said)
    made.settings = made.settings.model_copy(update={"watchdog": seconds})
    return made


def words(job: Any) -> list[str]:
    return [event.text for event in job.events if isinstance(event, Log)]


def test_a_plan_says_what_the_watchdog_will_do(server: Server, source: Path) -> None:
    guarded(server, 60, health=[{"command": "true"}])
    plan = server.plan(source)
    assert "no watchdog for this switch" in str(plan)
    assert deploy_plan(plan)["watchdog"] == 0
    first = server.deploy(plan).wait().release
    (source / "index").write_text("two")
    plan = server.plan(source)
    assert f"watchdog puts {first} back unless confirmed within 60 s" in str(plan)
    assert deploy_plan(plan)["watchdog"] == 60
    job = server.deploy(plan)
    assert job.wait().outcome is Outcome.DONE
    said = words(job)
    assert f"the watchdog puts {first} back unless confirmed within 60 s" in said
    assert "confirmed: the watchdog is called off" in said
    back = server.plan_rollback()
    assert f"puts {plan.plan.name} back unless" in plan_text(back, server.name)
    asyncio.run(is_over(site(server)))


def test_a_check_that_fails_puts_back_and_calls_the_watchdog_off(
    server: Server, source: Path
) -> None:
    guarded(server, 60, health=[{"command": "grep -q one index", "retries": 0}])
    first = server.deploy(source).wait().release
    (source / "index").write_text("two")
    with pytest.raises(Restored, match="grep"):
        server.deploy(source).wait()
    assert (server.look().current.name, marks(site(server))) == (first, [])
    asyncio.run(is_over(site(server)))
    assert server.verify_log() == []


def test_a_check_that_takes_too_long_puts_back_sooner_than_the_watchdog(
    server: Server, source: Path
) -> None:
    check = {"command": '[ -z "$OPSNB_PREVIOUS" ] || sleep 60', "timeout": 60}
    guarded(server, 5, health=[check])
    first = server.deploy(source).wait().release
    (source / "index").write_text("two")
    with pytest.raises(Restored, match=r"not confirmed within 4.5 s"):
        server.deploy(source).wait()
    assert (server.look().current.name, marks(site(server))) == (first, [])
    asyncio.run(is_over(site(server)))
    assert [str(release.state) for release in server.look().releases] == ["good", "bad"]


def test_after_an_abort_the_watchdog_does_its_work_and_that_is_said(
    server: Server, source: Path
) -> None:
    guarded(server, 3, health=[{"command": "true"}])
    first = server.deploy(source).wait().release
    (source / "index").write_text("two")
    guarded(server, 3, after_publish=["touch ../../begun; sleep 60"])
    job = server.deploy(source)
    while not (site(server) / "begun").exists():
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(Interrupted) as stopped:
        job.wait(30)
    assert f"The watchdog puts {first} back" in stopped.value.hint
    asyncio.run(is_over(site(server)))
    assert server.look().current.name == first
    last = json.loads(server.audit_log().splitlines()[-1])
    assert (last["what"], last["watchdog"]) == ("deploy.restored", 3)
    assert server.verify_log() == []
    assert watchdogs(site(server)) == []
