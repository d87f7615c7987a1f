"""What may go on from one server to another: exactly what the first one runs, if it is good. Pure.

Rule 1: what is promoted is what the manifest tells. What the application wrote, and what is linked
to ``shared/``, belongs to the server and stays there.
Rule 2: nothing of the first server's is believed but by the digests in its manifest.
"""

from __future__ import annotations

from opsnb.core.config import Settings
from opsnb.core.configfiles import named
from opsnb.core.listing import Base
from opsnb.core.manifest import Kind, Manifest, parents
from opsnb.core.origin import Commit, Origin
from opsnb.core.plan import Wish
from opsnb.core.release import Record, Site, State
from opsnb.core.text import plural, safe
from opsnb.errors import Locked, NoSuchRelease


def refuse_busy(site: Site, server: str) -> None:
    """Refuse a server on which a change is under way, or has ended without a word.

    Args:
        site: What a look told.
        server: The server's name.

    Raises:
        Locked: A change is running.
        NoSuchRelease: Nobody knows what the last one came to.
    """
    if site.holder:
        raise Locked(
            f"{server} is in the middle of a change: {site.holder}",
            "Promote when it has ended. Nothing was changed.",
        )
    if site.intent:
        raise NoSuchRelease(
            f"the last {site.intent.verb} on {server} ended without a word",
            f"The next change of {server} settles it; then promote.",
        )


def live_record(site: Site, server: str) -> Record:
    """The record of the release that a server runs, if that is good.

    Args:
        site: What a look told.
        server: The server's name.

    Raises:
        NoSuchRelease: It runs none, or one that is not known to be good.
    """
    live = site.live
    if live is None:
        raise NoSuchRelease(f"nothing is live on {server}: there is nothing to promote")
    name = f"what {server} runs ({safe(live.name)})"
    if live.record is None:
        raise NoSuchRelease(f"{name} has no record: nobody knows what belongs to it", _DEPLOY)
    if live.record.adopted:
        raise NoSuchRelease(f"{name} was made by another tool", _DEPLOY)
    if live.state is not State.GOOD:
        verdict = live.record.verdict
        why = f": {safe(verdict.why)}" if verdict else ""
        raise NoSuchRelease(
            f"{name} is {live.state}, not good{why}", "Only what is confirmed to work is promoted."
        )
    return live.record


_DEPLOY = "Deploy there with opsnb once; from then on it can be promoted."


def content(base: Base, record: Record, server: str) -> Manifest:
    """What is promoted of a release: all that its manifest tells, which must still be so.

    Its configuration files were made for that server, and stay there.

    Args:
        base: The release as it truly is.
        record: Its record.
        server: The server's name.

    Raises:
        NoSuchRelease: It is no longer what was deployed, or makes no sense.
    """
    manifest = base.manifest
    # What hooks changed before the switch is altered, too, and was never in the manifest.
    altered = sorted(base.altered)
    if altered:
        how = "changed there since" if set(altered) & base.drifted else "changed by its hooks"
        shown = ", ".join(safe(path) for path in altered[:3])
        raise NoSuchRelease(
            f"{plural(len(altered), 'path')} of {safe(base.name)} on {server} {how}: {shown}",
            "What runs there is not what was deployed. Deploy it again, then promote.",
        )
    for path in manifest:
        if any(up in manifest and manifest[up].kind is not Kind.DIR for up in parents(path)):
            raise NoSuchRelease(
                f"the manifest on {server} puts {safe(path)} below a file or a link"
            )
    theirs = named(record.config)
    if not theirs:
        return manifest
    return Manifest(entry for path, entry in manifest.items() if path not in theirs)


def wish(record: Record, manifest: Manifest, server: str, settings: Settings) -> Wish:
    """What a deploy of it is asked for; who asks is filled in by whoever asks.

    Args:
        record: The release's record, on the server it comes from.
        manifest: What is promoted of it.
        server: That server's name.
        settings: What is configured for the server it goes to.
    """
    commit = Commit(record.revision, record.author, record.committed, record.subject)
    here = {file.path.encode() for file in settings.files}
    notes = tuple(
        f"{safe(path)} was made for {server} alone and does not come along; none is configured here"
        for path in sorted(named(record.config) - here)
    )
    return Wish(
        source=manifest,
        label=f"promoted from {server} {record.name}",
        settings=settings,
        revision=record.revision,
        origin=Origin(commit if commit.subject or commit.at else None, notes=notes),
    )
