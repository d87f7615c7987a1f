"""An upload in place: the files of a folder, one after the other, over those that are live.

It is what people do who drag a folder into an FTP client, and the lesson's bad example. Nothing
else in opsnb uses it.

Rule 1: it goes as such a client does: folder by folder, by name; each file is opened (which empties
        it), written from its beginning, closed; then what the folder no longer has is removed.
Rule 2: it is real SFTP, and it waits for nothing but its line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncssh

BLOCK = 1024  # bytes to a write, as many as the slow line carries at a time


@dataclass(slots=True)
class Uploaded:
    """What was done.

    Attributes:
        files: Files written.
        bytes: Bytes written.
        removed: Files and folders removed.
    """

    files: int = 0
    bytes: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """How it is done.

    Attributes:
        keep: What is not removed from the document root though the folder lacks it, by name.
        backwards: Whether to begin with the last name.
    """

    keep: Collection[str] = ()
    backwards: bool = False


def upload(
    source: Path,
    document_root: Path,
    address: tuple[str, int],
    ssh_config: Path,
    order: Order = Order(),
) -> Uploaded:
    """Upload a folder over what is live.

    Args:
        source: The folder.
        document_root: Where its content goes, an absolute path on the server.
        address: The server and its SSH port.
        ssh_config: The ssh_config file that knows its key.
        order: How it is done.

    Raises:
        OSError: The server cannot be reached.
        asyncssh.Error: It refuses the login, or a file cannot be written.
    """
    work = _upload(source, str(document_root), address, ssh_config, order)
    # In a thread of its own: a notebook's loop runs in the caller's.
    with ThreadPoolExecutor(1, "opsnb-upload") as pool:
        return pool.submit(asyncio.run, work).result()


async def _upload(
    source: Path, root: str, address: tuple[str, int], ssh_config: Path, order: Order
) -> Uploaded:
    async with (
        asyncssh.connect(*address, config=[str(ssh_config)]) as connection,
        connection.start_sftp_client() as sftp,
    ):
        done = Uploaded()
        await _folder(sftp, source, root, done, order)
        return done


async def _folder(
    sftp: asyncssh.SFTPClient, here: Path, there: str, done: Uploaded, order: Order
) -> None:
    """One folder, and all below it."""
    if not await sftp.isdir(there):
        await sftp.mkdir(there)
    new = _contents(here, order.backwards)
    for name, content in new.items():
        if content is None:
            await _folder(sftp, here / name, f"{there}/{name}", done, order)
        else:
            done.files += 1
            done.bytes += await _file(sftp, content, f"{there}/{name}")
    kept = {".", "..", *new, *order.keep}
    for name in sorted(set(await sftp.listdir(there)) - kept):
        await _remove(sftp, f"{there}/{name}")
        done.removed += 1


def _contents(folder: Path, backwards: bool) -> dict[str, bytes | None]:
    """What is in a folder, by name; None for a folder in it."""
    paths = sorted(folder.iterdir(), reverse=backwards)
    return {path.name: None if path.is_dir() else path.read_bytes() for path in paths}


async def _remove(sftp: asyncssh.SFTPClient, target: str) -> None:
    if await sftp.isdir(target):
        await sftp.rmtree(target)
    else:
        await sftp.remove(target)


async def _file(sftp: asyncssh.SFTPClient, content: bytes, target: str) -> int:
    async with sftp.open(target, "wb") as file:
        for start in range(0, len(content), BLOCK):
            await file.write(content[start : start + BLOCK])
    return len(content)
