"""What is not in the copy as it was in the live release is held against what it must hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsnb.errors import OpsnbError
from tests.faults.faulty import Faulty, Plot
from tests.faults.guarantees import live
from tests.faults.lab import Lab, change, deploying, in_memory, source


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with in_memory() as base:
        made = Lab(base, bulk=3)
        asyncio.run(made.build())
        yield made


def other_content(path: Path) -> None:
    """Of the same size: to a listing only the time tells."""
    path.write_bytes(b"X" * path.stat().st_size)


async def deployed(lab: Lab, site: Path, meddle: Callable[[Path], object]) -> OpsnbError | None:
    """A deploy in which somebody is at the live release just before it is copied."""
    plot = Plot()
    name = live(site)

    def watch() -> None:
        if plot.calls[-1] == "copy" and not plot.met:
            plot.met.append(len(plot.calls))
            meddle(site / "releases" / name / "bulk1")

    plot.watch = watch
    remote = lab.remote(site)
    work = deploying(source(lab.base / "more", "hhhhhhhh", lab.bulk))
    error = (await change(Faulty(remote, plot), "deploy", work))[1]
    await remote.close()
    assert plot.met, "it was copied"
    return error


async def test_a_file_that_was_rewritten_while_it_was_copied_is_never_published(lab: Lab) -> None:
    site = await lab.anew("site")
    before = live(site)
    error = await deployed(lab, site, other_content)
    assert error is not None
    assert "bulk1" in error.message
    assert live(site) == before


async def test_one_that_was_only_touched_is_no_hindrance(lab: Lab) -> None:
    site = await lab.anew("site")
    assert await deployed(lab, site, os.utime) is None
