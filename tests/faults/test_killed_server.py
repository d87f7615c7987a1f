"""The server's side dies at each call on its files: everything is killed where it stands.

A change runs over OpenSSH's server. At one call, counted over all programs of that change, the
whole group of processes is killed; nothing is cleared away. The client finds out, or does not.
"""

from __future__ import annotations

import pytest

from tests.faults.calls import Action, Calls
from tests.faults.conftest import Tell
from tests.faults.guarantees import live
from tests.faults.lab import Lab, some
from tests.faults.strike import counted, strikes
from tests.support.matrix import Row
from tests.support.sshd import RealSshd

FAULT = "server killed at a call on its files"
SAMPLE = 16
NAIVE = """\
set -e
cd {site}
cp -r {new} releases/20990101000000
rm current
ln -s releases/20990101000000 current
"""


@pytest.mark.parametrize("name", ["first deploy", "redeploy", "recycling", "rollback", "prune"])
async def test_whatever_call_the_server_dies_at_the_guarantees_hold(
    lab: Lab, calls: Calls, name: str, tell: Tell
) -> None:
    scenario = lab.scenarios()[name]
    number = await counted(lab, calls, scenario)
    assert number > 20
    points = some(range(1, number + 1), SAMPLE)
    how = lambda at: {"action": Action.KILL, "first": at}  # noqa: E731 - it is one line
    met, broken = await strikes(lab, calls, scenario, points, how)
    tell(Row(FAULT, name, number, met, len(broken)))
    assert not broken, "\n".join(broken)


async def test_the_control_a_naive_script_breaks_at_some_call(
    lab: Lab, sshd: RealSshd, calls: Calls, tell: Tell
) -> None:
    """``cp``, ``rm`` and ``ln``: killed between the last two, it leaves nothing live."""
    broken: list[str] = []
    at = 0
    while True:
        at += 1
        site = await lab.anew("site")
        calls.arm(site, Action.KILL, at)
        sshd.run_script(NAIVE.format(site=site, new=lab.base / "new"))
        if not calls.met:
            break
        broken += [calls.call(at)] if not live(site) else []
    tell(Row(FAULT, "control: cp, rm, ln", at - 1, at - 1, len(broken), True))
    assert broken
