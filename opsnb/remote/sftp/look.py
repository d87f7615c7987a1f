"""A look by SFTP, told in the words of the agent's; how a release looks, in lines as its.

SFTP tells no inode and no time of change, and times in whole seconds: what somebody changes in a
file without changing its size, within the second in which it was written, is not noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opsnb.core.text import safe
from opsnb.errors import RemoteError, StepFailed
from opsnb.remote.base import Changes
from opsnb.remote.sftp.wire import Item, Wire, each

UNNAMED = "this account"  # a user that the address leaves to ssh_config
LISTED = (b"releases", b"shared", b".opsnb", b".opsnb/trash")
PENDING = b".opsnb/config/pending/journal"
SINGLE = {
    "hold": b".opsnb/hold.json",
    "intent": b".opsnb/intent.json",
    "pending": PENDING,
    "adoption": b".opsnb/adoption.json",
}
TAIL = 1 << 16


class Answer:
    """Keys and values, as the agent prints them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, key: str, value: bytes) -> None:
        """Add a key and its value; NUL in a value is dropped."""
        self._parts += [key.encode(), value.replace(b"\0", b"")]

    def text(self) -> bytes:
        """All of it."""
        return b"".join(part + b"\0" for part in self._parts)


async def look(wire: Wire, user: str, holder: bytes | None) -> bytes:
    """What the agent's ``look`` would print.

    Args:
        wire: The session.
        user: Who we are.
        holder: The description of whoever has the lock; None when it is free.
    """
    answer = Answer()
    answer.add("missing", "\n".join(wire.lacks).encode())
    answer.add("user", user.encode("utf-8", "surrogateescape"))
    above, item = await _above(wire)
    answer.add("above", above)
    if item.kind != "d":
        answer.add("odd", b"1")
        return answer.text()
    answer.add(
        "room", b"0 0 0 unknown" if wire.lacks else b"%d %d %d sftp" % await wire.room(above)
    )
    if _may_write(item, user):
        answer.add("writable", b"1")
    if above == wire.at(b""):
        await _site(wire, answer, holder)
    return answer.text()


async def _above(wire: Wire) -> tuple[bytes, Item]:
    """``deploy_to`` or, while it is not there, the nearest directory above that is."""
    path = wire.at(b"")
    while (item := await wire.lstat(path)) is None:
        if path == b"/":
            raise RemoteError("the server has no root directory")
        path = path.rpartition(b"/")[0] or b"/"
    if item.kind == "l":
        item = await wire.stat(path) or item
    return path, item


def _may_write(item: Item, user: str) -> bool:
    """Whether we may write there, as far as SFTP tells; taking the lock knows better."""
    return bool(item.mode & 0o022) or item.uid != 0 or user in ("root", UNNAMED)


async def _site(wire: Wire, answer: Answer, holder: bytes | None) -> None:
    top = await wire.names(b"")
    for name, item in top.items():
        answer.add("in .", _named(item, name))
    ours = top.get(b".opsnb")
    for path in LISTED:
        found = await wire.stat(path)
        if found is not None and found.kind == "d":
            for name, item in (await wire.names(path)).items():
                answer.add(f"in {path.decode()}/", _named(item, name))
    if b"current" in top:
        await _current(wire, answer, top[b"current"])
    if b"releases" in top:
        answer.add("base", await wire.real(b"releases"))
    if ours is not None and ours.kind == "d":
        answer.add("ours", b"1")
        await _ours(wire, answer, holder)


def _named(item: Item, name: bytes) -> bytes:
    return b"%s %d %s" % (item.kind.encode(), item.mtime, name)


async def _current(wire: Wire, answer: Answer, item: Item) -> None:
    if item.kind != "l":
        answer.add("current", item.kind.encode() * 2)
        return
    try:
        found = await wire.stat(b"current")
    except StepFailed:
        found = None  # it leads round in a circle, or below a file
    leads_to = found.kind if found else "N"
    answer.add("current", b"l" + leads_to.encode() + await wire.readlink(b"current"))
    if leads_to == "d":
        answer.add("real", await wire.real(b"current"))


