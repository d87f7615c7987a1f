"""Files of a release as one stream: in the order asked for, and by no link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from opsnb.core.manifest import Entry, Kind
from opsnb.engine.arriving import Arrival, Spool
from opsnb.errors import RemoteError, StepFailed
from tests.remote.conftest import Place

ONE = "20260101000000"
FILES = {
    b"zero": b"",
    b"-rf": b"-rf",
    b"new\nline": b"x" * 512,
    b"n" * 255: b"long",
    b"d/" + b"e" * 200 + b"/\xff": b"y" * 700_000,
}


def laid_out(place: Place, where: Path) -> Path:
    root = where / "releases" / ONE
    for path, content in FILES.items():
        there = os.fsencode(root) + b"/" + path
        os.makedirs(os.path.dirname(there), exist_ok=True)
        with open(there, "wb") as file:
            file.write(content)
    place.own(where)
    return root


def entries(*paths: bytes) -> list[Entry]:
    return [
        Entry(p, Kind.FILE, 0o644, len(FILES[p]), hashlib.sha256(FILES[p]).hexdigest())
        for p in paths
    ]


def kept(spool: Spool, path: bytes) -> bytes:
    return Path(os.fsdecode(spool.place(path))).read_bytes()


async def arrived(remote: Any, path: bytes, arrival: Arrival) -> None:
    await remote.fetch(ONE, [path], arrival)
    arrival.end()


async def test_files_come_in_the_order_asked_for_with_the_bytes_they_have(
    place: Place, remote: Any, where: Path
) -> None:
    laid_out(place, where)
    spool, wanted = Spool(), entries(*sorted(FILES, reverse=True))
    arrival = Arrival(wanted, spool)
    await remote.fetch(ONE, [entry.path for entry in wanted], arrival)
    arrival.end()
    for path, content in FILES.items():
        assert kept(spool, path) == content
    assert oct(spool.root.stat().st_mode & 0o777) == "0o700"
    spool.remove()
    # It goes on as before: the questions have a shell of their own.
    assert (await remote.look()).deploy_to == str(where)


async def test_what_became_a_link_or_a_pipe_is_not_read(
    place: Place, remote: Any, where: Path
) -> None:
    root = laid_out(place, where)
    (root / "zero").unlink()
    (root / "zero").symlink_to("/etc/passwd")
    (root / "-rf").unlink()
    os.mkfifo(root / "-rf")
    for path in (b"zero", b"-rf"):
        spool = Spool()
        arrival = Arrival(entries(path), spool)
        with pytest.raises(RemoteError, match=r"something else|no file"):
            await arrived(remote, path, arrival)
        assert list(spool.root.iterdir()) == []
        spool.remove()


async def test_what_is_not_there_fails_in_words(place: Place, remote: Any, where: Path) -> None:
    laid_out(place, where)
    with pytest.raises(StepFailed, match="cannot read"):
        await remote.fetch(ONE, [b"nothing"], lambda _: None)
    with pytest.raises(StepFailed):
        await remote.fetch("20990101000000", [b"zero"], lambda _: None)
