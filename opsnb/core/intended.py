"""What pins and holds would do: the changes that make and switch nothing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from opsnb.core.layout import stamp
from opsnb.core.release import Record, Site
from opsnb.core.text import safe
from opsnb.errors import Locked, NoSuchRelease, NotReady


@dataclass(frozen=True, slots=True)
class Intended:
    """What a change would do.

    Attributes:
        verb: What kind of change.
        release: The release that it is about; empty for none.
        says: What it would do, safe to show.
        nothing: Whether that is nothing.
    """

    verb: str
    release: str
    says: str
    nothing: bool = False

    def text(self, server: str) -> str:
        """In words.

        Args:
            server: The server's name.
        """
        return f"{self.verb} on {safe(server)}: {self.says}"

    def data(self, server: str) -> dict[str, object]:
        """As plain data.

        Args:
            server: The server's name.
        """
        return {
            "verb": self.verb,
            "server": server,
            "nothing": self.nothing,
            "release": safe(self.release),
            "says": self.says,
        }


def recorded(site: Site, name: str) -> Record:
    """The record of a release that is there.

    Raises:
        NoSuchRelease: There is none.
    """
    release = site.find(name)
    if release is None or release.record is None or not release.present:
        known = ", ".join(r.name for r in site.releases if r.record and r.present) or "none"
        raise NoSuchRelease(
            f"no release with a record is called {safe(name)}", f"There are: {known}."
        )
    return release.record


def pin(site: Site, name: str, *, pinned: bool) -> Intended:
    """What setting a pin, or taking it away, would do.

    Args:
        site: What a look told.
        name: The release.
        pinned: Whether it is to be pinned.

    Raises:
        NoSuchRelease: There is no such release.
    """
    verb, record = "pin" if pinned else "unpin", recorded(site, name)
    if record.pinned == pinned:
        word = "pinned already" if pinned else "not pinned"
        return Intended(verb, name, f"nothing to do: {safe(name)} is {word}", True)
    then = "will be left alone by prune" if pinned else "may be pruned again"
    return Intended(verb, name, f"{safe(name)} {then}")


def hold(
    site: Site, why: str, by: str, until: datetime | None = None, *, freeze: bool = False
) -> Intended:
    """What placing a hold, or a freeze, would do.

    Args:
        site: What a look told.
        why: The reason.
        by: Who asks.
        until: When it ends by itself, aware; None when it does not.
        freeze: Whether a rollback may pass it.

    Raises:
        NotReady: opsnb has never been there.
        Locked: Somebody else holds it already, or somebody changes it now.
    """
    refuse_unknown(site)
    if site.holder:
        raise Locked(f"a change is running: {site.holder}", "`opsnb lock … status` looks again.")
    if site.hold and site.hold.who != by:
        raise Locked(f"it is {site.hold.words}", "Who placed it may change it.")
    ends = f"until {stamp(until)}, or until it is released" if until else "until it is released"
    if freeze:
        return Intended("freeze", "", f"no deploy, no promote and no prune {ends}: {safe(why)}")
    return Intended("hold", "", f"no change {ends}: {safe(why)}")


def refuse_unknown(site: Site) -> None:
    """Refuse to hold back a site that opsnb does not know.

    Raises:
        NotReady: It does not.
    """
    if not site.ours:
        raise NotReady(
            f"opsnb has never deployed to {site.deploy_to}", "There is nothing to hold back."
        )


def unhold(site: Site, by: str, *, force: bool, freeze: bool = False) -> Intended:
    """What taking a hold, or a freeze, away would do.

    Args:
        site: What a look told.
        by: Who asks.
        force: Whether to take what somebody else placed or holds.
        freeze: Whether it is a freeze that is meant.

    Raises:
        Locked: Somebody else placed it, or a change is running, and nothing is forced; or what was
            placed is of the other kind.
    """
    verb = "unfreeze" if freeze else "release"
    if site.hold and site.hold.freezes != freeze and not site.holder:
        other = "lock … release" if freeze else "unfreeze"
        raise Locked(f"it is {site.hold.words}", f"`opsnb {other}` takes that away.")
    if not site.hold and not site.holder:
        return Intended(verb, "", "nothing to do: nobody holds it", True)
    refuse_others(site, by, force=force)
    said = [f"the lock is taken from {site.holder}, whose change ends"] if site.holder else []
    said += [f"what goes: {site.hold.words}"] if site.hold else []
    return Intended(verb, "", "; ".join(said))


def refuse_others(site: Site, by: str, *, force: bool) -> None:
    """Refuse to take away what is not one's own, unless that is forced.

    Raises:
        Locked: It is not.
    """
    if site.holder and not force:
        raise Locked(
            f"a change is running: {site.holder}",
            "Its lock ends with it. `--force` ends the change on the server, now.",
        )
    if site.hold and site.hold.who != by and not force:
        raise Locked(site.hold.words, "`--force` takes it away all the same.")
