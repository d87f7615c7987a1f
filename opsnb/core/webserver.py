"""Whether visitors see what is published, by the configuration of their web server. Pure.

Rule 1: it judges only what serves files at or below ``deploy_to``; all else is nobody's business.
Rule 2: what could not be read is said, and is no fault.
Rule 3: every fault comes with the line to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from posixpath import normpath

from opsnb.core.doctor import Finding
from opsnb.core.layout import CURRENT, RELEASES, SHARED
from opsnb.core.text import safe
from opsnb.core.webconfig import Directive, Tree, apache

USUAL = (
    "/etc/nginx/nginx.conf",
    "/usr/local/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/etc/apache2/apache2.conf",
    "/etc/httpd/conf/httpd.conf",
    "/usr/local/apache2/conf/httpd.conf",
)
"""Where nginx and Apache have their main configuration file."""
ITEM = "web"
MOST = 20  # faults that are told
NAMED = 5
LONGEST = 500  # characters of a value

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PHP = re.compile(r"php|fcgi:|proxy:unix:", re.IGNORECASE)
_RELOADS = re.compile(r"php|opcache|apache|httpd", re.IGNORECASE)
_HANDS_ON = ("$document_root", "$request_filename")
APACHE_PHP = (
    f"PHP gets paths through {CURRENT} and remembers where it led: it runs code of the release "
    "before, or of two at once"
)


@dataclass(frozen=True, slots=True)
class Files:
    """What of a configuration could be read.

    Attributes:
        texts: Texts by path.
        closed: Files that are there and may not be read.
        places: How ``deploy_to`` is written: as the server resolves it, and as configured.
        mains: The main files among them.
    """

    texts: Mapping[str, str]
    closed: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    mains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """A block of a configuration, with what it inherits.

    Attributes:
        who: Whose it is: the name of the site.
        root: The directory that it serves; empty when none is said.
        said: Whether it says so itself.
        cache: The value of ``open_file_cache``.
        valid: The value of ``open_file_cache_valid``.
        links: The value of ``disable_symlinks``.
        params: What is handed to a program, by name.
        program: Whether it hands requests to one.
        variables: Variables that have a fixed value.
    """

    who: str = ""
    root: str = ""
    said: bool = False
    cache: str = "off"
    valid: str = "60s"
    links: str = "off"
    params: Mapping[str, str] = field(default_factory=dict)
    program: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


def examine(files: Files, after: Iterable[str] = ()) -> list[Finding]:
    """What is to be said of a server's web servers.

    Args:
        files: What could be read.
        after: The commands that run after each switch.
    """
    if not files.mains:
        return [Finding(ITEM, True, _not_looked(files))]
    reloads = any(_RELOADS.search(command) for command in after)
    return [one for main in files.mains for one in _of_one(files, main, reloads)]


def _not_looked(files: Files) -> str:
    if files.closed:
        return f"not looked at: {safe(files.closed[0])} may not be read"
    return "not looked at: no configuration of nginx or Apache where it usually is (web_config)"


def _of_one(files: Files, main: str, reloads: bool) -> list[Finding]:
    tree = Tree(files.texts, main)
    is_apache = tree.parser is apache
    server = "Apache" if is_apache else "nginx"
    scopes = list(_apache(tree.all) if is_apache else _nginx(tree.all, Scope()))
    ours = [scope for scope in scopes if _below(scope.root, files.places) is not None]
    told: dict[Fault, None] = {}
    for scope in ours:
        faults = _nginx_faults if not is_apache else _apache_faults
        told.update(dict.fromkeys(faults(scope, files.places)))
    if reloads:
        told = {fault: None for fault in told if fault[0] != APACHE_PHP}
    findings = [
        Finding(ITEM, False, f"{server}: {safe(found)}", safe(hint)) for found, hint in told
    ]
    well = Finding(ITEM, True, f"{server}: {_well(ours)}{_unread(files)}")
    return findings[:MOST] or [well]


def _well(ours: list[Scope]) -> str:
    if not ours:
        return "nothing of what could be read serves files below deploy_to"
    names = list(dict.fromkeys(scope.who for scope in ours if scope.who))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    shown = ", ".join(safe(name) for name in names[:NAMED]) or "the site"
    return f"the document root of {shown}{more} goes through {CURRENT}"


def _unread(files: Files) -> str:
    return f" ({len(files.closed)} files may not be read)" if files.closed else ""


# --- where it leads ----------------------------------------------------------------------------


def _below(root: str, places: Iterable[str]) -> str | None:
    """What follows ``deploy_to`` in a path; None for a path elsewhere."""
    path = normpath(root) if root.startswith("/") else root
    for place in places:
        if path == place:
            return ""
        if path.startswith(place + "/"):
            return path[len(place) + 1 :]
    return None


def _wanted(rest: str) -> str:
    """Where below ``deploy_to`` the document root should be."""
    first, _, more = rest.partition("/")
    if first == RELEASES:
        more = more.partition("/")[2]
        return f"{CURRENT}/{more}".rstrip("/")
    return f"{CURRENT}/{rest}".rstrip("/")


Fault = tuple[str, str]
"""What is wrong, and what to write instead."""


def _root(scope: Scope, places: tuple[str, ...], directive: str, end: str) -> Iterator[Fault]:
    rest = _below(scope.root, places) or ""
    if not scope.said or rest.partition("/")[0] in (CURRENT, SHARED):
        return
    where = f" of {scope.who}" if scope.who else ""
    yield (
        f"the document root{where}, {scope.root}, does not go through {CURRENT}: "
        "visitors do not see what is published",
        f"{directive} {places[-1]}/{_wanted(rest)}{end}",
    )


# --- nginx -------------------------------------------------------------------------------------


def _nginx(block: Iterable[Directive], outer: Scope) -> Iterator[Scope]:
    """Every server and location, with what holds in it."""
    directives = list(block)
    scope = _with(directives, outer)
    yield scope
    for one in directives:
        if one.block or one.name in ("server", "location"):
            yield from _nginx(one.block, replace(scope, said=False, program=False))


def _with(directives: list[Directive], outer: Scope) -> Scope:
    variables = {
        **outer.variables,
        **{
            one.args[0][1:]: one.args[1]
            for one in directives
            if one.name == "set" and len(one.args) == 2 and "$" not in one.args[1]
        },
    }
    scope = replace(outer, variables=variables)
    params: dict[str, str] = {}
    for one in directives:
        first, value = (one.args or ("",))[0][:LONGEST], " ".join(one.args)
        match one.name:
            case "server_name":
                scope = replace(scope, who=first)
            case "root" | "alias":
                scope = replace(scope, root=_expanded(first, variables), said=True)
            case "open_file_cache":
                scope = replace(scope, cache=value)
            case "open_file_cache_valid":
                scope = replace(scope, valid=first)
            case "disable_symlinks":
                scope = replace(scope, links=value)
            case "fastcgi_param" if len(one.args) > 1:
                params[first] = _expanded(one.args[1], variables)
            case "fastcgi_pass":
                scope = replace(scope, program=True)
    # What is said here replaces all that is said further out; of two the last one counts.
    return replace(scope, params=params or outer.params)


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """A value with the variables put in whose values are known; none is longer than a path."""
    known = _VARIABLE.sub(
        lambda found: variables.get(found[1] or found[2], found[0])[:LONGEST], text[:LONGEST]
    )
    return known[:LONGEST]


def _nginx_faults(scope: Scope, places: tuple[str, ...]) -> Iterator[Fault]:
    yield from _root(scope, places, "root", ";")
    rest = _below(scope.root, places) or ""
    if rest.partition("/")[0] == SHARED:
        return
    if scope.cache.split()[:1] != ["off"]:
        yield (
            f"open_file_cache keeps what {CURRENT} led to: up to {scope.valid} after a switch "
            "visitors still get the release before",
            "open_file_cache off;",
        )
    if scope.links == "on":
        yield (
            f"disable_symlinks on refuses every file, since {CURRENT} is a link",
            "disable_symlinks if_not_owner;",
        )
    if scope.program:
        yield from _params(scope, places)


def _params(scope: Scope, places: tuple[str, ...]) -> Iterator[Fault]:
    instead = {
        "SCRIPT_FILENAME": "$realpath_root$fastcgi_script_name",
        "DOCUMENT_ROOT": "$realpath_root",
    }
    for name, better in instead.items():
        value = scope.params.get(name, "")
        through = _below(value, places) is not None or value.startswith(_HANDS_ON)
        if through:
            yield (
                f"{name} is {value}: PHP remembers where {CURRENT} led, and runs code of the "
                "release before, or of two at once",
                f"fastcgi_param {name} {better};",
            )


# --- Apache ------------------------------------------------------------------------------------


def _apache(tree: tuple[Directive, ...]) -> Iterator[Scope]:
    """The main server and every virtual host."""
    php = any(_hands_on(one) for one in _all(tree))
    variables = {
        one.args[0]: one.args[1] for one in _all(tree) if one.name == "define" and len(one.args) > 1
    }
    for block in (tree, *(one.block for one in _all(tree) if one.name == "virtualhost")):
        said = {one.name: one.args[0] for one in block if one.args}
        if "documentroot" in said:
            root = _expanded(said["documentroot"], variables)
            who = said.get("servername", "")[:LONGEST]
            yield Scope(who, root, said=True, program=php)


def _all(tree: Iterable[Directive]) -> Iterator[Directive]:
    for one in tree:
        yield one
        yield from _all(one.block)


def _hands_on(one: Directive) -> bool:
    """Whether a directive hands requests to PHP."""
    names = ("sethandler", "addhandler", "proxypassmatch", "addtype")
    return one.name in names and any(_PHP.search(arg) for arg in one.args)


def _apache_faults(scope: Scope, places: tuple[str, ...]) -> Iterator[Fault]:
    yield from _root(scope, places, "DocumentRoot", "")
    rest = _below(scope.root, places) or ""
    if scope.program and rest.partition("/")[0] == CURRENT:
        yield (
            APACHE_PHP,
            'after_publish = ["sudo systemctl reload php-fpm"] in opsnb.toml, or whatever reloads '
            "PHP there",
        )
