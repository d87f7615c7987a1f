"""One change in which a call on the site's files goes wrong, and all that must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.calls import Calls
from tests.faults.lab import Lab, Scenario, change

MISSED = 0.1
"""The part of the points that need not be met: how many calls there are depends on time a bit."""


@dataclass(frozen=True)
class Struck:
    """What became of it.

    Attributes:
        report: What the change said; None when it died.
        met: Whether the call was made.
        broken: What did not hold.
    """

    report: Any
    met: bool
    broken: list[str]


async def counted(lab: Lab, calls: Calls, scenario: Scenario, **how: Any) -> int:
    """How many calls a change makes in which nothing goes wrong."""
    site = await lab.anew(scenario.template)
    calls.arm(site, **how)
    remote = lab.remote(site)
    _report, error = await change(remote, scenario.verb, scenario.work())
    assert error is None, error
    number = calls.count
    await remote.close()
    return number


async def strike(lab: Lab, calls: Calls, scenario: Scenario, **how: Any) -> Struck:
    """Carry a change out, with a call that goes wrong as :meth:`Calls.arm` is told."""
    site = await lab.anew(scenario.template)
    before = lab.before(site, scenario.template)
    calls.arm(site, **how)
    remote = lab.remote(site)
    report, _error = await change(remote, scenario.verb, scenario.work())
    calls.rest()
    await remote.close()
    met = calls.met
    broken = await lab.aftermath(site, before, report, keep=scenario.keep, wait=10)
    return Struck(report, bool(met), [f"{calls.call(met)}: {fault}" for fault in broken])


async def strikes(
    lab: Lab, calls: Calls, scenario: Scenario, points: Sequence[int], how: Callable[[int], Any]
) -> tuple[int, list[str]]:
    """Strike at each of some points.

    Args:
        lab: The laboratory.
        calls: The count.
        scenario: The change.
        points: Numbers of calls.
        how: What :meth:`Calls.arm` is told for a point.

    Returns:
        How many were met, and what did not hold.
    """
    done = [await strike(lab, calls, scenario, **how(at)) for at in points]
    met = sum(one.met for one in done)
    assert met >= len(points) * (1 - MISSED) - 1, f"only {met} of {len(points)} points were met"
    return met, [fault for one in done for fault in one.broken]
