"""A doctor's look says what to mend, and agrees with what a deploy would say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opsnb.core.doctor import Finding, examine
from opsnb.core.marks import Holder
from opsnb.core.refusal import refuse
from opsnb.core.release import Current, CurrentKind, Release, Site, State
from opsnb.errors import NotReady
from tests.core import worlds

WELL = worlds.site(worlds.release("20260325120000", 1, live=True), file_system="ext4")
HOLDER = Holder("ann", "desk\x1b", "now", "why")


def found(site: Site) -> dict[str, Finding]:
    return {item.item: item for item in examine(site)}


def test_a_well_site_has_nothing_to_mend() -> None:
    assert all(item.ok for item in examine(WELL))
    assert not any(item.hint for item in examine(WELL))


def test_a_path_that_is_not_there_yet_is_well() -> None:
    new = Site("/srv/shop", free_bytes=10**12, user="deploy")
    assert all(item.ok for item in examine(new))
    assert "a deploy makes it" in found(new)["deploy_to"].found


@pytest.mark.parametrize(
    ("site", "item"),
    [
        (replace(WELL, missing=("GNU tar",)), "tools"),
        (replace(WELL, ours=False, entries={b"index.php": "f"}), "deploy_to"),
        (replace(WELL, current=Current(CurrentKind.DIRECTORY)), "current"),
        (replace(WELL, current=Current(CurrentKind.DANGLING, b"x\x1b")), "current"),
        (replace(WELL, writable=False), "rights"),
        (replace(WELL, closed="releases"), "rights"),
        (replace(WELL, closed="releases"), "ready"),
        (replace(WELL, entries={b"shared": "f"}), "ready"),
        (replace(WELL, free_bytes=99_999_999), "room"),
        (replace(WELL, free_inodes=9_999), "room"),
        (replace(WELL, hold=HOLDER), "lock"),
        (replace(WELL, holder=HOLDER), "lock"),
        (replace(WELL, broken=("a\x1b",)), "records"),
        (replace(WELL, releases=(Release("x"),), ours=False), "ready"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do_and_safely(site: Site, item: str) -> None:
    finding = found(site)[item]
    assert not finding.ok
    assert finding.hint
    for each in examine(site):
        assert "\x1b" not in each.found + each.hint


def test_shared_may_be_a_link() -> None:
    assert found(replace(WELL, entries={b"shared": "l"}))["ready"].ok


def test_a_release_that_nobody_makes_any_more_is_debris() -> None:
    begun = worlds.release("20260325130000", 2, State.UNFINISHED)
    dead = replace(WELL, releases=(*WELL.releases, begun))
    assert "the next change clears it" in found(dead)["debris"].found
    assert found(replace(dead, holder=HOLDER))["debris"].found == "none"


def test_inodes_that_are_not_counted_are_not_few() -> None:
    assert found(replace(WELL, free_inodes=0))["room"].ok


@pytest.mark.parametrize("kind", list(CurrentKind))
@pytest.mark.parametrize("ours", [True, False])
def test_ready_says_what_a_deploy_would_say(kind: CurrentKind, ours: bool) -> None:
    site = replace(WELL, current=Current(kind, b"x"), ours=ours, releases=(), entries={})
    ready = found(site)["ready"]
    if ready.ok:
        refuse(site)
    else:
        with pytest.raises(NotReady) as caught:
            refuse(site)
        assert (ready.found, ready.hint) == (caught.value.message, caught.value.hint)
