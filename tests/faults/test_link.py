"""The line is cut anywhere in a session, up or down, or goes silent: the verdict is true.

A relay stands between the client and OpenSSH's server. Cut, both ends get a reset. Silent, nothing
comes any more and nothing is closed, as when the cable is out.

Of a packet of SSH nothing is acted on before all of it has come and has been found to be whole. So
all cuts in one packet are one: to cut before each packet and in the middle of each is to cut at
every byte. The relay tells packets apart, and a test shows that this is so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from opsnb.core.events import Outcome
from opsnb.engine import locking as engine
from opsnb.errors import OpsnbError
from tests.faults.conftest import Tell
from tests.faults.guarantees import Before, live
from tests.faults.lab import Lab, Scenario, change, over_ssh, some
from tests.faults.strike import MISSED
from tests.support.matrix import Row
from tests.support.packets import CIPHERS
from tests.support.proxy import Relay
from tests.support.sshd import RealSshd

SAMPLE = 10
TRIES = 4  # how often a place is looked for
FREE = 60.0  # seconds until the lock of one whose line is silent is free
NAIVE = "cd {site} && rm current && sleep 0.2 && ln -s releases/{name} current"


Way = Literal["up", "down"]


class Line:
    """A change over a line that can be cut.

    Attributes:
        up: Bytes that went up.
        down: Bytes that came down.
        packets: How many packets went each way, by way.
        met: Whether the place of the cut was reached.
    """

    def __init__(self, sshd: RealSshd, lab: Lab) -> None:
        self._sshd, self._lab = sshd, lab
        self.up = self.down = 0
        self.packets: dict[Way, int] = {}
        self.met = False

    async def carry(
        self, site: Path, scenario: Scenario, cut: tuple[Way, int, float] | None = None
    ) -> Any:
        """Carry a change out; with its session cut in a packet, so far in it. Its report."""
        with Relay(self._sshd.port, counting=True) as relay:
            if cut:
                relay.cut_in_packet(*cut)
            through = over_ssh(self._sshd, self._lab.base, in_clear(self._sshd, relay))
            remote = through.remote(site)
            report, _error = await change(remote, scenario.verb, scenario.work())
            await remote.close()
            self.up, self.down = relay.up, relay.down
            self.packets = {"up": relay.packets("up"), "down": relay.packets("down")}
            self.met = cut is not None and self.packets[cut[0]] > cut[1]
        return report


def in_clear(sshd: RealSshd, relay: Relay) -> Path:
    """An ssh_config through a relay, with a cipher whose packets can be told apart."""
    config = sshd.via(relay.port)
    with config.open("a") as more:
        more.write(f"\n    Ciphers {CIPHERS}\n")
    return config


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", ["redeploy", "rollback", "prune"])
async def test_wherever_the_line_is_cut_the_verdict_is_true(
    lab: Lab, sshd: RealSshd, name: str, direction: Way, tell: Tell
) -> None:
    """Before each packet, and in the middle of each."""
    scenario, line = lab.scenarios()[name], Line(sshd, lab)
    report = await line.carry(await lab.anew(scenario.template), scenario)
    assert report.outcome is Outcome.DONE
    number = line.packets[direction]
    assert number > 20
    places = [(packet, part) for packet in range(number) for part in (0, 0.5) if packet or part]
    broken: list[str] = []
    met = 0
    tried = some(range(len(places)), SAMPLE)
    for index in tried:
        place = places[index]
        for _ in range(TRIES):
            site = await lab.anew(scenario.template)
            before = lab.before(site, scenario.template)
            report = await line.carry(site, scenario, (direction, *place))
            found = await lab.aftermath(site, before, report, keep=scenario.keep, wait=10)
            broken += [f"{direction}, packet {place}: {fault}" for fault in found]
            if line.met:
                break
            # A quicker run has fewer signs of life: its own last packet is the one that is meant.
            place = (line.packets[direction] - 1, place[1])
        met += line.met
    tell(Row(f"line cut in a packet {direction}", name, len(places), met, len(broken)))
    assert met >= len(tried) * (1 - MISSED)
    assert not broken, "\n".join(broken)


LONG = 1_500_000  # bytes, in packets of 32 KiB at the most
INSIDE = (0.0001, 0.3, 0.7, 0.9999)


async def test_of_a_packet_that_has_not_come_wholly_nothing_is_acted_on_up(
    lab: Lab, sshd: RealSshd
) -> None:
    """One line stands still at place after place; beyond the packet's end is the control."""
    file = await lab.anew("empty") / "sent"
    with Relay(sshd.port, counting=True) as relay:
        relay.freeze()
        run, config = sshd.run, in_clear(sshd, relay)
        asking = asyncio.create_task(
            asyncio.to_thread(run, f"cat >{file}", bytes(LONG), config=config)
        )
        await nothing_is_acted_on(relay, "up", lambda: file.stat().st_size if file.exists() else 0)
        await asking


