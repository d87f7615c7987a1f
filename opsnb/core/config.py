"""``opsnb.toml``: every key, its default, its one line, and what is wrong with it.

Rule 1: settings are inherited, project → environment → server; the nearest one wins.
Rule 2: the documented default file is made from the same fields that validate.
Rule 3: a message names file, line and key. (The text is handed in: nothing here reads a file.)
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from urllib.parse import unquote, urlsplit

from opsnb.core import schema
from opsnb.core.schema import Fault, Table, Wrong, choice, flag, key, seconds, some_text, whole
from opsnb.core.text import safe
from opsnb.errors import ConfigError


class Hook(Table):
    """A command run on the server."""

    command: str = key(some_text, "A line for /bin/sh.")
    timeout: float = key(seconds(above=0), "Seconds until it is ended and has failed.", 300)


class Health(Table):
    """A question that a working site answers."""

    url: str = key(schema.text, "An address that is asked from this machine (http, https).", "")
    command: str = key(schema.text, "Or a line for /bin/sh on the server, which must exit 0.", "")
    status: int = key(whole(100, 599), "The status that the address must answer.", 200)
    contains: str = key(schema.text, "Text that the answer must contain.", "")
    timeout: float = key(seconds(above=0), "Seconds for one try.", 10)
    retries: int = key(whole(0, 100), "Further tries after the first.", 3)
    delay: float = key(seconds(0, 300), "Seconds between tries.", 1)

    def fits(self) -> None:
        """See :meth:`Table.fits`."""
        if bool(self.url) == bool(self.command):
            raise ValueError("give either url or command")
        if self.url and urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError("url must begin with http:// or https://")


def _hook(value: object) -> Hook:
    """A hook, which may be written as its command alone."""
    return Hook.model_validate({"command": value} if isinstance(value, str) else value)


def _inside(value: object) -> str:
    """A path inside a release."""
    path = schema.text(value)
    parts = path.rstrip("/").split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ValueError(f"{path!r} is not a path inside a release")
    return "/".join(parts)


_texts, _paths = schema.several(schema.text), schema.several(_inside)
_hooks = schema.several(_hook)


class Settings(Table):
    """What can be said of a project, an environment or a server."""

    source: str = key(schema.text, "The folder to release.", "")
    keep_releases: int = key(
        whole(1, 1000), "How many good releases stay, the live one included.", 3
    )
    exclude: tuple[str, ...] = key(
        _texts, "What of the source stays out: gitignore rules; .deployignore is read too.", ()
    )
    base: Literal["previous", "clean"] = key(
        choice("previous", "clean"),
        "previous: what the application wrote inside the release is carried over; "
        "clean: the release equals the source.",
        "previous",
    )
    copy_mode: Literal["copy", "hardlink"] = key(
        choice("copy", "hardlink"),
        "copy: a real copy (reflink where the file system can); "
        "hardlink: unchanged files share their inode with the release before.",
        "copy",
        alias="copy",
    )
    recycle: bool = key(
        flag,
        "Whether the release that was pruned last stays aside on the disk, and the "
        "next one is made of it: only what differs is copied. It needs the room of one release.",
        True,
    )
    verify: Literal["written", "all"] = key(
        choice("written", "all"),
        "Which files are hashed on the server before the switch: those that were "
        "sent, or all of them.",
        "written",
    )
    linked_dirs: tuple[str, ...] = key(
        _paths, "Directories of shared/ to link. Nothing listed: all that shared/ holds.", ()
    )
    linked_files: tuple[str, ...] = key(_paths, "Files of shared/ to link.", ())
    before_publish: tuple[Hook, ...] = key(
        _hooks, "Commands run in the new release's directory before the switch.", ()
    )
    after_publish: tuple[Hook, ...] = key(_hooks, "Commands run in the live release after it.", ())
    health: tuple[Health, ...] = key(
        schema.several(Health.model_validate),
        "What must answer after the switch; if not, the previous release returns.",
        (),
    )
    lock_wait: float = key(seconds(0, 86400), "Seconds to wait for a lock.", 0)
    step_timeout: float = key(
        seconds(above=0), "Seconds until a copying or flushing step has failed.", 1800
    )
    connect_timeout: float = key(seconds(above=0), "Seconds until connecting has failed.", 15)

    def fits(self) -> None:
        """See :meth:`Table.fits`."""
        listed = sorted((*self.linked_dirs, *self.linked_files))
        for first, second in pairwise(listed):
            if first == second:
                raise ValueError(f"{first!r} is listed twice")
        for outer in listed:
            inner = [path for path in listed if path.startswith(outer + "/")]
            if inner:
                raise ValueError(f"{inner[0]!r} lies inside {outer!r}: list one of them")


class Project(Settings):
    """The project."""

    name: str = key(some_text, "What the project is called.", "site")


class Environment(Settings):
    """A set of servers that are treated alike."""

    color: Literal["", "red", "orange", "yellow", "green", "blue", "purple", "grey"] = key(
        choice("", "red", "orange", "yellow", "green", "blue", "purple", "grey"),
        "The colour that marks it.",
        "",
    )
    confirm: Literal["none", "click", "type-name"] = key(
        choice("none", "click", "type-name"), "What a change asks of a person first.", "click"
    )


def _url(value: object) -> str:
    url = schema.text(value)
    Address.parse(url)
    return url


class ServerTable(Settings):
    """One server."""

    url: str = key(_url, "ssh://user@host[:port]/deployment/path, or file:///path.")
    environment: str = key(schema.text, "The environment it belongs to.", "")


class Config(Table):
    """The whole of ``opsnb.toml``."""

    project: Project = key(Project.model_validate, "The project.", Project())
    environments: dict[str, Environment] = key(
        schema.named(Environment.model_validate), "Environments, by name.", {}
    )
    servers: dict[str, ServerTable] = key(
        schema.named(ServerTable.model_validate), "Servers, by name.", {}
    )

    def fits(self) -> None:
        """See :meth:`Table.fits`."""
        known = ", ".join(self.environments) or "none is defined"
        for name, server in self.servers.items():
            if server.environment and server.environment not in self.environments:
                where = ("servers", name, "environment")
                raise Wrong((where, f"no environment {server.environment!r} ({known})"))

    def settings(self, server: str) -> Settings:
        """What holds for a server, inherited and all.

        Raises:
            ConfigError: No server has that name, or what it inherits does not fit together.
        """
        table = self.servers.get(server)
        if table is None:
            known = ", ".join(self.servers) or "none is defined"
            raise ConfigError(f"no server is called {safe(server)!r}", f"Known servers: {known}.")
        layers = [self.project, self.environment(server), table]
        merged = {key: value for layer in layers for key, value in _said(layer).items()}
        try:
            return Settings.model_construct(**merged)
        except ValueError as error:
            raise ConfigError(f"server {server!r}: {safe(str(error))}") from error

    def environment(self, server: str) -> Environment:
        """The environment a server belongs to; one with every default when it names none."""
        name = self.servers[server].environment
        return self.environments.get(name) or Environment()


def _said(table: Settings) -> dict[str, object]:
    """The settings that a table gives itself."""
    given = table.model_fields_set & Settings.model_fields.keys()
    return {name: getattr(table, name) for name in given}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server is.

    Attributes:
        scheme: ``ssh`` or ``file``.
        user: The login; empty for what ssh's own configuration says.
        host: The host, or a ``Host`` alias of ssh's configuration.
        port: The port; 0 for what ssh's own configuration says.
        path: ``deploy_to``, absolute.
    """

    scheme: Literal["ssh", "file"]
    user: str = ""
    host: str = ""
    port: int = 0
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``ssh://user@host[:port]/path`` or ``file:///path``.

        Raises:
            ValueError: It is not such an address.
        """
        form = "expected ssh://user@host[:port]/absolute/path"
        parts = urlsplit(url)
        if parts.scheme not in ("ssh", "file") or parts.query or parts.fragment:
            raise ValueError(form)
        if parts.password is not None:
            raise ValueError("a password does not belong in an address: use keys or an agent")
        path = "/" + "/".join(part for part in unquote(parts.path).split("/") if part)
        user, host = unquote(parts.username or ""), parts.hostname or ""
        if parts.scheme == "ssh" and not re.fullmatch(r"[\w.:%][\w.:%-]*", host):
            raise ValueError(form)
        if parts.scheme == "file" and parts.netloc:
            raise ValueError("file:// names no host: expected file:///absolute/path")
        if path == "/" or any(part in (".", "..") for part in path.split("/")):
            raise ValueError("the path must be a directory of its own, without . and ..")
        if re.search(r"[\x00-\x1f\x7f]", path + user):
            raise ValueError("the address holds a control character")
        return cls(
            scheme="ssh" if parts.scheme == "ssh" else "file",
            user=user,
            host=host,
            port=parts.port or 0,
            path=path,
        )


def parse(text: str, filename: str = "opsnb.toml") -> Config:
    """Read the text of a configuration file.

    Args:
        text: TOML.
        filename: What messages call it.

    Raises:
        ConfigError: It is not TOML, or a key is unknown or wrong; file, line and key are named.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{filename}: not TOML: {error}") from error
    try:
        return Config.model_validate(data)
    except Wrong as wrong:
        raise ConfigError("\n".join(_messages(wrong.faults, text, filename))) from wrong


