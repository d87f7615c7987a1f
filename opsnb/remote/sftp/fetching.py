"""Files of a release, read by SFTP and told as the tar stream that a shell's tar would make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from opsnb.core.manifest import Entry, Kind
from opsnb.core.text import safe
from opsnb.errors import StepFailed
from opsnb.remote import tar
from opsnb.remote.sftp.wire import Item, Wire, each

SMALL = 1 << 18  # bytes of a file that is read together with others
TOGETHER = 64

Take = Callable[[bytes], None]
File = tuple[bytes, Item]


async def fetch(wire: Wire, release: bytes, paths: Sequence[bytes], take: Take) -> None:
    """Read regular files of a release; see :meth:`opsnb.remote.base.Remote.fetch`.

    Args:
        wire: The session.
        release: The release's path below ``deploy_to``.
        paths: The files.
        take: Told each piece.

    Raises:
        StepFailed: One is no file, or changes while it is read.
    """
    looks = await each(lambda path: wire.lstat(release + b"/" + path), paths)
    files = [(path, _regular(path, look)) for path, look in zip(paths, looks, strict=True)]
    for group in _groups(files):
        if len(group) == 1:
            await _large(wire, release, group[0], take)
        else:
            await _small(wire, release, group, take)
    for end in tar.trailer():
        take(end)


def _regular(path: bytes, item: Item | None) -> Item:
    if item is None or item.kind != "f":
        raise StepFailed(f"cannot read {safe(path)}: it is no file", 1)
    return item


def _groups(files: Sequence[File]) -> Iterator[list[File]]:
    """Files one after the other: small ones together, a large one by itself."""
    group: list[File] = []
    for file in files:
        if group and (len(group) == TOGETHER or file[1].size > SMALL):
            yield group
            group = []
        group.append(file)
        if file[1].size > SMALL:
            yield group
            group = []
    if group:
        yield group


async def _small(wire: Wire, release: bytes, group: Sequence[File], take: Take) -> None:
    texts = await each(lambda file: wire.text(release + b"/" + file[0], 0, file[1].size), group)
    for (path, item), text in zip(group, texts, strict=True):
        take(_header(path, item))
        take(text)
        _ended(path, item, len(text), take)


async def _large(wire: Wire, release: bytes, file: File, take: Take) -> None:
    path, item = file
    take(_header(path, item))
    told = 0
    async for piece in wire.pieces(release + b"/" + path):
        told += len(piece)
        if told > item.size:
            break
        take(piece)
    _ended(path, item, told, take)


def _header(path: bytes, item: Item) -> bytes:
    return tar.header(Entry(path, Kind.FILE, item.mode, item.size), item.mtime)


def _ended(path: bytes, item: Item, told: int, take: Take) -> None:
    if told != item.size:
        raise StepFailed(f"{safe(path)} changed while it was read", 1)
    take(tar.padding(item.size))