async def test_of_a_packet_that_has_not_come_wholly_nothing_is_acted_on_down(
    lab: Lab, sshd: RealSshd
) -> None:
    site = await lab.anew("empty")
    told: list[int] = []
    with Relay(sshd.port, counting=True) as relay:
        relay.freeze()
        remote = over_ssh(sshd, lab.base, in_clear(sshd, relay)).remote(site)
        script = f"head -c {LONG} /dev/zero"
        asking = asyncio.create_task(
            remote.run(script, "", 60, lambda _stream, piece: told.append(len(piece)))
        )
        await nothing_is_acted_on(relay, "down", lambda: sum(told))
        with pytest.raises(OpsnbError):
            await asking
        await remote.close()


async def nothing_is_acted_on(relay: Relay, way: Way, measure: Callable[[], int]) -> None:
    """What has arrived is the same before a packet and at any place in it."""
    before, *inside, after = [
        await standing(relay, way, place, measure)
        for place in ((30, 0.0), *((30, part) for part in INSIDE), (31, 0.0))
    ]
    relay.cut()
    relay.thaw()
    assert set(inside) == {before}
    assert 0 < before < after < LONG


async def standing(
    relay: Relay, way: Way, place: tuple[int, float], measure: Callable[[], int]
) -> int:
    """What has arrived when the line stands still at a place."""
    relay.cut_in_packet(way, *place, freeze=True)
    relay.thaw()
    await until(lambda: relay.frozen)
    await asyncio.sleep(0.5)
    return measure()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_behind_a_silent_line_nothing_is_guessed_and_the_lock_is_soon_free(
    lab: Lab, sshd: RealSshd, direction: str, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several sites at once, each silent from another byte on; and nobody gives the line back."""
    # The client's own patience is not what is measured: the server must free the lock without it.
    monkeypatch.setattr(engine, "CLEANUP", 5.0)
    scenario, line = lab.scenarios()["redeploy"], Line(sshd, lab)
    await line.carry(await lab.anew(scenario.template), scenario)
    number = getattr(line, direction)
    parts = [0.3, 0.5, 0.7, 0.9]
    broken = await asyncio.gather(
        *(silent(lab, sshd, scenario, direction, int(number * part)) for part in parts)
    )
    found = [fault for one in broken for fault in one]
    tell(Row(f"line silent from a byte {direction} on", "redeploy", number, 4, len(found)))
    assert not found, "\n".join(found)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    while not true():  # noqa: ASYNC110 - as the docstring says
        await asyncio.sleep(0.0005)


async def silent(
    lab: Lab, sshd: RealSshd, scenario: Scenario, direction: str, at: int
) -> list[str]:
    """A change whose line goes silent; the next deploy, over another line, needs no hand work."""
    site = await lab.anew(scenario.template, f"silent-{direction}-{at}")
    before = Before.of(site)
    with Relay(sshd.port) as relay:
        through = over_ssh(sshd, lab.base, sshd.via(relay.port))
        remote = through.remote(site)
        task = asyncio.create_task(change(remote, scenario.verb, scenario.work()))
        await until(lambda: getattr(relay, direction) >= at or task.done())
        relay.freeze()
        began = time.monotonic()
        broken = await lab.next_deploy(site, FREE)
        took = time.monotonic() - began
        now = live(site)
        task.cancel()
        report, _error = await task
        await remote.close()
    if report.switched is False and report.live not in ("", before.live):
        broken.append(f"G4: not switched, and yet {report.live} was live")
    if live(site) != now:
        broken.append(f"G7: {now} was live, and the silent one made it {live(site)}")
    return [f"silent {direction} {at}, {took:.0f} s: {fault}" for fault in broken]


async def test_the_control_a_script_whose_line_is_cut_leaves_nothing_live(
    lab: Lab, sshd: RealSshd, tell: Tell
) -> None:
    """Its exit status says nothing of what it did: nothing is live, and nobody knows."""
    site = await lab.anew("site")
    name = live(site)
    with Relay(sshd.port) as relay:
        config = sshd.via(relay.port)
        script = NAIVE.format(site=site, name=name)
        asking = asyncio.create_task(asyncio.to_thread(sshd.run, script, config=config))
        await until(lambda: not (site / "current").is_symlink())
        relay.cut()
        done = await asking
    gone = not (site / "current").is_symlink()
    tell(Row("line cut at a byte up", "control: rm, ln over ssh", 1, 1, int(gone), True))
    assert gone
    assert done.returncode == 255
