"""The lock asked for with the first step: all of it is done, or nothing is."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.release import Site
from opsnb.errors import NotAsSeen, NotReady
from opsnb.remote.shell import Shell
from tests.remote.conftest import Place

ONE, TWO, ASIDE = "20260101000000", "20260102000000", "20251231000000"
BEGIN = b'{"name": "%s", "seq": 3, "state": "unfinished"}\n'


def begun(name: str) -> bytes:
    return BEGIN % name.encode()


async def build(held: Any, name: str) -> None:
    await held.begin(name, begun(name))
    await held.store(f".opsnb/manifests/{name}", b"")
    await held.finish(name)
    await held.store(f".opsnb/records/{name}.json", begun(name).replace(b"unfinished", b"good"))


@pytest.fixture
async def site(remote: Any, where: Path) -> Site:
    """A site with a live release, another one, and one that is kept aside; as it was seen."""
    held = await remote.lock("tester", "here", "now", "")
    for name in (ASIDE, ONE, TWO):
        await build(held, name)
    await held.publish(ONE, b"")
    # Somebody's link, by which current leads on.
    (where / "live").symlink_to(f"releases/{ONE}")
    point(where / "current", "live")
    await held.retire(ASIDE)
    await held.append_audit(b'{"what": "begun"}\n')
    await held.release()
    seen: Site = (await remote.glance()).site
    assert seen.fingerprint
    assert seen.spare
    return seen


@pytest.fixture
async def ahead(remote: Any) -> AsyncIterator[Callable[[Site], Any]]:
    """Asks for the lock with the first step."""
    helds: list[Any] = []

    async def lock(seen: Site) -> Any:
        helds.append(await remote.lock("tester", "here", "now", "", seen))
        assert helds[-1].unasked
        assert helds[-1].seen is seen
        return helds[-1]

    yield lock
    for held in helds:
        await held.release()


def stands(where: Path) -> list[str]:
    """What is in a site, but for what the lock itself makes."""
    found = (str(path.relative_to(where)) for path in where.rglob("*"))
    return sorted(path for path in found if not path.endswith(("holder.json", "audit.torn")))


async def together(held: Any, *steps: Coroutine[Any, Any, None]) -> None:
    async with held.series():
        for step in steps:
            await step


async def test_where_nothing_has_changed_the_step_is_done_under_the_lock(
    remote: Any, where: Path, site: Site, ahead: Any
) -> None:
    held = await ahead(site)
    async with held.series():
        await held.begin("20260103000000", begun("20260103000000"))
    assert not held.unasked
    assert held.token > 0
    assert held.seen is site
    assert (where / "releases" / "20260103000000").is_dir()
    assert (await remote.look()).holder.token == held.token


async def test_the_first_change_of_a_server_has_nothing_to_be_unlike(
    remote: Any, where: Path, ahead: Any
) -> None:
    seen = (await remote.glance()).site
    assert not seen.exists
    held = await ahead(seen)
    await held.begin(ONE, begun(ONE))
    assert (where / "releases" / ONE).is_dir()


async def test_that_somebody_had_the_lock_meanwhile_is_a_difference_whatever_they_did(
    remote: Any, place: Place, where: Path, site: Site, ahead: Any
) -> None:
    other = place.remote(where)
    await (await other.lock("other", "there", "now", "")).release()
    held = await ahead(site)
    with pytest.raises(NotAsSeen) as refused:
        await held.begin("20260103000000", begun("20260103000000"))
    assert refused.value.ours
    assert not (where / "releases" / "20260103000000").exists()
    await other.close()


async def test_what_is_seen_twice_and_was_not_touched_is_the_same(remote: Any, site: Site) -> None:
    """But for when that was."""
    again = (await remote.look(fingerprint=True)).fingerprint
    assert again.split()[0] == site.fingerprint.split()[0]
    assert int(again.split()[1]) >= int(site.fingerprint.split()[1])


async def test_what_comes_late_is_not_done(where: Path, site: Site, ahead: Any) -> None:
    """As bytes do that lay somewhere on their way while the change was given up."""
    digest, when = site.fingerprint.split()
    held = await ahead(replace(site, fingerprint=f"{digest} {int(when) - 21}"))
    with pytest.raises(NotAsSeen):
        await held.begin("20260103000000", begun("20260103000000"))
    assert not (where / "releases" / "20260103000000").exists()


async def test_what_comes_between_the_fingerprint_and_the_look_is_no_part_of_it(
    remote: Any, place: Place, where: Path, site: Site, ahead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may go on with a look that is older than what vouches for it."""
    other, real = place.remote(where), Shell.batch

    async def slowly(self: Shell, calls: Any, answered: Any = None) -> Any:
        replies = []
        for call in calls:
            replies += await real(self, [replace(call, beside=False)], answered)
            if len(replies) == 1:
                (where / "shared" / "new").mkdir()
        return replies

    for look in (remote.glance, lambda: remote.look(fingerprint=True)):
        with monkeypatch.context() as patch:
            patch.setattr(Shell, "batch", slowly)
            found = await look()
        seen = found if isinstance(found, Site) else found.site
        held = await ahead(seen)
        with pytest.raises(NotAsSeen):
            await held.flush()
        await held.release()
        (where / "shared" / "new").rmdir()
    await other.close()


