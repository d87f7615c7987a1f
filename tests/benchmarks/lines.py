"""The lines that there are, by their names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from tests.benchmarks import line
from tests.benchmarks.target import Line, Loopback

LINES: dict[str, Callable[[], AbstractContextManager[Line]]] = {
    "loopback": lambda: nullcontext(Loopback()),
    "wan": line.wan,
    "lossy": line.lossy,
}
