"""Secrets of configuration files: taken from the environment, a command or the system's keyring.

Rule 1: what a command prints is a secret and is shown nowhere; what it complains of is told, with
that masked, once it has ended.
Rule 2: each has its deadline. The keyring is asked by a program of its own, since its services may
wait for a person.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from opsnb.core.secrets import LEAST, Masker, Secrets
from opsnb.core.settings.files import SecretVar
from opsnb.core.text import safe
from opsnb.engine import process
from opsnb.errors import ConfigError, SourceError, StepTimedOut

MOST = 1 << 16  # bytes of a secret, and of what a command complains of
_NOTHING = "Nothing was done."
_ASK = """
import sys, keyring
value = keyring.get_password(sys.argv[1], sys.argv[2])
sys.exit(44) if value is None else sys.stdout.write(value)
"""
_UNKNOWN = 44

Tell = Callable[[str], None]


async def resolve(wanted: Mapping[str, SecretVar], folder: Path, tell: Tell) -> Secrets:
    """The values of secrets.

    Args:
        wanted: Where each is taken from, by its name.
        folder: Where commands run.
        tell: Is told what commands complain of.

    Raises:
        ConfigError: One cannot be had, or is so short that it could not be masked.
    """
    values: dict[str, str] = {}
    for name, origin in wanted.items():
        if origin.env:
            value = os.environ.get(origin.env, "")
            if not value:
                raise ConfigError(f"the secret {name}: {origin.env} is not set", _NOTHING)
        else:
            value = await _said(name, origin, folder, tell)
        if len(value) < LEAST:
            raise ConfigError(
                f"the secret {name} is shorter than {LEAST} characters, and could not be masked",
                f"Take a longer one. {_NOTHING}",
            )
        values[name] = value
    return Secrets(values)


async def _said(name: str, origin: SecretVar, folder: Path, tell: Tell) -> str:
    """What a program says of a secret."""
    said, complaint = bytearray(), bytearray()
    try:
        status = await process.run(
            _argv(name, origin),
            folder,
            os.environ,
            origin.timeout,
            lambda data: _take(said, data),
            lambda data: _take(complaint, data),
        )
    except StepTimedOut:
        status = -1
    except SourceError as error:
        raise ConfigError(f"the secret {name}: {error.message}", _NOTHING) from None
    value = _text(said)
    masker = Masker([value] if value and len(value) >= LEAST else [])
    for line in masker.text(complaint.decode("utf-8", "backslashreplace")).splitlines():
        tell(f"secret {name}: {safe(line)}")
    why = _why(origin, status, value)
    if why or value is None:
        raise ConfigError(f"the secret {name}: {why}", _NOTHING)
    return value


def _argv(name: str, origin: SecretVar) -> list[str]:
    if origin.keyring:
        if importlib.util.find_spec("keyring") is None:
            raise ConfigError(
                f"the secret {name} is in the keyring, and the library for it is not installed",
                "`pip install 'opsnb[keyring]'` installs it.",
            )
        service, _, user = origin.keyring.partition("/")
        return [sys.executable, "-P", "-c", _ASK, service, user]
    if isinstance(origin.command, str):
        return ["/bin/sh", "-c", origin.command]
    return list(origin.command)


def _take(taken: bytearray, data: bytes) -> None:
    taken += data[: MOST + 1 - len(taken)]


def _text(said: bytearray) -> str | None:
    """What was said, without its last line break; None for what can be no secret."""
    try:
        text = said.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or len(said) > MOST else text.removesuffix("\n").removesuffix("\r")


def _why(origin: SecretVar, status: int, value: str | None) -> str:
    """Why it cannot be had; empty when it can."""
    where = "the keyring" if origin.keyring else "its command"
    if status == -1:
        return f"{where} did not answer within {origin.timeout:g} s, or was ended"
    if status == _UNKNOWN and origin.keyring:
        return f"the keyring has no {safe(origin.keyring)}"
    if status != 0:
        return f"{where} exited with {status}"
    return f"what {where} says is no UTF-8 text of at most 64 KiB" if value is None else ""
