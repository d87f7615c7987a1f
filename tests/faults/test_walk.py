"""A fault at every call of a deploy, a rollback and a prune: the guarantees hold, and the next
deploy succeeds with no hand work."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.config import Settings
from opsnb.core.events import Outcome
from opsnb.core.plan import Wish
from opsnb.core.release import rollback_targets
from opsnb.engine.change import Actor, Change
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.manage import PinWork
from opsnb.engine.source import scan
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.errors import OpsnbError
from opsnb.remote.local import local_remote
from tests.faults.faulty import KINDS, Faulty, Plot
from tests.faults.guarantees import Before, debris, good, live

WALKED = ("first deploy", "redeploy", "recycling", "rollback", "prune")
KEPT = ("releases/foreign", "releases/20200101000000")
SETTINGS = Settings.model_validate({"keep_releases": 3, "health": [{"command": "test -e index"}]})
RELIST = (
    'cd "$D/.opsnb" 2>/dev/null || exit 0; '
    'for known in stats/*; do survey "${known##*/}" >"$D/.opsnb/$known" || exit; done; '
    '! cd "$D/.opsnb/spare/tree" 2>/dev/null || stat_all >../stats'
)
TABLE: Counter[tuple[str, str]] = Counter()


def source(folder: Path, text: str) -> Path:
    """A small tree in which something comes, goes and changes its kind with each version."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sub").mkdir(parents=True)
    (folder / "index").write_text(text)
    (folder / "sub" / text).write_text(text * 100)
    if len(text) % 2:
        (folder / "kind").mkdir()
        (folder / "kind" / "inside").write_text("x")
    else:
        (folder / "kind").write_text("a file now")
    return folder


def remote_of(site: Path) -> Any:
    return local_remote(str(site), 60, 20)


async def change(remote: Any, verb: str, work: Any) -> tuple[Any, OpsnbError | None]:
    actor = Actor("local", "tester", "here", lambda _event: None, lambda: datetime.now(UTC))
    return await Change(remote, actor, verb).run(work)


def deploying(folder: Path) -> DeployWork:
    scanned = scan(folder)
    wish = Wish(scanned.manifest, str(folder), SETTINGS, revision="r", by="tester", host="here")
    return DeployWork(Order(lambda: (wish, scanned)))


async def deploy(site: Path, folder: Path) -> Any:
    remote = remote_of(site)
    report, error = await change(remote, "deploy", deploying(folder))
    await remote.close()
    assert error is None, error
    return report


@dataclass(frozen=True)
class Scenario:
    """A change on a site, to be walked through.

    Attributes:
        name: What it is called.
        template: The site before the change.
        verb: The kind of change.
        work: Makes the work anew for each walk.
        keep: How many good releases must be there at every moment.
    """

    name: str
    template: Path
    verb: str
    work: Callable[[], Any]
    keep: int = 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four releases (one pinned), a foreign directory, and something in shared/; the same site
    one deploy later, when a release has been kept aside."""
    base = tmp_path_factory.mktemp("walk")
    asyncio.run(_build(base))
    return base


async def _build(base: Path) -> None:
    empty = base / "empty"
    (empty / "shared" / "uploads").mkdir(parents=True)
    (empty / "shared" / "uploads" / "photo").write_text("precious")
    site = base / "site"
    shutil.copytree(empty, site)
    await deploy(site, source(base / "v", "a"))
    remote = remote_of(site)
    _, error = await change(remote, "pin", PinWork(live(site), pinned=True))
    await remote.close()
    assert error is None
    for text in ("bb", "ccc", "dddd"):
        await deploy(site, source(base / "v", text))
    (site / "releases" / "foreign").mkdir()
    (site / "releases" / "foreign" / "file").write_text("not ours")
    (site / "releases" / "20200101000000").mkdir()
    (site / "releases" / "20200101000000" / "file").write_text("not ours either")
    source(base / "new", "eeeee")
    source(base / "after", "ffffff")
    await _one_more(base)


async def _one_more(base: Path) -> None:
    site = base / "walked"
    await anew(base / "site", site)
    await deploy(site, source(base / "more", "dddddd"))
    assert (site / ".opsnb" / "spare" / "tree" / "index").read_text() == "bb"
    site.rename(base / "spared")


async def anew(template: Path, site: Path) -> None:
    """A copy of a site, in which each release is as known as it was: its inodes are others now."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(template, site, symlinks=True)
    remote = remote_of(site)
    shell = await remote.spare_shell()
    assert shell
    relisted = await shell.call("eval", RELIST)
    assert relisted.status == 0, relisted.err
    await shell.close()
    await remote.close()


def scenarios(base: Path) -> list[Scenario]:
    return [
        Scenario("first deploy", base / "empty", "deploy", lambda: deploying(base / "new")),
        Scenario("redeploy", base / "site", "deploy", lambda: deploying(base / "new"), 3),
        Scenario("recycling", base / "spared", "deploy", lambda: deploying(base / "new"), 3),
        Scenario("rollback", base / "site", "rollback", lambda: RollbackWork(SETTINGS)),
        Scenario("prune", base / "site", "prune", lambda: PruneWork(1)),
    ]


