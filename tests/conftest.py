"""What holds for every test."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.matrix import (
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)

__all__ = ["pytest_runtest_logreport", "pytest_runtest_makereport", "pytest_terminal_summary"]

HEARD: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


def pytest_configure() -> None:
    """Programs that tests interrupt must hear it: in the background, a shell has them ignore it."""
    for number, handler in HEARD.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def places_of_their_own() -> Iterator[None]:
    """Logs of changes, and what is remembered of sources, go to folders of the tests' own."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("OPSNB_LOGS", "OPSNB_CACHE"):
            patch.setenv(name, f"{folder}/{name.lower()}")
        yield
