"""Configuration files: what becomes of them in a release and in ``shared/``. Pure.

Rule 1: what is shown of one is its path, its mode and a short digest, never its content. That
        digest is a slow one: who knows all but a few characters of a file should not find those by
        trying.
Rule 2: in a release a configuration file is a part of the source, and wins over one of that name.
Rule 3: in ``shared/`` only a regular file of our own is ever replaced, and what was there is kept
        until the release that brought the new one is confirmed. Where that release is not live,
        what was there comes back, unless somebody has written there meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256
from typing import Literal

from opsnb.core.links import Listing, Standing
from opsnb.core.manifest import Entry, Kind, Manifest, parents
from opsnb.core.text import safe
from opsnb.errors import ConfigError, NotReady

ROUNDS = 100_000  # of the short digest: some 30 ms for each guess
LARGEST = 1 << 20  # bytes of a configuration file
To = Literal["release", "shared"]
How = Literal["new", "changed", "mode", "unchanged", "changed by hand"]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file as it is to be.

    Attributes:
        path: Where, in the release or below ``shared/``.
        to: Which of the two.
        mode: Its permission bits.
        size: Its bytes.
        digest: What is shown of its content.
        sha256: What is compared; shown nowhere.
        over: Whether it takes the place of one of the source.
    """

    path: bytes
    to: To
    mode: int
    size: int
    digest: str
    sha256: str = field(repr=False)
    over: bool = False

    @property
    def entry(self) -> Entry:
        """The same as a path of a tree."""
        return Entry(self.path, Kind.FILE, self.mode, self.size, self.sha256)

    @property
    def shown(self) -> str:
        """Where it is, fit for a person's eyes."""
        return ("shared/" if self.to == "shared" else "") + safe(self.path)


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A configuration file, and what becomes of it.

    Attributes:
        file: The file.
        how: What a deploy does to it.
        before: What is there now; None for nothing.
    """

    file: ConfigFile
    how: How
    before: Entry | None = field(repr=False)

    def __str__(self) -> str:
        file = self.file
        return f"{file.shown} {self.how}, mode {file.mode:o}, digest {file.digest}"


def made(path: str, to: To, mode: int, content: bytes) -> ConfigFile:
    """A configuration file, by its content.

    Raises:
        ConfigError: It is too large.
    """
    if len(content) > LARGEST:
        raise ConfigError(f"the configuration file {safe(path)} is larger than 1 MiB")
    where = path.encode()
    short = pbkdf2_hmac("sha256", content, b"opsnb " + where, ROUNDS, 4).hex()
    return ConfigFile(where, to, mode, len(content), short, sha256(content).hexdigest())


def beside(source: Manifest, files: Iterable[ConfigFile]) -> Manifest:
    """A source with the configuration files of its release, and the directories above them.

    Raises:
        ConfigError: One cannot be where it belongs.
    """
    ours = {file.path: file.entry for file in files if file.to == "release"}
    for path in ours:
        there = source.get(path)
        blocked = [up for up in parents(path) if up in source and source[up].kind is not Kind.DIR]
        if blocked or (there is not None and there.kind is Kind.DIR):
            what = f"a file at {safe(blocked[0])}" if blocked else "a directory there"
            raise ConfigError(f"{safe(path)} cannot be a configuration file: the source has {what}")
    above = {up for path in ours for up in parents(path)} - source.keys()
    folders = {up: Entry(up, Kind.DIR, 0o755) for up in above}
    return Manifest({**source.entries, **folders, **ours}.values()) if ours else source


def shared(files: Iterable[ConfigFile]) -> list[ConfigFile]:
    """Those that belong in ``shared/``."""
    return [file for file in files if file.to == "shared"]


def overlaid(
    listings: Mapping[bytes, Listing], files: Iterable[ConfigFile]
) -> Mapping[bytes, Listing]:
    """What ``shared/`` will hold, as far as it is known.

    Args:
        listings: What is known of it now.
        files: Configuration files.
    """
    known = {path: dict(listing) for path, listing in listings.items()}
    for file in shared(files):
        kind = "f"
        for path in (file.path, *parents(file.path)):
            directory, _, name = path.rpartition(b"/")
            if directory in known:
                known[directory].setdefault(name, kind)
            kind = "d"
    return known


def changes(
    files: Iterable[ConfigFile], live: Mapping[bytes, Entry], standing: Standing
) -> tuple[ConfigChange, ...]:
    """What becomes of each configuration file.

    Args:
        files: The files.
        live: What the live release was made to hold.
        standing: What is in ``shared/``.

    Raises:
        NotReady: One cannot be placed in ``shared/``.
    """
    return tuple(
        _change(file, (standing.found if file.to == "shared" else live).get(file.path), standing)
        for file in files
    )


def _change(file: ConfigFile, before: Entry | None, standing: Standing) -> ConfigChange:
    if file.to == "shared" and file.path in standing.odd:
        raise NotReady(
            f"{file.shown} cannot be written: {standing.odd[file.path]}",
            "A configuration file takes the place of nothing but a file of the same login, and "
            "is never written through a link. Put it elsewhere, or move what is there.",
        )
    written = standing.written.get(file.path)
    how: How = "changed"
    if before is None or before.kind is not Kind.FILE:
        how = "new"
    elif before.sha256 == file.sha256:
        how = "unchanged" if before.mode == file.mode else "mode"
    elif file.to == "shared" and written and written.sha256 != before.sha256:
        how = "changed by hand"
    return ConfigChange(file, how, before)


def placed(found: Iterable[ConfigChange]) -> list[ConfigChange]:
    """Those that are to be written into ``shared/``."""
    return [change for change in found if change.file.to == "shared" and change.how != "unchanged"]


def warnings(found: Iterable[ConfigChange], links: Iterable[bytes]) -> list[str]:
    """What the user should know before saying yes.

    Args:
        found: What becomes of each file.
        links: What is linked into ``shared/``.
    """
    linked, said = set(links), []
    for change in found:
        file = change.file
        if file.over:
            said.append(f"{file.shown} of the source gives way to the configuration file")
        if file.to == "shared" and not linked & {file.path, *parents(file.path)}:
            said.append(f"{file.shown} is not linked into the release")
        if change.how == "changed by hand":
            said.append(f"{file.shown} was changed on the server by hand: that will be overwritten")
    return said


def recorded(files: Iterable[ConfigFile]) -> tuple[str, ...]:
    """What a release's record says of its configuration files."""
    above = {"shared": "shared/", "release": ""}
    return tuple(f"{above[file.to]}{file.path.decode()} {file.digest}" for file in files)


