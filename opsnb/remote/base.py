"""What a server can be asked and told, whatever speaks to it.

Rule 1: a :class:`Remote` only looks. What changes something is a method of :class:`Held`, and a
``Held`` exists only while its lock is held. (``run`` carries a command of the user's, and so can do
what the user can: whether it may be run is decided before it comes here.)
Rule 2: these raise opsnb's own errors and no others.
Rule 3: paths inside a release are bytes; names of releases are text that opsnb made.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from opsnb.core.links import Listing, Standing
from opsnb.core.marks import Holder
from opsnb.core.release import Site
from opsnb.core.usage import Usage
from opsnb.remote.pack import Packer

if TYPE_CHECKING:
    from opsnb.core.watch import Guarded

Stream = Literal["out", "err"]
Brought = Literal["files", "dirs", "links"]
OnOutput = Callable[[Stream, bytes], None]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command of the user's ended.

    Attributes:
        status: Its exit status.
        directory: Where below ``deploy_to`` it ran; ``.`` is ``deploy_to`` itself.
    """

    status: int
    directory: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a release holds that its manifest does not tell; lines as core/listing.py reads them.

    Attributes:
        carried: What it held beyond or unlike its manifest when it was finished.
        now: What is true now and was not then.
        gone: What was true then and is not now.
    """

    carried: bytes
    now: bytes
    gone: bytes


@dataclass(frozen=True, slots=True)
class Patched:
    """A file that is made of another.

    Attributes:
        path: Its path, without a line break.
        mode: Its permission bits.
        mtime: When its content was changed last, in seconds since the epoch.
    """

    path: bytes
    mode: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Aside:
    """The release that is kept aside, as it was when it left.

    One in which others may write to a directory is not told of.

    Attributes:
        record: Its record.
        unlike: Lines, as :func:`opsnb.core.listing.apart` takes them, in which it and the live
            release differ.
    """

    record: bytes
    unlike: bytes


@dataclass(frozen=True, slots=True)
class Glance:
    """All that a plan rests on, but for what is in ``shared/``.

    Attributes:
        site: The site.
        live: The live release's name, as it was a moment later; empty when none is.
        changes: What that release holds that its manifest does not tell.
        aside: What is kept aside, next to that release.
    """

    site: Site
    live: str
    changes: Changes
    aside: Aside | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """How a finished release looks next to another; lines as core/listing.py reads them.

    Attributes:
        unlike: Lines in which the two differ.
        altered: Lines in which it differs from what it was when it was kept aside; empty when it
            was not.
    """

    unlike: bytes
    altered: bytes


@dataclass(frozen=True, slots=True)
class Texts:
    """Files of a server's system, as far as the login may read them.

    Attributes:
        real: ``deploy_to`` as the server resolves it; empty when it is not there.
        texts: Texts by path.
        closed: Files that are there and may not be read.
    """

    real: str
    texts: Mapping[str, str]
    closed: tuple[str, ...]


class Line(Protocol):
    """Bytes to and from something that listens on a server, or beside it."""

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises RemoteError."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises RemoteError."""

    async def close(self) -> None:
        """Close it. Never raises."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What was there before opsnb; lines as core/listing.py reads them.

    Attributes:
        able: What the server can do, a word each; see ``able`` of agent.sh.
        now: How the old files look.
        then: How they looked when they were copied.
        shared_now: How ``shared/`` looks.
        shared_then: How it looked when the adoption ended.
    """

    able: frozenset[str] = frozenset()
    now: bytes = b""
    then: bytes = b""
    shared_now: bytes = b""
    shared_then: bytes = b""


# With these a step has failed that was to remove releases: one stays, or files of one.
STAYS, NOT_REMOVED = 88, 96
LEFT = (STAYS, NOT_REMOVED)


