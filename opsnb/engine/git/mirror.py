"""A bare copy of a repository in the client's cache: fetched into, never worked in.

Rule 1: one at a time: whoever fetches holds its lock. Who only reads needs none.
Rule 2: it is nothing but a copy: one that is broken is made anew.
Rule 3: only what is asked for is fetched: one branch, one tag, or one commit.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from opsnb.core.origin import is_commit, login, without_login
from opsnb.core.settings.source import SourceSettings, is_path
from opsnb.core.text import safe
from opsnb.engine import private
from opsnb.engine.git.program import Git, GitFailed, GitTimedOut, hidden_in
from opsnb.errors import SourceError

OURS = "refs/opsnb"
KEPT = 20  # copies
EVERYTHING = (f"+refs/heads/*:{OURS}/heads/*", f"+refs/tags/*:{OURS}/tags/*")
_LISTED = re.compile(rb"([0-9a-f]{40,64})\t(\S+)")
_PART = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Remote:
    """A repository to fetch from.

    Attributes:
        url: A URL, or an absolute path.
        timeout: Seconds until a fetch is ended and has failed.
    """

    url: str
    timeout: float

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return self.url.startswith(("/", "file:"))

    @property
    def shown(self) -> str:
        """What messages call it."""
        return safe(without_login(self.url))


class Mirror:
    """The copy of a repository.

    Args:
        remote: The repository.
        tell: Is told, line by line, what a fetch says.
    """

    def __init__(self, remote: Remote, tell: Callable[[str], None]) -> None:
        self.remote = remote
        name = hashlib.sha256(remote.url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._above = private.directory("git")
        self.path = self._above / f"{name}.git"
        self._lock = self._above / f"{name}.lock"
        self._tell = tell
        self.git = Git(self.path, remote.shown, hidden_in(login(remote.url)), tell)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Have it alone, and whole as far as can be told at once.

        Raises:
            SourceError: Somebody else has had it for longer than a fetch may take.
        """
        lock = await self._taken()
        try:
            if not await self._is_there():
                await self.anew()
            os.utime(self.path)
            yield
        finally:
            os.close(lock)

    async def _taken(self) -> int:
        until, told = time.monotonic() + self.remote.timeout, False
        while True:
            lock = private.taken(self._lock)
            if lock is not None:
                return lock
            if time.monotonic() > until:
                raise SourceError(f"another opsnb has been fetching {self.remote.shown} too long")
            if not told:
                self._tell(f"waiting for another opsnb that fetches {self.remote.shown}")
                told = True
            await asyncio.sleep(0.1)

    async def _is_there(self) -> bool:
        whole = (self.path / "HEAD").is_file() and (self.path / "objects").is_dir()
        return whole and await self.git.says("rev-parse", "--is-bare-repository")

    async def anew(self) -> None:
        """Make it, empty."""
        if self.path.exists():
            private.remove(self.path)
        self.path.mkdir(mode=0o700)
        # Without a template: those of the system bring hooks.
        await self.git("init", "--quiet", "--bare", "--template=", str(self.path))
        self._forget()

    def _forget(self) -> None:
        """Remove the copies that were used longest ago and that nobody has now, beyond some."""
        with suppress(OSError):
            kept = sorted(self._above.glob("*.git"), key=lambda copy: copy.stat().st_mtime_ns)
            for copy in kept[:-KEPT]:
                lock = private.taken(copy.with_suffix(".lock"))
                if lock is not None:
                    private.remove(copy)
                    os.close(lock)

    async def broken(self) -> bool:
        """Whether something in it is not as git left it; one too large to tell counts as whole."""
        try:
            await self.git("fsck", "--no-dangling", "--no-progress")
        except GitTimedOut:
            return False
        except GitFailed:
            return True
        return False

    async def commit(self, ref: str) -> str:
        """The commit that a branch, a tag or a commit is now; it is in the copy then.

        Args:
            ref: Its name; empty for what the repository itself names.

        Raises:
            SourceError: There is none of that name, or two.
            GitFailed: It cannot be fetched.
        """
        if is_commit(ref):
            return await self._exactly(ref)
        listed = await self._listed(ref or "HEAD")
        if listed is None:
            return await self._abbreviated(ref)
        name, there = listed
        if await self.has(there):
            return await self._peeled(there)
        self._tell(f"fetching {safe(ref) or 'HEAD'} of {self.remote.shown}")
        # Below no other name: a branch may take the name of a directory of branches, and back.
        kept = f"{OURS}/at/{hashlib.sha256(name.encode()).hexdigest()}"
        await self._fetch(f"+{name}:{kept}")
        return await self._peeled(kept)

    async def has(self, commit: str) -> bool:
        """Whether a commit, or what is tagged by an object, is in the copy."""
        return await self.git.says("cat-file", "-e", f"{commit}^{{commit}}")

    async def _peeled(self, name: str) -> str:
        answer = await self.git("rev-parse", "--verify", f"{name}^{{commit}}")
        return answer.decode("ascii", "replace").strip()

    async def _listed(self, ref: str) -> tuple[str, str] | None:
        """The one whole name that a name stands for over there, and what it leads to."""
        names = [ref] if ref.startswith("refs/") or ref == "HEAD" else []
        names = names or [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        asked = ("ls-remote", "--quiet", "--", self.remote.url, *names)
        local, timeout = self.remote.local, self.remote.timeout
        try:
            answer = await self.git.remotely(*asked, local=local, timeout=timeout)
        except GitFailed as error:
            # It reads nothing of the copy: this is none of the copy's troubles.
            raise SourceError(error.message, error.hint) from error
        pairs = {name: there for there, name in _LISTED.findall(answer)}
        found = [name for name in names if name.encode() in pairs]
        if len(found) > 1:
            raise SourceError(
                f"{safe(ref)} is a branch and a tag of {self.remote.shown}",
                f"Say which: {' or '.join(safe(name) for name in found)}.",
            )
        return (found[0], pairs[found[0].encode()].decode()) if found else None

    async def _exactly(self, commit: str) -> str:
        """A commit by its whole name, which can only ever be the same."""
        if not await self.has(commit):
            self._tell(f"fetching {commit[:10]} of {self.remote.shown}")
            try:
                await self._fetch(f"+{commit}:{OURS}/commits/{commit}")
            except GitFailed:
                # Not every server gives out a commit that no branch leads to at once.
                await self._fetch(*EVERYTHING, prune=True)
        if not await self.has(commit):
            raise self._none(commit)
        return await self._peeled(commit)

    async def _abbreviated(self, ref: str) -> str:
        if not ref or not _PART.fullmatch(ref):
            raise self._none(ref or "HEAD")
        self._tell(f"fetching all of {self.remote.shown}, for the commit {ref}")
        await self._fetch(*EVERYTHING, prune=True)
        if not await self.has(ref):
            raise self._none(ref)
        return await self._peeled(ref)

    def _none(self, ref: str) -> SourceError:
        return SourceError(
            f"{self.remote.shown} has no branch, tag or commit {safe(ref)}",
            "`ref` in opsnb.toml or --ref names it.",
        )

    async def _fetch(self, *what: str, prune: bool = False) -> None:
        await self.git.remotely(
            "fetch",
            "--progress",
            "--no-tags",
            "--force",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            *(["--prune"] if prune else []),
            "--",
            self.remote.url,
            *what,
            local=self.remote.local,
            timeout=self.remote.timeout,
        )
        await self.git.says("gc", "--auto", "--quiet")


def remote_of(settings: SourceSettings) -> Remote:
    """The configured repository.

    Args:
        settings: What is configured; a relative path is from where the process runs.

    Raises:
        SourceError: It lies in the home of nobody.
    """
    git = settings.git
    return Remote(str(absolute(git)) if is_path(git) else git, settings.git_timeout)


def absolute(path: str) -> Path:
    """A path of a configuration or a command line as an absolute one."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise SourceError(f"{safe(path)} is nobody's home: {error}") from error
