"""The deployment path as a picture: what stands where, and what is live. Pure.

Rule: the picture is data; a terminal, a page and a widget draw the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from opsnb.core.release import CurrentKind, Release, Site
from opsnb.core.rows import released
from opsnb.core.text import age, safe, size

MOST_SHARED = 8


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the picture.

    Attributes:
        trunk: What leads to the name, in box-drawing characters.
        name: What stands there; for ``current`` with where it leads.
        kind: ``root``, ``current``, ``live``, ``folder``, ``more`` or a release's state.
        words: What is to be said of it, in the order of a column each.
    """

    trunk: str
    name: str
    kind: str
    words: tuple[str, ...] = ()


def tree(site: Site, now: datetime, sizes: Mapping[str, int] | None = None) -> list[Branch]:
    """Draw a site.

    Args:
        site: What a look told.
        now: The present time, aware.
        sizes: Bytes on the disk by release, and of ``shared``; what records tell, when not given.

    Returns:
        The lines, from the top.
    """
    sizes = sizes or {}
    present = [release for release in reversed(site.releases) if release.present]
    lines = [Branch("", safe(site.deploy_to), "root"), _current(site)]
    lines.append(Branch("├── ", "releases/", "folder", () if present else ("empty",)))
    for release in present:
        corner = "└── " if release is present[-1] else "├── "
        lines.append(_release(release, f"│   {corner}", now, sizes))
    return [*lines, *_shared(site, sizes)]


def _current(site: Site) -> Branch:
    found = site.current
    where = {
        CurrentKind.NONE: "nothing yet",
        CurrentKind.RELEASE: f"releases/{safe(found.name)}",
        CurrentKind.DIRECTORY: "a real directory, no link",
        CurrentKind.FILE: "a file, no link",
    }.get(found.kind, f"{safe(found.target)}, which is no release")
    kind = "current" if found.kind in (CurrentKind.NONE, CurrentKind.RELEASE) else "bad"
    return Branch("├── ", f"current → {where}", kind)


def _release(release: Release, trunk: str, now: datetime, sizes: Mapping[str, int]) -> Branch:
    state = str(release.state)
    words = ["live" if release.live else state]
    if release.live and state != "good":
        words[0] += f", {state}"
    if release.pinned:
        words[0] += ", pinned"
    at = released(release)
    words.append(age((now - at).total_seconds()) if at else "")
    known = release.record.size if release.record else None
    held = sizes.get(release.name, known)
    words.append("" if held is None else size(held))
    return Branch(trunk, safe(release.name), "live" if release.live else state, tuple(words))


def _shared(site: Site, sizes: Mapping[str, int]) -> list[Branch]:
    inside = sorted(site.shared)
    words = (size(sizes["shared"]),) if "shared" in sizes else ()
    lines = [Branch("└── ", "shared/", "folder", words if inside else ("empty",))]
    shown = inside[:MOST_SHARED]
    for path in shown:
        last = path == inside[-1]
        slash = "/" if site.shared[path] == "d" else ""
        lines.append(Branch("    " + ("└── " if last else "├── "), safe(path) + slash, "folder"))
    if len(inside) > len(shown):
        lines.append(Branch("    └── ", f"and {len(inside) - len(shown)} more", "more"))
    return lines


def text(branches: Sequence[Branch]) -> str:
    """A picture as plain text, its words in columns.

    Args:
        branches: The lines.
    """
    releases = [branch for branch in branches if branch.trunk.startswith("│")]
    name = max((len(branch.name) for branch in releases), default=0)
    widths = [max((len(b.words[n]) for b in releases), default=0) for n in range(3)]
    return "\n".join(_text(branch, name, widths).rstrip() for branch in branches)


def _text(branch: Branch, name: int, widths: list[int]) -> str:
    if not branch.trunk.startswith("│"):
        return "  ".join([branch.trunk + branch.name, *branch.words])
    mark = "● " if branch.kind == "live" else ("✕ " if branch.kind == "bad" else "  ")
    state, *rest = branch.words
    columns = [word.rjust(width) for word, width in zip(rest, widths[1:], strict=True)]
    return "  ".join(
        [branch.trunk + branch.name.ljust(name), mark + state.ljust(widths[0]), *columns]
    )
