"""One shop for the tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opsnb.lesson.shop import Shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop(pause=0.004, shelves=12) as shop:
        yield shop
