"""What opsnb refuses to touch, and what to do about it.

Rule 1: a refusal comes before anything is made.
Rule 2: it lists everything that is in the way, not only the first thing.
"""

from __future__ import annotations

from opsnb.core.config import Settings
from opsnb.core.release import CurrentKind, Site
from opsnb.core.settings.health import Health
from opsnb.core.settings.hooks import Hook
from opsnb.core.text import safe
from opsnb.errors import NotReady


def refuse(site: Site) -> None:
    """Refuse a site that cannot take an atomic release as it stands.

    Raises:
        NotReady: With everything that is in the way, and what to do about it.
    """
    refuse_missing(site)
    refuse_adoption(site)
    refuse_current(site)
    _refuse_odd(site)
    if site.in_the_way:
        shown = list(site.in_the_way[:20])
        more = len(site.in_the_way) - len(shown)
        names = ", ".join(shown) + (f" and {more} more" if more else "")
        made_by = f" (laid out by {site.made_by})" if site.made_by else ""
        hint = (
            "`opsnb adopt` takes the releases over without touching them."
            if site.made_by
            else "Nothing was touched. `opsnb adopt` takes a site over; or give another path."
        )
        raise NotReady(f"{site.deploy_to} holds something else{made_by}: {names}", hint)
    if not site.writable:
        raise NotReady(
            f"{safe(site.user)} may not write to {site.deploy_to}",
            "Give that user the directory, or connect as the one who owns it.",
        )
    if site.closed:
        raise NotReady(
            f"{safe(site.user)} may not write to {site.deploy_to}/{site.closed}",
            "Let that user write there, or connect as the one who owns it.",
        )


def refuse_adoption(site: Site) -> None:
    """Refuse a site whose adoption, or the undoing of it, was cut off.

    Raises:
        NotReady: It was.
    """
    if site.adoption is not None and b'"stage": "done"' not in site.adoption:
        raise NotReady(
            f"an adoption of {site.deploy_to} was begun and did not come to its end",
            "`opsnb adopt` goes on with it, `opsnb adopt --undo` takes it back.",
        )


def refuse_missing(site: Site) -> None:
    """Refuse a server that lacks something; what it could not tell is then not known either.

    Raises:
        NotReady: With what is missing.
    """
    if site.missing:
        otherwise = ", or give its address as sftp://, which needs no programs" * site.commands
        raise NotReady(
            f"the server lacks what an atomic release needs: {', '.join(site.missing)}",
            f"`opsnb check` says more; install what is missing, then try again{otherwise}.",
        )


def refuse_commands(site: Site, settings: Settings) -> None:
    """Refuse what is configured to run on a server that can run nothing.

    Raises:
        NotReady: With the settings that ask for it.
    """
    if site.commands:
        return
    asked = [name for name, value in settings if _runs_there(value)]
    asked += ["watchdog"] if getattr(settings, "watchdog", 0) else []
    asked += ["opcache"] if settings.opcache else []
    if asked:
        raise NotReady(
            f"what is missing: a shell; SFTP alone runs nothing for {', '.join(asked)}",
            "Take these out of opsnb.toml for this server, or give an account with a shell.",
        )


def _runs_there(value: object) -> bool:
    """Whether a setting asks for something to be run on the server."""
    items = value if isinstance(value, tuple) else ()
    return any(
        (isinstance(item, Hook) and item.where == "server")
        or (isinstance(item, Health) and bool(item.command))
        or getattr(item, "from_", "local") == "server"
        for item in items
    )


def _refuse_odd(site: Site) -> None:
    """``releases`` and ``.opsnb`` must be directories of their own: a link could lead anywhere.

    ``shared`` may be a link to one: it may well be on another disk.
    """
    for name, kind in site.entries.items():
        if (name in (b"releases", b".opsnb") and kind != "d") or (
            name == b"shared" and kind not in "dl"
        ):
            path = f"{site.deploy_to}/{name.decode()}"
            raise NotReady(f"{path} is not a directory of its own", "Move it away, or back.")


def refuse_current(site: Site) -> None:
    """Refuse a ``current`` that no rename can replace, or that leads out of the releases.

    Raises:
        NotReady: With what stands there, and what to do about it.
    """
    current = f"{site.deploy_to}/current"
    match site.current.kind:
        case CurrentKind.DIRECTORY:
            raise NotReady(
                f"{current} is a real directory, which no rename can replace atomically",
                "`opsnb adopt` takes it over, with no moment without a site.",
            )
        case CurrentKind.FILE:
            raise NotReady(f"{current} is a file, not a link", "Move it away, then try again.")
        case CurrentKind.ELSEWHERE:
            raise NotReady(
                f"{current} leads to {safe(site.current.target)}, which is not in releases/",
                "Point it at a release, or move it away, then try again.",
            )
        case CurrentKind.DANGLING if not site.ours:
            raise NotReady(
                f"{current} leads to {safe(site.current.target)}, which does not exist",
                "Remove the link, then try again.",
            )
