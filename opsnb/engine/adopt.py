"""Taking a site over, the way back, and the end of it: plans carried out; see core/adoption.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from urllib.parse import quote_from_bytes

from opsnb.core import adoption, hints, layout, listing
from opsnb.core.adopt_plan import AdoptPlan
from opsnb.core.adoption import Adoption, Grounds, Request
from opsnb.core.events import Outcome
from opsnb.core.hints import Hint
from opsnb.core.layout import stamp
from opsnb.core.manifest import Kind, Manifest
from opsnb.core.refusal import refuse_missing
from opsnb.core.release import Record, Release, Site, State
from opsnb.core.text import plural, safe
from opsnb.core.webserver import Files
from opsnb.engine.change import Change, Finished
from opsnb.engine.webserver import web_files
from opsnb.errors import StalePlan
from opsnb.remote.base import Remote, Texts


async def grounds(remote: Remote, site: Site, request: Request) -> Grounds:
    """What a plan rests on, gathered from a server. Reads only.

    Args:
        remote: The server.
        site: What a look told.
        request: What is asked for.

    Raises:
        NotReady: There is nothing that could be taken over, or not without a shell.
    """
    made = adoption.Adoption.decode(site.adoption)
    kind = made.kind if made and request.verb != "adopt" else "records"
    if request.verb == "adopt":
        kind = adoption.kind_of(site)
    marks = await remote.texts([f"{_literal(site.deploy_to)}/{mark}" for mark in hints.MARKS])
    web = await web_files(remote, request.web_config)
    web = replace(web, texts=_without_marks(web, marks))
    known = hints.read(site.deploy_to, marks.texts)
    if kind == "records":
        link = site.entries.get(b"release") == "l"
        able = adoption.Able(under_way=adoption.under_way(site.deploy_to, marks.texts, link=link))
        return Grounds(site, able, known, web)
    found = await remote.theirs(kind)
    how = tuple(one for one in ("mv", "python3", "perl") if one in found.able)
    able = adoption.Able(how, "link" in found.able, others="others" in found.able)
    drifted = await _drifted(remote, site, made) if request.verb == "undo" else ()
    return Grounds(
        site,
        able,
        known,
        web,
        found.now,
        found.then,
        found.shared_now,
        found.shared_then,
        drifted,
    )


def _literal(path: str) -> str:
    """A path as a pattern that means it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _without_marks(web: Files, marks: Texts) -> dict[str, str]:
    return {path: text for path, text in web.texts.items() if path not in marks.texts}


async def _drifted(remote: Remote, site: Site, made: Adoption | None) -> tuple[bytes, ...]:
    """What has changed in the release that an adoption made."""
    if made is None or site.find(made.release) is None:
        return ()
    changes = await remote.changes(made.release)
    return tuple(sorted(listing.named(changes.now) | listing.named(changes.gone)))


async def plan_adopt(remote: Remote, request: Request, now: datetime) -> AdoptPlan:
    """Plan what is asked for; reads only.

    Args:
        remote: The server.
        request: What is asked for.
        now: The present time, aware.
    """
    site = await remote.look()
    refuse_missing(site)
    return adoption.plan(request, await grounds(remote, site, request), now)


class AdoptWork:
    """An adoption, its undoing or its end, for :meth:`Change.run`.

    Args:
        request: What is asked for.
        agreed: The plan that was agreed to; None when whatever is right may be done.
    """

    def __init__(self, request: Request | None = None, agreed: AdoptPlan | None = None) -> None:
        self._request, self._agreed = request or Request(), agreed

    async def __call__(self, change: Change) -> None:
        """Carry it out under the lock."""
        before = await self._planned(change, await change.look())
        if before.nothing:
            change.outcome = Outcome.NOTHING
            return
        site = await change.take(change.verb)
        on = await grounds(change.remote, site, self._request)
        plan = adoption.plan(self._request, on, change.actor.now())
        if self._agreed and plan.meaning != self._agreed.meaning:
            raise StalePlan(
                f"{change.actor.server} is no longer as the plan saw it: nothing was changed",
                "Plan again, look, and adopt by that plan.",
            )
        # Taking the lock has made what was missing of the layout.
        plan = replace(plan, made=before.made)
        change.release = plan.release
        await _STEPS[plan.verb](change, plan, on)

    async def _planned(self, change: Change, site: Site) -> AdoptPlan:
        on = await grounds(change.remote, site, self._request)
        return adoption.plan(self._request, on, change.actor.now())


