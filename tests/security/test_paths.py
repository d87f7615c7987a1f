"""What a server's records name lies inside a release, or is refused: nothing else is removed.

Every path here that leads out of a site leads to a canary in the test's own folder. Nothing else
may ever be named: when the guard breaks, the test removes what it names.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from opsnb.core import listing
from opsnb.core.manifest import Manifest
from opsnb.core.release import Record
from opsnb.errors import OpsnbError, RemoteError
from opsnb.remote.local import local_remote
from opsnb.remote.looked import read_site
from opsnb.server import Server

ROOM = b"room\x001 1 1 ext4\0"
OUT = [b"/x", b"..", b".", b"a/../../x", b"../x", b"", b"a//b", b"a/./b"]
NAME = "20260101000000"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "alive").write_text("yes")
    return folder


def deployed(tmp_path: Path) -> tuple[Path, Path]:
    """A site with one release and a linked directory; its source."""
    source, site = tmp_path / "source", tmp_path / "deep" / "er" / "site"
    source.mkdir()
    (source / "index").write_text("one")
    there = Server(f"file://{site}")
    there.deploy(source).wait()
    there.close()
    (source / "index").write_text("two")
    return site, source


def forged(site: Path, **said: object) -> None:
    """Write something else into the record of the live release."""
    record = site / ".opsnb/records" / f"{(site / 'current').readlink().name}.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | said) + "\n")


@pytest.mark.parametrize("safe", ["/", ""])
@pytest.mark.parametrize("up", [False, True])
def test_a_record_that_links_out_of_its_release_removes_nothing(
    tmp_path: Path, canary: Path, up: bool, safe: str
) -> None:
    site, source = deployed(tmp_path)
    link = os.path.relpath(canary, site / "releases" / NAME) if up else str(canary)
    forged(site, links=[quote(link, safe=safe)])
    there = Server(f"file://{site}")
    for change in (lambda: there.deploy(source, force=True), lambda: there.prune(1)):
        with suppress(OpsnbError):
            change().wait()
    there.close()
    assert (canary / "alive").read_text() == "yes"


def test_the_control_a_record_that_links_inside_is_believed(tmp_path: Path) -> None:
    site, source = deployed(tmp_path)
    (site / "shared" / "uploads").mkdir()
    there = Server(f"file://{site}")
    assert there.deploy(source).wait().release
    links = there.look().releases[-1].record
    there.close()
    assert links is not None
    assert links.links == ("uploads",)


@pytest.mark.parametrize("path", OUT)
def test_such_a_record_cannot_be_read(path: bytes) -> None:
    for said in ({"links": [quote(path)]}, {"links": ["fine", quote(path, safe="")]}):
        with pytest.raises(ValueError, match="not a record"):
            Record.decode(json.dumps({"name": NAME, "seq": 1, "state": "good", **said}))
    with pytest.raises(ValueError, match="not a path"):
        listing.base(
            NAME, "/srv", Manifest(), carried=b"", links=[path], now=b"", gone=b"", digests={}
        )


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/x", "a/b"])
def test_a_release_has_the_name_of_one_directory(name: str) -> None:
    with pytest.raises(ValueError, match="not a record"):
        Record.decode(json.dumps({"name": name, "seq": 1, "state": "good"}))
    assert Record.decode(json.dumps({"name": "..a", "seq": 1, "state": "good"})).name == "..a"


@pytest.mark.parametrize("place", [b"in releases/", b"in shared/"])
@pytest.mark.parametrize("name", [b"..", b".", b"../x", b"/x", b"a/b"])
def test_a_listing_that_names_what_is_not_in_it_makes_no_sense(place: bytes, name: bytes) -> None:
    with pytest.raises(RemoteError, match="makes no sense"):
        read_site(ROOM + place + b"\0d 1.0 " + name + b"\0", "/srv")
    assert read_site(ROOM + place + b"\0d 1.0 ..fine\0", "/srv")


@pytest.mark.parametrize("name", [b"..", b"."])
def test_current_is_no_release_when_it_leads_to_a_dot(name: bytes) -> None:
    look = ROOM + b"current\0ldx\0base\0/srv/releases\0real\0/srv/releases/"
    assert read_site(look + name + b"\0", "/srv").current.name == ""
    assert read_site(look + b"fine\0", "/srv").current.name == "fine"


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Any]:
    remote = local_remote(str(tmp_path / "site"), 20, 20)
    taken = await remote.lock("tester", "here", "now", "paths")
    assert taken is not None
    await taken.begin(NAME, b'{"name": "x"}\n')
    yield taken
    await taken.release()
    await remote.close()


async def test_no_step_is_sent_that_names_a_path_outside_its_tree(held: Any, canary: Path) -> None:
    """The last guard: it holds whatever let such a path through before."""
    up = b"../../../canary"
    for path in (os.fsencode(canary), up, b"a/../" + up):
        steps = [
            lambda path=path: held.drop(NAME, [b"fine", path]),
            lambda path=path: held.bring(NAME, NAME, [path]),
            lambda path=path: held.modes(NAME, [(path, 0)]),
            lambda path=path: held.link(NAME, [path]),
            lambda path=path: held.seed(NAME, path),
            lambda path=path: held.make_shared(path + b"/made"),
        ]
        for step in steps:
            with pytest.raises(RemoteError, match="refused"):
                await step()
    assert os.listdir(canary) == ["alive"]
    await held.drop(NAME, [b"fine", b"..fine/x"])
