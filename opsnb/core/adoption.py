"""Taking a site over, the way back, and the end of it: what will be done. Pure.

Three kinds of sites can be taken over:

* ``records``: ``releases/`` and ``current`` as Capistrano, Deployer, Envoyer and Ansistrano make
  them. Each release gets a record; nothing of theirs is touched.
* ``plain``: a site that lies directly in ``deploy_to``. It is copied beside itself, into a first
  release, and ``current`` is made. The web server serves the old files until it is told
  otherwise.
* ``directory``: ``current`` is a real directory. It is copied into a first release, and then it and
  a link change places in one step of the kernel's.

Rule 1: nothing of the old site is moved or changed; what adoption makes, and what it copied, is
written down before and after, so that exactly that can be taken away again.
Rule 2: at no moment is there nothing to serve.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from opsnb.core import hints, layout, webroot
from opsnb.core.adopt_plan import AdoptPlan, Kind, Verb
from opsnb.core.hints import Hint
from opsnb.core.manifest import check_name, check_path, parents
from opsnb.core.release import CurrentKind, Release, Site, State
from opsnb.core.text import plural, safe
from opsnb.core.webserver import Files
from opsnb.errors import NotReady

Stage = Literal["begun", "done", "undoing"]
OURS = frozenset({b"releases", b"shared", b"current", b".opsnb"})
PATH = f"{layout.OURS}/adoption.json"
COPIED = f"{layout.OURS}/adopted"
"""How what was copied looked, where it stood before; a line each, see core/listing.py."""
SHARED = f"{layout.OURS}/adopted.shared"
"""How the copies in ``shared/`` looked when the adoption ended."""
WAS = f"{layout.OURS}/was"
"""What stood at ``current``."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        verb: To take over, to undo that, or to remove what was copied.
        shared: Paths of the old site that move into ``shared/``.
        web_config: The web server's main configuration file, where it is not where it usually is.
    """

    verb: Verb = "adopt"
    shared: tuple[bytes, ...] = ()
    web_config: str = ""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption has made, as it is written down on the server.

    Attributes:
        kind: What it took over.
        stage: How far it is.
        release: The release that it made; empty for ``records``.
        shared: What it copied into ``shared/``.
        made: Directories of the layout that were not there before.
        ending: Whether its end was begun: what was copied may be gone from the old place.
    """

    kind: Kind
    stage: Stage = "begun"
    release: str = ""
    shared: tuple[bytes, ...] = ()
    made: tuple[str, ...] = ()
    ending: bool = False

    def encode(self) -> bytes:
        """As one line of JSON."""
        told = {**asdict(self), "shared": [quote_from_bytes(path) for path in self.shared]}
        return json.dumps(told, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes | None) -> Adoption | None:
        """Read what :meth:`encode` gave; None for nothing, and for what is not that."""
        try:
            told = json.loads(line or b"")
            kind, stage, made = told["kind"], told["stage"], tuple(told["made"])
            shared = tuple(check_path(unquote_to_bytes(path)) for path in told["shared"])
            release, ending = str(told["release"]), told.get("ending", False) is True
            if release:
                check_name(release.encode())
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None
        known = kind in ("records", "plain", "directory") and stage in ("begun", "done", "undoing")
        if not known or set(made) - {"releases", "shared", ".opsnb"}:
            return None
        return cls(kind, stage, release, shared, made, ending)


