"""How much is tried: in CI a fair sample, the same each time; with OPSNB_FAULTS=whole all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

WHOLE = os.environ.get("OPSNB_FAULTS") == "whole"


def sample(found: Mapping[str, T], every: int = 4, first: int = 0) -> dict[str, T]:
    """A part of what could be tried, spread evenly; all of it where that is asked for.

    Args:
        found: What could be tried.
        every: One of so many.
        first: Where to begin, so that several samples differ.
    """
    listed = list(found.items())
    return dict(listed if WHOLE else listed[first % every :: every])