def _messages(faults: Iterable[Fault], text: str, filename: str) -> Iterable[str]:
    for where, what in faults:
        key = ".".join(str(part) for part in where) or "file"
        yield f"{filename}:{locate(text, where)}: {key}: {_reason(what)}"


def _reason(what: str) -> str:
    if what == schema.NO_SUCH_KEY:
        return f"{what} (opsnb config prints every key with its default)"
    return safe(what)


_TABLE = re.compile(r"\s*\[{1,2}\s*(.+?)\s*\]{1,2}\s*(#.*)?$")
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s]+")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


def locate(text: str, path: tuple[int | str, ...]) -> int:
    """The line of a TOML text where a key stands, from 1.

    Args:
        text: A TOML text.
        path: The key's parts. What cannot be found is looked for one level up.
    """
    wanted = list(path)
    while wanted:
        table: list[int | str] = []
        tables: Counter[tuple[str, ...]] = Counter()
        for number, line in enumerate(text.splitlines(), 1):
            header, key = _TABLE.match(line), _KEY.match(line)
            if header and not key:
                name = tuple(_parts(header[1]))
                table = [*name]
                if line.lstrip().startswith("[["):
                    table.append(tables[name])
                    tables[name] += 1
                if table == wanted:
                    return number
            elif key and [*table, *_parts(key[1])] == wanted:
                return number
        wanted.pop()
    return 1


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def default_file() -> str:
    """The whole default ``opsnb.toml``, each key with its description, commented out."""
    sections = [
        "# opsnb.toml: everything that can be said, with its default.",
        "# Settings of [project] may also stand in an environment or a server; the nearest wins.",
        "",
        "[project]",
        *_keys(Project),
        "",
        "[environments.production]",
        *_keys(Environment, Settings),
        "",
        "[servers.web1]",
        '# ssh://user@host[:port]/deployment/path; "file:///path" for this machine.',
        'url = "ssh://deploy@web1.example.com/var/www/shop"',
        "# The environment it belongs to.",
        'environment = "production"',
        "",
        "# Hooks and checks may be tables, too:",
        "# [[project.before_publish]]",
        *_keys(Hook),
        "# [[project.health]]",
        *_keys(Health),
    ]
    return "\n".join(sections) + "\n"


def _keys(table: type[Table], but: type[Table] | None = None) -> Iterable[str]:
    left_out = set(but.model_fields) if but else set()
    for name, field in table.model_fields.items():
        if name not in left_out:
            value = None if field.required else field.default
            yield f"# {field.description}"
            yield f"# {field.alias or name} = {_toml(value)}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return str(value)
    return '""' if value is None else f'"{value}"'
