"""The agent's answer to ``look``, read into a :class:`Site`. Pure, but for :func:`seen`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from opsnb.core.manifest import Manifest, check_name
from opsnb.core.marks import Holder, Intent, Pending, Watch
from opsnb.core.numbers import number
from opsnb.core.release import Current, CurrentKind, Record, Release, Site, order
from opsnb.core.text import safe
from opsnb.errors import NotReady, RemoteError

_UNREAD = Holder("unknown", "unknown", "unknown", "its description could not be read")


def pairs(out: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values, each ended by NUL.

    Raises:
        RemoteError: There is a key without a value.
    """
    fields = out.split(b"\0")
    if fields.pop() or len(fields) % 2:
        raise RemoteError("the server's answer is cut short")
    yield from zip((safe(key) for key in fields[::2]), fields[1::2], strict=True)


@dataclass
class _Found:
    """What the pairs say, before it is put together."""

    one: dict[str, bytes] = field(default_factory=dict)
    entries: dict[bytes, str] = field(default_factory=dict)
    shared: dict[bytes, str] = field(default_factory=dict)
    releases: dict[str, tuple[str, float]] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    debris: int = 0
    torn: bool = False


def read_site(out: bytes, deploy_to: str) -> Site:
    """The site that an answer describes.

    Args:
        out: What ``look`` printed.
        deploy_to: The deployment path.

    Raises:
        RemoteError: It is not such an answer.
        NotReady: Where the path leads there is something else than a directory.
    """
    try:
        found = _collect(out)
        one = found.one
        above = one.get("above", b"").decode("utf-8", "surrogateescape")
        if "odd" in one:
            hint = "Give another path, or move away what stands there."
            raise NotReady(f"{safe(above)} is no directory", hint)
        blocks, block_size, inodes, file_system = one["room"].decode("ascii").split(" ", 3)
        free = number(blocks) * number(block_size)
        free_inodes = number(inodes)
        current = _current(one)
    except (LookupError, ValueError) as error:
        raise RemoteError("the server's answer to a look makes no sense") from error
    site = Site(
        deploy_to=deploy_to,
        exists=above == deploy_to,
        ours="ours" in one,
        entries=found.entries,
        shared=found.shared,
        debris=found.debris,
        free_bytes=free,
        free_inodes=free_inodes,
        file_system=safe(file_system),
        user=safe(one.get("user", b"")),
        writable="writable" in one and "readonly" not in one,
        closed=safe(one.get("closed", b"")),
        missing=tuple(safe(line) for line in one.get("missing", b"").splitlines()),
        audit_tail=one.get("tail", b""),
        torn=found.torn,
        packers=frozenset(safe(one.get("packers", b"")).split()),
        tools=frozenset(safe(one.get("tools", b"")).split()),
        watches=_watches(one),
        current=current,
        adoption=one.get("adoption"),
    )
    return _with_records(site, found)


def seen(out: bytes, deploy_to: str) -> Site:
    """The same as it is now: a hold that has ended by itself, by this machine's clock, is none."""
    return read_site(out, deploy_to).at(datetime.now(UTC))


def _collect(out: bytes) -> _Found:
    found = _Found()
    for key, value in pairs(out):
        match key:
            case "in .":
                _entry(found, value)
            case "in releases/":
                _release(found, value)
            case "in shared/":
                kind, _, name = value.split(b" ", 2)
                if name:
                    found.shared[check_name(name)] = chr(kind[0])
            case "in .opsnb/":
                name = value.split(b" ", 2)[2]
                found.debris += name.startswith(b"tmp.")
                found.torn |= name == b"audit.torn"
            case "in .opsnb/trash/":
                found.debris += bool(value.split(b" ", 2)[2])
            case "in .opsnb/records/":
                name = value.split(b" ", 2)[2]
                found.empty += [os.fsdecode(name.removesuffix(b".json"))] if name else []
            case _:
                found.one[key] = value
    return found


