"""Configuration files: what is said of them, shown of them, and settled."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from opsnb.core import config, configfiles
from opsnb.core.configfiles import settlement
from opsnb.core.links import Standing
from opsnb.core.manifest import Manifest
from opsnb.core.marks import Pending
from opsnb.core.release import Record, State
from opsnb.errors import ConfigError
from tests.core import worlds

SAID = """
[project]
name = "shop"
[project.vars]
debug = false
db = { host = "db0", port = 1 }
[project.secret_vars]
A = { env = "A" }
B = { env = "B" }
[[project.files]]
path = ".env"
content = "of the project"
[[project.files]]
path = "other"
content = "x"
[environments.live.vars]
db = { host = "db1" }
[environments.live.secret_vars]
B = { command = "pass show b" }
[[environments.live.files]]
path = ".env"
content = "of the environment"
mode = "600"
[servers.one]
url = "file:///srv/one"
environment = "live"
[servers.one.vars]
debug = true
[servers.two]
url = "file:///srv/two"
"""


def test_the_nearest_wins_key_by_key_and_file_by_file() -> None:
    read = config.parse(SAID)
    one, two = read.settings("one"), read.settings("two")
    assert one.vars == {"debug": True, "db": {"host": "db1", "port": 1}}
    assert [(f.path, f.content, f.bits) for f in one.files] == [
        (".env", "of the environment", 0o600),
        ("other", "x", 0o640),
    ]
    assert {name: (s.env, s.command) for name, s in one.secret_vars.items()} == {
        "A": ("A", ""),
        "B": ("", "pass show b"),
    }
    assert two.vars == {"debug": False, "db": {"host": "db0", "port": 1}}
    assert two.files[0].content == "of the project"


@pytest.mark.parametrize(
    "file",
    [
        'path = "../x"\ncontent = "x"',
        'path = "/x"\ncontent = "x"',
        'path = "a\\nb"\ncontent = "x"',
        'path = "REVISION"\ncontent = "x"',
        'path = "x"',
        'path = "x"\ncontent = "x"\ncopy = "y"',
        'path = "x"\ncontent = "x"\nmode = "0140"',
        'path = "x"\ncontent = "x"\nmode = "4755"',
        'path = "x"\ncontent = "x"\nto = "elsewhere"',
    ],
)
def test_what_is_no_configuration_file_is_refused(file: str) -> None:
    with pytest.raises(ConfigError, match=r"opsnb\.toml:\d+: project\.files"):
        config.parse(f"[[project.files]]\n{file}\n")


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a/b/", "a")])
def test_two_that_cannot_both_be_are_refused(paths: tuple[str, str]) -> None:
    said = "".join(f'[[project.files]]\npath = "{path}"\ncontent = "x"\n' for path in paths)
    with pytest.raises(ConfigError, match="cannot both be files"):
        config.parse(said)


@pytest.mark.parametrize("name", ["server", "revision", "secrets", "a-b", ""])
def test_a_variable_cannot_have_the_name_of_one_that_is_set(name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a variable"):
        config.parse(f'[project.vars]\n"{name}" = 1\n')


def test_the_short_digest_is_none_that_can_be_tried_quickly() -> None:
    """It is the same for the same content, and not the beginning of its SHA-256."""
    one, two = (configfiles.made(".env", "release", 0o640, b"PIN=1234") for _ in range(2))
    assert one == two
    assert len(one.digest) == 8
    assert one.digest not in hashlib.sha256(b"PIN=1234").hexdigest()
    assert one.digest != configfiles.made("other", "release", 0o640, b"PIN=1234").digest
    assert one.sha256[:8] not in repr(one)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        configfiles.made("a", "release", 0o640, bytes(configfiles.LARGEST + 1))


OLD, NEW, HAND = (worlds.file("x", text, 0o640) for text in ("old", "new", "hand"))


@pytest.mark.parametrize(
    ("before", "now", "back", "touched"),
    [
        (OLD, OLD, False, False),
        (OLD, NEW, True, False),
        (OLD, HAND, False, True),
        (OLD, None, False, True),
        (None, None, False, False),
        (None, NEW, True, False),
        (None, HAND, False, True),
        (replace(NEW, mode=0o600), NEW, True, False),
        (NEW, replace(NEW, mode=0o600), False, True),
    ],
)
def test_what_comes_back_when_the_release_is_not_live(
    before: object, now: object, back: bool, touched: bool
) -> None:
    was = {b"x": before} if before else {}
    standing = Standing({b"x": now} if now else {})  # type: ignore[dict-item]
    found = settlement(was, {b"x": NEW}, standing, keep=False)  # type: ignore[arg-type]
    assert found.back == (((0, b"x", before is not None),) if back else ())
    assert found.touched == ((b"x",) if touched else ())
    kept = settlement(was, {b"x": NEW}, standing, keep=True)  # type: ignore[arg-type]
    assert (kept.keep, kept.back, kept.touched) == (True, (), ())


def test_where_a_link_stands_now_nothing_is_put_back() -> None:
    standing = Standing({}, {b"x": "there is a link"})
    assert settlement({}, {b"x": NEW}, standing, keep=False).touched == (b"x",)


def test_what_is_pending_is_read_as_it_was_written_and_nothing_else_is() -> None:
    pending = Pending("20260325140000", Manifest([OLD]), Manifest([NEW]))
    assert Pending.decode(pending.encode()) == pending
    for text in (
        "",
        "{}",
        "[]",
        '{"release": "../x", "before": "opsnb-manifest 1\\n", "after": "opsnb-manifest 1\\n"}',
        '{"release": "x", "before": "", "after": "opsnb-manifest 1\\n"}',
        pending.encode().decode().replace(" x", " ../x"),
    ):
        with pytest.raises(ValueError, match="not a list"):
            Pending.decode(text)


@pytest.mark.parametrize(
    "said", ["../x 0123abcd", "x", "x 0123ABCD", "x 0123abcd0", "/x 0123abcd", "x\x00 0123abcd", 7]
)
def test_a_record_with_a_made_up_configuration_file_is_not_read(said: object) -> None:
    import json

    record = Record("20260325140000", 1, State.GOOD, config=("shared/a b 0123abcd",))
    assert Record.decode(record.encode()) == record
    odd = {**json.loads(record.encode()), "config": [said]}
    with pytest.raises(ValueError, match="not a record"):
        Record.decode(json.dumps(odd))
