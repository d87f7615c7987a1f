"""What this machine remembers, so that it need not be read, hashed or fetched again.

Rule 1: nothing here is ever needed. What cannot be read or written is as good as not there.
Rule 2: nothing here is believed without a check: a manifest is known by its SHA-256, an index
carries its own.
Rule 3: it is the user's alone: directories 0700, files 0600.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from opsnb.core.chunks import Chunk, decode, encode

CHUNKS_KEPT = 60
MANIFESTS_KEPT = 30
INDEXES_KEPT = 20
_DIGEST = 32


def folder() -> Path:
    """Where it is: ``OPSNB_CACHE``, or ``opsnb`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    named = os.environ.get("OPSNB_CACHE", "")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(home) if home else Path("~/.cache").expanduser()) / "opsnb"
    except RuntimeError:
        # A user without a home remembers nothing.
        return Path(os.devnull)


def manifest(digest: str) -> bytes | None:
    """The text of a manifest.

    Args:
        digest: Its SHA-256, hexadecimal.

    Returns:
        None when it is not remembered.
    """
    text = _read(_manifest(digest)) if digest.isalnum() else None
    if text is None or hashlib.sha256(text).hexdigest() == digest:
        return text
    with suppress(OSError):
        # Torn, or somebody else's: out of the way of what will be kept there.
        _manifest(digest).unlink()
    return None


def manifests() -> list[str]:
    """The digests of the manifests that are remembered, the one that was used last first."""
    with suppress(OSError):
        return [file.name for file in _newest_first(folder() / "manifests") if file.name.isalnum()]
    return []


def expect_manifest(digest: str) -> None:
    """Say that a manifest is likely to be needed next.

    Args:
        digest: Its SHA-256, hexadecimal.
    """
    if digest.isalnum():
        _is_there(_manifest(digest))


def keep_manifest(digest: str, text: bytes) -> None:
    """Remember a manifest's text.

    Args:
        digest: Its SHA-256, hexadecimal.
        text: The text.
    """
    place = _manifest(digest)
    if not _is_there(place):
        _write(place, text, MANIFESTS_KEPT)


def index(root: bytes) -> dict[bytes, bytes]:
    """What is remembered of a folder: what :func:`keep_index` was given.

    Args:
        root: The folder, absolute.
    """
    body = _whole(_index(root))
    if body is None:
        return {}
    parts = body.split(b"\0")
    return dict(zip(parts[::2], parts[1::2], strict=False))


def keep_index(root: bytes, known: dict[bytes, bytes]) -> None:
    """Remember something for each path of a folder.

    Args:
        root: The folder, absolute.
        known: Text by path, neither with NUL in it.
    """
    body = b"\0".join(part for pair in known.items() for part in pair)
    _keep_whole(_index(root), body, INDEXES_KEPT)


def chunks(digest: str) -> tuple[Chunk, ...]:
    """The chunks of a large file.

    Args:
        digest: The file's SHA-256, hexadecimal.

    Returns:
        Nothing when they are not remembered.
    """
    body = _whole(_chunks(digest)) if digest.isalnum() else None
    with suppress(ValueError):
        return decode(body).get(digest, ()) if body is not None else ()
    return ()


def has_chunks(digest: str) -> bool:
    """Whether there seem to be chunks of a large file.

    Args:
        digest: The file's SHA-256, hexadecimal.
    """
    return digest.isalnum() and _is_there(_chunks(digest))


def keep_chunks(digest: str, found: tuple[Chunk, ...]) -> None:
    """Remember the chunks of a large file.

    Args:
        digest: The file's SHA-256, hexadecimal.
        found: The chunks.
    """
    _keep_whole(_chunks(digest), encode({digest: found}), CHUNKS_KEPT)


def _chunks(digest: str) -> Path:
    return folder() / "chunks" / digest


def _manifest(digest: str) -> Path:
    return folder() / "manifests" / digest


def _index(root: bytes) -> Path:
    return folder() / "index" / hashlib.sha256(root).hexdigest()[:32]


def _is_there(place: Path) -> bool:
    try:
        os.utime(place)
    except OSError:
        return False
    return True


def _read(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except OSError:
        return None


def _whole(place: Path) -> bytes | None:
    """What :func:`_keep_whole` was given; None when that is not there, or torn."""
    text = _read(place) or b""
    body = text[_DIGEST:]
    return body if hashlib.sha256(body).digest() == text[:_DIGEST] else None


def _keep_whole(place: Path, body: bytes, kept: int) -> None:
    """Keep a text with its own checksum."""
    _write(place, hashlib.sha256(body).digest() + body, kept)


def _write(place: Path, content: bytes, kept: int) -> None:
    # Rule 1: a home that is read-only or full takes nothing from a deploy.
    with suppress(OSError):
        # Also what is above it and has to be made: by itself that gets what the umask leaves.
        for directory in [up for up in place.parents if not up.exists()][::-1]:
            directory.mkdir(mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix="tmp.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).replace(place)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        _forget_all_but(place.parent, kept)


def _forget_all_but(directory: Path, kept: int) -> None:
    for file in _newest_first(directory)[kept:]:
        file.unlink(missing_ok=True)


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
