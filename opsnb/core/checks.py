"""Health checks and the watchdog, as a plan has them: what is refused, said and shown. Pure.

Rule: what a check or a watchdog needs of the server is there, or it is refused before anything is
made.
"""

from __future__ import annotations

from collections.abc import Iterable

from opsnb.core import asking
from opsnb.core.config import Settings
from opsnb.core.plan import Plan
from opsnb.core.release import CurrentKind, Site
from opsnb.core.settings.health import Health
from opsnb.core.text import safe
from opsnb.core.watch import sentence
from opsnb.errors import ConfigError, NotReady


def refuse_checks(site: Site, settings: Settings) -> None:
    """Refuse checks that cannot be asked from this server, and a watchdog it cannot run.

    Raises:
        ConfigError: A check names a secret that is not listed.
        NotReady: The server lacks what it takes.
    """
    for check in settings.health:
        unlisted = sorted(check.secrets - {*settings.secrets})
        if unlisted:
            raise ConfigError(
                f"the check {safe(check.asked)} names {unlisted[0]}, which `secrets` does not list",
                f'Add it: secrets = ["{unlisted[0]}"]. Nothing was done.',
            )
    lacks = [need for check in settings.health if (need := asking.lacks(check, site.tools))]
    if settings.watchdog and "setsid" not in site.tools:
        lacks.append("setsid, for the watchdog to outlive its session (util-linux, BusyBox)")
    if lacks:
        raise NotReady(
            f"the server lacks what the settings ask for: {'; '.join(dict.fromkeys(lacks))}",
            "Install it there, or take these settings out of opsnb.toml for this server.",
        )


def armed(site: Site, settings: Settings) -> int:
    """The watchdog's seconds for a switch on a site; 0 where there is nothing to put back."""
    return settings.watchdog if site.current.kind is CurrentKind.RELEASE else 0


def cautions(site: Site, settings: Settings) -> Iterable[str]:
    """What the user should know of the watchdog before saying yes."""
    if told := sentence(site):
        yield told
    if not settings.watchdog:
        return
    if not armed(site, settings):
        yield "no watchdog for this switch: nothing is live that it could put back"
        return
    longest = sum(check.longest for check in settings.health if check.is_asked("after"))
    if longest > settings.watchdog:
        yield (
            f"the checks may take {longest:g} s, the watchdog waits for {settings.watchdog} s: "
            "a slow site will be put back"
        )


def shown(check: Health) -> str:
    """A check in one line: what is asked, from where, when, and what must be answered."""
    told = [safe(check.asked)]
    if check.url and check.method != "GET":
        told.insert(0, check.method)
    if check.from_ == "server":
        told.append("from the server")
    if check.when != "after":
        told.append(
            {"before": "before the switch", "both": "before and after the switch"}[check.when]
        )
    return " ".join([*told, *_wanted(check)])


def _wanted(check: Health) -> Iterable[str]:
    if check.url and check.statuses != (200,):
        yield f"→ {' or '.join(map(str, check.statuses))}"
    if check.contains:
        yield f"with {safe(check.contains)!r}"
    if check.header.name:
        wanted = check.header.contains or check.header.matches
        yield f"with {safe(check.header.name)}: {safe(wanted) or 'anything'}"
    if check.json_.path:
        yield f"with {safe(check.json_.path)} = {safe(repr(check.json_.equals))}"


def watchdog_shown(plan: Plan) -> str:
    """What a plan's watchdog does; empty for none."""
    if not plan.watchdog or plan.nothing:
        return ""
    return f"puts {safe(plan.previous)} back unless confirmed within {plan.watchdog} s"
