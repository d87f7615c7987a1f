"""What holds for every test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from tests.support.matrix import (
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)

__all__ = ["pytest_runtest_logreport", "pytest_runtest_makereport", "pytest_terminal_summary"]


@pytest.fixture(scope="session", autouse=True)
def places_of_their_own() -> Iterator[None]:
    """Logs of changes, and what is remembered of sources, go to folders of the tests' own."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("OPSNB_LOGS", "OPSNB_CACHE"):
            patch.setenv(name, f"{folder}/{name.lower()}")
        yield
