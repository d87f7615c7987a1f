"""``opsnb.toml``: what is inherited, what is refused, and where a message points."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from opsnb.core import config
from opsnb.core.address import Address
from opsnb.core.config import Config, Environment, Project, Settings
from opsnb.core.settings.caches import Opcache, Purge
from opsnb.core.settings.health import Health
from opsnb.core.settings.hooks import Hook
from opsnb.core.settings.notices import Notice
from opsnb.errors import ConfigError

WHOLE = """\
[project]
name = "shop"
keep_releases = 5
linked_dirs = ["uploads/"]
before_publish = ["make", { command = "check", timeout = 5 }]

[environments.production]
color = "red"
confirm = "type-name"
keep_releases = 7

[servers.web1]
url = "ssh://deploy@web1.example.com/var/www/shop"
environment = "production"
copy = "hardlink"

[servers.web2]
url = "file:///srv/shop"
"""


def test_the_nearest_setting_wins() -> None:
    read = config.parse(WHOLE)
    web1, web2 = read.settings("web1"), read.settings("web2")
    assert (web1.keep_releases, web1.copy_mode) == (7, "hardlink")
    assert (web2.keep_releases, web2.copy_mode) == (5, "copy")
    assert web1.linked_dirs == web2.linked_dirs == ("uploads",)
    assert [hook.timeout for hook in web1.before_publish] == [300, 5]
    assert read.environment("web1").confirm == "type-name"
    assert read.environment("web2").confirm == "click"


def test_what_is_inherited_is_what_was_read_and_is_not_read_anew() -> None:
    read = config.parse(WHOLE)
    assert read.settings("web1").before_publish[1] is read.project.before_publish[1]
    said = {"keep_releases", "linked_dirs", "before_publish", "copy_mode"}
    assert read.settings("web1").model_fields_set == said


def test_an_empty_file_is_every_default() -> None:
    assert config.parse("") == Config()
    assert config.parse("").project == Project.model_validate({})


def test_a_server_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="web3") as caught:
        config.parse(WHOLE).settings("web3")
    assert caught.value.hint == "Known servers: web1, web2."
    with pytest.raises(ConfigError) as caught:
        config.parse("").settings("x\x1b")
    assert "\x1b" not in str(caught.value)
    assert "none is defined" in caught.value.hint


def test_what_is_inherited_must_fit_together() -> None:
    text = WHOLE + 'linked_files = ["uploads/robots.txt"]\n'
    with pytest.raises(ConfigError, match=r"server 'web2': .*lies inside 'uploads'"):
        config.parse(text).settings("web2")


# Text, and the whole first line of the message.
WRONG = [
    ("[project]\nnope = 1\n", "opsnb.toml:2: project.nope: no such key"),
    ("\n\n[porject]\n", "opsnb.toml:3: porject: no such key"),
    ("[project]\nname = 'a'\nkeep_releases = 0\n", "opsnb.toml:3: project.keep_releases: Input"),
    ("[project]\ncopy = 'symlink'\n", "opsnb.toml:2: project.copy: Input"),
    ("[project]\ncopy_mode = 'copy'\n", "opsnb.toml:2: project.copy_mode: no such key"),
    ("[project]\nlinked_dirs = ['a', '../b']\n", "opsnb.toml:2: project.linked_dirs: '../b' is"),
    ("[project]\nlinked_dirs = ['/a']\n", "opsnb.toml:2: project.linked_dirs: '/a' is"),
    ("[project]\nlinked_dirs = ['a', 'a/']\n", "opsnb.toml:1: project: 'a' is listed twice"),
    (
        "[project]\nlinked_dirs = ['a']\nlinked_files = ['a-b', 'a/c']\n",
        "opsnb.toml:1: project: 'a/c' lies inside 'a'",
    ),
    ("[servers.a]\n", "opsnb.toml:1: servers.a.url: is missing"),
    (
        "[servers.a]\nurl = 'ssh://h'\n",
        "opsnb.toml:2: servers.a.url: the path is missing: expected ssh://user@host[:port]/abs",
    ),
    ("[servers.a]\nurl = 'ssh://h/'\n", "opsnb.toml:2: servers.a.url: the path is missing"),
    (
        "[servers.a]\nurl = 'file://'\n",
        "opsnb.toml:2: servers.a.url: the path is missing: expected file:///absolute/path",
    ),
    ("[servers.a]\nurl = 'ssh://h/%2f'\n", "opsnb.toml:2: servers.a.url: the path must be a"),
    ("[servers.a]\nurl = 'ssh://h/a/../b'\n", "opsnb.toml:2: servers.a.url: the path must be a"),
    ("[servers.a]\nurl = 'ftp://h/x'\n", "opsnb.toml:2: servers.a.url: expected ssh://"),
    (
        "[servers.a]\nurl = 'ssh://h/x'\nenvironment = 'live'\n",
        "opsnb.toml:3: servers.a.environment: no environment 'live' (none is defined)",
    ),
    ("[project.health]\nurl = 'http://a'\n", "opsnb.toml:1: project.health"),
    ("[[project.health]]\nretries = 1\n", "opsnb.toml:1: project.health.0: give one of"),
    (
        "[[project.health]]\nurl = 'x'\n",
        "opsnb.toml:1: project.health.0: an address must begin with",
    ),
    (
        "[[project.health]]\nurl = 'http://a'\nstatus = 200\n"
        "[[project.health]]\nurl = 'http://b'\nstatus = 7\n",
        "opsnb.toml:6: project.health.1.status: a status is",
    ),
    (
        "[[project.before_publish]]\ncommand = 'a'\n\n[[project.before_publish]]\ncommand = ''\n",
        "opsnb.toml:5: project.before_publish.1.command: ",
    ),
    ("[project]\nbefore_publish = ['']\n", "opsnb.toml:2: project.before_publish.0.command: "),
    ("[project]\nsource = 3\n", "opsnb.toml:2: project.source: must be text in quotes"),
    ("[environments.x]\ncolor = 'pink'\n", "opsnb.toml:2: environments.x.color: Input"),
    ("project = 3\n", "opsnb.toml:1: project: must be a table of keys and values"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_message_names_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert caught.value.message.startswith(message)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("before_publish = 'hunter2'", 'before_publish: must be a list, such as ["…"]'),
        ("linked_dirs = 'hunter2'", 'linked_dirs: must be a list, such as ["…"]'),
        ("linked_dirs = {hunter2 = 1}", 'linked_dirs: must be a list, such as ["…"]'),
        ("linked_dirs = [1]", 'linked_dirs.0: must be text in quotes, such as "…"'),
        ("keep_releases = 'hunter2'", "keep_releases: must be a whole number"),
        ("keep_releases = [1]", "keep_releases: must be a whole number"),
        ("keep_releases = 1.5", "keep_releases: must be a whole number"),
        ("step_timeout = 'hunter2'", "step_timeout: must be a number"),
        ("step_timeout = [1]", "step_timeout: must be a number"),
        ("read_only = 'hunter2'", "read_only: must be true or false"),
        ("read_only = [1]", "read_only: must be true or false"),
        ("env = 'hunter2'", "env: must be a table of keys and values"),
        ("opcache = 'hunter2'", "opcache: must be a table of keys and values"),
        ("files = ['hunter2']", "files.0: must be a table of keys and values"),
        ("files = [{template = 'hunter2'}]", "files.0.path: is missing"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_in_plain_words_and_not_shown(line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(f"[project]\n{line}\n")
    assert caught.value.message == f"opsnb.toml:2: project.{said}"


def test_every_wrong_key_is_named_at_once_and_the_file_is_called_what_it_is_called() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse("[project]\nx = 1\ny = 2\n", "deploy/opsnb.toml")
    lines = caught.value.message.splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        "deploy/opsnb.toml:2:",
        "deploy/opsnb.toml:3:",
    ]


def test_text_that_is_not_toml_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"opsnb.toml: not TOML: .*line 2"):
        config.parse("[project]\nname = \n")


def test_a_message_never_shows_the_value_of_a_wrong_address() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse("[servers.a]\nurl = 'ssh://me:hunter2@h/x'\n")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("project",), 2),
        (("project", "name"), 3),
        (("servers", "web.1", "url"), 6),
        (("servers", "web.1"), 5),
        (("servers", "web.1", "nothing"), 5),
        (("project", "health", 0, "url"), 9),
        (("project", "health", 1, "url"), 12),
        (("project", "health", 1), 11),
        (("project", "health", 1, "status"), 11),
        (("project", "hooks", 0, "command"), 2),
        (("nowhere", "x"), 1),
        ((), 1),
        (("a", "b"), 15),
    ],
)
def test_the_line_of_a_key_is_found(path: tuple[int | str, ...], line: int) -> None:
    text = """# project
