"""Whether a server can take atomic releases, and what to mend. Pure: it reads one look."""

from __future__ import annotations

from dataclasses import dataclass

from opsnb.core.refusal import refuse
from opsnb.core.release import CurrentKind, Site, State
from opsnb.core.text import plural, safe, size
from opsnb.core.watch import died, sentence
from opsnb.errors import NotReady

LOW_BYTES = 100_000_000
LOW_INODES = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        item: What.
        ok: Whether it is as it should be.
        found: What was found.
        hint: What to do about it; empty when nothing needs doing.
    """

    item: str
    ok: bool
    found: str
    hint: str = ""


def examine(site: Site) -> list[Finding]:
    """Look through everything that a deploy rests on.

    Args:
        site: What a look told.
    """
    if site.missing:
        # What needs a tool that is not there was not looked at.
        return [_tools(site), _ready(site)]
    return [
        _tools(site),
        _path(site),
        _current(site),
        _writable(site),
        _room(site),
        _lock(site),
        _records(site),
        _debris(site),
        *_torn(site),
        *_commands(site),
        *_watch(site),
        _ready(site),
    ]


def _tools(site: Site) -> Finding:
    if site.missing:
        return Finding(
            "tools", False, "missing: " + ", ".join(site.missing), "Install them on the server."
        )
    return Finding("tools", True, "everything that an atomic release needs is there")


def _path(site: Site) -> Finding:
    if not site.exists:
        return Finding("deploy_to", True, f"{site.deploy_to} does not exist yet; a deploy makes it")
    if site.in_the_way:
        made_by = f", laid out by {site.made_by}" if site.made_by else ""
        found = f"holds {plural(len(site.in_the_way), 'thing')} that opsnb did not make{made_by}"
        hint = "`opsnb adopt`" if site.made_by else "Move them away, or give another path."
        return Finding("deploy_to", False, found, hint)
    count = sum(release.present for release in site.releases)
    return Finding("deploy_to", True, f"{site.deploy_to}: {plural(count, 'release')}")


def _current(site: Site) -> Finding:
    kind = site.current.kind
    if kind is CurrentKind.RELEASE:
        return Finding("current", True, f"leads to release {safe(site.current.name)}")
    if kind is CurrentKind.NONE:
        return Finding("current", True, "not there yet; the first deploy makes it")
    found = f"is {kind}" + (f": {safe(site.current.target)}" if site.current.target else "")
    return Finding("current", False, found, "See README, “What is in the way”.")


def _writable(site: Site) -> Finding:
    who = safe(site.user)
    if site.writable and site.closed:
        found = f"{who} may not write to {site.closed} in it"
        return Finding("rights", False, found, f"Give it to {who}.")
    if site.writable:
        return Finding("rights", True, f"{who} may write there")
    return Finding("rights", False, f"{who} may not write there", f"Give it to {who}.")


def _room(site: Site) -> Finding:
    inodes = f", {site.free_inodes:,} inodes" if site.free_inodes else ""
    found = f"{size(site.free_bytes)}{inodes} free ({site.file_system})"
    low = site.free_bytes < LOW_BYTES or 0 < site.free_inodes < LOW_INODES
    return Finding("room", not low, found, "`opsnb usage`, then `opsnb prune`." if low else "")


def _lock(site: Site) -> Finding:
    if site.hold:
        hint = "`opsnb unfreeze`." if site.hold.freezes else "`opsnb lock … release`."
        return Finding("lock", False, site.hold.words, hint)
    if site.holder:
        return Finding("lock", False, f"a change is running: {site.holder}", "Wait for it.")
    return Finding("lock", True, "free")


def _records(site: Site) -> Finding:
    if site.unread:
        found = "cannot be read: " + ", ".join(safe(name) for name in site.unread)
        return Finding("records", False, found, "Look into .opsnb/records; nothing was removed.")
    unknown = [release for release in site.releases if release.record is None]
    if unknown:
        found = f"{plural(len(unknown), 'release')} without a record"
        return Finding("records", not site.ours, found, "`opsnb adopt` gives them one.")
    return Finding("records", True, "every release has one")


def _debris(site: Site) -> Finding:
    unfinished = any(release.state is State.UNFINISHED for release in site.releases)
    if site.debris or site.intent or site.remains or (unfinished and not site.holder):
        return Finding("debris", True, "a dead change left some; the next change clears it")
    return Finding("debris", True, "none")


def _torn(site: Site) -> list[Finding]:
    if not site.torn:
        return []
    found = "lines of the audit log that a power cut had cut short are in .opsnb/audit.torn"
    return [Finding("audit log", True, found, "Look at them, then remove that file.")]


def _watch(site: Site) -> list[Finding]:
    """What is to be known of a watchdog."""
    said = sentence(site)
    if not said:
        return []
    hint = "A rollback goes back; the next deploy takes it as it is." if died(site) else ""
    return [Finding("watchdog", not died(site), said, hint)]


def _commands(site: Site) -> list[Finding]:
    if site.commands:
        return []
    found = "SFTP only: hooks, commands and `opsnb usage` need an account with a shell"
    return [Finding("commands", True, found)]


def _ready(site: Site) -> Finding:
    try:
        refuse(site)
    except NotReady as error:
        return Finding("ready", False, error.message, error.hint)
    return Finding("ready", True, "this server can take atomic releases")
