"""What releases take on the disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What a release takes on the disk.

    Attributes:
        name: The release, ``kept aside`` for the one that the next is made of, or ``shared``.
        apparent: Bytes of content.
        disk: Bytes on the disk, each inode counted once.
        own: Bytes on the disk that only this one holds: what its removal gives back.
        files: Regular files.
    """

    name: str
    apparent: int
    disk: int
    own: int
    files: int
