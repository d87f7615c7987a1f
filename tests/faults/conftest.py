"""What the laboratory's tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.matrix import LABORATORY, Row

Tell = Callable[[Row], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Write a row of the laboratory's table, before it is asserted that nothing is broken."""
    return lambda row: record_property(LABORATORY, row.told())