async def walk(
    scenario: Scenario,
    base: Path,
    plot: Plot,
    wrap: Callable[[Any, Path], Any] = lambda remote, _site: remote,
    after: Callable[[Path], Awaitable[Any]] | None = None,
) -> list[str]:
    """One change with one fault; what is broken afterwards."""
    site = base / "walked"
    await anew(scenario.template, site)
    before = Before.of(site, KEPT if scenario.template.name != "empty" else ())
    least: list[int] = []
    plot.watch = lambda: least.append(len(good(site)))
    real = wrap(remote_of(site), site)
    task = asyncio.create_task(change(Faulty(real, plot), scenario.verb, scenario.work()))
    report, _error = await task
    await real.close()
    fresh = remote_of(site)
    seen = await fresh.look()
    offered = [release.name for release in rollback_targets(seen)]
    broken = before.broken(offered, report)
    if min(least) < scenario.keep:
        broken.append(f"G9: only {min(least)} good releases were there at one moment")
    if seen.holder:
        broken.append("G7: the lock is still held")
    await fresh.close()
    if after is not None:
        broken += await after(site)
    return broken


async def next_deploy(base: Path, site: Path) -> list[str]:
    """G8: the next deploy succeeds, and nothing is left over."""
    remote = remote_of(site)
    report, error = await change(remote, "deploy", deploying(base / "after"))
    await remote.close()
    if error is not None:
        return [f"G8: the next deploy failed: {error}"]
    return [f"G8: left over: {path}" for path in debris(site)] + (
        [] if report.outcome is Outcome.DONE else [f"G8: the next deploy: {report.outcome}"]
    )


async def points(scenario: Scenario, base: Path) -> list[str]:
    """The calls of a change in which nothing goes wrong."""
    plot = Plot()
    assert await walk(scenario, base, plot) == []
    return plot.calls


@pytest.mark.parametrize("number", range(len(WALKED)), ids=WALKED)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_at_every_call_leaves_the_guarantees_whole(
    built: Path, number: int, kind: str
) -> None:
    scenario = scenarios(built)[number]
    assert scenario.name == WALKED[number]
    calls = await points(scenario, built)
    made = ["recycle"] if scenario.name == "recycling" else ["copy"] * (scenario.name == "redeploy")
    assert [call for call in calls if call in ("copy", "recycle")] == made
    broken: list[str] = []
    for at in range(1, len(calls) + 1):
        plot = Plot(at, kind)
        found = await walk(scenario, built, plot, after=lambda site: next_deploy(built, site))
        assert plot.struck, f"call {at} was never made"
        broken += [f"{kind} at {at} ({plot.struck}): {fault}" for fault in found]
        TABLE[scenario.name, kind] += 1
    assert not broken, "\n".join(broken)


class NaiveHeld:
    """The control: it publishes as many scripts do, by removing the link and making it anew."""

    def __init__(self, real: Any, site: Path) -> None:
        self._real, self._site = real, site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def publish(self, name: str, expected: bytes) -> None:
        del expected
        current = self._site / "current"
        current.unlink()
        await self._real.flush()
        current.symlink_to(f"releases/{name}")


class NaiveRemote:
    """The control's server. What it holds counts its own calls, the inner ones too."""

    def __init__(self, real: Any, site: Path) -> None:
        self._real, self._site = real, site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def lock(self, *args: Any) -> Any:
        held = await self._real.lock(*args)
        return held and NaiveHeld(InnerFault(held), self._site)


class InnerFault:
    """Lets the flush in the middle of the naive switch fail."""

    def __init__(self, real: Any) -> None:
        self._real, self._flushes = real, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def flush(self) -> None:
        self._flushes += 1
        if self._flushes == 2:
            raise OSError("the client dies in the middle of the naive switch")
        await self._real.flush()


async def test_the_control_a_naive_switch_is_caught_by_the_same_checks(built: Path) -> None:
    scenario = scenarios(built)[1]
    site = built / "walked"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(scenario.template, site, symlinks=True)
    before = Before.of(site, KEPT)
    real = NaiveRemote(remote_of(site), site)
    with pytest.raises(OSError, match="naive switch"):
        await change(real, "deploy", deploying(built / "new"))
    await real.close()
    assert any("G1" in fault for fault in before.broken([], None))


def test_zz_how_many_points_were_walked(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the table of what was walked; every kind of every change must be in it."""
    with capsys.disabled():
        print()
        for (name, kind), count in sorted(TABLE.items()):
            print(f"  {name:13} {kind:17} {count:3} points, 0 broken")
        print(f"  in all {sum(TABLE.values())} faults, each followed by a deploy that succeeded")
    assert all(count >= 3 for count in TABLE.values())
