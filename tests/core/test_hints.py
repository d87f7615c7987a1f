"""What other tools wrote down of their releases, as hints for records."""

from __future__ import annotations

import json

import pytest

from opsnb.core import hints, webroot
from opsnb.core.hints import Hint
from opsnb.core.layout import next_name
from opsnb.core.release import Release
from opsnb.core.webserver import Files
from tests.core import worlds

HOME = "/srv/shop"


def test_capistranos_log_tells_revision_and_user() -> None:
    log = (
        "Branch master (at 1a2b3c) deployed as release 20250101100000 by ann\n"
        "ann rolled back to release 20250101100000\n"
        "Branch main (at 4d5e6f) deployed as release 20250102100000 by bob\n"
    )
    assert hints.read(HOME, {f"{HOME}/revisions.log": log}) == {
        "20250101100000": Hint("1a2b3c", "ann"),
        "20250102100000": Hint("4d5e6f", "bob"),
    }


def test_deployers_log_tells_user_and_time_and_its_files_the_rest() -> None:
    lines = [
        {"created_at": "2026-01-02T03:04:05+0000", "release_name": "1", "user": "ann"},
        {"created_at": "soon", "release_name": "2", "user": "bob", "target": "HEAD"},
    ]
    texts = {
        f"{HOME}/.dep/releases_log": "\n".join(map(json.dumps, lines)),
        f"{HOME}/releases/1/REVISION": "abc123\n",
        f"{HOME}/releases/2/BAD_RELEASE": "",
    }
    assert hints.read(HOME, texts) == {
        "1": Hint("abc123", "ann", "2026-01-02T03:04:05+0000"),
        "2": Hint("", "bob", bad=True),
    }


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"release_name": 7}',
        '{"release_name": "1", "user": {"x": 1}, "created_at": []}',
        "null",
        "\x1b]0;x\x07",
        '"1"',
    ],
)
def test_hostile_text_is_left_out(text: str) -> None:
    found = hints.read(HOME, {f"{HOME}/.dep/releases_log": text, f"{HOME}/revisions.log": text})
    assert all(hint == Hint() for hint in found.values())


def test_what_is_taken_over_is_short_and_safe_to_show() -> None:
    line = f"Branch x (at \x1b[2J{'a' * 150}) deployed as release 1 by e\u202evil"
    found = hints.read(HOME, {f"{HOME}/revisions.log": line})["1"]
    assert "\x1b" not in found.revision
    assert found.by == "e\\u202evil"
    long = hints.read(HOME, {f"{HOME}/releases/1/REVISION": "a" * 10_000})["1"]
    assert len(long.revision) == hints.LONGEST


@pytest.mark.parametrize(
    ("entries", "names", "tool"),
    [
        ({b".dep": "d", b"current": "l"}, ["1", "2"], "Deployer"),
        ({b"revisions.log": "f", b"repo": "d"}, ["20250101100000"], "Capistrano"),
        ({b"repo": "d"}, ["20250101100000Z"], "Ansistrano"),
        ({}, ["20250101100000Z"], "Ansistrano"),
        ({b"storage": "d", b".env": "f"}, ["20250101100000"], "Envoyer"),
        ({b"storage": "d"}, ["v1"], "another tool"),
        ({}, [], ""),
    ],
)
def test_the_tool_that_laid_a_site_out(
    entries: dict[bytes, str], names: list[str], tool: str
) -> None:
    releases = [Release(name) for name in names]
    assert worlds.site(*releases, ours=False, entries=entries).made_by == tool


def test_a_new_name_sorts_after_ansistranos() -> None:
    assert next_name(worlds.NOW, frozenset({"20270101000000Z"})) == "20270101000001"


# --- the web server's lines ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "write"),
    [
        ("root /srv/shop;", "root /srv/shop/current;"),
        ('root "/srv/shop/public";', 'root "/srv/shop/current/public";'),
        ("root /srv/shop/releases/7/public/;", "root /srv/shop/current/public/;"),
        ("DocumentRoot /srv/shop", "DocumentRoot /srv/shop/current"),
        ('<Directory "/srv/shop">', '<Directory "/srv/shop/current">'),
        ("alias /real/shop/img/;", "alias /real/shop/current/img/;"),
    ],
)
def test_the_line_to_write(now: str, write: str) -> None:
    files = Files({"/etc/x.conf": f"server {{\n    {now}\n}}\n"}, (), ("/real/shop", "/srv/shop"))
    (line,) = webroot.lines(files)
    assert (line.number, line.old, line.write) == (2, now, write)
    assert str(line) == f"/etc/x.conf:2: {now} → {write}"


@pytest.mark.parametrize(
    "row",
    [
        "root /srv/shop/current/public;",
        "root /srv/shop/shared/x;",
        "root /srv/shopping;",
        "# root /srv/shop;",
        "root $where;",
        "root /srv/shop$x;",
        "rooty /srv/shop;",
        "root " + "/srv/shop" * 10_000,
    ],
)
def test_lines_that_stay(row: str) -> None:
    assert webroot.lines(Files({"/x": row}, (), ("/srv/shop",))) == ()
