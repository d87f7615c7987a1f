"""Source trees to deploy, and a site's guarantees held against its disk, without opsnb's help.

It builds on :mod:`tests.faults.guarantees` and is stricter in one thing: a release's tree must
*equal* what its manifest, its recorded links and its list of carried paths say, modes and link
targets included, and nothing else may be in it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes

from opsnb.core.links import link_target
from opsnb.core.listing import read
from opsnb.core.manifest import Entry, Kind, Manifest, parents
from opsnb.core.release import rollback_targets
from opsnb.server import Server
from tests.faults.guarantees import debris, live, record, whole

NASTY = (
    b"new\nline",
    b"-rf",
    b"--help",
    b" spaces ",
    b"quote'\"`$(touch pwned)",
    b"back\\slash",
    b"\xff\xfe not utf-8",
    b"\x1b]0;x\x07",
    b"n" * 255,
    "ünïcödé".encode(),
    b"*",
    b"tab\there",
    b"#",
    b"~",
)
"""Legal file names that a careless script stumbles over."""


def tree(folder: Path, files: Mapping[str, str], *, clear: bool = True) -> Path:
    """Make a folder that holds these files; ``name/`` makes an empty directory."""
    if clear:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


def everything(folder: Path) -> dict[bytes, Entry]:
    """A tree as it is: names, kinds, modes and link targets; no content."""
    found: dict[bytes, Entry] = {}
    root = os.fsencode(folder)
    for here, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(here, name)
            status, key = os.lstat(path), os.path.relpath(path, root)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                found[key] = Entry(key, Kind.LINK, target=os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[key] = Entry(key, Kind.DIR, mode & 0o777)
            else:
                found[key] = Entry(key, Kind.FILE, mode, status.st_size)
    return found


def unlike(site: Path, name: str) -> Iterator[str]:
    """How a release's tree differs from what is recorded of it; nothing when it does not."""
    known = record(site, name)
    if known is None:
        yield f"{name} has no record"
        return
    yield from whole(site, name)
    manifest = Manifest.decode((site / ".opsnb" / "manifests" / name).read_bytes())
    if manifest.id != known["manifest"]:
        yield f"{name}: the manifest is not the one that the record names"
    carried_file = site / ".opsnb" / "carried" / name
    carried = read(carried_file.read_bytes()) if carried_file.exists() else {}
    links = [unquote_to_bytes(str(path)) for path in known["links"]]  # type: ignore[attr-defined]
    wanted = {path: Entry(path, Kind.LINK, target=link_target(path)) for path in links}
    wanted |= {path: entry for path, entry in manifest.items() if path not in carried}
    found = everything(site / "releases" / name)
    for path, entry in wanted.items():
        is_ = found.get(path)
        if is_ is None or (is_.kind, is_.mode, is_.target) != (
            entry.kind,
            entry.mode,
            entry.target,
        ):
            yield f"{name}: {path!r} is {is_}, not {entry}"
    above = {up for path in links for up in parents(path)}
    yield from (
        f"{name}: {path!r} should not be there"
        for path in found
        if path not in wanted and path not in carried and path not in above
    )


def faults(site: Path, server: Server | None = None) -> list[str]:
    """G1 (as strictly as above) and, with a server, G8's cleanliness, G9 and G10."""
    found = [f"G1: {fault}" for fault in unlike(site, live(site))]
    if server is not None:
        found += [f"G8: left over: {path}" for path in debris(site)]
        for release in rollback_targets(server.look()):
            found += [f"G9: {fault}" for fault in unlike(site, release.name)]
        found += [f"G10: line {fault.number}: {fault.what}" for fault in server.verify_log()]
    return found