[project]  # the project
name = "x"

[ servers . "web.1" ]
"url" = "ssh://h/x"

[[project.health]]
url = "http://a"

[[ project.health ]]
url = "http://b"

[a]
b = 3
"""
    tomllib.loads(text)
    assert config.locate(text, path) == line


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.lists(st.text(max_size=4) | st.integers(0, 3), max_size=3))
def test_a_line_is_always_a_line_of_the_text(text: str, path: list[int | str]) -> None:
    assert 1 <= config.locate(text, tuple(path)) <= max(1, len(text.splitlines()))


# --- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ssh://deploy@web1/var/www", ("ssh", "deploy", "web1", 0, "/var/www")),
        ("ssh://web1:2222/var/www/", ("ssh", "", "web1", 2222, "/var/www")),
        ("ssh://u@[::1]:22/x", ("ssh", "u", "::1", 22, "/x")),
        ("ssh://web1//var///www//", ("ssh", "", "web1", 0, "/var/www")),
        ("ssh://a%40b@web1/my%20site", ("ssh", "a@b", "web1", 0, "/my site")),
        ("ssh://web_1.example-x.com/x", ("ssh", "", "web_1.example-x.com", 0, "/x")),
        ("file:///srv/shop", ("file", "", "", 0, "/srv/shop")),
    ],
)
def test_an_address_is_read(url: str, parts: tuple[object, ...]) -> None:
    read = Address.parse(url)
    assert (read.scheme, read.user, read.host, read.port, read.path) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "web1",
        "web1:/var/www",
        "http://web1/x",
        "ssh://web1",
        "ssh://web1/",
        "ssh:///var/www",
        "ssh://u:secret@web1/x",
        "ssh://u:@web1/x",
        "ssh://web1/a/../b",
        "ssh://web1/a/%2e%2e/b",
        "ssh://web1/./a",
        "ssh://web1/a%0ab",
        "ssh://web1/a%00b",
        "ssh://web1/a%7fb",
        "ssh://u%0a@web1/x",
        "ssh://web1:99999/x",
        "ssh://web1:port/x",
        "ssh://web1/x?y=1",
        "ssh://web1/x#y",
        "ssh://-oProxyCommand=x/x",
        "ssh://a b/x",
        "ssh://a;b/x",
        "ssh://$(a)/x",
        "ssh://[::1/x",
        "file://srv/shop",
        "file://",
        "file:///",
    ],
)
def test_what_is_no_address_or_would_be_misread_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=20).map("ssh://".__add__) | st.text(max_size=20))
def test_any_text_is_an_address_of_its_own_directory_or_is_refused(url: str) -> None:
    try:
        read = Address.parse(url)
    except ValueError:
        return
    assert re.fullmatch(r"/[^\x00-\x1f\x7f]+", read.path)
    assert not {"", ".", ".."} & set(read.path[1:].split("/"))
    assert not read.host.startswith("-")


# --- the default file --------------------------------------------------------------------------

DEFAULT = config.default_file()


def test_the_default_file_is_read_and_says_nothing_but_its_one_server() -> None:
    read = config.parse(DEFAULT)
    assert read.settings("web1") == Settings.model_validate({})
    assert read.environment("web1") == Environment.model_validate({})


def test_the_default_file_has_every_key_with_its_description() -> None:
    for table in (Project, Environment, Settings, Hook, Health, Notice, Purge, Opcache):
        for name, field in table.model_fields.items():
            assert field.description
            stands = f"# {field.description}\n# {field.alias or name} = "
            assert stands in DEFAULT, name


def _sections() -> dict[str, list[str]]:
    """The commented keys of the default file by the table they stand in."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in DEFAULT.splitlines():
        if match := re.fullmatch(r"(?:# )?(\[.+\])", line):
            table = match[1]
        elif match := re.fullmatch(r"# (\w+ = .+)", line):
            found.setdefault(table, []).append(match[1])
    return found