@dataclass(frozen=True, slots=True)
class Able:
    """What a server can do for an adoption.

    Attributes:
        exchange: Programs that can let two names change places in one step.
        link: Whether ``deploy_to`` is itself a link.
        under_way: Whether another tool seems to be at work.
        others: Whether some of it belongs to other users, and the copy will not.
    """

    exchange: tuple[str, ...] = ()
    link: bool = False
    under_way: bool = False
    others: bool = False


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a plan rests on.

    Attributes:
        site: What a look told.
        able: What the server can do.
        hints: What the other tool wrote down, by release.
        web: What could be read of the web server's configuration.
        here: Lines of how the old files look; for the end and the way back also ``then``, how they
            looked when they were copied, and the same of ``shared/``.
        then: See there.
        shared_now: See there.
        shared_then: See there.
        drifted: Paths of the live release that have changed since it was finished.
    """

    site: Site
    able: Able = Able()
    hints: Mapping[str, Hint] = field(default_factory=dict)
    web: Files = field(default_factory=lambda: Files({}))
    here: bytes = b""
    then: bytes = b""
    shared_now: bytes = b""
    shared_then: bytes = b""
    drifted: tuple[bytes, ...] = ()


def plan(request: Request, on: Grounds, now: datetime) -> AdoptPlan:
    """Plan what is asked for.

    Args:
        request: What is asked for.
        on: What it rests on.
        now: The present time, aware.

    Raises:
        NotReady: It cannot be done as the site stands; with what to do.
    """
    match request.verb:
        case "undo":
            return _undo(on)
        case "finish":
            return _finish(on)
    match kind_of(on.site):
        case "records":
            return _records(request, on)
        case "plain":
            return _plain(request, on, now)
        case "directory":
            return _directory(request, on, now)


def kind_of(site: Site) -> Kind:
    """What stands at ``deploy_to``.

    Raises:
        NotReady: Nothing that could be taken over.
    """
    begun = Adoption.decode(site.adoption)
    match site.current.kind:
        case CurrentKind.RELEASE if begun and begun.release == site.current.name:
            return begun.kind
        case CurrentKind.RELEASE:
            return "records"
        case CurrentKind.DIRECTORY:
            return "directory"
        case CurrentKind.NONE if begun and begun.stage != "done":
            return begun.kind
        case CurrentKind.NONE if any(release.present and release.real for release in site.releases):
            return "records"
        case CurrentKind.NONE if site.entries.keys() - OURS:
            return "plain"
        case CurrentKind.NONE:
            raise NotReady(
                f"there is nothing at {site.deploy_to} to take over", "A deploy begins with that."
            )
    raise NotReady(
        f"current of {site.deploy_to} is no link to a release ({site.current.kind})",
        "Point it at a directory in releases/, then adopt again.",
    )


# --- records of another tool's releases --------------------------------------------------------


def strangers(site: Site) -> list[Release]:
    """Releases without a record; a name that is no plain text is left alone, as prune does."""
    return [
        release
        for release in site.releases
        if release.real and release.record is None and safe(release.name) == release.name
    ]


def _records(request: Request, on: Grounds) -> AdoptPlan:
    if request.shared:
        raise NotReady(
            "--shared is for a site without releases: these have their links already",
            "What is in shared/ stays as it is.",
        )
    site = on.site
    found = {release.name: _said(release, on.hints) for release in strangers(site)}
    begun = Adoption.decode(site.adoption)
    notes = ["another deploy seems to be under way: wait for it"] if on.able.under_way else []
    return AdoptPlan(
        "adopt",
        "records",
        site.deploy_to,
        made_by=site.maker or "another tool",
        records=found,
        made=_made(site),
        lines=webroot.lines(on.web),
        notes=tuple(notes),
        nothing=not found and not (begun and begun.stage == "begun"),
    )


def _said(release: Release, known: Mapping[str, Hint]) -> str:
    hint = known.get(release.name, Hint())
    state = "live, so it counts as good" if release.live else "unconfirmed: nobody knows"
    if hint.bad and not release.live:
        state = "bad, as its maker says"
    told = [f"revision {hint.revision}"] if hint.revision else []
    told += [f"by {hint.by}"] if hint.by else []
    return ", ".join([state, *told])


def _made(site: Site) -> tuple[str, ...]:
    """What is not there yet of the layout, so that an undoing may take it away again."""
    begun = Adoption.decode(site.adoption)
    if begun:
        return begun.made
    there = {b"releases", b"shared"} & site.entries.keys()
    return tuple(n for n in ("releases", "shared") if n.encode() not in there and not site.ours)


# --- a site without releases -------------------------------------------------------------------


def _plain(request: Request, on: Grounds, now: datetime) -> AdoptPlan:
    site = on.site
    begun = Adoption.decode(site.adoption)
    _refuse_link(on)
    if begun is None:
        own = [n for n, held in (("releases", site.releases), ("shared", site.shared)) if held]
        odd = [n for n in ("releases", "shared") if site.entries.get(n.encode(), "d") != "d"]
        if own or odd:
            raise NotReady(
                f"{site.deploy_to} has a {(own or odd)[0]} of its own, and opsnb needs that name",
                "Give another path, and deploy the site there.",
            )
    elif _at_its_end(site, begun):
        return _already(on, begun)
    top = tuple(sorted(site.entries.keys() - OURS))
    shared = _shared(request, on, begun, top)
    exposed = (
        "until the web server serves current/, visitors can fetch what is in releases/, shared/ "
        "and .opsnb/ through it, as any file of the site"
    )
    return AdoptPlan(
        "adopt",
        "plain",
        site.deploy_to,
        release=layout.next_name(now, site.names),
        copy=tuple(name for name in top if name not in shared),
        shared=shared,
        made=_made(site),
        lines=webroot.lines(on.web),
        notes=(exposed, *_owners(on), *_git(top), *_meanwhile(shared)),
    )


def _directory(request: Request, on: Grounds, now: datetime) -> AdoptPlan:
    site = on.site
    begun = Adoption.decode(site.adoption)
    _refuse_link(on)
    if begun and _at_its_end(site, begun):
        return _already(on, begun)
    if not on.able.exchange:
        raise NotReady(
            f"{site.deploy_to}/current is a real directory, and nothing on the server can let it "
            "and a link change places in one step",
            "Install coreutils 9.5 or later, python3 or perl there, and adopt again.",
        )
    top = tuple(sorted({path.split(b"/")[0] for path in _paths(on.here)}))
    shared = _shared(request, on, begun, top)
    return AdoptPlan(
        "adopt",
        "directory",
        site.deploy_to,
        release=layout.next_name(now, site.names),
        copy=tuple(name for name in top if name not in shared),
        shared=shared,
        exchange=on.able.exchange[0],
        made=_made(site),
        lines=webroot.lines(on.web),
        notes=(*_owners(on), *_git(top), *_meanwhile(shared)),
    )


def _refuse_link(on: Grounds) -> None:
    if on.able.link:
        real = next(iter(on.web.places), "the directory that it leads to")
        raise NotReady(
            f"{on.site.deploy_to} is itself a link, which somebody may point elsewhere",
            f"Give the address of {safe(real)}.",
        )


def _at_its_end(site: Site, begun: Adoption) -> bool:
    return site.current.name == begun.release and site.current.kind is CurrentKind.RELEASE


def _already(on: Grounds, begun: Adoption) -> AdoptPlan:
    """It has switched: what may be left is to write that down."""
    return AdoptPlan(
        "adopt",
        begun.kind,
        on.site.deploy_to,
        release=begun.release,
        shared=begun.shared,
        made=begun.made,
        lines=webroot.lines(on.web),
        nothing=begun.stage == "done" and on.site.intent is None,
    )


def _shared(
    request: Request, on: Grounds, begun: Adoption | None, top: Iterable[bytes]
) -> tuple[bytes, ...]:
    """What goes into ``shared/``: what is asked for, and what a cut-off adoption began."""
    before = begun.shared if begun else ()
    wanted = tuple(sorted({*request.shared, *before}))
    there = {*_paths(on.here), *top}
    for path in wanted:
        if path not in there:
            raise NotReady(f"--shared {safe(path)}: there is no such path in the site")
        if any(up in wanted for up in parents(path)):
            raise NotReady(f"--shared {safe(path)} lies inside another one: give one of them")
        if path not in before and path.split(b"/")[0] in on.site.shared:
            raise NotReady(f"shared/{safe(path.split(b'/')[0])} is there already")
    return wanted


def _paths(lines: bytes) -> list[bytes]:
    return [path_of(line) for line in lines.split(b"\0") if line]


def path_of(line: bytes) -> bytes:
    """The path of a line of a listing."""
    return _named(line)[1]


def _named(line: bytes) -> tuple[bytes, bytes]:
    """Where a line says that a link leads, and its path, which follows that; of others b""."""
    kind, _, size, _, _, _, rest = line.split(b" ", 6)
    return (rest[: int(size)], rest[int(size) + 1 :]) if kind == b"l" else (b"", rest)


def fresh(now: bytes, then: bytes) -> list[bytes]:
    """What stands at the old place and is not as it was copied, but for directories."""
    before = set(then.split(b"\0"))
    lines = (line for line in now.split(b"\0") if line and not line.startswith(b"d "))
    return [path_of(line) for line in lines if line not in before]


def _owners(on: Grounds) -> list[str]:
    if not on.able.others:
        return []
    return [
        f"some of it belongs to other users, and the copy will be {safe(on.site.user)}'s: see that "
        "the application may write there where it must, or adopt as root"
    ]


def _git(top: Iterable[bytes]) -> list[str]:
    return [".git is copied, too, and can be fetched by visitors"] if b".git" in top else []


def _meanwhile(shared: tuple[bytes, ...]) -> list[str]:
    if not shared:
        return []
    return [
        "what is written at the old place from now on is not in shared/: it is named at the end"
    ]


# --- the way back ------------------------------------------------------------------------------


def _undo(on: Grounds) -> AdoptPlan:
    site, made = on.site, Adoption.decode(on.site.adoption)
    if made is None:
        if site.ours and not any(release.record for release in site.releases):
            return AdoptPlan("undo", "records", site.deploy_to)
        raise NotReady(
            f"no adoption of {site.deploy_to} is known, or it is finished",
            "Only what an adoption made can be taken away again.",
        )
    _refuse_deployed(site)
    if made.stage == "done" and made.kind != "records":
        if made.ending:
            _refuse_gone(on, made)
        _refuse_written(on, made)
    there = site.find(made.release)
    exchanged = made.kind == "directory" and site.current.kind is CurrentKind.RELEASE
    if exchanged and not on.able.exchange:
        raise NotReady("nothing on the server can exchange a link and a directory any more")
    names = [r.name for r in site.releases if r.record and r.name != made.release]
    back = ["visitors get what stands at the old place: point the web server there first"]
    return AdoptPlan(
        "undo",
        made.kind,
        site.deploy_to,
        release=made.release if there else "",
        records=dict.fromkeys(names, "its record"),
        shared=made.shared,
        exchange=on.able.exchange[0] if exchanged else "",
        made=made.made,
        notes=tuple(back if made.kind == "plain" else ()),
    )


def _refuse_deployed(site: Site) -> None:
    own = [r.name for r in site.releases if r.record and not r.record.adopted]
    if own:
        raise NotReady(
            f"opsnb has deployed since ({plural(len(own), 'release')}, {safe(own[-1])} the last)",
            "Roll back to an adopted release and remove the others by hand, if that is meant.",
        )


def _refuse_gone(on: Grounds, made: Adoption) -> None:
    """What its end has removed from the old place is here alone."""
    gone = sorted(set(_paths(on.then)) - set(_paths(on.here)))
    if gone:
        names = ", ".join(safe(path) for path in gone[:5])
        raise NotReady(
            f"{plural(len(gone), 'path')} that were copied are no longer at the old place: {names}",
            f"Copy them back there from releases/{safe(made.release)} first, then undo again.",
        )


def _refuse_written(on: Grounds, made: Adoption) -> None:
    """What was written since into what would be taken away must not be lost."""
    before = set(on.shared_then.split(b"\0"))
    new = [
        b"shared/" + path_of(line)
        for line in on.shared_now.split(b"\0")
        if line and line not in before and _within(path_of(line), made.shared)
    ]
    written = [*new, *(b"current/" + path for path in on.drifted)]
    if written:
        names = ", ".join(safe(path) for path in written[:5])
        raise NotReady(
            f"{plural(len(written), 'path')} changed since the adoption: {names}",
            "Copy them to the old place first; then remove them here, and undo again.",
        )
    if made.kind == "plain" and webroot.through_current(on.web):
        raise NotReady(
            "the web server serves current/, which an undoing takes away",
            "Point it back at the old place first.",
        )


def _within(path: bytes, tops: Iterable[bytes]) -> bool:
    return path in tops or any(up in tops for up in parents(path))


# --- the end -----------------------------------------------------------------------------------


def _finish(on: Grounds) -> AdoptPlan:
    site, made = on.site, Adoption.decode(on.site.adoption)
    if made is None or made.stage != "done" or made.kind == "records":
        raise NotReady(
            f"at {site.deploy_to} no adoption waits for its end",
            "`--finish` removes what an adoption has copied, once it is done.",
        )
    left = webroot.lines(on.web) if made.kind == "plain" else ()
    if left:
        raise NotReady(
            f"the web server still serves the old files: {left[0]}",
            "Change that line, reload the web server, then finish.",
        )
    gone, stays = _unchanged(on)
    if made.kind == "plain":
        _refuse_led_to(on, gone)
    unread = on.web.closed or not on.web.mains
    note = "the web server's configuration could not be read: see that it serves current/"
    return AdoptPlan(
        "finish",
        made.kind,
        site.deploy_to,
        release=made.release,
        remove=gone,
        stays=stays,
        notes=(note,) if unread and made.kind == "plain" else (),
        nothing=not gone,
    )


def _refuse_led_to(on: Grounds, gone: Iterable[bytes]) -> None:
    """The copies of absolute links lead to the old place still."""
    root = _plainly(on.site.deploy_to.encode("utf-8", "surrogateescape"))
    reached = {up for path in gone for up in (path, *parents(path))}
    for line in filter(None, on.here.split(b"\0")):
        target, path = _named(line)
        there = _plainly(target) + b"/"
        if there.startswith(root + b"/") and there[len(root) + 1 : -1] in {b"", *reached}:
            raise NotReady(
                f"{safe(path)} is a link to {safe(target)}, which would be removed",
                "Let its copy in current/ lead to where that is now, in shared/ or in the release, "
                "remove the old link, and finish again.",
            )


def _plainly(path: bytes) -> bytes:
    """An absolute path without what says nothing; other ones are no such."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    return b"/" + b"/".join(parts) if path.startswith(b"/") else b""


def _unchanged(on: Grounds) -> tuple[tuple[bytes, ...], tuple[tuple[bytes, str], ...]]:
    """What is as it was when it was copied, and what is not, with the reason."""
    before, now = set(on.then.split(b"\0")), [line for line in on.here.split(b"\0") if line]
    known = set(_paths(on.then))
    stays = tuple(
        (path, "changed since it was copied" if path in known else "came after it was copied")
        for line in now
        if line not in before and not line.startswith(b"d ")
        for path in (path_of(line),)
    )
    above = {up for path, _ in stays for up in parents(path)}
    return tuple(
        p for p in (path_of(line) for line in now if line in before) if p not in above
    ), stays


def state_of(release: Release, hint: Hint) -> State:
    """What an adopted release counts as."""
    if release.live:
        return State.GOOD
    return State.BAD if hint.bad else State.UNCONFIRMED


def under_way(deploy_to: str, texts: Mapping[str, str], *, link: bool) -> bool:
    """Whether another tool seems to be at work: Deployer's lock, or its link ``release``."""
    return link or hints.under_way(deploy_to, texts)
