"""A call on the server's files fails, once or from then on: full, broken, read-only, forbidden.

The change runs over OpenSSH's server; afterwards the fault is gone, as when somebody has made room.
"""

from __future__ import annotations

import errno

import pytest

from tests.faults.calls import FOR_EVER, Action, Calls, Kind
from tests.faults.conftest import Tell
from tests.faults.guarantees import UNKNOWN, live
from tests.faults.lab import Lab, some
from tests.faults.strike import counted, strikes
from tests.support.matrix import Row
from tests.support.sshd import RealSshd

SAMPLE = 6
READS_TOO = {errno.EIO, errno.EACCES}
ONCE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.EINTR)
STAYS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS)
"""Not EINTR: whoever is interrupted may try again for ever."""
NAIVE = "cd {site}; cp -r {new} releases/20990101000000; ln -sfn releases/20990101000000 current"


CASES = [(error, False) for error in ONCE] + [(error, True) for error in STAYS]


def called(error: int, stays: bool) -> str:
    """The fault in words."""
    return f"{errno.errorcode[error]} {'from a call on' if stays else 'once'}"


@pytest.mark.parametrize("name", ["redeploy", "recycling", "rollback", "prune"])
@pytest.mark.parametrize(("error", "stays"), CASES, ids=[called(*case) for case in CASES])
async def test_whatever_call_fails_the_guarantees_hold(
    lab: Lab, calls: Calls, name: str, error: int, stays: bool, tell: Tell
) -> None:
    kinds = Kind.CHANGES | (Kind.READS if error in READS_TOO else Kind.CHANGES)
    scenario = lab.scenarios()[name]
    number = await counted(lab, calls, scenario, kinds=kinds)
    points = some(range(1, number + 1), SAMPLE)

    def how(at: int) -> dict[str, object]:
        last = FOR_EVER if stays else at
        return {"action": Action.ERRNO, "first": at, "last": last, "error": error, "kinds": kinds}

    met, broken = await strikes(lab, calls, scenario, points, how)
    if stays and error in READS_TOO:
        # A server that can read nothing any more cannot be asked: "unknown" is true.
        broken = [fault for fault in broken if not fault.endswith(UNKNOWN)]
    tell(Row(called(error, stays), name, number, met, len(broken)))
    assert not broken, "\n".join(broken)


async def test_the_control_a_naive_script_publishes_half_a_release(
    lab: Lab, sshd: RealSshd, calls: Calls, tell: Tell
) -> None:
    """``cp`` fails for want of room, and the script goes on to the switch."""
    broken = []
    new = lab.base / "new"
    at = 0
    while True:
        at += 1
        site = await lab.anew("site")
        calls.arm(site, Action.ERRNO, at, error=errno.ENOSPC, kinds=Kind.CHANGES)
        sshd.run_script(NAIVE.format(site=site, new=new))
        if not calls.met:
            break
        half = not (site / "current" / "sub" / "eeeee").exists() and "2099" in live(site)
        broken += [calls.call(at)] if half else []
    tell(Row("ENOSPC once", "control: cp, ln -sfn", at - 1, at - 1, len(broken), True))
    assert broken