def named(recorded: Iterable[str]) -> frozenset[bytes]:
    """Paths in a release of its configuration files.

    Args:
        recorded: What its record says of them.
    """
    paths = (text.rpartition(" ")[0] for text in recorded)
    return frozenset(path.encode() for path in paths if not path.startswith("shared/"))


def newer(live: Iterable[str], target: Iterable[str]) -> list[str]:
    """Warnings for a rollback: files in ``shared/`` that the live release brought.

    Args:
        live: What the live release's record says.
        target: What that of the other release says.
    """
    had = dict(text.rpartition(" ")[::2] for text in target)
    now = dict(text.rpartition(" ")[::2] for text in live)
    return [
        f"{safe(path)} stays as it is: it is newer than that release"
        for path, digest in now.items()
        if path.startswith("shared/") and had.get(path) != digest
    ]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How placed configuration files are settled.

    Attributes:
        keep: Whether they stay.
        back: Paths at which what was there comes back, each with its number, and whether there was
            anything.
        touched: Paths that are left alone, since somebody has written there meanwhile.
    """

    keep: bool
    back: tuple[tuple[int, bytes, bool], ...] = ()
    touched: tuple[bytes, ...] = ()


def settlement(
    before: Mapping[bytes, Entry],
    after: Mapping[bytes, Entry],
    standing: Standing,
    *,
    keep: bool,
) -> Settlement:
    """Decide what becomes of configuration files that came with a release.

    Args:
        before: What was there before.
        after: What was placed, or was to be.
        standing: What is there now.
        keep: Whether the release is live.
    """
    if keep:
        return Settlement(keep=True)
    back, touched = [], []
    for number, (path, entry) in enumerate(after.items()):
        now = standing.found.get(path)
        if path in standing.odd or now not in (entry, before.get(path)):
            touched.append(path)
        elif now == entry and entry != before.get(path):
            back.append((number, path, path in before))
    return Settlement(keep=False, back=tuple(back), touched=tuple(touched))
