"""Files of a server's system: read as far as the login may; a pattern is never a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.remote.conftest import Place

MOST = 1048576


def folder(place: Place, where: Path, files: Mapping[str, bytes]) -> str:
    """A folder with files, and with what is no file."""
    for name, content in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    place.own(where)
    return str(where.resolve())


def no_files(where: Path) -> None:
    (where / "conf.d" / "folder.conf").mkdir()
    os.mkfifo(where / "conf.d" / "fifo.conf")
    (where / "link").symlink_to("main")


async def test_patterns_give_files_with_their_texts(place: Place, remote: Any, where: Path) -> None:
    files = {"conf.d/one.conf": b"1\0\xff", "conf.d/with a space.conf": b"2", "conf.d/no": b"3"}
    real = folder(place, where, {"main": "a\nb ü".encode(), **files})
    no_files(where)
    told = await remote.texts(
        [f"{where}/main", f"{where}/conf.d/*.conf", f"{where}/link", f"{where}/nothing*"]
    )
    assert told.texts == {
        f"{where}/main": "a\nb ü",
        f"{where}/conf.d/one.conf": "1\ufffd",
        f"{where}/conf.d/with a space.conf": "2",
        f"{where}/link": "a\nb ü",
    }
    assert set(told.closed) == {f"{where}/conf.d/{name}.conf" for name in ("folder", "fifo")}
    assert told.real == real
    named = await remote.texts([f"{where}/conf.d/with a sp*"])
    assert list(named.texts) == [f"{where}/conf.d/with a space.conf"], "a space parts no names"


async def test_a_file_that_may_not_be_read_is_told(place: Place, remote: Any, where: Path) -> None:
    folder(place, where, {"secret": b"x"})
    secret = where / "secret"
    secret.chmod(0)
    told = await remote.texts([str(secret)])
    if place.kind == "sshd" or os.geteuid() != 0:
        assert (dict(told.texts), told.closed) == ({}, (str(secret),))
    else:
        assert told.texts == {str(secret): "x"}, "root may read everything"


async def test_what_a_pattern_holds_is_never_run(place: Place, remote: Any, where: Path) -> None:
    folder(place, where, {"file": b""})
    canary = where / "canary"
    touch = f"touch {canary}"
    for evil in (f"$({touch})", f"`{touch}`", f"; {touch}", f"'; {touch}", "~", "$HOME", "-n"):
        told = await remote.texts([evil, f"{where}/{evil}"])
        assert dict(told.texts) == {}
    assert not canary.exists()


async def test_of_much_no_more_than_a_measure_is_read(
    place: Place, remote: Any, where: Path
) -> None:
    folder(place, where, dict.fromkeys("abc", b"x" * 600_000))
    told = await remote.texts([f"{where}/*", "/dev/zero"])
    assert sum(map(len, told.texts.values())) <= MOST
    assert len(told.texts[f"{where}/a"]) == 600_000
    assert len(told.texts[f"{where}/b"]) > 400_000
    assert (await remote.texts([])).texts == {}


async def test_where_there_is_no_site_yet_it_is_nowhere(remote: Any) -> None:
    assert (await remote.texts(["/etc/passwd"])).real == ""
