"""What opsnb is to reach: its time as a share of that of the best rsync script that flushes."""

from __future__ import annotations

from tests.benchmarks.results import Key

# line, tree, case: cold, warm
TARGETS: dict[Key, tuple[float, float]] = {
    ("loopback", "small", "first"): (0.8, 0.8),
    ("wan", "small", "first"): (0.75, 0.9),
    ("loopback", "small", "nothing"): (0.4, 0.1),
    ("wan", "small", "nothing"): (0.35, 0.1),
    ("loopback", "small", "one"): (0.45, 0.15),
    ("wan", "small", "one"): (0.4, 0.12),
    ("loopback", "small", "pct1"): (0.5, 0.2),
    ("wan", "small", "pct1"): (0.4, 0.15),
    ("loopback", "small", "pct10"): (0.6, 0.5),
    ("wan", "small", "pct10"): (0.6, 0.5),
    ("loopback", "one500", "first"): (0.9, 0.7),
    ("loopback", "one300", "edits"): (1.1, 1.1),
    ("wan", "one300", "edits"): (0.7, 0.6),
}

COLD_BEYOND_SSH = 0.6
"""A rollback or a list, cold and beyond Python's own start: of the time of ``ssh host true``."""

WARM_BEYOND_LINE = 0.020
"""A rollback or a list, warm: seconds beyond one round trip."""

OTHERS = 4.0
"""How many times faster than the other tools, in every case."""

BYTES = 0.8
"""Bytes both ways, small edits in a large file: of rsync's."""
