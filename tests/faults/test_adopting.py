"""A fault at every call of an adoption, of its undoing and of its end: the site is served
throughout, and the next adoption or undoing succeeds with no hand work."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.adoption import Request
from opsnb.engine.adopt import AdoptWork
from tests.faults.conftest import Tell
from tests.faults.faulty import KINDS, Faulty, Plot
from tests.faults.guarantees import debris, live, snapshot
from tests.faults.lab import WHOLE, Lab, change, in_memory, source
from tests.support.matrix import Row
from tests.support.site import unlike

FAULTS = (*KINDS, "fails after")
OURS = ("releases", "shared", "current", ".opsnb")
PLAIN, DIRECTORY = "plain", "directory"
SHARED = (b"uploads",)
STEP = 11  # in a sample, which calls fail


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with in_memory() as base:
        made = Lab(base)
        source(base / "after", "ffffff")
        for kind, folder in ((PLAIN, base / PLAIN), (DIRECTORY, base / DIRECTORY / "current")):
            (folder / "uploads").mkdir(parents=True)
            (folder / "index").write_text(kind)
            (folder / "uploads" / "photo").write_text("precious")
        yield made


@dataclass
class Walk:
    """A change on a copy of a site, with its faults.

    Attributes:
        lab: Where.
        kind: What kind of site.
        faults: The fault by the number of the call.
        unserved: Moments at which the site could not be read.
    """

    lab: Lab
    kind: str
    faults: dict[int, str]
    unserved: list[str] = field(default_factory=list)

    def fresh(self) -> Path:
        site = self.lab.base / "walked"
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(self.lab.base / self.kind, site, symlinks=True)
        return site

    @property
    def page(self) -> Path:
        place = self.lab.base / "walked"
        return place / "current" / "index" if self.kind == DIRECTORY else place / "index"

    def served(self) -> None:
        try:
            assert self.page.read_text() == self.kind
        except OSError as error:
            self.unserved.append(str(error))

    async def do(self, request: Request, *, faulty: bool) -> tuple[Plot, Any]:
        plot = Plot(self.faults if faulty else {}, watch=self.served)
        real = self.lab.remote(self.lab.base / "walked")
        work = AdoptWork(request)
        task = asyncio.create_task(change(Faulty(real, plot), request.verb, work))
        _report, error = await task
        await real.close()
        return plot, error


def theirs(site: Path) -> dict[str, tuple[object, ...]]:
    """What was there before opsnb, and can be seen by a visitor."""
    return {p: seen for p, seen in snapshot(site).items() if Path(p).parts[0] not in OURS}


async def again(walk: Walk, site: Path) -> list[str]:
    """The adoption once more: it ends well, and so does a deploy."""
    _, error = await walk.do(Request(shared=SHARED), faulty=False)
    if error is not None:
        return [f"the next adoption: {error}"]
    broken = [f"G1: {fault}" for fault in unlike(site, live(site))]
    if not (site / "shared" / "uploads" / "photo").exists():
        broken.append("shared/uploads is not there")
    return broken + [f"left over: {path}" for path in debris(site)]


async def undone(walk: Walk, site: Path, before: dict[str, tuple[object, ...]]) -> list[str]:
    """The undoing: all is as it was."""
    if not (site / ".opsnb").exists():
        return [] if snapshot(site) == before else ["something is left"]
    _, error = await walk.do(Request("undo"), faulty=False)
    if error is not None:
        return [f"the undoing: {error}"]
    now = {p: seen for p, seen in snapshot(site).items() if p not in ("releases", "shared")}
    return [] if now == before else [f"not as it was: {sorted(now.keys() ^ before.keys())}"]


async def prepared(walk: Walk, *steps: Request) -> None:
    for step in steps:
        _, error = await walk.do(step, faulty=False)
        assert error is None


CHANGES: dict[str, tuple[tuple[Request, ...], Request]] = {
    "adopt": ((), Request(shared=SHARED)),
    "undo": ((Request(shared=SHARED),), Request("undo")),
}


@pytest.mark.parametrize("kind", [PLAIN, DIRECTORY])
@pytest.mark.parametrize("name", CHANGES)
async def test_a_fault_at_every_call_of_an_adoption_can_be_gone_on_from_and_taken_back(
    lab: Lab, name: str, kind: str, tell: Tell
) -> None:
    before_it, request = CHANGES[name]
    plain = Walk(lab, kind, {})
    plain.fresh()
    await prepared(plain, *before_it)
    plot, error = await plain.do(request, faulty=True)
    assert error is None
    broken, runs = list(plain.unserved), 0
    for number, fault in enumerate(FAULTS):
        for at in range(1, len(plot.calls) + 1):
            if not WHOLE and (at + number) % STEP:
                continue
            walk = Walk(lab, kind, {at: fault})
            site = walk.fresh()
            before = snapshot(site)
            await prepared(walk, *before_it)
            struck, _error = await walk.do(request, faulty=True)
            found = [] if kind == DIRECTORY or theirs(site) == before else ["the old site changed"]
            back = runs % 2 == 0
            found += await (undone(walk, site, before) if back else again(walk, site))
            broken += [f"{struck.struck}: {fault_}" for fault_ in (*found, *walk.unserved)]
            runs += 1
    points = len(plot.calls)
    tell(Row("a call to the server fails", f"{name}, {kind}", points, runs, len(broken)))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("kind", [PLAIN, DIRECTORY])
async def test_a_fault_at_every_call_of_its_end_removes_nothing_else(
    lab: Lab, kind: str, tell: Tell
) -> None:
    plain = Walk(lab, kind, {})
    plain.fresh()
    await prepared(plain, Request(shared=SHARED))
    plain.served = lambda: None  # type: ignore[method-assign]  # the old files go now
    plot, error = await plain.do(Request("finish"), faulty=True)
    assert error is None
    broken, runs = [], 0
    for number, fault in enumerate(FAULTS):
        for at in range(1, len(plot.calls) + 1):
            if not WHOLE and (at + number) % STEP:
                continue
            walk = Walk(lab, kind, {at: fault})
            site = walk.fresh()
            await prepared(walk, Request(shared=SHARED))
            walk.served = lambda: None  # type: ignore[method-assign]  # as above
            struck, _ = await walk.do(Request("finish"), faulty=True)
            _, error = await walk.do(Request(shared=()), faulty=False)
            found = [f"G1: {bad}" for bad in unlike(site, live(site))]
            if (site / "shared" / "uploads" / "photo").read_text() != "precious":
                found.append("shared/ changed")
            found += await lab.next_deploy(site)
            broken += [f"{struck.struck}: {bad}" for bad in found]
            runs += 1
    tell(Row("a call to the server fails", f"finish, {kind}", len(plot.calls), runs, len(broken)))
    assert not broken, "\n".join(broken)


Do = Callable[[Path], object]


async def test_the_control_a_script_that_moves_the_site_leaves_moments_without_one(
    lab: Lab, tell: Tell
) -> None:
    """``mkdir releases; mv current releases/1; ln -s releases/1 current``, cut after each step."""
    walk, lost = Walk(lab, DIRECTORY, {}), 0
    steps: list[Do] = [
        lambda site: (site / "releases").mkdir(),
        lambda site: (site / "current").rename(site / "releases" / "1"),
        lambda site: (site / "current").symlink_to("releases/1"),
    ]
    for cut in range(1, len(steps) + 1):
        site = walk.fresh()
        for step in steps[:cut]:
            step(site)
        walk.served()
        lost += len(walk.unserved)
    tell(Row("a call to the server fails", "control: mv, ln -s", 3, 3, lost, True))
    assert lost