@pytest.mark.parametrize("what", ["lock", "tmp.token"])
async def test_a_lock_that_cannot_be_taken_is_not_left_behind(
    remote: Any, place: Place, where: Path, site: Site, ahead: Any, what: str
) -> None:
    """By its file, or after it was taken: its token cannot be written."""
    (where / ".opsnb" / what).unlink(missing_ok=True)
    (where / ".opsnb" / what).mkdir()
    held = await ahead(site)
    with pytest.raises(NotAsSeen) as refused:
        await held.begin("20260103000000", begun("20260103000000"))
    assert not refused.value.ours
    await held.release()
    with pytest.raises(NotReady, match="cannot take the lock"):
        await remote.lock("tester", "here", "now", "")
    (where / ".opsnb" / what).rmdir()
    other = place.remote(where)
    taken = await other.lock("other", "there", "now", "")
    assert taken is not None, "nobody has it"
    await taken.release()
    await other.close()


async def test_where_it_cannot_be_looked_at_nothing_is_done_and_the_lock_is_given_back(
    remote: Any, where: Path, site: Site, ahead: Any
) -> None:
    """Whoever is no root cannot read what root has closed; root is told of a loop."""
    record = where / ".opsnb" / "records" / "20269999000000.json"
    (where / "releases" / "x").mkdir()
    record.symlink_to(record.name)
    held = await ahead(site)
    with pytest.raises(NotAsSeen) as refused:
        await held.begin("20260103000000", begun("20260103000000"))
    assert not refused.value.ours
    await held.release()
    record.unlink()
    assert (await remote.look()).holder is None
    assert not (where / "releases" / "20260103000000").exists()


def edit(path: Path, more: bytes = b" ") -> None:
    path.write_bytes(path.read_bytes() + more)


def point(link: Path, target: str) -> None:
    if link.is_dir() and not link.is_symlink():
        link.rename(link.parent.parent / "moved")
    else:
        link.unlink()
    link.symlink_to(target)


