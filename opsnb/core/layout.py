"""Every remote path, named once.

::

    deploy_to/
    ├── releases/20260325120000/
    ├── shared/
    ├── current -> releases/20260325140000
    └── .opsnb/
        ├── lock            the file whose flock(2) is the lock; never removed
        ├── token           the last fencing token that was given out
        ├── beat            the holder's sign of life
        ├── held/ID/        whoever changes the site by SFTP alone; see remote/sftp/lock.py
        ├── reserve         64 KiB, given up on a full disk so that it can still be pruned
        ├── holder.json     who has the lock
        ├── hold.json       a hold placed by hand
        ├── watch/TOKEN     a release that is live and awaits its confirmation; TOKEN.fired once its
        │                   watchdog has begun to put the one before back
        ├── intent.json     a switch that has been begun and not yet settled
        ├── audit.jsonl     the audit log
        ├── records/NAME.json   what is known of a release
        ├── manifests/NAME      what a release was made to hold
        ├── manifests/NAME.assets   since when a release holds files its source no longer has
        ├── stats/NAME          how its files looked to stat(2) when it was finished
        ├── config/written      what was last placed in shared/ (private, as manifests are)
        ├── config/pending/     what a change places there, and what was there before it
        ├── spare/              the release that left last, for the next one to be made of
        ├── tmp.placed          where a script stands that PHP runs once, in a release or here
        ├── adoption.json       what an adoption has made; see core/adoption.py
        ├── adopted             how the old files looked when they were copied
        ├── adopted.shared      how their copies in shared/ looked
        ├── was/                what stood at current before
        └── trash/              what is being removed

Paths are relative to ``deploy_to``; ``remote/agent.sh`` uses the same names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

RELEASES = "releases"
SHARED = "shared"
CURRENT = "current"
OURS = ".opsnb"
HOLD = f"{OURS}/hold.json"
INTENT = f"{OURS}/intent.json"
WRITTEN = f"{OURS}/config/written"
PENDING = f"{OURS}/config/pending"
REVISION = b"REVISION"

_NAME = re.compile(r"[0-9]{14}")
_ONE_SHOT = re.compile(rb"(?:.*/)?opsnb-[0-9a-f]{32}\.php", re.DOTALL)


def release(name: str) -> str:
    """The directory of a release."""
    return f"{RELEASES}/{name}"


def record(name: str) -> str:
    """The record of a release."""
    return f"{OURS}/records/{name}.json"


def manifest(name: str) -> str:
    """The manifest of a release."""
    return f"{OURS}/manifests/{name}"


def watch(token: int) -> tuple[str, str]:
    """The mark of a release that awaits its confirmation, and that mark once its time was up."""
    return f"{OURS}/watch/{token}", f"{OURS}/watch/{token}.fired"


def one_shot(chance: str) -> str:
    """The name of a script that PHP runs once.

    Args:
        chance: 32 hexadecimal digits that nobody can guess.
    """
    return f"opsnb-{chance}.php"


def is_one_shot(path: bytes) -> bool:
    """Whether a path of a release is such a script, which a dead change may have left."""
    return _ONE_SHOT.fullmatch(path) is not None


def assets(name: str) -> str:
    """What is known of a release's old assets; see core/keepassets.py."""
    return f"{manifest(name)}.assets"


def gathered(name: str) -> str:
    """What becomes a part of :data:`PENDING`, all at once."""
    return f"{OURS}/tmp.config/{name}"  # noqa: S108 - below deploy_to


def placed_in(text: bytes) -> list[bytes]:
    """Where scripts stand in releases, as ``tmp.placed`` tells; nothing else that it may name."""
    return [
        path
        for path in text.split(b"\n")
        if path.startswith(b"releases/") and is_one_shot(path) and b".." not in path.split(b"/")
    ]


def is_name(text: str) -> bool:
    """Whether a text is a name that opsnb would give: a UTC time, ``YYYYMMDDhhmmss``."""
    return _NAME.fullmatch(text) is not None


def name_of(moment: datetime) -> str:
    """The release name of a moment.

    Args:
        moment: An aware time.
    """
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")


def stamp(now: datetime) -> str:
    """A time as records write it: UTC, ISO 8601, to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def next_name(now: datetime, taken: frozenset[str]) -> str:
    """A name for a new release: the time, or later where a clock stands still or went back.

    A name must sort after every other that is a time, since other tools and people read the order
    from it.

    Args:
        now: The present time, aware.
        taken: Names that exist already, of any shape.
    """
    return name_of(later(now, taken))


def later(now: datetime, taken: Iterable[str]) -> datetime:
    """The present time, or a second after the last that a name says.

    Args:
        now: The present time, aware.
        taken: Names of any shape.
    """
    after = [moment + timedelta(seconds=1) for name in taken if (moment := _moment(name))]
    return max([now, *after])


def _moment(name: str) -> datetime | None:
    """The time that a name is; None for what is no time, or one with no second after it."""
    name = name.removesuffix("Z")  # as Ansistrano writes it
    if not is_name(name) or name.startswith("9999"):
        return None
    try:
        return datetime.strptime(name, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def revision_text(revision: str) -> bytes:
    """The content of a release's ``REVISION`` file."""
    return f"{revision}\n".encode()
