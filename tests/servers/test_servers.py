"""The full cycle on every kind of server; where it cannot be, nothing is written.

Login shells beyond one are left to the tests of shells, unless ``OPSNB_FAULTS=whole``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.servers.cycle import STEPS, Told, cycle, refusal
from tests.servers.kinds import REFUSED, WHOLE

SHELLS = [name for name in WHOLE if "login shell" in name]
SAMPLE = [name for name in WHOLE if name not in SHELLS[1:] or os.getenv("OPSNB_FAULTS") == "whole"]


@pytest.mark.parametrize("name", SAMPLE)
def test_the_full_cycle_leaves_on_the_disk_what_it_says(name: str, tmp_path: Path) -> None:
    told = Told()
    with WHOLE[name]() as account:
        cycle(account, tmp_path, told)
    assert told.steps == dict.fromkeys(STEPS, "yes")


@pytest.mark.parametrize("name", REFUSED)
def test_where_it_cannot_be_the_refusal_names_why_and_nothing_is_written(
    name: str, tmp_path: Path
) -> None:
    kind, why = REFUSED[name]
    with kind() as account:
        assert refusal(account, tmp_path, Told()).startswith(why)


def test_control_a_disk_that_is_not_what_the_server_says_fails_the_cycle(tmp_path: Path) -> None:
    """The cycle looks at the disk: an account that is shown another one does not pass."""
    with WHOLE[SHELLS[0]]() as account:
        (tmp_path / "elsewhere").mkdir()
        other = type(account)(
            account.url, account.ssh_config, account.place, lambda _: tmp_path / "elsewhere" / "x"
        )
        told = Told()
        with pytest.raises((AssertionError, OSError)):
            cycle(other, tmp_path, told)
    assert told.steps == {"check": "yes", "deploy": "failed"}
