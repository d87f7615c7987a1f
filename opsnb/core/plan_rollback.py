"""Planning what builds nothing: going back, going forward again, pruning. Pure."""

from __future__ import annotations

from datetime import datetime

from opsnb.core.caches import refuse_caches
from opsnb.core.checks import armed, cautions, refuse_checks
from opsnb.core.config import Settings
from opsnb.core.configfiles import newer
from opsnb.core.hooks import ROLLBACK, due
from opsnb.core.plan import Plan
from opsnb.core.refusal import refuse, refuse_commands, refuse_current
from opsnb.core.release import Release, Site, State, rollback_targets
from opsnb.core.retention import Rules, over_budget, retain, unseen
from opsnb.core.text import safe
from opsnb.errors import NoSuchRelease, NotReady


def plan_rollback(
    site: Site, settings: Settings, to: str = "", why: str = "", once_at: str = ""
) -> Plan:
    """Plan a rollback, or a roll forward to a release that a rollback left.

    Args:
        site: What a look at the server told.
        settings: What is configured for the server.
        to: The release to publish; empty for the good one before the live one.
        why: The reason, for the record.
        once_at: The server that runs the hooks that run once in its environment; empty for this.

    Raises:
        NotReady: The site cannot switch as it stands.
        NoSuchRelease: There is no such release, or it cannot be trusted.
    """
    if site.missing:
        refuse(site)
    refuse_current(site)
    refuse_commands(site, settings)
    refuse_checks(site, settings)
    refuse_caches(settings)
    target = _chosen(site, to) if to else _previous(site)
    live = site.live
    back = live is not None and live.record is not None and target.seq < live.seq
    left = live.name if live and back else ""
    return Plan(
        verb="rollback",
        name=target.name,
        previous=site.current.name,
        state_id=site.state_id,
        hooks=due(settings, ROLLBACK, once_at=once_at),
        opcache=settings.opcache,
        purge=settings.purge,
        health=settings.health,
        watchdog=armed(site, settings),
        marks_bad=left,
        why=why,
        nothing=target.live,
        warnings=(*_rollback_warnings(site, target), *cautions(site, settings)),
    )


def _previous(site: Site) -> Release:
    targets = rollback_targets(site)
    if targets:
        return targets[0]
    others = ", ".join(f"{safe(r.name)} ({r.state})" for r in site.releases if not r.live)
    hint = f"There are: {others}." if others else "There is no other release."
    if site.releases and not site.ours:
        hint += " `opsnb adopt` gives the releases of another tool their records."
    raise NoSuchRelease("no good release before the live one: nothing was changed", hint)


def _chosen(site: Site, name: str) -> Release:
    release = site.find(name)
    if release is None or not release.present:
        known = ", ".join(safe(r.name) for r in site.releases if r.present) or "none"
        raise NoSuchRelease(f"no release is called {safe(name)}", f"There are: {known}.")
    if release.record is None:
        raise NoSuchRelease(
            f"{safe(name)} has no record: nobody knows whether it is complete",
            "`opsnb adopt` takes the releases of another tool over.",
        )
    if not release.complete or not release.real:
        raise NoSuchRelease(f"{safe(name)} is {release.state}: it was never completed")
    verdict = release.record.verdict
    if release.state is State.BAD and verdict and not verdict.left:
        raise NoSuchRelease(
            f"{safe(name)} failed its checks: {safe(verdict.why)}",
            "Deploy a mended version instead; a rollback only goes where visitors have been.",
        )
    return release


def _rollback_warnings(site: Site, target: Release) -> tuple[str, ...]:
    said = []
    verdict = target.record.verdict if target.record else None
    if verdict:
        said.append(f"{target.name} was left by {safe(verdict.by)}: {safe(verdict.why)}")
    if target.state is State.UNCONFIRMED:
        said.append(f"{target.name} was never confirmed to work")
    if site.live and site.live.record and target.record:
        said += newer(site.live.record.config, target.record.config)
    if site.hold:
        said.append(site.hold.words)
    return tuple(said)


def plan_prune(site: Site, rules: Rules, now: datetime) -> Plan:
    """Plan the removal of old releases, and of the one that is kept aside.

    Args:
        site: What a look at the server told.
        rules: What is to stay.
        now: The present time, aware.

    Raises:
        NotReady: opsnb has never been here, so nothing is its own to remove.
    """
    if not site.ours:
        raise NotReady(
            f"opsnb has no records at {site.deploy_to}: it removes only what it knows",
            "`opsnb adopt` takes the releases of another tool over.",
        )
    retention = retain(site, rules, now)
    name = site.current.name
    return Plan(
        verb="prune",
        name=name,
        previous=name,
        state_id=site.state_id,
        retention=retention,
        keep_releases=rules.count,
        rules=rules,
        unseen=unseen(site, retention, rules),
        clears_spare=site.spare is not None,
        nothing=not retention.remove and site.spare is None,
        warnings=(*([site.hold.words] if site.hold else []), *over_budget(retention, rules)),
    )
