"""Old assets: files of earlier releases that a new one keeps, for pages that are open already.

Rule 1: what the source has wins; an old asset never takes the place of anything.
Rule 2: only what was seen by visitors is kept: nothing that a failed release brought.
Rule 3: an old asset is a part of the release like any other: it stands in the manifest with its
        digest. One that is no longer what its own manifest says is not kept.
Rule 4: when each of them left its source is written beside the manifest, and the record names the
        digest of that: what it does not fit is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote_from_bytes, unquote_to_bytes

from opsnb.core.config import Settings
from opsnb.core.durations import seconds
from opsnb.core.listing import Base
from opsnb.core.manifest import Entry, Kind, Manifest, check_paths, parents
from opsnb.core.numbers import number
from opsnb.core.release import Release, State
from opsnb.core.text import plural, safe, size

HEADER = "opsnb-assets 1"
MOST = 20_000  # old assets of one release: beyond that, those that left first go
_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Assets:
    """The old assets of a new release.

    Attributes:
        left: When each left its source, in seconds since the epoch, by path.
        entries: What they are, with the directories that the source no longer has.
        gone: Old assets of the live release, and directories for them alone, whose time is over.
        lost: Those that would be kept, but are not what they were.
        until: When the first of them goes, in seconds since the epoch; 0 with none.
    """

    left: Mapping[bytes, int] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    gone: frozenset[bytes] = frozenset()
    lost: tuple[bytes, ...] = ()
    until: int = 0

    @property
    def size(self) -> int:
        """Bytes in them."""
        return sum(entry.size for entry in self.entries)

    def beside(self, source: Manifest) -> Manifest:
        """A source, and these."""
        return Manifest([*source.values(), *self.entries]) if self.entries else source


def matching(patterns: Iterable[str]) -> Callable[[bytes], bool]:
    """Whether a path is meant by one of some patterns.

    Args:
        patterns: Paths from the release's root; ``*`` and ``?`` stay within a directory, ``**``
            does not. What names a directory means all that is below it.
    """
    forms = [_form(pattern.removesuffix("/")) for pattern in patterns]
    if not forms:
        return lambda _path: False
    meant = re.compile(f"(?:{'|'.join(forms)})(?:/.*)?".encode(), re.DOTALL)
    return lambda path: meant.fullmatch(path) is not None


def _form(pattern: str) -> str:
    return "".join(_MEANS.get(part) or re.escape(part) for part in _TOKENS.findall(pattern))


def decide(
    base: Base | None, live: Release | None, source: Manifest, settings: Settings, now: datetime
) -> Assets:
    """Decide which files of the live release a new one keeps.

    Args:
        base: The live release as it truly is; None when none is live.
        live: What is known of it.
        source: What the new release is made of.
        settings: What is configured.
        now: The present time, aware.
    """
    if base is None or not (settings.keep_assets or base.assets):
        return Assets()
    moment = int(now.timestamp())
    lasts = seconds(settings.keep_assets_for)
    failed = live is not None and live.state is State.BAD
    wanted = _wanted(base, source, settings, failed)
    # A clock that went back must not make anything stay for ever.
    since = {path: min(base.assets.get(path, moment), moment) for path in wanted}
    in_time = [path for path, left in since.items() if moment < left + lasts]
    true = [path for path in in_time if base.found.get(path) == base.manifest[path]]
    newest = sorted(true, key=lambda path: (-since[path], path))[:MOST]
    left = {path: since[path] for path in sorted(newest)}
    above = {up for path in left for up in parents(path)} - source.keys()
    kept = tuple(base.manifest[path] for path in (*left, *sorted(above)) if path in base.manifest)
    return Assets(
        left,
        kept,
        _gone(base, source, {entry.path for entry in kept}),
        tuple(sorted({*in_time} - left.keys())),
        min(left.values()) + lasts if left else 0,
    )


def _wanted(base: Base, source: Manifest, settings: Settings, failed: bool) -> list[bytes]:
    """What may be kept, as far as its name and its place say."""
    meant = matching(settings.keep_assets)
    linked = [path.encode() for path in (*settings.linked_dirs, *settings.linked_files)]
    return [
        path
        for path, entry in base.manifest.items()
        if entry.kind is Kind.FILE and meant(path) and path not in source
        if path in base.assets or not failed
        if not any(up in source and source[up].kind is not Kind.DIR for up in parents(path))
        if not any(path == there or path.startswith(there + b"/") for there in linked)
    ]


def _gone(base: Base, source: Manifest, kept: set[bytes]) -> frozenset[bytes]:
    """What of the live release was there as an old asset alone, and is over."""
    files = {path for path in base.assets if path in base.manifest} - kept - source.keys()
    above = {up for path in files for up in parents(path)} - kept - source.keys()
    return frozenset(files | above)


def warnings(assets: Assets) -> list[str]:
    """What the user should know of old assets that go although their time is not over."""
    if not assets.lost:
        return []
    named = ", ".join(safe(path) for path in assets.lost[:3])
    return [f"{plural(len(assets.lost), 'old asset')} not kept, changed on the server: {named}"]


def told(assets: Assets) -> str:
    """What is kept, in words."""
    until = datetime.fromtimestamp(assets.until, UTC)
    count = plural(len(assets.left), "old asset")
    return f"{count}, {size(assets.size)}, the oldest until {until:%Y-%m-%d %H:%M} UTC"


def encode(left: Mapping[bytes, int]) -> bytes:
    """When each old asset left its source, as a text."""
    lines = [f"{when} {quote_from_bytes(path)}" for path, when in sorted(left.items())]
    return "\n".join([HEADER, *lines, ""]).encode("ascii")


def decode(text: bytes) -> dict[bytes, int]:
    """Read what :func:`encode` gave.

    Raises:
        ValueError: It is not that.
    """
    header, *lines = text.decode("ascii").split("\n")
    if header != HEADER or not lines or lines.pop() or len(lines) > MOST:
        raise ValueError("not a list of old assets")
    pairs = [line.split(" ") for line in lines]
    left = {unquote_to_bytes(path): number(when) for when, path in pairs}
    check_paths(left)
    return left


def digest(left: Mapping[bytes, int]) -> str:
    """What a record says of its old assets: a SHA-256; empty without any."""
    return sha256(encode(left)).hexdigest() if left else ""


def believed(text: bytes, named: str) -> dict[bytes, int]:
    """When each old asset left, if that is what the record names; else nothing.

    What is not believed costs nothing but time: those files count as having left just now.

    Args:
        text: What stands beside the manifest.
        named: What the record says.
    """
    if sha256(text).hexdigest() != named:
        return {}
    try:
        return decode(text)
    except ValueError:
        return {}