async def _adopt(change: Change, plan: AdoptPlan, on: Grounds) -> None:
    begun = Adoption.decode(on.site.adoption)
    first = begun is not None or not any(release.record for release in on.site.releases)
    noted = Adoption(plan.kind, "begun", plan.release, plan.shared, plan.made)
    names = list(plan.records) or [plan.release]
    await change.audit("adopt.begin", releases=names, made_by=plan.made_by)
    if plan.kind == "records":
        if first:
            await change.lock.store(adoption.PATH, noted.encode())
        await _records(change, plan, on)
    elif on.site.current.name != plan.release:
        await change.lock.store(adoption.PATH, noted.encode())
        await _first_release(change, plan, on, begun)
    else:
        await _end(change, plan, on.site)
    async with change.series():
        if first or plan.kind != "records":
            await change.lock.store(adoption.PATH, replace(noted, stage="done").encode())
        await change.audit("adopt.done", releases=names)
        await change.lock.forget([layout.INTENT])
        await change.lock.flush()


async def _records(change: Change, plan: AdoptPlan, on: Grounds) -> None:
    counter = on.site.counter
    for release in adoption.strangers(on.site):
        counter += 1
        hint = on.hints.get(release.name, Hint())
        record, carried = await _described(change, release, counter, hint, plan)
        await change.lock.store(f"{layout.OURS}/carried/{release.name}", carried)
        await change.put(replace(record, state=adoption.state_of(release, hint)))
        change.log(f"adopted {safe(release.name)}: {plural(record.files, 'file')}")
    change.warnings += [f"{safe(name)} is adopted" for name in plan.records]


async def _described(
    change: Change, release: Release, seq: int, hint: Hint, plan: AdoptPlan
) -> tuple[Record, bytes]:
    """A release's record, as of a complete one, and what it holds beyond its manifest."""
    name, deploy_to = release.name, plan.deploy_to
    seen = listing.read(await change.lock.finish(name))
    links = [path for path in seen if listing.leads_to_shared(seen[path].entry, deploy_to)]
    files = [path for path, item in seen.items() if item.entry.kind is Kind.FILE and not item.odd]
    digests = await change.remote.hashes(name, files) if files else {}
    beside = {path for path in seen if listing.leads_beside(seen[path].entry, deploy_to)}
    # What is linked from beside the releases is carried over, as what the application wrote is.
    kept = [item.entry for path, item in seen.items() if path not in beside and not item.odd]
    manifest = Manifest(replace(entry, sha256=digests.get(entry.path, "")) for entry in kept)
    await change.lock.store(layout.manifest(name), manifest.encode())
    actor = change.actor
    record = Record(
        name=name,
        seq=seq,
        state=State.UNCONFIRMED,
        at=hint.at or stamp(actor.now()),
        by=hint.by or actor.by,
        host="" if hint.by else actor.host,
        revision=hint.revision,
        source=f"adopted from {plan.made_by or 'a site without releases'}",
        files=manifest.files,
        size=manifest.size,
        manifest=manifest.id,
        links=tuple(quote_from_bytes(path) for path in links),
        adopted=True,
    )
    return record, listing.beyond(seen, manifest, links)


