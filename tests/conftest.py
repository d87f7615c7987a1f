"""What holds for every test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def logs_of_their_own() -> Iterator[None]:
    """The logs of changes go to a folder of the tests' own, not to the user's."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("OPSNB_LOGS")
        os.environ["OPSNB_LOGS"] = folder
        yield
        if before is None:
            del os.environ["OPSNB_LOGS"]
        else:
            os.environ["OPSNB_LOGS"] = before
