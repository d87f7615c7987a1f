"""The files that ssh's configuration names: one that is missing is passed over, as ssh does it.

Rule 1: a known_hosts file that is missing makes nobody trusted, and no other file counts for it.
Rule 2: a file that is there and cannot be read is an error, since a key may be revoked in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from asyncssh.config import SSHClientConfig

OWN = "~/.ssh/known_hosts"


def known_hosts(config: SSHClientConfig) -> dict[str, object]:
    """What asyncssh is to be told of the known_hosts files.

    Args:
        config: What the configuration says of a host.

    Raises:
        ValueError: A name has a token, or a variable, that cannot be told.
        OSError: It cannot be said whether a file is there.
    """
    own, shared = _names(config, "UserKnownHostsFile"), _names(config, "GlobalKnownHostsFile")
    if own == [] or (own is None and shared is None):
        return {}
    # asyncssh expands tokens in other names only: such a file would be taken for missing.
    names = [*map(config._expand_val, own or [OWN]), *(shared or [])]
    # For no file at all asyncssh would read the user's own, which may not be one of those named.
    return {"known_hosts": _there(names) or [os.devnull]}


def identities(config: SSHClientConfig) -> dict[str, object]:
    """What asyncssh is to be told of keys and certificates.

    Args:
        config: What the configuration says of a host.

    Raises:
        OSError: It cannot be said whether a file is there.
    """
    told: dict[str, object] = {}
    if certificates := _names(config, "CertificateFile"):
        told["client_certs"] = _there(certificates)
    if not (keys := _names(config, "IdentityFile")):
        return told
    only = config.get("IdentitiesOnly")
    if only:
        # The key may be in the agent alone, and its public half here to say which it is.
        keys = [name if _there([name]) else f"{name}.pub" for name in keys]
    told["client_keys"] = _there(keys)
    if not told["client_keys"]:
        # For an empty list asyncssh would take the keys in ~/.ssh, and every one of the agent's.
        # None is no key at all; what is not empty and yields nothing leaves those of the agent.
        told["client_keys"] = None if only else iter(())
    # As where asyncssh takes the names from the configuration: a key with a passphrase is no error.
    told["ignore_encrypted"] = True
    return told


def _names(config: SSHClientConfig, option: str) -> list[str] | None:
    return cast("list[str] | None", config.get(option))


def _there(names: list[str]) -> list[str]:
    there = []
    for name in names:
        try:
            Path(name).expanduser().stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        there.append(name)
    return there
