"""The watchdog: whatever becomes of the client after the switch, an unconfirmed release goes back.

Over OpenSSH's server. The client is killed, or frozen and woken; the watchdog itself is killed at
each of its calls on the site's files. Nobody helps: the server's own process puts the site right.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsnb.core import audit
from opsnb.core.events import Outcome
from opsnb.engine.switch import RollbackWork
from tests.faults.calls import Action, Calls, Kind
from tests.faults.clients import Clients
from tests.faults.conftest import Tell
from tests.faults.guarantees import Before, live, record
from tests.faults.lab import SETTINGS, Lab, Scenario, change, deploying, some, unchained
from tests.support.matrix import Row
from tests.support.sshd import RealSshd

FAULT = "client dead after the switch, with a watchdog"
SECONDS = 2
WAIT = 30.0  # until this must have happened; it is waited for, never measured
SAMPLE = 12
SWITCH = "publish_guarded"


def watchdogs(site: Path) -> list[int]:
    """The processes of watchdogs that a site has."""
    wanted = b"opsnb-watchdog\0" + os.fsencode(site) + b"\0"
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        # It may end at any moment, also between its name and its words.
        with suppress(OSError):
            if Path("/proc", name, "cmdline").read_bytes().endswith(wanted):
                found.append(int(name))
    return found


def marks(site: Path) -> list[str]:
    return sorted(path.name for path in (site / ".opsnb" / "watch").glob("*"))


async def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < end, "it never came to be so"
        await asyncio.sleep(0.05)


async def is_over(site: Path) -> None:
    """Wait until no watchdog of a site is left."""
    await until(lambda: not watchdogs(site))


def told(site: Path) -> list[dict[str, Any]]:
    """The log."""
    return audit.read((site / ".opsnb" / "audit.jsonl").read_bytes())


async def at(clients: Clients, sshd: RealSshd, site: Path, scenario: Scenario, name: str) -> int:
    """The number of a client's call of that name, by a change in which nothing goes wrong."""
    made = clients.one(sshd, site, scenario, watchdog=60)
    await is_over(site)
    return made.index(name) + 1


@pytest.mark.parametrize("name", ["redeploy", "recycling", "rollback"])
async def test_a_release_whose_client_is_killed_after_the_switch_goes_back_by_itself(
    lab: Lab, sshd: RealSshd, clients: Clients, name: str, tell: Tell
) -> None:
    """Killed right after the switch, and before each call from there to the confirmation."""
    scenario = lab.scenarios()[name]
    site = await lab.anew(scenario.template)
    calls = clients.one(sshd, site, scenario, watchdog=60)
    await is_over(site)
    switch, end = calls.index(SWITCH) + 1, calls.index("disarm") + 1
    moments = [(switch, True), *((number, False) for number in range(switch + 1, end + 1))]
    broken: list[str] = []
    chosen = some(range(len(moments)), 3)
    for number, after in (moments[at] for at in chosen):
        site = await lab.anew(scenario.template)
        before = lab.before(site, scenario.template)
        clients.one(sshd, site, scenario, at=number, after=after, watchdog=SECONDS)
        new = live(site)
        assert (new != before.live, len(watchdogs(site)), marks(site)) == (True, 1, marks(site)[:1])
        await is_over(site)
        found = [] if live(site) == before.live else [f"{live(site)} is live"]
        found += [f"left: {mark}" for mark in marks(site)]
        found += before.broken(await lab.offered(site), None)
        found += [f"G10: {fault}" for fault in unchained(site)]
        last = told(site)[-1]
        if (last["what"], last["watchdog"]) != (f"{scenario.verb}.restored", SECONDS):
            found.append(f"the log's last word is {last}")
        state = (record(site, new) or {})["state"]
        if state != ("bad" if scenario.verb == "deploy" else "good"):
            found.append(f"{new} is {state}")
        found += await lab.next_deploy(site)
        broken += [f"{'after' if after else 'before'} {number}: {fault}" for fault in found]
    tell(Row(FAULT, name, len(moments), len(chosen), len(broken)))
    assert not broken, "\n".join(broken)


async def test_the_control_without_a_watchdog_it_stays(
    lab: Lab, sshd: RealSshd, clients: Clients, tell: Tell
) -> None:
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = clients.one(sshd, site, scenario).index("publish") + 1
    site = await lab.anew(scenario.template)
    before = live(site)
    clients.one(sshd, site, scenario, at=number, after=True)
    await asyncio.sleep(SECONDS + 1)
    tell(Row(FAULT, "control: no watchdog", 1, 1, int(live(site) != before), True))
    assert live(site) != before


@pytest.mark.parametrize(("call", "after"), [(SWITCH, True), ("hook", True), ("disarm", False)])
async def test_a_client_that_is_woken_too_late_changes_nothing_and_is_told(
    lab: Lab, sshd: RealSshd, clients: Clients, call: str, after: bool
) -> None:
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = await at(clients, sshd, site, scenario, call)
    site = await lab.anew(scenario.template)
    before = lab.before(site, scenario.template)
    how = {"at": number, "after": after, "watchdog": SECONDS, "signal": signal.SIGSTOP}
    clients.one(sshd, site, scenario, **how)
    new = live(site)
    assert new != before.live
    await is_over(site)
    assert live(site) == before.live
    said = clients.wake()
    assert (said["outcome"], said["live"]) == (Outcome.RESTORED, before.live), said
    assert (said["exit_status"], said["switched"]) == (21, True)
    assert live(site) == before.live
    assert (record(site, new) or {})["state"] == "bad"
    assert unchained(site) == []
    assert [entry["what"] for entry in told(site)].count("deploy.done") == 4
    assert await lab.next_deploy(site) == []


