"""Planning what becomes of configuration files, as a part of planning a deploy. Pure."""

from __future__ import annotations

from dataclasses import replace

from opsnb.core import configfiles
from opsnb.core.links import Standing
from opsnb.core.listing import Base
from opsnb.core.plan import Plan, Wish
from opsnb.core.release import Site
from opsnb.errors import NotReady


def wished(site: Site, base: Base | None, wish: Wish, standing: Standing) -> Wish:
    """What is asked for; another file in ``shared/`` makes a release, and so does one left behind.

    Args:
        site: The site.
        base: The live release.
        wish: What is asked for.
        standing: What is in ``shared/``.

    Raises:
        NotReady: A configuration file cannot be placed.
    """
    if configfiles.shared(wish.config) and not site.commands:
        raise NotReady(
            "this account has SFTP only: no configuration file can be placed in shared/",
            'Put it into the release (to = "release"), or give the login a shell.',
        )
    live = {} if base is None else base.manifest.entries
    found = configfiles.changes(wish.config, live, standing)
    unsettled = site.pending is not None and site.pending.release != (site.current.name or None)
    return replace(wish, force=wish.force or bool(configfiles.placed(found)) or unsettled)


def with_config(plan: Plan, base: Base | None, wish: Wish, standing: Standing) -> Plan:
    """A plan, and what it does to configuration files.

    Args:
        plan: The plan without it.
        base: The live release.
        wish: What is asked for.
        standing: What is in ``shared/``.
    """
    if not wish.config or plan.build is None or plan.record is None:
        return plan
    live = {} if base is None else base.manifest.entries
    found = configfiles.changes(wish.config, live, standing)
    said = [*configfiles.warnings(found, plan.build.links)]
    if plan.watchdog and configfiles.placed(found):
        said.append("if the watchdog puts the release back, the next change puts shared/ back")
    record = replace(plan.record, config=configfiles.recorded(wish.config))
    return replace(plan, config=found, record=record, warnings=(*plan.warnings, *said))