def _entry(found: _Found, value: bytes) -> None:
    kind, _, name = value.split(b" ", 2)
    if name:
        found.entries[name] = chr(kind[0])
        found.debris += name.startswith(b".current.opsnb.")


def _release(found: _Found, value: bytes) -> None:
    kind, mtime, name = value.split(b" ", 2)
    if name:
        found.releases[os.fsdecode(check_name(name))] = (kind.decode("ascii"), float(mtime))


def _current(one: dict[str, bytes]) -> Current:
    if "current" not in one:
        return Current()
    kind, leads_to, target = chr(one["current"][0]), chr(one["current"][1]), one["current"][2:]
    if kind == "d":
        return Current(CurrentKind.DIRECTORY)
    if kind != "l":
        return Current(CurrentKind.FILE)
    real, base = one.get("real", b""), one.get("base", b"")
    if leads_to == "?":
        raise ValueError("where current leads could not be read")
    if leads_to != "d" or not real:
        return Current(CurrentKind.DANGLING, target)
    parent, _, name = real.rpartition(b"/")
    if not base or parent != base or name in (b"", b".", b".."):
        return Current(CurrentKind.ELSEWHERE, target)
    return Current(CurrentKind.RELEASE, target, name.decode("utf-8", "surrogateescape"))


def _with_records(site: Site, found: _Found) -> Site:
    records: dict[str, Record] = {}
    broken = list(found.empty)
    for line in found.one.get("records", b"").splitlines():
        path, _, text = line.partition(b".json:")
        name = path.rpartition(b"/")[2].decode("utf-8", "surrogateescape")
        try:
            record = Record.decode(text)
        except ValueError:
            broken.append(name)
            continue
        if record.name == name:
            records[name] = record
        else:
            broken.append(name)
    live = site.current.name
    releases = [
        Release(name, records.get(name), True, kind == "d", mtime, name == live)
        for name, (kind, mtime) in found.releases.items()
    ]
    gone = [
        Release(name, rec, False, False)
        for name, rec in records.items()
        if name not in found.releases
    ]
    intent, holder, hold = (found.one.get(key, b"") for key in ("intent", "holder", "hold"))
    return replace(
        site,
        releases=order(releases + gone),
        counter=max((record.seq for record in records.values()), default=0),
        holder=_holder(holder) if "holder" in found.one else None,
        hold=_holder(hold) if hold else None,
        intent=_intent(intent),
        pending=_pending(found.one.get("pending", b"")),
        spare=_record(found.one.get("spare", b"")),
        broken=tuple(dict.fromkeys(broken)),
    )


def _holder(text: bytes) -> Holder:
    """Who holds; a description that cannot be read (a torn write) still means that it is held."""
    try:
        return Holder.decode(text)
    except ValueError:
        return _UNREAD


def _record(text: bytes) -> Record | None:
    """A record; one that cannot be read is none."""
    try:
        return Record.decode(text) if text else None
    except ValueError:
        return None


def _intent(text: bytes) -> Intent | None:
    """The open intent; one that was torn before it was whole came before any switch."""
    try:
        return Intent.decode(text) if text else None
    except ValueError:
        return None


def _watches(one: dict[str, bytes]) -> tuple[Watch, ...]:
    """The marks of watchdogs; one that cannot be read was torn before it was whole."""
    found = []
    for key, value in one.items():
        if key.startswith("watch "):
            state, _, text = value.partition(b" ")
            with suppress(ValueError):
                fired, alive = key.endswith(".fired"), state == b"a"
                found.append(Watch.decode(text, fired=fired, alive=alive))
    return tuple(sorted(found, key=lambda watch: watch.token))


def _pending(text: bytes) -> Pending | None:
    """Configuration that is not settled; of one whose description was lost nothing is known."""
    try:
        return Pending.decode(text) if text else None
    except ValueError:
        return Pending("", Manifest(), Manifest())