# A hook needs its command, a check an address or a command, a cache its directories.
NEEDS = {
    "[[project.before_publish]]": 'command = "x"',
    "[[project.health]]": 'command = "x"',
    "[[project.notices]]": 'url_env = "X"',
    "[[project.purge]]": 'command = "x"',
    "[project.opcache]": 'fastcgi = "/x"',
    "[[project.files]]": 'path = "x"\ncontent = "x"',
    "[project.secret_vars.NAME]": 'command = "x"',
    "[[project.cache]]": 'paths = ["x"]',
}


@pytest.mark.parametrize("table", list(_sections()))
def test_every_commented_key_can_be_used_as_it_stands(table: str) -> None:
    keys = _sections()[table]
    need = NEEDS.get(table)
    if need:
        given = {line.partition(" =")[0] for line in need.splitlines()}
        keys = [key for key in keys if key.partition(" =")[0] not in given]
    wanted = [need] if need else []
    text = "\n".join([table, *wanted, *keys]) + "\n"
    plain: Any = config.parse("\n".join([table, *wanted]) + "\n").model_dump()
    assert config.parse(text).model_dump() == plain
    assert keys


def test_a_setting_cannot_be_changed_once_it_is_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.model_validate({}).keep_releases = 1  # type: ignore[misc]
