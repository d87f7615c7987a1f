"""What the agent answers, read; and lists of names as it takes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote_from_bytes

from opsnb.core.links import Listing
from opsnb.core.manifest import check_name
from opsnb.core.numbers import number
from opsnb.core.text import safe
from opsnb.core.usage import Usage
from opsnb.errors import LockLost, NotReady, RemoteError, StepFailed
from opsnb.remote.base import Aside, Changes, Texts
from opsnb.remote.shell import Reply

# Exit statuses of the agent's functions; see the head of agent.sh.
_FINGERPRINT = re.compile(rb"([0-9a-f]{64})  -\n([0-9]{1,18})")
TORN = b" torn\n"
OTHERWISE, LOCKED, LOCK_LOST, CHANGED_HANDS = 87, 91, 92, 93


def aside_in(reply: Reply, live: bytes) -> Aside | None:
    """What is kept aside, next to that release; nothing is where the server could not say."""
    name, _, rest = reply.out.partition(b"\0")
    record, _, unlike = rest.partition(b"\0")
    return Aside(record, unlike) if record and name == live and reply.status == 0 else None


def fingerprint_in(reply: Reply) -> str:
    """What the server knows a site by again, and when it saw it; empty where it could not say."""
    match = _FINGERPRINT.fullmatch(reply.out) if reply.status == 0 else None
    return f"{match[1].decode()} {match[2].decode()}" if match else ""


def cut(out: bytes) -> tuple[bytes, bytes]:
    """What stands before an empty line, and what after it."""
    if out.startswith(b"\0"):
        return b"", out[1:]
    before, _, after = out.partition(b"\0\0")
    return before, after


def changes_in(out: bytes) -> Changes:
    carried, rest = cut(out)
    lines = [line for line in rest.split(b"\0") if line]
    return Changes(
        carried,
        b"\0".join(line[1:] for line in lines if line.startswith(b"\t")),
        b"\0".join(line for line in lines if not line.startswith(b"\t")),
    )


def whole(reply: Reply) -> bytes:
    """What a file holds; nothing when there is none."""
    return reply.out if reply.status == 0 else b""


def good(reply: Reply, what: str) -> Reply:
    """The reply itself, when its status is 0.

    Raises:
        LockLost: The lock is somebody else's.
        NotReady: ``deploy_to`` cannot be written.
        StepFailed: Anything else.
    """
    if reply.status == 0:
        return reply
    if reply.status == LOCK_LOST:
        raise LockLost(
            "somebody else has taken the lock: nothing more was done",
            "`opsnb log` says who; `opsnb releases` shows what is live now.",
        )
    said = f": {reply.complaint}" if reply.complaint else ""
    if what == "take the lock":
        raise NotReady(f"cannot take the lock{said}", "May this user write to deploy_to?")
    raise StepFailed(f"cannot {what}{said} (status {reply.status})", reply.status)


def as_payload(paths: Iterable[bytes]) -> Iterable[bytes]:
    """Names as a payload: each ended by NUL."""
    joined = b"".join(path + b"\0" for path in paths)
    return [joined] if joined else []


def texts_in(out: bytes) -> Texts:
    """Files and their texts; the last one may be cut short."""
    real, *parts = (part.decode("utf-8", "replace") for part in out.split(b"\0"))
    texts: dict[str, str] = {}
    closed: list[str] = []
    for path, may, text in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        if may == "r":
            texts[path] = text
        else:
            closed.append(path)
    return Texts(real, texts, tuple(closed))


def holding_in(out: bytes) -> tuple[int, int]:
    """The fencing token, and the process group that has the lock."""
    try:
        token, pid = map(number, out.removesuffix(TORN).split())
    except ValueError as error:
        raise RemoteError("the server's answer to taking the lock makes no sense") from error
    # 0 and 1 would mean every process there is to whoever ends it.
    if pid <= 1:
        raise RemoteError(f"the server's lock is held by process {pid}, which cannot be")
    return token, pid


def mended_in(out: bytes) -> bool:
    """Whether a torn last line of the log was put aside as the lock was taken."""
    return out.endswith(TORN)


def users_in(out: bytes) -> tuple[dict[str, str], bool]:
    """A process that uses a release, by the release's name; whether some could not be seen."""
    users: dict[str, str] = {}
    for line in out.splitlines():
        path, _, told = line.partition(b"\t")
        pid, _, name = told.partition(b"\t")
        if path.startswith(b"releases/") and pid.isdigit():
            release = path.removeprefix(b"releases/").decode("utf-8", "surrogateescape")
            users.setdefault(release, f"process {pid.decode()} ({safe(name)})")
    return users, b"!" in out.splitlines()


def measured_in(used: Iterable[Usage], live: str) -> dict[str, int]:
    """Bytes that releases take: of the live one all of it, of others what only they hold."""
    return {item.name: item.disk if item.name == live else item.own for item in used}


def usage_in(out: bytes) -> list[Usage]:
    """What releases take on the disk, a line each."""
    rows = [line.split(b"\t") for line in out.splitlines() if line.count(b"\t") == 4]
    try:
        return [
            Usage(row[0].decode("utf-8", "surrogateescape"), *map(number, row[1:])) for row in rows
        ]
    except ValueError as error:
        raise RemoteError("the server's answer about its disk makes no sense") from error


def listings_in(out: bytes) -> list[Listing]:
    """What directories of ``shared/`` hold, each ended by an empty name."""
    listings: list[Listing] = []
    listed: dict[bytes, str] = {}
    for item in out.split(b"\0")[:-1]:
        if item:
            try:
                listed[check_name(item[1:])] = chr(item[0])
            except ValueError as error:
                raise RemoteError("the server's listing of shared/ makes no sense") from error
        else:
            listings.append(listed)
            listed = {}
    return listings


def digests_in(out: bytes) -> dict[bytes, str]:
    """What ``sha256sum -z`` printed."""
    lines = [line for line in out.split(b"\0") if line]
    if any(len(line) < 67 for line in lines):
        shown = quote_from_bytes(lines[-1][:80])
        raise RemoteError(f"the server's digests make no sense: {shown}")
    return {line[66:]: line[:64].decode("ascii", "replace") for line in lines}
