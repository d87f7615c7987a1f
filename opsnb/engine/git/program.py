"""Git, run as a program: no shell, no prompt, no hook, and nothing that a repository may start.

Rule 1: to fetch, it finds the user's own configuration: their keys, agents and credential helpers.
        For everything else it finds none, so no filter and no pager of theirs runs either.
Rule 2: every call has a deadline, and what it must not take for an option stands behind ``--``.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opsnb.core.output import Said
from opsnb.core.secrets import LEAST, Secrets
from opsnb.engine import process
from opsnb.engine.commands import Lines
from opsnb.errors import SourceError, StepTimedOut

QUICK = 120.0  # seconds for what needs no network
LAST_WORDS = 3  # lines of what it said when it failed
MOST = 256 << 20  # bytes that it may answer
# What a fetch finds of the operator's environment besides what is no affair of git's.
KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
KEPT_TOO = ("GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY")
ALWAYS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fileMode": "true",
    "core.symlinks": "true",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "log.showSignature": "false",
    "gc.autoDetach": "false",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "credential.interactive": "false",
}

TRUST = "Whom to trust, `http.sslCAInfo` in git's configuration or GIT_SSL_CAINFO says."
# What to do about what git says when it cannot get in.
HINTS = {
    "terminal prompts disabled": "Nobody is asked for a login here: give git a credential helper "
    "(`git config credential.helper`), or use the address for SSH.",
    "certificate verification failed": TRUST,  # as GnuTLS has it
    "SSL certificate problem": TRUST,  # as OpenSSL has it
    "Permission denied (": "`ssh-add -l` shows the keys that are offered; the one for this "
    "repository must be there, or in ~/.ssh/config.",
    "Host key verification failed": "Connect once with `ssh`, compare the key with what its owner "
    "publishes, and accept it.",
}


class GitFailed(SourceError):
    """Git did not exit 0."""


class GitTimedOut(GitFailed):
    """Git did not end in time, and was ended."""


def _protocols(local: bool) -> str:
    return "https:http:ssh:git" + (":file" if local else "")


def fetching(local: bool) -> dict[str, str]:
    """The environment of a git that fetches.

    Args:
        local: Whether it may fetch from this machine.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "OPSNB_")) or name in (*KEPT, *KEPT_TOO)
    }
    return {
        **{"GIT_ASKPASS": "false", **kept},
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_ALLOW_PROTOCOL": _protocols(local),
        "LC_ALL": "C",
    }


def reading() -> dict[str, str]:
    """The environment of a git that reaches nothing but the repository it is given."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }


@dataclass
class Git:
    """Runs git on a repository.

    Attributes:
        directory: The repository; for a work tree, its ``.git``.
        what: What messages call it.
        hidden: What nobody is shown of what git says.
        tell: Is told, line by line, what a fetch says.
    """

    directory: Path
    what: str
    hidden: Secrets = field(default_factory=Secrets)
    tell: Callable[[str], None] = lambda _: None

    async def __call__(self, *args: str, **more: str) -> bytes:
        """Ask the repository; what git answers.

        Args:
            args: A subcommand, and what it is given.
            more: Variables of its environment.

        Raises:
            GitFailed: It did not exit 0.
        """
        return await self._run(args, {**reading(), **more}, QUICK, _nobody)

    async def says(self, *args: str) -> bool:
        """Whether git exits 0."""
        try:
            await self(*args)
        except GitFailed:
            return False
        return True

    async def remotely(self, *args: str, local: bool, timeout: float) -> bytes:
        """The same with the user's own configuration, and the network.

        Args:
            args: A subcommand, and what it is given.
            local: Whether it may fetch from this machine.
            timeout: Seconds until it is ended and has failed.
        """
        return await self._run(args, fetching(local), timeout, self.tell)

    async def _run(
        self, args: Sequence[str], env: dict[str, str], timeout: float, tell: Callable[[str], None]
    ) -> bytes:
        answer, words = _Answer(), deque[str](maxlen=LAST_WORDS)

        def say(said: Said) -> None:
            if said.text.strip():
                words.append(said.text.strip())
                tell(said.text)

        heard = Lines(self.hidden.masker(), say)
        try:
            status = await process.run(
                self._argv(args, env),
                self.directory.parent,
                env,
                timeout,
                answer,
                heard.feed,
                alone=True,
            )
        except StepTimedOut as error:
            raise GitTimedOut(
                f"git {args[0]} did not end within {timeout:g} s for {self.what}",
                "Can it be reached? `git_timeout` in opsnb.toml gives it more time.",
            ) from error
        finally:
            heard.flush()
        if status != 0 or answer.size > MOST:
            said = " · ".join(words) or f"it exited with {status}"
            hint = next((hint for word, hint in HINTS.items() if word in said), "")
            raise GitFailed(f"git {args[0]} failed for {self.what}: {said}", hint)
        return b"".join(answer.parts)

    def _argv(self, args: Sequence[str], env: Mapping[str, str]) -> list[str]:
        program = shutil.which("git", path=env.get("PATH"))
        if program is None:
            raise SourceError("git is not installed on this machine", "Install it, then again.")
        said = [part for name, value in ALWAYS.items() for part in ("-c", f"{name}={value}")]
        return [program, f"--git-dir={self.directory}", "--no-pager", *said, *args]


class _Answer:
    """What git answers, as far as anybody will read it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def __call__(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= MOST:
            self.parts.append(data)


def _nobody(_: object) -> None:
    pass


def hidden_in(login: str) -> Secrets:
    """What of a repository's address nobody is shown: who logs in, which may be a token.

    Args:
        login: What stands before the ``@``.
    """
    return Secrets({"login": login} if len(login) >= LEAST else {})