def make(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("")


CHANGES: dict[str, Callable[[Path], object]] = {
    "another release is live": lambda site: point(site / "current", f"releases/{TWO}"),
    "current leads on to another": lambda site: point(site / "live", f"releases/{TWO}"),
    "current is gone": lambda site: (site / "current").unlink(),
    "a release came": lambda site: (site / "releases" / "x").mkdir(),
    "a release went": lambda site: shutil.rmtree(site / "releases" / TWO),
    "a release is a link now": lambda site: point(site / "releases" / TWO, "../moved"),
    "a record is another": lambda site: edit(site / ".opsnb" / "records" / f"{TWO}.json"),
    "a record went": lambda site: (site / ".opsnb" / "records" / f"{TWO}.json").unlink(),
    "a hold was placed": lambda site: (site / ".opsnb" / "hold.json").write_text("{}"),
    "a switch was begun": lambda site: (site / ".opsnb" / "intent.json").write_text("{}"),
    "the log went on": lambda site: edit(site / ".opsnb" / "audit.jsonl", b'{"what": "y"}\n'),
    "the log was cut": lambda site: edit(site / ".opsnb" / "audit.jsonl", b"{"),
    "what is kept aside went": lambda site: shutil.rmtree(site / ".opsnb" / "spare"),
    "what is kept aside is another": lambda site: edit(site / ".opsnb" / "spare" / "record"),
    "something was left in the trash": lambda site: (site / ".opsnb" / "trash" / "x").mkdir(),
    "something is half written": lambda site: make(site / ".opsnb" / "tmp.9"),
    "configuration waits": lambda site: (site / ".opsnb/config/pending").mkdir(parents=True),
    "a watchdog was armed": lambda site: make(site / ".opsnb" / "watch" / "9"),
    "something came into shared/": lambda site: (site / "shared" / "log").mkdir(),
    "something stands beside": lambda site: make(site / "public"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_else_has_changed_nothing_is_done_and_it_is_seen(
    remote: Any, where: Path, site: Site, ahead: Any, change: str
) -> None:
    CHANGES[change](where)
    before = stands(where)
    held = await ahead(site)
    with pytest.raises(NotAsSeen) as refused:
        await together(
            held,
            held.begin("20260103000000", begun("20260103000000")),
            held.append_audit(b'{"what": "more"}\n'),
        )
    assert stands(where) == before
    assert b"more" not in (where / ".opsnb" / "audit.jsonl").read_bytes()
    # The lock is ours all the same, and what is seen under it is new.
    assert refused.value.ours
    assert held.seen is not site
    assert held.seen.releases == (await remote.look()).releases
    await held.begin("20260103000000", begun("20260103000000"))
    assert (where / "releases" / "20260103000000").is_dir()


async def test_of_an_upload_nothing_is_written_where_the_site_is_another(
    where: Path, site: Site, ahead: Any
) -> None:
    (where / "releases" / "x").mkdir()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)
            await asyncio.sleep(0)

    held = await ahead(site)
    with pytest.raises(NotAsSeen):
        await together(
            held,
            held.begin("20260103000000", begun("20260103000000")),
            held.unpack("20260103000000", endless()),
        )
    assert not (where / "releases" / "20260103000000").exists()


async def test_who_finds_it_locked_has_done_nothing_and_taken_nothing(
    remote: Any, place: Place, where: Path, site: Site, ahead: Any
) -> None:
    other = place.remote(where)
    holder = await other.lock("other", "there", "now", "")
    held = await ahead(site)
    with pytest.raises(NotAsSeen) as refused:
        await held.begin("20260103000000", begun("20260103000000"))
    assert not refused.value.ours
    await held.release()
    assert (await remote.look()).holder.token == holder.token
    await holder.begin("20260104000000", begun("20260104000000"))
    assert sorted(os.listdir(where / "releases"))[-1] == "20260104000000"
    await holder.release()
    await other.close()


async def test_who_never_took_a_step_never_had_it(remote: Any, site: Site, ahead: Any) -> None:
    held = await ahead(site)
    await held.release()
    assert (await remote.look()).holder is None
    assert (await remote.look(fingerprint=True)).fingerprint.split()[0] == site.fingerprint.split()[
        0
    ]


@pytest.mark.parametrize("way", ["killed", "closed"])
async def test_who_goes_before_the_answer_leaves_no_lock_behind(
    remote: Any, place: Place, where: Path, site: Site, way: str
) -> None:
    """Whether it was taken is not known here; it ends with the shell on the server."""
    leaving = place.remote(where)
    held = await leaving.lock("leaving", "here", "now", "", site)
    step = asyncio.create_task(held.hook("releases", "sleep 300", {}, 300, lambda _said: None))
    await asyncio.sleep(0)
    step.cancel()
    await asyncio.wait([step])
    if way == "killed":
        await held.kill()
    await leaving.close()
    async with asyncio.timeout(30):
        while (taken := await remote.lock("tester", "here", "now", "")) is None:  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.1)
    await taken.release()