class Held(Protocol):
    """A server whose lock is ours. Every method raises LockLost when it no longer is."""

    token: int
    seen: Site
    """What was seen under the lock."""
    mended: bool
    """Whether the audit log's last line was torn when the lock was taken, and was put aside."""

    def series(self) -> AbstractAsyncContextManager[None]:
        """Steps within it may be sent together, each to be taken only if those before it went well.

        A step that answers nothing may return before it is done; what answers something, and the
        end of the series, wait for all, and raise what went wrong first.
        """

    async def settle(self) -> None:
        """Wait until the steps so far are done, for what happens elsewhere."""

    def then(self, tell: Callable[[], None]) -> None:
        """Call something once the steps so far are done."""

    @property
    def broken(self) -> bool:
        """Whether it can take no further step."""

    @property
    def unasked(self) -> bool:
        """Whether the lock itself still waits for the first step: then nothing was done."""

    async def begin(self, name: str, record: bytes) -> None:
        """Write a record, to the disk, and make the release's empty directory.

        It is closed to everybody else, so that nobody can lead astray what is done in it.
        """

    async def open_up(self, name: str, base: str) -> None:
        """Let others into a release that was built, as into another; an empty one for none."""

    async def copy(
        self, base: str, name: str, *, hardlink: bool, through: Iterable[bytes] = ()
    ) -> None:
        """Fill a release with what another holds.

        Args:
            base: The other.
            name: The one that is being built.
            hardlink: Whether files share their inode with it.
            through: Paths at which no link may have been copied.

        Raises:
            StepFailed: There is a link at one of them, among other causes.
        """

    async def recycle(self, name: str, through: Iterable[bytes] = ()) -> None:
        """Make the release that is kept aside the one that is being built.

        Args:
            name: The one that is being built.
            through: Paths at which there may be no link.

        Raises:
            StepFailed: There is one, among other causes.
        """

    async def bring(
        self, base: str, name: str, paths: Iterable[bytes], kind: Brought = "dirs"
    ) -> None:
        """Copy paths of a release, without what is below them, into one that is being built.

        Args:
            base: The other.
            name: The one that is being built.
            paths: The paths.
            kind: What they are: files, directories and files, or links; only of links are links
                made.
        """

    async def drop(self, name: str, paths: Iterable[bytes]) -> None:
        """Remove paths from a release that is being built."""

    async def unpack(self, name: str, stream: AsyncIterable[bytes], how: Packer = "") -> None:
        """Unpack a tar stream, compressed in some way or not, into a release being built."""

    async def unpack_verified(
        self,
        name: str,
        stream: AsyncIterable[bytes],
        digests: Mapping[bytes, str],
        how: Packer = "",
    ) -> None:
        """The same of regular files alone, and fail unless they have the given SHA-256.

        Args:
            name: The release.
            stream: The files, and nothing else.
            digests: What each of them must have, hexadecimal.
            how: The compression.
        """

    async def patch(
        self, base: str, name: str, file: Patched, stream: AsyncIterable[bytes], how: Packer = ""
    ) -> None:
        """Make a file of a release being built from the one at its place in another.

        Args:
            base: The other release.
            name: The one that is being built.
            file: The file.
            stream: Steps, as :func:`opsnb.engine.chunking.payload` gives them, compressed or not.
            how: The compression.

        Raises:
            StepFailed: With status 90, it could not be made.
        """

    async def verify(self, name: str, digests: Mapping[bytes, str], *, large: bool = False) -> None:
        """Fail unless files have the given SHA-256.

        Args:
            name: The release.
            digests: What each file must have, hexadecimal.
            large: Whether each is so large that hashing it takes longer than starting a program.
        """

    async def modes(self, name: str, modes: Iterable[tuple[bytes, int]]) -> None:
        """Set permission bits in a release that is being built."""

    async def make_shared(self, path: bytes) -> None:
        """Make a directory in ``shared/``."""

    async def seed(self, name: str, path: bytes) -> None:
        """Move a directory of a release into ``shared/``, unless it is there already."""

    async def link(self, name: str, paths: Iterable[bytes]) -> None:
        """Link paths of a release into ``shared/``."""

    async def finish(self, name: str) -> bytes:
        """List a release, and remember the listing as how it was when it was finished."""

    async def finish_as(self, name: str, gist: str) -> bytes | None:
        """The same; None, and nothing to read, where it looks just as it should.

        Args:
            name: The release.
            gist: What :func:`opsnb.core.listing.gist` gave.
        """

    async def finish_like(self, name: str, base: str) -> Finish:
        """The same; only what differs from another release is told."""

    async def finish_reused(self, name: str, base: str, gist: str) -> Finish | None:
        """The same of one that had been kept aside; None where it has changed just as it should.

        Args:
            name: The release.
            base: The other.
            gist: What :func:`opsnb.core.listing.gist_of_change` gave.
        """

    async def store(self, path: str, content: bytes) -> None:
        """Replace a file below ``.opsnb``, by rename."""

    async def edit(self, path: str, base: str, edits: bytes, digest: str) -> None:
        """Write a file below ``.opsnb`` by how it differs from another one there.

        Args:
            path: The file.
            base: The other.
            edits: What :func:`opsnb.core.manifest.edits` gave.
            digest: The SHA-256 of what must come of it.

        Raises:
            StepFailed: With status 90, the other file is not what it was taken for.
        """

    async def private(self, path: str, content: bytes) -> None:
        """The same for what nobody else may read; it stands in no argument of any program."""

    async def config_begin(self) -> None:
        """Begin to gather configuration files that are to be placed in ``shared/``."""

    async def config_keep(self, number: int, path: bytes, digest: str) -> None:
        """Keep what is there, which must have a SHA-256; nothing may be there when it is empty."""

    async def config_commit(self) -> None:
        """They are whole; from now on they are unsettled."""

    async def config_place(self, number: int, path: bytes, mode: int) -> None:
        """Put one where it belongs, by a rename, through no link."""

    async def config_back(self, number: int, path: bytes, *, was: bool) -> None:
        """Put back what was there; remove what came when nothing was."""

    async def config_done(self, paths: Iterable[bytes]) -> None:
        """They are settled."""

    async def forget(self, paths: Iterable[str]) -> None:
        """Remove files below ``.opsnb``."""

    async def append_audit(self, line: bytes) -> None:
        """Add a line to the audit log."""

    async def flush(self) -> None:
        """Write the file system to the disk."""

    async def publish(self, name: str, expected: bytes) -> None:
        """Point ``current`` at a release, if it leads to ``expected`` (empty: to nothing) now."""

    async def publish_guarded(self, name: str, expected: bytes, guarded: Guarded) -> None:
        """The same with a watchdog, which puts the release before back unless it is called off.

        Raises:
            StepFailed: The watchdog did not begin, and nothing was switched; or as for publish.
        """

    async def disarm(self, token: int) -> None:
        """Call a watchdog off, by the token of the change that it guards.

        Raises:
            StepFailed: With status 89, it had begun to put the release before back.
        """

    async def hook(
        self,
        directory: str,
        command: str,
        environment: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
    ) -> int:
        """Run a command in a directory of the site; its exit status."""

    async def place(self, directory: str, name: str, content: bytes) -> None:
        """Put a script in place that PHP runs once.

        Args:
            directory: Where, below ``deploy_to``.
            name: Its name, as :func:`opsnb.core.layout.one_shot` gives it.
            content: The script.
        """

    async def unplace(self) -> None:
        """Remove every one that is in place. Whoever sweeps does the same."""

    async def discard(self, names: Sequence[str]) -> bool:
        """Remove releases and what is known of them; False when something could not be removed."""

    async def retire(self, name: str) -> bool:
        """Remove a release and keep it aside; False when something could not be removed."""

    async def remove_idle(self, names: Sequence[str], *, aside: bool) -> tuple[bool, list[str]]:
        """Remove releases that no process uses, as far as can be seen.

        Args:
            names: The releases; one, when it is kept aside.
            aside: Whether to keep it aside (:meth:`retire`).

        Returns:
            Whether all could be removed that nobody uses, and those that somebody does.
        """

    async def remove_all(self, names: Sequence[str], *, aside: bool, idle: bool) -> None:
        """Remove releases, as a step of a series: what follows is taken only if all of them go.

        Args:
            names: The releases; one, when it is kept aside.
            aside: Whether to keep it aside (:meth:`retire`).
            idle: Whether those stay that a process uses (:meth:`remove_idle`).

        Raises:
            StepFailed: With a status of :data:`LEFT`, something stays. The same can be asked for
                again by the other methods, which say what.
        """

    async def clear_spare(self) -> bool:
        """Delete the release that is kept aside; False when something could not be removed."""

    async def copy_theirs(self, name: str, kind: str) -> None:
        """See :class:`opsnb.remote.adopting.Adopting`, as of those that follow."""

    async def share(self, name: str, paths: Sequence[bytes]) -> None: ...

    async def unshare(self, paths: Sequence[bytes]) -> None: ...

    async def exchange(self, name: str, how: str) -> None: ...

    async def exchange_back(self, name: str, how: str) -> None: ...

    async def unpublish(self, name: str) -> None: ...

    async def remove_theirs(self, kind: str, lines: bytes, links: Sequence[bytes]) -> None: ...

    async def dissolve(self, made: Sequence[str]) -> None: ...

    async def sweep(self) -> bool:
        """Clear what dead changes left in ``.opsnb``; False when something could not be removed."""

    async def kill(self) -> None:
        """End whatever step runs on the server, and the lock with it."""

    async def let_go(self) -> None:
        """Give the lock back as the last step; what is left to do is :meth:`release`."""

    async def release(self) -> None:
        """Give the lock back, unless that was the last step."""


