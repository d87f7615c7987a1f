"""A demo for a module's tests: an SSH server inside this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import opsnb


@pytest.fixture
def demo() -> Iterator[opsnb.DemoProject]:
    """A fresh demo."""
    with opsnb.demo() as project:
        yield project
