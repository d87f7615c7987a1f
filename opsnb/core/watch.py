"""The watchdog: what it is told before the switch, and what its mark means to who finds it. Pure.

Rule 1: whoever renames the mark has decided: opsnb, that the release is confirmed, or the watchdog,
that it is not.
Rule 2: a mark that is found under the lock belongs to a change that is dead. Its release is not
confirmed any more: the one before is put back at once, and nobody waits for the rest of the time.
Rule 3: of a watchdog that is dead itself (the server was started anew, say) nobody knows how long
ago that was: the release stays as it is, and whoever looks is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opsnb.core import audit, layout
from opsnb.core.marks import Holder, Intent, Watch
from opsnb.core.release import Record, Site
from opsnb.core.text import safe


@dataclass(frozen=True, slots=True)
class Guarded:
    """A switch with a watchdog.

    Attributes:
        watch: The mark.
        told: What the watchdog is given, by the names that ``remote/watchdog.sh`` has for it.
    """

    watch: Watch
    told: Mapping[str, str]


def guarded(watch: Watch, record: Record | None) -> Guarded:
    """A switch with a watchdog.

    Args:
        watch: The mark.
        record: The record of the release that is published, when it is to be marked bad once it
            was put back.
    """
    why = late(watch)
    bad = record.bad(watch.by, watch.since, why, left=False).encode() if record else b""
    who = Holder(watch.by, watch.host, watch.since, f"putting {watch.previous} back: {why}")
    begun = {"what": "restore.intent", "release": watch.previous, "previous": watch.release}
    done = {"release": watch.release, "live": watch.previous, "why": why}
    done["what"] = f"{watch.verb}.restored"
    told = {
        "guard_token": str(watch.token),
        "guard_seconds": str(watch.seconds),
        "guard_release": watch.release,
        "guard_previous": watch.previous,
        "guard_who": who.told,
        "guard_bad": _line(bad),
        "guard_intent": _line(restoring(watch, why).encode()),
        **_pieces("begun", watch, begun),
        **_pieces("done", watch, done),
    }
    return Guarded(watch, told)


def restoring(watch: Watch, why: str) -> Intent:
    """The intent of putting back what was live before."""
    return Intent("restore", watch.previous, watch.release, watch.by, watch.since, why)


def late(watch: Watch) -> str:
    """Why a watchdog puts the release before back."""
    return f"not confirmed within {watch.seconds} s"


def _pieces(name: str, watch: Watch, entry: Mapping[str, object]) -> dict[str, str]:
    """The pieces of a line of the log, by name."""
    whole = {**entry, "by": watch.by, "host": watch.host, "watchdog": watch.seconds}
    parts = zip(("at", "prev", "self", "rest"), audit.pieces(whole), strict=True)
    return {f"{name}_{part}": text for part, text in parts}


def _line(text: bytes) -> str:
    return text.decode().removesuffix("\n")


# --- a mark that is found -----------------------------------------------------------------------


def waiting(site: Site) -> Watch | None:
    """The mark of a live release that its watchdog would put back, or had begun to put back."""
    watch = site.watch
    if watch is None or site.current.name != watch.release or not (watch.alive or watch.fired):
        return None
    before = site.find(watch.previous)
    return watch if before and before.present and before.real else None


def died(site: Site) -> Watch | None:
    """The mark of a live release that nobody confirmed, and whose watchdog is no more."""
    watch = site.watch
    if watch is None or site.current.name != watch.release or waiting(site):
        return None
    return watch


def was_put_back(site: Site) -> Watch | None:
    """The mark of a watchdog that did its work, and could not write all of it down."""
    watch = site.watch
    return watch if watch and watch.fired and site.current.name == watch.previous else None


def marks(site: Site) -> list[str]:
    """The files of all marks."""
    return [path for watch in site.watches for path in layout.watch(watch.token)]


def sentence(site: Site) -> str:
    """What who looks at a site is to know of its watchdog; empty for nothing."""
    if watch := waiting(site):
        return (
            f"{safe(watch.release)} awaits its confirmation: {safe(watch.previous)} is put back "
            f"{watch.seconds} s after the switch, or by a change that begins before that"
        )
    if watch := died(site):
        return f"{safe(watch.release)} was never confirmed, and its watchdog is gone: look at it"
    return ""
