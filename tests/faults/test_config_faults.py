"""Configuration files in ``shared/``, and a fault at every call: they are those of what is live.

After the next change, whatever that is: where the new release is live its files are there, and
where it is not, what was there is again, with its content and its mode; and nothing is left over.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.config import Settings
from opsnb.core.plan import Wish
from opsnb.engine import placing
from opsnb.engine.asked import given
from opsnb.engine.configfiles import About, configured
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.manage import PinWork
from opsnb.engine.source import scan
from opsnb.remote.base import Held
from tests.faults.calls import Action, Calls
from tests.faults.faulty import KINDS, MORE, Faulty, Plot
from tests.faults.guarantees import live, whole
from tests.faults.lab import Lab, change, folder, in_memory, some, source

SAMPLE = 6
OLD = {".env": ("as it was\n", 0o604), "d/db": ("old\n", 0o640)}
NEW = {".env": ("new\n", 0o640), "d/db": ("other\n", 0o600), "came": ("came\n", 0o640)}
FILES = [
    {"path": path, "content": text, "mode": f"{mode:04o}", "to": "shared"}
    for path, (text, mode) in NEW.items()
]


async def deploying(files: Path, check: str) -> DeployWork:
    """A deploy with configuration files for ``shared/``."""
    said = {"files": FILES, "health": [{"command": check, "retries": 0}]}
    settings = Settings.model_validate(said)
    scanned = scan(files)
    wish = Wish(scanned.manifest, str(files), settings, by="tester", host="here")
    made = await configured(wish, scanned, About(), lambda _line: None)
    return DeployWork(Order(given(*made)))


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    with in_memory() as found:
        found.chmod(0o755)
        yield found


@pytest.fixture(scope="module")
def template(base: Path) -> Lab:
    """A site with files in ``shared/`` that a configuration will replace."""
    lab = Lab(base)
    asyncio.run(lab.build())
    shared = base / "site" / "shared"
    for path, (text, mode) in OLD.items():
        (shared / path).parent.mkdir(exist_ok=True)
        (shared / path).write_text(text)
        (shared / path).chmod(mode)
    source(base / "new", "eeeee")
    return lab


def standing(site: Path) -> dict[str, tuple[str, int]]:
    """The configuration files that are there."""
    shared = site / "shared"
    return {
        path: ((shared / path).read_text(), stat.S_IMODE((shared / path).stat().st_mode))
        for path in NEW
        if (shared / path).is_file()
    }


def wrong(site: Path, before: str) -> list[str]:
    """What is not as it must be, once the next change has been."""
    now = standing(site)
    expected = OLD if live(site) == before else NEW
    broken = [] if now == expected else [f"{live(site)} is live with {now}"]
    broken += list(whole(site, live(site)))
    left = [*(site / "shared").rglob(".opsnb*"), *(site / ".opsnb").glob("tmp.*")]
    left += (site / ".opsnb").glob("config/pending*")
    return broken + [f"left over: {path}" for path in left]


async def next_change(site: Path, wait: float = 0) -> list[str]:
    """A change that is about something else."""
    remote = folder(site)
    _report, error = await change(remote, "pin", PinWork(live(site), pinned=True))
    await remote.close()
    return [] if error is None else [f"the next change failed: {error}"]


async def after(lab: Lab, site: Path, before: str) -> list[str]:
    broken = await next_change(site)
    broken += wrong(site, before)
    return broken + await lab.next_deploy(site, by=folder(site))


async def struck(lab: Lab, check: str, kind: str, at: int) -> tuple[Plot, list[str]]:
    """A deploy with a fault at one call, and what is broken after the next change."""
    site = await lab.anew("site")
    before = live(site)
    plot = Plot({at: kind} if kind else {})
    remote = folder(site)
    work = await deploying(lab.base / "new", check)
    # In a task of its own: a cancellation that comes with its last call is no longer felt in it.
    await asyncio.create_task(change(Faulty(remote, plot), "deploy", work))
    await remote.close()
    return plot, await after(lab, site, before)


@pytest.mark.parametrize("check", ["test -e index", "false"], ids=["goes well", "check fails"])
@pytest.mark.parametrize("kind", [*KINDS, *MORE])
async def test_at_every_call_of_the_client(template: Lab, check: str, kind: str) -> None:
    plot, broken = await struck(template, check, "", 0)
    assert not broken
    begin = plot.calls.index("config_begin") + 1
    assert "config_done" in plot.calls[begin:]
    assert ("config_back" in plot.calls) is (check == "false")
    points = list(range(begin - 1, len(plot.calls) + 1))
    broken = []
    for at in some(points, SAMPLE):
        hit, found = await struck(template, check, kind, at)
        assert hit.met
        broken += [f"{hit.struck}: {fault}" for fault in found]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("check", ["test -e index", "false"], ids=["goes well", "check fails"])
async def test_the_server_dies_at_every_call_of_its_programs(
    lab: Lab, calls: Calls, check: str
) -> None:
    """The agent and all its programs are killed, where they change the files of the site."""
    shared = lab.base / "site" / "shared"
    for path, (text, mode) in OLD.items():
        (shared / path).parent.mkdir(exist_ok=True)
        (shared / path).write_text(text)
        (shared / path).chmod(mode)
    lab.own(shared)

    async def one(number: int) -> tuple[int, list[str]]:
        site = await lab.anew("site")
        before = live(site)
        calls.arm(site, Action.KILL if number else Action.COUNT, number)
        remote = lab.remote(site)
        await change(remote, "deploy", await deploying(lab.base / "new", check))
        calls.rest()
        count = calls.count
        await remote.close()
        again = lab.remote(site)
        _report, error = await change(again, "pin", PinWork(live(site), pinned=True))
        await again.close()
        broken = [] if error is None else [f"the next change failed: {error}"]
        return count, broken + wrong(site, before)

    count, broken = await one(0)
    assert not broken
    for number in some(range(1, count + 1), 4 * SAMPLE):
        found = (await one(number))[1]
        broken += [f"{calls.call(number)}: {fault}" for fault in found]
    assert not broken, "\n".join(broken)


async def test_what_a_hand_writes_after_the_fault_stays_and_is_told(template: Lab) -> None:
    dry, _ = await struck(template, "false", "", 0)
    at = dry.calls.index("publish")
    site = await template.anew("site")
    remote = folder(site)
    work = await deploying(template.base / "new", "false")
    await change(Faulty(remote, Plot({at + 1: "lost before"})), "deploy", _deaf(work))
    await remote.close()
    assert standing(site)[".env"] == NEW[".env"]
    (site / "shared" / ".env").write_text("by hand")
    remote = folder(site)
    report, error = await change(remote, "pin", PinWork(live(site), pinned=True))
    await remote.close()
    assert error is None
    assert (
        "shared/.env was written by somebody else meanwhile, and stays as it is" in report.warnings
    )
    assert "shared/d/db is again as it was" in report.warnings
    assert (site / "shared" / ".env").read_text() == "by hand"
    assert not (site / "shared" / "came").exists()


def _deaf(work: DeployWork) -> Callable[[Any], Any]:
    """A deploy whose client clears nothing up, as one that has died."""

    async def carry(change: Any) -> None:
        change._failed = change._abandon = _nothing
        await work(change)

    return carry


async def _nothing(error: Any) -> Any:
    return error


async def test_the_control_without_settling_the_old_release_is_left_with_the_new_files(
    template: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> list[str]:
        return []

    monkeypatch.setattr(placing, "settle", nothing)
    _, broken = await struck(template, "false", "", 0)
    assert any("is live with" in fault for fault in broken)


async def test_the_control_what_is_placed_without_being_kept_cannot_come_back(
    template: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stage(_self: Any, _held: Held) -> None:
        await _held.config_begin()
        for number, content in enumerate(_self.contents):
            await _held.private(f".opsnb/tmp.config/new.{number}", content)
        await _held.private(".opsnb/tmp.config/journal", _self.pending.encode())
        await _held.config_commit()

    monkeypatch.setattr(placing.Placing, "stage", stage)
    _, broken = await struck(template, "false", "", 0)
    assert broken