async def _first_release(
    change: Change, plan: AdoptPlan, on: Grounds, begun: Adoption | None
) -> None:
    """Make a release of the site beside it, and make it live."""
    name, lock, site = plan.release, change.lock, on.site
    stale = site.find(begun.release) if begun else None
    if stale is not None:
        await lock.discard([stale.name])
    record = Record(name, site.counter + 1, State.UNFINISHED, adopted=True)
    change.building = name
    await lock.begin(name, record.encode())
    change.log(f"copying the site into releases/{name}")
    await lock.copy_theirs(name, plan.kind)
    if plan.shared:
        await lock.share(name, plan.shared)
        await lock.link(name, plan.shared)
    await lock.open_up(name, "")
    after = await change.remote.theirs(plan.kind)
    await lock.store(adoption.COPIED, _both(on.here, after.now))
    await lock.store(adoption.SHARED, (await change.remote.theirs(plan.kind)).shared_now)
    record, carried = await _described(change, Release(name), record.seq, Hint(), plan)
    files = {f"{layout.OURS}/carried/{name}": carried}

    async def exchange() -> None:
        await lock.exchange(name, plan.exchange)

    by = exchange if plan.kind == "directory" else None
    await change.switch(name, finished=Finished(record, files), verb="adopt", by=by)
    change.log(f"current leads to releases/{name}")
    await change.put(record.good())
    await _meanwhile(change, plan)


def _both(one: bytes, other: bytes) -> bytes:
    """The lines that two listings have in common: what did not change while it was copied."""
    common = set(one.split(b"\0")) & set(other.split(b"\0"))
    return b"".join(line + b"\0" for line in sorted(common) if line)


async def _meanwhile(change: Change, plan: AdoptPlan) -> None:
    """Say what was written at the old place while it was copied."""
    there = await change.remote.theirs(plan.kind)
    new = adoption.fresh(there.now, there.then)
    if new:
        names = ", ".join(safe(path) for path in new[:5])
        change.warn(
            f"{plural(len(new), 'path')} written at the old place meanwhile, and not in the "
            f"release: {names}"
        )


async def _end(change: Change, plan: AdoptPlan, site: Site) -> None:
    """Write down what a cut-off adoption could not: its release is live."""
    release = site.find(plan.release)
    if release and release.record:
        await change.put(release.record.good())


async def _undo(change: Change, plan: AdoptPlan, on: Grounds) -> None:
    """Take away what an adoption made, the old site first of all."""
    lock, site = change.lock, on.site
    made = Adoption.decode(site.adoption)
    await change.audit("adopt.undo", release=plan.release, releases=list(plan.records))
    if made:
        await lock.store(adoption.PATH, replace(made, stage="undoing").encode())
    if plan.kind == "directory" and plan.exchange and made:
        await lock.exchange_back(made.release, plan.exchange)
    elif plan.kind == "plain" and made:
        await lock.unpublish(made.release)
    if plan.release:
        await lock.discard([plan.release])
    if plan.shared:
        await lock.unshare(plan.shared)
    change.log("taking away what the adoption made, .opsnb last")
    await lock.dissolve(plan.made)


async def _finish(change: Change, plan: AdoptPlan, on: Grounds) -> None:
    """Remove from the old place what was copied and has not changed since."""
    keep = set(plan.remove)
    lines = [line for line in on.here.split(b"\0") if line and adoption.path_of(line) in keep]
    links = [adoption.path_of(line) for line in lines if line.startswith(b"l ")]
    await change.audit("adopt.finish", release=plan.release, removed=len(plan.remove))
    made = Adoption.decode(on.site.adoption)
    if made:
        await change.lock.store(adoption.PATH, replace(made, ending=True).encode())
    change.log(f"removing {plural(len(plan.remove), 'path')} that were copied")
    await change.lock.remove_theirs(plan.kind, b"".join(line + b"\0" for line in lines), links)
    for path, why in plan.stays[:20]:
        change.log(f"{safe(path)} stays: {why}")
    async with change.series():
        if not plan.stays:
            await change.lock.forget([adoption.PATH, adoption.COPIED, adoption.SHARED])
        await change.audit("adopt.finished", release=plan.release)
        await change.lock.flush()


_STEPS = {"adopt": _adopt, "undo": _undo, "finish": _finish}
