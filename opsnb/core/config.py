"""``opsnb.toml``: every key, its default, its one line, and what is wrong with it.

Rule 1: settings are inherited, project → environment → server; the nearest one wins.
Rule 2: the documented default file is made from the same fields that validate.
Rule 3: a message names file, line and key. (The text is handed in: nothing here reads a file.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from opsnb.core.address import Address
from opsnb.core.settings.assets import AssetSettings
from opsnb.core.settings.build import BuildSettings, Cached
from opsnb.core.settings.caches import CacheSettings, Opcache, Purge
from opsnb.core.settings.connection import ConnectionSettings
from opsnb.core.settings.files import File, FileSettings, SecretVar
from opsnb.core.settings.gates import GateSettings
from opsnb.core.settings.health import Health, HealthSettings
from opsnb.core.settings.hooks import Hook, HookSettings
from opsnb.core.settings.merging import merged
from opsnb.core.settings.notices import Notice, NoticeSettings
from opsnb.core.settings.release import ReleaseSettings
from opsnb.core.settings.retention import RetentionSettings
from opsnb.core.settings.source import SourceSettings
from opsnb.core.settings.table import Table
from opsnb.core.text import safe
from opsnb.core.unchecked import tables
from opsnb.errors import ConfigError


class Settings(
    AssetSettings,
    BuildSettings,
    CacheSettings,
    ConnectionSettings,
    FileSettings,
    GateSettings,
    HealthSettings,
    HookSettings,
    NoticeSettings,
    RetentionSettings,
    ReleaseSettings,
    SourceSettings,
):
    """What can be said of a project, an environment or a server."""


class Project(Settings):
    """The project."""

    name: str = Field("site", min_length=1, description="What the project is called.")


class Environment(Settings):
    """A set of servers that are treated alike."""

    color: Literal["", "red", "orange", "yellow", "green", "blue", "purple", "grey"] = Field(
        "", description="The colour that marks it."
    )
    confirm: Literal["none", "click", "type-name"] = Field(
        "click", description="What a change asks of a person first."
    )


class ServerTable(Settings):
    """One server."""

    url: str = Field(description="ssh://user@host[:port]/deployment/path, or file:///path.")
    environment: str = Field("", description="The environment it belongs to.")

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        Address.parse(url)
        return url


class _At(ValueError):
    """What is wrong with one key, found out by looking at others."""

    def __init__(self, where: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.where = where


class Config(Table):
    """The whole of ``opsnb.toml``."""

    project: Project = Field(default_factory=lambda: Project.model_validate({}))
    environments: dict[str, Environment] = Field(default_factory=dict)
    servers: dict[str, ServerTable] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Config:
        for name, server in self.servers.items():
            if server.environment and server.environment not in self.environments:
                known = ", ".join(self.environments) or "none is defined"
                raise _At(
                    ("servers", name, "environment"),
                    f"no environment {server.environment!r} ({known})",
                )
            self._know_secrets(name)
        return self

    def _know_secrets(self, server: str) -> None:
        """What a purge names must be listed, wherever each of the two is said."""
        table = self.servers[server]
        layers: dict[tuple[str, ...], Settings] = {
            ("project",): self.project,
            ("environments", table.environment): self.environment(server),
            ("servers", server): table,
        }
        nearest: dict[str, tuple[str, ...]] = dict.fromkeys(("purge", "secrets"), ("project",))
        for path, layer in layers.items():
            nearest |= {key: path for key in nearest if key in layer.model_fields_set}
        listed = {*layers[nearest["secrets"]].secrets}
        for purge in layers[nearest["purge"]].purge:
            for name in sorted(purge.secrets - listed):
                raise _At((*nearest["purge"], "purge"), f"`secrets` does not list {name}")

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
        try:
            return Settings.model_validate(merged(map(_said, layers)))
        except ValidationError as error:
            raise ConfigError(f"server {server!r}: {_reason(error.errors()[0])}") from error

    def environment(self, server: str) -> Environment:
        """The environment a server belongs to; one with every default when it names none."""
        name = self.servers[server].environment
        return self.environments.get(name) or Environment.model_validate({})


def _said(table: Settings) -> dict[str, Any]:
    """The settings that a table gives itself, as they were read."""
    fields = Settings.model_fields.items()
    given = table.model_fields_set
    return {field.alias or name: getattr(table, name) for name, field in fields if name in given}


def parse(text: str, filename: str = "opsnb.toml") -> Config:
    """Read the text of a configuration file.

    Args:
        text: TOML.
        filename: What messages call it.

    Raises:
        ConfigError: It is not TOML, or a key is unknown or wrong; file, line and key are named.
    """
    return checked(tables(text, filename), text, filename)


def checked(said: Mapping[str, Any], text: str, filename: str) -> Config:
    """Check what a configuration file says.

    Args:
        said: What it says.
        text: Its text, in which a wrong key is looked for.
        filename: What messages call it.

    Raises:
        ConfigError: A key is unknown or wrong; file, line and key are named.
    """
    try:
        return Config.model_validate(said)
    except ValidationError as error:
        raise ConfigError("\n".join(_messages(error, text, filename))) from error


def _messages(error: ValidationError, text: str, filename: str) -> Iterable[str]:
    for detail in error.errors():
        cause = detail.get("ctx", {}).get("error")
        where = cause.where if isinstance(cause, _At) else detail["loc"]
        key = ".".join(str(part) for part in where) or "file"
        yield f"{filename}:{locate(text, where)}: {key}: {_reason(detail)}"


_LIST = 'must be a list, such as ["…"]'
_TABLE_OF = "must be a table of keys and values"
_TEXT = 'must be text in quotes, such as "…"'
_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_SWITCH = "must be true or false"
# What pydantic says of a wrong type speaks of Python's types, which a file of TOML does not have.
_PLAIN = {
    "extra_forbidden": "no such key (opsnb config prints every key with its default)",
    "missing": "is missing",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _TABLE_OF,
    "model_type": _TABLE_OF,
    "model_attributes_type": _TABLE_OF,
    "string_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
}


def _reason(detail: Any) -> str:
    if detail["type"] in _PLAIN:
        return _PLAIN[detail["type"]]
    return safe(str(detail["msg"]).removeprefix("Value error, "))


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
        "# Hooks, checks and purges may be tables, too:",
        "# [[project.before_publish]]",
        *_keys(Hook),
        "# [[project.health]]",
        *_keys(Health),
        "# [[project.notices]]",
        *_keys(Notice),
        "# [[project.purge]]",
        *_keys(Purge),
        "# [project.opcache]",
        *_keys(Opcache),
        "# [[project.files]]",
        *_keys(File),
        "# [project.secret_vars.NAME]",
        *_keys(SecretVar),
        "# What a build keeps for the next one:",
        "# [[project.cache]]",
        *_keys(Cached),
    ]
    return "\n".join(sections) + "\n"


def _keys(table: type[BaseModel], but: type[BaseModel] | None = None) -> Iterable[str]:
    left_out = set(but.model_fields) if but else set()
    for name, field in table.model_fields.items():
        if name not in left_out:
            value = None if field.is_required() else field.get_default(call_default_factory=True)
            yield f"# {field.description}"
            yield f"# {field.alias or name} = {_toml(value)}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, BaseModel)):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in _items(value)) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return str(value)
    return '""' if value is None else f'"{value}"'


def _items(value: dict[str, object] | BaseModel) -> Iterable[tuple[str, object]]:
    return (
        value.items() if isinstance(value, dict) else value.model_dump(exclude_unset=True).items()
    )
