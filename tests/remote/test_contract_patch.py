"""The contract of a file that is made of another."""

from __future__ import annotations

import stat
import zlib
from pathlib import Path
from typing import Any

import pytest

from opsnb.errors import StepFailed
from opsnb.remote.base import Patched
from tests.faults.guarantees import snapshot
from tests.remote.test_contract import NAMES, ONE, TWO, record, steps, stream

OLD = bytes(range(256)) * 1000
PUT = b"put 1000 5\nfresh"
STEPS = {
    "all, and a change": [b"take 0 0 256000\n", PUT, b"end\n"],
    "parts": [b"take 0 0 1000\n", PUT, b"take 1005 1005 254995\n", b"end\n"],
    "in odd pieces": [b"take 0 0 2560", b"00\nput 1000 5\nfre", b"sh", b"en", b"d\n"],
    "the last first": [b"take 1005 1005 254995\n", PUT, b"take 0 0 1000\n", b"end\n"],
    "line by line": [b"take 0 0 256000\n", b"put 1000 2\nfr", b"put 1002 3\nesh", b"end\n"],
}
NEW = OLD[:1000] + b"fresh" + OLD[1005:]
TORN = {
    "no end": STEPS["parts"][:-1],
    "less than was said": [b"put 0 50\nfresh"],
    "a step that is none": [b"take 0 0 5\n", b"make 0 0 5\n", b"end\n"],
    "nothing": [],
}
IRREGULAR = {"no file": "", "a link": "ln -s ../../canary name", "a directory": "mkdir name"}


async def two(held: Any, name: bytes = b"name") -> None:
    """A release with a file, and one that is being built with another at its place."""
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream({name: OLD}))
    await held.begin(TWO, record(TWO, 2))
    await held.unpack(TWO, stream({name: b"what is to go"}))


@pytest.mark.parametrize("told", STEPS)
async def test_it_is_what_the_steps_say(held: Any, where: Path, told: str) -> None:
    await two(held)
    before = snapshot(where / "releases" / ONE)
    await held.patch(ONE, TWO, Patched(b"name", 0o4750, 1_234_567_890), steps(STEPS[told]))
    made = where / "releases" / TWO / "name"
    assert made.read_bytes() == NEW
    assert stat.S_IMODE(made.stat().st_mode) == 0o4750
    assert made.stat().st_mtime == 1_234_567_890
    assert snapshot(where / "releases" / ONE) == before
    assert list((where / ".opsnb").glob("tmp.*")) == []


@pytest.mark.parametrize("name", [name for name in NAMES if b"\n" not in name])
async def test_whatever_its_name(held: Any, where: Path, name: bytes) -> None:
    await two(held, name)
    await held.patch(ONE, TWO, Patched(name, 0o644, 1), steps(STEPS["parts"]))
    assert (where / "releases" / TWO / name.decode(errors="surrogateescape")).read_bytes() == NEW


async def test_compressed_it_is_the_same(held: Any, where: Path) -> None:
    await two(held)
    gzip = zlib.compressobj(wbits=31)
    packed = gzip.compress(b"".join(STEPS["parts"])) + gzip.flush()
    await held.patch(ONE, TWO, Patched(b"name", 0o644, 1), steps([packed]), "gzip")
    assert (where / "releases" / TWO / "name").read_bytes() == NEW


@pytest.mark.parametrize("told", STEPS)
async def test_of_a_file_that_nobody_may_write(held: Any, where: Path, told: str) -> None:
    await two(held)
    await held.hook(f"releases/{ONE}", "chmod 444 name", {}, 9, print)
    await held.patch(ONE, TWO, Patched(b"name", 0o444, 1), steps(STEPS[told]))
    made = where / "releases" / TWO / "name"
    assert made.read_bytes() == NEW
    assert stat.S_IMODE(made.stat().st_mode) == 0o444


@pytest.mark.parametrize("told", TORN)
async def test_half_a_file_is_none(held: Any, where: Path, told: str) -> None:
    await two(held)
    with pytest.raises(StepFailed) as failed:
        await held.patch(ONE, TWO, Patched(b"name", 0o644, 1), steps(TORN[told]))
    assert failed.value.status == 90
    assert (where / "releases" / TWO / "name").read_bytes() == b"what is to go"


@pytest.mark.parametrize("what", IRREGULAR)
async def test_nothing_but_a_file_is_taken_from(held: Any, where: Path, what: str) -> None:
    """What somebody put in its place meanwhile is not read, wherever it leads."""
    await two(held)
    (where / "canary").write_bytes(OLD)
    await held.hook(f"releases/{ONE}", f"rm name; {IRREGULAR[what] or ':'}", {}, 9, print)
    with pytest.raises(StepFailed) as failed:
        await held.patch(ONE, TWO, Patched(b"name", 0o644, 1), steps(STEPS["parts"]))
    assert failed.value.status == 90
    assert (where / "releases" / TWO / "name").read_bytes() == b"what is to go"
