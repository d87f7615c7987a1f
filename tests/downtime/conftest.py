"""A server for visitors and operators."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.downtime.operator import Operator
from tests.support.sshd import RealSshd

WHOLE = os.environ.get("OPSNB_FAULTS") == "whole"
"""Whether all of it is to be run, and not a sample."""


@pytest.fixture(scope="package")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


@pytest.fixture
def operator(sshd: RealSshd, tmp_path: Path) -> Iterator[Operator]:
    made = Operator(sshd, tmp_path / f"site-{tmp_path.name}")
    yield made
    made.close()


@pytest.fixture
def said(record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Tell a figure, which is printed at the end and never asserted."""
    return record_property