async def _ours(wire: Wire, answer: Answer, holder: bytes | None) -> None:
    names = await wire.names(b".opsnb/records") if await wire.stat(b".opsnb/records") else {}
    paths = [b".opsnb/records/" + name for name in names if name.endswith(b".json")]
    texts = await each(wire.read, paths)
    told = [
        path + b":" + line
        for path, text in zip(paths, texts, strict=True)
        for line in ([] if text is None else text.splitlines() or [b""])
    ]
    if told:
        answer.add("records", b"\n".join(told))
    if holder is not None:
        answer.add("holder", holder)
    for key, path in SINGLE.items():
        if text := await wire.read(path):
            answer.add(key, text)
    await _watches(wire, answer)
    answer.add("tail", last_line(await wire.tail(b".opsnb/audit.jsonl", TAIL)))
    if await wire.lstat(b".opsnb/once"):
        answer.add("once", b"\n".join(await wire.names(b".opsnb/once")))
    if await wire.lstat(b".opsnb/spare/tree"):
        answer.add("spare", await wire.read(b".opsnb/spare/record") or b"")


async def _watches(wire: Wire, answer: Answer) -> None:
    """The marks of watchdogs; whether one lives cannot be told, so it is taken to."""
    names = await wire.names(b".opsnb/watch") if await wire.stat(b".opsnb/watch") else {}
    for name in names:
        answer.add(f"watch {safe(name)}", b"a " + (await wire.read(b".opsnb/watch/" + name) or b""))


def last_line(text: bytes) -> bytes:
    """The last line of a text, without its line break."""
    return text.removesuffix(b"\n").rpartition(b"\n")[2]


# --- how a release looks -----------------------------------------------------------------------


async def survey(wire: Wire, path: bytes) -> list[bytes]:
    """A line for each path below a directory, sorted; see core/listing.py."""
    found = await wire.walk(path)
    links = [below for below, item in found.items() if item.kind == "l"]
    targets = await each(lambda below: wire.readlink(path + b"/" + below), links)
    leads = dict(zip(links, targets, strict=True))
    return sorted(_line(below, item, leads) for below, item in found.items())


def _line(path: bytes, item: Item, leads: Mapping[bytes, bytes]) -> bytes:
    if item.kind == "l":
        target = leads[path]
        return b"l 0 %d %d - - %s/%s" % (len(target), item.mtime, target, path)
    kind = item.kind.encode()
    if item.kind == "f":
        return b"f %o %d %d - - %s" % (item.mode, item.size, item.mtime, path)
    return b"%s %o 0 0 0 0 %s" % (kind, item.mode, path)


def bare(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Lines by what both SFTP and the agent tell, in the form of a listing that is compared.

    Raises:
        ValueError: A line is not of that form.
    """
    found = {}
    for line in lines:
        kind, mode, size, mtime, _ctime, _inode, rest = line.split(b" ", 6)
        whole = b"0" if kind == b"l" else mtime.partition(b".")[0]
        found[b" ".join([kind, mode, size, whole, rest])] = line
    return found


def lines_of(text: bytes | None) -> list[bytes]:
    """The lines of a listing that was kept."""
    return [line for line in (text or b"").split(b"\0") if line]


def changed(carried: bytes, before: list[bytes], now: list[bytes]) -> Changes:
    """What is true now and was not, and the other way round."""
    then, present = bare(before), bare(now)
    come = b"\0".join(line for key, line in present.items() if key not in then)
    gone = b"\0".join(line for key, line in then.items() if key not in present)
    return Changes(carried, come, gone)


def unlike(here: list[bytes], there: list[bytes]) -> bytes:
    """Lines in which two listings differ, as :func:`opsnb.core.listing.apart` takes them."""
    one, other = bare(here), bare(there)
    lines = [key for key in one if key not in other]
    lines += [b"\t" + key for key in other if key not in one]
    return b"".join(line + b"\0" for line in lines)