class Remote(Protocol):
    """A server, reached or reachable."""

    deploy_to: str

    @property
    def packing(self) -> Packer:
        """How what is long is compressed on the line to this server; empty for not at all."""

    async def look(self, *, fingerprint: bool = False) -> Site:
        """Everything a plan needs, in one round trip. Raises ConnectError.

        Args:
            fingerprint: Whether the server is also asked what it knows the site by again.
        """

    async def state(self, *, users: bool = False, sizes: bool = False) -> Site:
        """A look and, in the same round trip, what a retention may want to know besides.

        Args:
            users: Whether to look for processes that use releases.
            sizes: Whether to measure what releases take on the disk.
        """

    async def glance(self) -> Glance:
        """A look, and what has changed in the live release, in one round trip."""

    async def manifest(self, name: str) -> bytes:
        """The text of a release's manifest; empty when it has none."""

    async def spare_manifest(self) -> bytes:
        """The text of the manifest of the release kept aside; empty when it has none."""

    async def changes(self, name: str) -> Changes:
        """What a release holds that its manifest does not tell."""

    async def hashes(self, name: str, paths: Sequence[bytes]) -> dict[bytes, str]:
        """SHA-256 of files of a release, hexadecimal, by path."""

    async def shared(self, paths: Iterable[bytes]) -> dict[bytes, Listing]:
        """What directories of ``shared/`` hold; empty for one that is not there."""

    async def fetch(self, name: str, paths: Sequence[bytes], take: Callable[[bytes], None]) -> None:
        """Read regular files of a release, as one tar stream in the order of their paths.

        Args:
            name: The release.
            paths: The files; at the end of a path no link is followed.
            take: Told each piece as it comes; it must not wait. A RemoteError of its ends it.
        """

    async def standing(self, paths: Sequence[bytes]) -> Standing:
        """What is in ``shared/`` where configuration files belong, and what was last placed."""

    async def usage(self) -> tuple[Site, list[Usage]]:
        """A look, and what each release, the one kept aside, and ``shared/`` take on the disk."""

    async def audit(self) -> bytes:
        """The audit log."""

    async def texts(self, patterns: Sequence[str]) -> Texts:
        """Files whose absolute names match patterns, with their texts; at most 1 MB in all."""

    async def theirs(self, kind: str) -> Theirs:
        """What was there before opsnb: ``plain`` or ``directory``. Raises NotReady by SFTP."""

    async def run(self, script: str, directory: str, timeout: float, on_output: OnOutput) -> Exit:
        """Run a script with ``/bin/sh`` below ``deploy_to``, in a session of its own.

        It waits for no lock and for no other question. An empty directory is ``current``, or
        ``deploy_to`` where there is none. What it starts ends with it, with this call (a
        cancellation waits for that) and with the connection; what leaves its process group
        (``setsid``) is not followed.
        """

    async def reach(self, address: str) -> Line:
        """Connect to what listens on the server: an absolute path of a socket, or ``host:port``.

        Raises:
            RemoteError: Nothing listens there, or the login may not.
        """

    async def lock(
        self, who: str, host: str, since: str, why: str, seen: Site | None = None
    ) -> Held | None:
        """Take the lock, and look; None when somebody else has it.

        Args:
            who: Who wants it.
            host: The machine they work from.
            since: When, ISO 8601.
            why: What for.
            seen: A site with a fingerprint. Then the lock may be asked for with the first step,
                which raises NotAsSeen when that site is no more, or somebody else has the lock:
                nothing was done. ``Held.seen`` is this very site until then.
        """

    async def break_lock(self, holder: Holder) -> None:
        """Take the lock away from a holder, whose further steps then do nothing."""

    async def close(self) -> None:
        """Close the connection. The next call makes a new one."""
