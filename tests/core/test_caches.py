"""Caches: what is configured, what is refused, and what an answer means."""

from __future__ import annotations

import pytest

from opsnb.core import caches, config, layout
from opsnb.core.asking import Question, read
from opsnb.core.settings.caches import Opcache, Purge
from opsnb.errors import ConfigError

CHANCE = "ab" * 32
# Text, and the whole first line of the message.
WRONG = [
    ("purge = [{}]", "opsnb.toml:2: project.purge.0: give either urls or command"),
    (
        "purge = [{urls = ['http://h/'], command = 'x'}]",
        "opsnb.toml:2: project.purge.0: give either urls or command",
    ),
    (
        "purge = [{command = 'x', headers = {A = 'b'}}]",
        "opsnb.toml:2: project.purge.0: headers is only for urls",
    ),
    (
        "purge = [{urls = ['ftp://h/']}]",
        "opsnb.toml:2: project.purge.0.urls: an address must begin with http:// or https://",
    ),
    (
        "purge = [{urls = ['http://me:word@h/']}]",
        "opsnb.toml:2: project.purge.0.urls: a password does not belong in an address",
    ),
    (
        "purge = [{urls = ['http://h/'], method = 'A B'}]",
        "opsnb.toml:2: project.purge.0.method: 'A B' is no method of HTTP",
    ),
    (
        'purge = [{urls = [\'http://h/\'], headers = {"A" = "b\\nc"}}]',
        "opsnb.toml:2: project.purge.0.headers: the value of 'A' is not plain ASCII",
    ),
    (
        "purge = [{urls = ['http://h/'], headers = {Host = 'b'}}]",
        "opsnb.toml:2: project.purge.0.headers: 'Host' is set by opsnb itself",
    ),
    ("opcache = {}", "opsnb.toml:2: project.opcache: give either fastcgi or url"),
    (
        "opcache = {fastcgi = 'fpm.sock'}",
        "opsnb.toml:2: project.opcache.fastcgi: fastcgi is the absolute path of a socket",
    ),
    (
        "opcache = {fastcgi = 'h:99999'}",
        "opsnb.toml:2: project.opcache.fastcgi: fastcgi is the absolute path of a socket",
    ),
    (
        "opcache = {url = 'http://h/?a'}",
        "opsnb.toml:2: project.opcache.url: url is the address of a directory",
    ),
    (
        "opcache = {url = 'http://h/', docroot = '../x'}",
        "opsnb.toml:2: project.opcache.docroot: '../x' is not a path inside a release",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_message_names_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(f"[project]\n{text}\n")
    assert caught.value.message.startswith(message)
    assert "me:word" not in caught.value.message


@pytest.mark.parametrize("where", ["/run/php/fpm.sock", "127.0.0.1:9000", "[::1]:9000", "php:9"])
def test_php_listens_at_a_path_or_a_port(where: str) -> None:
    assert Opcache(fastcgi=where).fastcgi == where


def test_a_secret_that_is_not_listed_is_found_where_the_purge_stands() -> None:
    text = (
        "[project]\nsecrets = ['KEY_ONE']\n[environments.live]\n"
        "purge = [{urls = ['http://h/'], headers = {A = '${KEY_ONE} ${KEY_TWO}'}}]\n"
        "[servers.web1]\nurl = 'ssh://h/a/b'\nenvironment = 'live'\n"
    )
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    said = "opsnb.toml:4: environments.live.purge: `secrets` does not list KEY_TWO"
    assert caught.value.message == said
    config.parse(text + "secrets = ['KEY_ONE', 'KEY_TWO']\n")


def test_a_purge_survives_being_inherited() -> None:
    text = (
        "[project]\npurge = [{urls = ['http://h/{release}'], from = 'server', method = 'BAN'}]\n"
        "opcache = {fastcgi = '/run/fpm.sock'}\n[servers.web1]\nurl = 'ssh://h/a/b'\n"
    )
    settings = config.parse(text).settings("web1")
    assert settings.purge == (
        Purge.model_validate({"urls": ["http://h/{release}"], "from": "server", "method": "BAN"}),
    )
    assert settings.opcache == Opcache(fastcgi="/run/fpm.sock")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 204\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not in cache\r\n\r\n", ""),
        (b"HTTP/1.1 301 Moved\r\n\r\n", "http://h/ answered 301"),
        (b"HTTP/1.1 405 No\r\n\r\n", "http://h/ answered 405"),
        (b"SSH-2.0-OpenSSH\r\n", "http://h/ did not answer: SSH-2.0-OpenSSH"),
        (b"", "http://h/ did not answer: nothing was answered"),
    ],
)
def test_what_an_answer_to_a_purge_means(answer: bytes, fault: str) -> None:
    assert caches.fault(Question("http://h/"), read(answer)) == fault


def test_where_the_script_is_put() -> None:
    name = layout.one_shot(CHANCE[:32])
    by_socket = caches.one_shot(Opcache(fastcgi="/s"), "NEW", "OLD", CHANCE)
    assert (by_socket.path, by_socket.also) == (f".opsnb/tmp.{name}", "")
    inside = caches.one_shot(Opcache(fastcgi="/s", docroot="a/b"), "NEW", "OLD", CHANCE)
    assert (inside.path, inside.also) == (f"releases/NEW/a/b/{name}", "")
    by_url = caches.one_shot(Opcache(url="http://h/", docroot="a"), "NEW", "OLD", CHANCE)
    assert (by_url.path, by_url.also) == (f"releases/NEW/a/{name}", "releases/OLD/a")
    first = caches.one_shot(Opcache(url="http://h/"), "NEW", "", CHANCE)
    assert (first.path, first.also) == (f"releases/NEW/{name}", "")
    assert caches.seen_as(Opcache(url="http://h/"), first) == f"http://h/{name}"
    assert layout.is_one_shot(f"a/{name}".encode())
    assert not layout.is_one_shot(b"a/opsnb-1.php")


def test_what_tells_of_scripts_leads_to_nothing_else() -> None:
    name = layout.one_shot("0f" * 16).encode()
    told = [b"releases/1/a/" + name, b"releases/../" + name, b"shared/" + name, b"releases/1/x.php"]
    assert layout.placed_in(b"\n".join(told) + b"\n") == told[:1]


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ("WORD reset.", True),
        ("x\r\n\r\nWORD off.", True),
        ("WORD refused.", False),
        ("WORD reset", False),
        ("WORD what.", False),
        ("reset.", False),
        ("", False),
    ],
)
def test_only_the_scripts_own_word_counts(said: str, well: bool) -> None:
    script = caches.one_shot(Opcache(fastcgi="/s"), "NEW", "", CHANCE)
    answer = said.replace("WORD", script.word).encode()
    assert caches.emptied(answer, script)[0] is well


def test_neither_a_secret_nor_the_word_stands_in_a_repr() -> None:
    question = Question("http://h/", headers=(("X", "of-mine"),))
    script = caches.one_shot(Opcache(fastcgi="/s"), "NEW", "", CHANCE)
    assert "of-mine" not in repr(question)
    assert script.word not in repr(script).replace(script.name, "")
