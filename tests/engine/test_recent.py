"""Manifests that a process had to do with a moment ago."""

from __future__ import annotations

import pytest

from opsnb.core.manifest import Manifest
from opsnb.engine.look import Recent
from tests.core import worlds


def tree(number: int, files: int = 1) -> Manifest:
    return worlds.tree(*(worlds.file(f"{number}-{each}", "x") for each in range(files)))


def test_the_last_ones_are_kept_and_the_first_forgotten() -> None:
    recent = Recent(most=2)
    made = [tree(number) for number in range(3)]
    for manifest in made:
        assert recent.keep(manifest.id, manifest) is manifest
    assert [recent.get(manifest.id) for manifest in made] == [None, made[1], made[2]]


def test_what_is_kept_again_is_the_newest() -> None:
    recent = Recent(most=2)
    made = [tree(number) for number in range(3)]
    for number in (0, 1, 0, 2):
        recent.keep(made[number].id, made[number])
    assert [recent.get(manifest.id) for manifest in made] == [made[0], None, made[2]]


@pytest.mark.parametrize(("files", "kept"), [(5, True), (6, False)])
def test_a_large_one_is_not_kept(files: int, *, kept: bool) -> None:
    recent = Recent(entries=5)
    manifest = tree(0, files)
    assert recent.keep(manifest.id, manifest) is manifest
    assert (recent.get(manifest.id) is manifest) == kept
