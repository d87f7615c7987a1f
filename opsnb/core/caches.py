"""Caches in front of a release: what is refused, said and shown, and what is asked. Pure.

Rule 1: a secret stands in a header alone, and is filled in only where that is sent.
Rule 2: PHP runs a script of ours once. It says a word that nobody can guess, so that no other page
is taken for its answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from opsnb.core import layout
from opsnb.core.answer import Answer
from opsnb.core.asking import AGENT, Question, filled
from opsnb.core.config import Settings
from opsnb.core.settings.caches import Opcache, Purge
from opsnb.core.settings.web import RELEASE
from opsnb.core.text import plural, safe
from opsnb.errors import ConfigError

_ALREADY = 404  # what is not in a cache need not be purged: Varnish and nginx may answer so


def refuse_caches(settings: Settings) -> None:
    """Refuse headers that name what no secret is.

    Raises:
        ConfigError: One does.
    """
    for purge in settings.purge:
        for name in sorted(purge.secrets - {*settings.secrets}):
            raise ConfigError(
                f"the purge of {purge_shown(purge)} names {name}, which `secrets` does not list",
                f'Add it: secrets = ["{name}"]. Nothing was done.',
            )


def purge_shown(purge: Purge) -> str:
    """What is purged, and from where, in one line."""
    here = "from the server" if purge.from_ == "server" else "from this machine"
    if purge.command:
        return f"{safe(purge.command)} {here}"
    more = f" and {plural(len(purge.urls) - 1, 'more address', 'more addresses')}"
    listed = safe(purge.urls[0]) + (more if len(purge.urls) > 1 else "")
    return f"{purge.method} {listed} {here}"


def opcache_shown(opcache: Opcache) -> str:
    """How PHP's code cache is emptied, in one line."""
    place = f"FastCGI at {safe(opcache.fastcgi)}" if opcache.fastcgi else safe(opcache.url)
    return f"emptied by {place}"


# --- what is asked over HTTP -------------------------------------------------------------------


def questions(purge: Purge, release: str, secrets: Mapping[str, str]) -> list[Question]:
    """What a purge asks.

    Args:
        purge: One of addresses.
        release: The live release.
        secrets: Values for the names in its headers.

    Raises:
        ConfigError: A value is none that a header can have.
    """
    headers = filled(purge.headers, secrets)
    for name, text in headers:
        if not all(" " <= letter <= "~" for letter in text):
            raise ConfigError(
                f"the secret in the header {safe(name)} of a purge is not plain ASCII on one line",
                "Nothing was done.",
            )
    return [Question(url.replace(RELEASE, release), purge.method, headers) for url in purge.urls]


def fault(asked: Question, got: Answer | str) -> str:
    """What is wrong with the answer to a purge, or with asking; empty when it is well."""
    if isinstance(got, str):
        return f"{safe(asked.url)} did not answer: {got}"
    well = 200 <= got.status < 300 or got.status == _ALREADY
    return "" if well else f"{safe(asked.url)} answered {got.status}"


# --- PHP's cache of compiled code --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneShot:
    """A script that PHP runs once.

    Attributes:
        directory: Where it is put, below ``deploy_to``.
        also: Where it is put besides, if that is there. For a while PHP remembers where a link led,
            and so it may take a path by way of ``current`` for one of the release before.
        name: Its name there.
        word: What it says first.
    """

    directory: str
    also: str
    name: str
    word: str = field(repr=False)

    @property
    def path(self) -> str:
        """Where it is, below ``deploy_to``."""
        return f"{self.directory}/{self.name}"

    @property
    def text(self) -> bytes:
        """What PHP runs."""
        return _PHP.replace("WORD", self.word).encode()

    def said(self, answer: bytes) -> str:
        """What it said after its word; empty when it has not, or not all of it has come."""
        found = re.search(self.word.encode() + rb" ([a-z]+)\.", answer)
        return found[1].decode() if found else ""


def one_shot(opcache: Opcache, release: str, before: str, chance: str) -> OneShot:
    """The script for a release.

    Args:
        opcache: What is configured.
        release: The live release.
        before: The one that was live before; empty for none.
        chance: 64 hexadecimal digits that nobody can guess.
    """
    name, word = layout.one_shot(chance[:32]), chance[32:]
    if opcache.fastcgi and not opcache.docroot:
        return OneShot(layout.OURS, "", f"tmp.{name}", word)
    below = f"/{opcache.docroot}" if opcache.docroot else ""
    also = layout.release(before) + below if opcache.url and before else ""
    return OneShot(layout.release(release) + below, also, name, word)


def seen_as(opcache: Opcache, script: OneShot) -> str:
    """The address of the script."""
    return f"{opcache.url.rstrip('/')}/{script.name}"


def variables(path: str) -> dict[str, str]:
    """What FastCGI tells of a script.

    Args:
        path: Its absolute path on the server.
    """
    return {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": AGENT,
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/" + path.rpartition("/")[2],
        "SCRIPT_NAME": "/" + path.rpartition("/")[2],
        "SCRIPT_FILENAME": path,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
    }


def emptied(answer: bytes, script: OneShot) -> tuple[bool, str]:
    """Whether PHP's cache is as it must be, and why, by what the script said."""
    said = script.said(answer)
    if not said:
        last = next((line for line in answer.splitlines()[::-1] if line.strip()), b"nothing")
        return False, f"PHP did not run the script; it said: {safe(last[:200])}"
    return _SAID.get(said, (False, "PHP said what makes no sense"))


_SAID = {
    "reset": (True, "it is emptied"),
    "off": (True, "PHP has none, or it is switched off"),
    "refused": (False, "PHP did not empty it: does opcache.restrict_api forbid that?"),
}
_PHP = """<?php
header('Content-Type: text/plain');
clearstatcache(true);
if (!function_exists('opcache_reset') || !ini_get('opcache.enable')) {
    echo 'WORD off.';
} else {
    echo 'WORD ', @opcache_reset() ? 'reset.' : 'refused.';
}
"""
