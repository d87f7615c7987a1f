"""The laboratory: small sites to break, changes to break them with, and the deploy that follows.

A site of its own is made once, as a template; each experiment works on a copy of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsnb.core import audit
from opsnb.core.address import Address
from opsnb.core.config import Settings
from opsnb.core.events import Outcome
from opsnb.core.plan import Wish
from opsnb.core.release import rollback_targets
from opsnb.core.retention import Rules
from opsnb.engine.asked import given
from opsnb.engine.change import Change
from opsnb.engine.deploy import DeployWork, Order
from opsnb.engine.manage import PinWork
from opsnb.engine.source import scan
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.engine.telling import Actor
from opsnb.errors import OpsnbError
from opsnb.remote.local import local_remote
from opsnb.remote.ssh import ssh_remote
from tests.faults.guarantees import Before, debris, good, live
from tests.support.sshd import RealSshd

KEPT = ("releases/foreign", "releases/20200101000000")
SETTINGS = Settings.model_validate({"keep_releases": 3, "health": [{"command": "test -e index"}]})
TRIED = os.environ.get("OPSNB_FAULTS", "")
"""How much is tried: ``whole``, a number of points for each test, or a small sample."""

WHOLE = TRIED == "whole"
"""Whether every point is tried."""

RELIST = (
    'cd "$D/.opsnb" 2>/dev/null || exit 0; '
    'for known in stats/*; do survey "${known##*/}" >"$D/.opsnb/$known" || exit; done; '
    '! cd "$D/.opsnb/spare/tree" 2>/dev/null || stat_all >../stats'
)


def some(points: Sequence[int], sample: int) -> list[int]:
    """All points when the whole is asked for; otherwise so many, evenly spread, the ends included.

    Args:
        points: The points.
        sample: How many at the most, if no number is asked for; at least 2.
    """
    size = int(TRIED) if TRIED.isdigit() else sample
    if WHOLE or len(points) <= size:
        return list(points)
    return [points[round(at * (len(points) - 1) / (size - 1))] for at in range(size)]


def source(folder: Path, text: str, bulk: int = 0) -> Path:
    """A small tree in which something comes, goes and changes its kind with each version.

    Args:
        folder: Where it is made.
        text: The version.
        bulk: How many more files it has, so that to copy it takes a while.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sub").mkdir(parents=True)
    (folder / "index").write_text(text)
    (folder / "sub" / text).write_text(text * 100)
    if len(text) % 2:
        (folder / "kind").mkdir()
        (folder / "kind" / "inside").write_text("x")
    else:
        (folder / "kind").write_text("a file now")
    for number in range(bulk):
        (folder / f"bulk{number}").write_text(f"{number}\n" * 500)
    return folder


def deploying(folder: Path, watchdog: int = 0) -> DeployWork:
    """A deploy of a folder, with a watchdog of so many seconds or without one."""
    scanned = scan(folder)
    settings = watched(watchdog)
    wish = Wish(scanned.manifest, str(folder), settings, revision="r", by="tester", host="here")
    return DeployWork(Order(given(wish, scanned)))


def watched(seconds: int) -> Settings:
    """The settings with a watchdog, which may be quicker than a user's."""
    return SETTINGS.model_copy(update={"watchdog": seconds})


async def change(remote: Any, verb: str, work: Any) -> tuple[Any, OpsnbError | None]:
    """Carry a change out; its report, and the error when there was one."""
    actor = Actor("local", "tester", "here", lambda _event: None, lambda: datetime.now(UTC))
    return await Change(remote, actor, verb).run(work)


def folder(site: Path) -> Any:
    """A site of this machine, reached without a network."""
    return local_remote(str(site), 60, 20)


@dataclass(frozen=True)
class Scenario:
    """A change on a site.

    Attributes:
        name: What it is called.
        template: The site before it, below the laboratory's base.
        verb: The kind of change.
        work: Makes the work anew for each experiment.
        keep: How many good releases must be there at every moment.
    """

    name: str
    template: str
    verb: str
    work: Callable[[], Any]
    keep: int = 0