async def test_a_client_that_is_woken_in_time_confirms(
    lab: Lab, sshd: RealSshd, clients: Clients
) -> None:
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = await at(clients, sshd, site, scenario, "disarm")
    site = await lab.anew(scenario.template)
    before = live(site)
    clients.one(sshd, site, scenario, at=number, watchdog=60, signal=signal.SIGSTOP)
    assert len(watchdogs(site)) == 1
    said = clients.wake()
    assert said["outcome"] == Outcome.DONE, said
    assert live(site) != before
    await is_over(site)
    assert marks(site) == []


async def test_after_the_confirmation_nothing_of_the_watchdog_is_left(lab: Lab) -> None:
    site = await lab.anew("site")
    remote = lab.remote(site)
    report, error = await change(remote, "deploy", deploying(lab.base / "new", 60))
    await remote.close()
    assert (report.outcome, error, marks(site)) == (Outcome.DONE, None, [])
    await is_over(site)
    assert live(site) == report.release


async def test_whoever_comes_before_the_time_is_up_puts_the_release_back_first(
    lab: Lab, sshd: RealSshd, clients: Clients
) -> None:
    """The next deploy waits for nobody, and is built on what was good."""
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = await at(clients, sshd, site, scenario, SWITCH)
    site = await lab.anew(scenario.template)
    before = live(site)
    clients.one(sshd, site, scenario, at=number, after=True, watchdog=60)
    forsaken = live(site)
    assert await lab.next_deploy(site, 10) == []
    assert live(site) not in (before, forsaken)
    assert (record(site, live(site)) or {})["previous"] == before
    assert (record(site, forsaken) or {})["state"] == "bad"
    assert "deploy.restored" in [entry["what"] for entry in told(site)]
    await is_over(site)
    assert live(site) not in (before, forsaken)


async def test_a_rollback_before_the_time_is_up_goes_back_by_one_release_and_no_further(
    lab: Lab, sshd: RealSshd, clients: Clients
) -> None:
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = await at(clients, sshd, site, scenario, SWITCH)
    site = await lab.anew(scenario.template)
    before = live(site)
    clients.one(sshd, site, scenario, at=number, after=True, watchdog=60)
    remote = lab.remote(site)
    seen = await remote.look()
    assert seen.watch is not None
    assert (seen.watch.alive, seen.watch.fired, seen.watch.previous) == (True, False, before)
    report, error = await change(remote, "rollback", RollbackWork(SETTINGS))
    await remote.close()
    assert error is None, error
    assert (report.live, live(site)) == (before, before)
    await is_over(site)
    assert (live(site), marks(site), unchained(site)) == (before, [], [])


async def test_wherever_the_watchdog_is_killed_the_guarantees_hold(
    lab: Lab, sshd: RealSshd, calls: Calls, clients: Clients, tell: Tell
) -> None:
    """All of it is killed at each of its calls. What it left, the next deploy settles."""
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = await at(clients, sshd, site, scenario, SWITCH)
    kinds = Kind.CHANGES | Kind.PROGRAMS

    async def struck(point: int) -> tuple[Before, str]:
        site = await lab.anew(scenario.template)
        before = lab.before(site, scenario.template)
        clients.one(sshd, site, scenario, at=number, after=True, watchdog=SECONDS)
        # From here on the watchdog is the only one that does anything there.
        action = Action.KILL if point else Action.COUNT
        calls.arm(site, action, point, kinds=kinds)
        new = live(site)
        await is_over(site)
        calls.rest()
        return before, new

    await struck(0)
    length = calls.count
    assert length > 20
    points = some(range(1, length + 1), SAMPLE)
    broken, ends = [], set()
    for point in points:
        before, new = await struck(point)
        where = calls.call(calls.met)
        found = before.broken(await lab.offered(site), None)
        found = [fault for fault in found if "G10" not in fault]  # the last line may be torn
        if live(site) not in (before.live, new):
            found.append(f"G1: {live(site)} is live")
        ends.add(live(site) == before.live)
        found += await lab.next_deploy(site)
        broken += [f"{where}: {fault}" for fault in found]
    tell(
        Row("watchdog killed at a call on the files", "redeploy", length, len(points), len(broken))
    )
    assert not broken, "\n".join(broken)
    assert ends == {True, False}, "it must have been killed before its switch and after it"


async def test_of_a_watchdog_that_is_gone_whoever_looks_is_told_and_nothing_is_switched(
    lab: Lab, sshd: RealSshd, clients: Clients
) -> None:
    """As after the server was started anew: nobody knows how long ago that was."""
    scenario = lab.scenarios()["redeploy"]
    site = await lab.anew(scenario.template)
    number = await at(clients, sshd, site, scenario, SWITCH)
    site = await lab.anew(scenario.template)
    clients.one(sshd, site, scenario, at=number, after=True, watchdog=60)
    new = live(site)
    for pid in watchdogs(site):
        os.kill(pid, signal.SIGKILL)
    await is_over(site)
    remote = lab.remote(site)
    seen = await remote.look()
    await remote.close()
    assert seen.watch is not None
    assert (seen.watch.alive, seen.watch.release) == (False, new)
    assert live(site) == new
    assert await lab.next_deploy(site) == []
    entries = told(site)
    assert [entry["release"] for entry in entries if entry["what"] == "watchdog.died"] == [new]
    assert (
        json.loads((site / ".opsnb" / "records" / f"{live(site)}.json").read_text())["previous"]
        == new
    )