@dataclass(frozen=True)
class Lab:
    """Where experiments are made.

    Attributes:
        base: A directory for templates, sources and copies.
        remote: Reaches a site as a client does, over a connection of its own.
        own: Gives a path, and all below it, to the user that the server runs as.
        bulk: How many more files each release has.
    """

    base: Path
    remote: Callable[[Path], Any] = folder
    own: Callable[[Path], object] = lambda _path: None
    bulk: int = 0

    async def build(self) -> None:
        """Make the templates.

        ``empty`` has but something in ``shared/``; ``site`` has four releases, one of them pinned,
        and two directories that are not opsnb's; ``spared`` is ``site`` one deploy later, when a
        release has been kept aside.
        """
        empty, site = self.base / "empty", self.base / "site"
        (empty / "shared" / "uploads").mkdir(parents=True)
        (empty / "shared" / "uploads" / "photo").write_text("precious")
        shutil.copytree(empty, site)
        self.own(empty)
        await self._deploy(site, "a")
        error = (await self._change(site, "pin", PinWork(live(site), pinned=True)))[1]
        assert error is None
        for text in ("bb", "ccc", "dddd"):
            await self._deploy(site, text)
        for name, text in (("foreign", "not ours"), ("20200101000000", "not ours either")):
            (site / "releases" / name).mkdir()
            (site / "releases" / name / "file").write_text(text)
        self.own(site)
        source(self.base / "new", "eeeee", self.bulk)
        source(self.base / "other", "ggggggg", self.bulk)
        source(self.base / "after", "ffffff", self.bulk)
        walked = await self.anew("site")
        await self._deploy(walked, "dddddd")
        assert (walked / ".opsnb" / "spare" / "tree" / "index").read_text() == "bb"
        walked.rename(self.base / "spared")
        self.own(self.base)

    async def _change(self, site: Path, verb: str, work: Any) -> tuple[Any, OpsnbError | None]:
        remote = folder(site)
        done = await change(remote, verb, work)
        await remote.close()
        return done

    async def _deploy(self, site: Path, text: str) -> None:
        work = deploying(source(self.base / "v", text, self.bulk))
        error = (await self._change(site, "deploy", work))[1]
        assert error is None, error

    async def anew(self, template: str, name: str = "walked") -> Path:
        """A copy of a template in which each release is as known as it was there.

        Its inodes are others now, so what is known of them is written anew.
        """
        site = self.base / name
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(self.base / template, site, symlinks=True)
        self.own(site)
        await self.relist(site)
        return site

    async def relist(self, site: Path) -> None:
        """Write anew how each release looks, as if it had been finished so."""
        remote = folder(site)
        shell = await remote.spare_shell()
        assert shell
        relisted = await shell.call("eval", RELIST)
        assert relisted.status == 0, relisted.err
        await shell.close()
        await remote.close()

    def scenarios(self) -> dict[str, Scenario]:
        """The changes that are broken, by name."""

        def new() -> DeployWork:
            return deploying(self.base / "new")

        made = [
            Scenario("first deploy", "empty", "deploy", new),
            Scenario("redeploy", "site", "deploy", new, 3),
            Scenario("recycling", "spared", "deploy", new, 3),
            Scenario("rollback", "site", "rollback", lambda: RollbackWork(SETTINGS)),
            Scenario("prune", "site", "prune", lambda: PruneWork(Rules(1))),
        ]
        return {scenario.name: scenario for scenario in made}

    def before(self, site: Path, template: str) -> Before:
        """Remember a copy of a template, and what in it nobody may touch."""
        return Before.of(site, () if template == "empty" else KEPT)

    async def offered(self, site: Path) -> list[str]:
        """What a rollback offers, asked over a fresh connection."""
        fresh = self.remote(site)
        seen = await fresh.look()
        await fresh.close()
        return [release.name for release in rollback_targets(seen)]

    async def next_deploy(self, site: Path, wait: float = 0, by: Any = None) -> list[str]:
        """G8: the next deploy succeeds with no hand work and clears what was left.

        Args:
            site: The site.
            wait: Seconds it may wait for the lock.
            by: What reaches the site; a remote of its own when none is given.
        """
        remote = by or self.remote(site)
        actor = Actor("local", "next", "here", lambda _event: None, lambda: datetime.now(UTC))
        work = deploying(self.base / "after")
        report, error = await Change(remote, actor, "deploy", wait=wait).run(work)
        await remote.close()
        if error is not None:
            return [f"G8: the next deploy failed: {error}"]
        broken = [f"G8: left over: {path}" for path in debris(site)]
        broken += [f"G8: nobody knows {name}" for name in strangers(site)]
        broken += [f"G10: {fault}" for fault in unchained(site)]
        if report.outcome is not Outcome.DONE:
            broken.append(f"G8: the next deploy: {report.outcome}")
        return broken

    async def aftermath(
        self,
        site: Path,
        before: Before,
        report: Any,
        *,
        keep: int = 0,
        wait: float = 0,
        torn: bool = False,
    ) -> list[str]:
        """Everything that must hold after a fault, and after the deploy that follows it.

        Args:
            site: The site.
            before: It before the fault.
            report: What the change said became of it; None when it died.
            keep: How many good releases must be left.
            wait: Seconds the next deploy may wait for the lock.
            torn: Whether the log's last line may be torn until then.
        """
        broken = before.broken(await self.offered(site), report)
        if torn:
            broken = [fault for fault in broken if fault not in last_line_torn(site)]
        if len(good(site)) < keep:
            broken.append(f"G9: only {len(good(site))} good releases are left")
        return broken + await self.next_deploy(site, wait)


def unchained(site: Path) -> list[str]:
    """What is wrong with the log."""
    log = site / ".opsnb" / "audit.jsonl"
    return [f"line {fault.number}: {fault.what}" for fault in audit.verify(log.read_bytes())]


def last_line_torn(site: Path) -> list[str]:
    """What is said of the log when its last line is torn, and nothing else is wrong with it."""
    number = len((site / ".opsnb" / "audit.jsonl").read_bytes().splitlines())
    wrong = unchained(site)
    last = [fault for fault in wrong if fault.startswith(f"line {number}: not an entry")]
    return [f"G10: {fault}" for fault in last] if wrong == last else []


def strangers(site: Path) -> list[str]:
    """Directories in releases/ without a record that were not there before."""
    records = {path.stem for path in (site / ".opsnb" / "records").iterdir()}
    there = {path.name for path in (site / "releases").iterdir()}
    return sorted(there - records - {Path(path).name for path in KEPT})


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder in memory where that is possible: each experiment flushes the disk several times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="opsnb-faults-", dir=memory) as base:
        yield Path(base)


def over_ssh(sshd: RealSshd, base: Path, config: Path | None = None, bulk: int = 0) -> Lab:
    """A laboratory whose sites are reached through OpenSSH's server.

    Args:
        sshd: The server.
        base: A directory that its user can reach.
        config: Another ssh_config to reach it with, for instance through a relay.
        bulk: How many more files each release has.
    """

    def remote(site: Path) -> Any:
        # By its alias: the configuration says which port leads to it.
        address = Address.parse(f"ssh://{sshd.alias}{site}")
        return ssh_remote(address, config or sshd.ssh_config, 60, 20)

    return Lab(base, remote, sshd.own, bulk)
