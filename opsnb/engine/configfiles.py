"""Configuration files: made on this machine, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from opsnb.core import configfiles
from opsnb.core.config import Settings
from opsnb.core.configfiles import LARGEST, ConfigFile
from opsnb.core.plan import Wish
from opsnb.core.settings.files import File
from opsnb.core.text import safe
from opsnb.engine.source import Source
from opsnb.engine.templates import render
from opsnb.errors import ConfigError


@dataclass(frozen=True, slots=True)
class About:
    """What templates are told of where they go.

    Attributes:
        server: The server's name.
        environment: That of its environment; empty for none.
        project: That of the project.
        deploy_to: The deployment path.
        folder: Where commands for secrets run: where opsnb.toml is.
    """

    server: str = ""
    environment: str = ""
    project: str = ""
    deploy_to: str = ""
    folder: Path = Path()

    def variables(self, settings: Settings, revision: str) -> dict[str, object]:
        """The variables of a template, without the secrets. A release's name is none of them: it
        would make every plan differ from the last."""
        names = {"server": self.server, "environment": self.environment, "project": self.project}
        return {**settings.vars, **names, "deploy_to": self.deploy_to, "revision": revision}


async def configured(
    wish: Wish, source: Source, about: About, tell: Callable[[str], None]
) -> tuple[Wish, Source]:
    """What is asked for, with its configuration files.

    Args:
        wish: What is asked for without them.
        source: Where its content is.
        about: What their templates are told.
        tell: Is told what commands for secrets complain of.

    Raises:
        ConfigError: One of them cannot be made.
    """
    settings = wish.settings
    if not settings.files:
        return wish, source
    from opsnb.engine.secretvars import resolve  # noqa: PLC0415 - only where it is needed

    secrets = await resolve(settings.secret_vars, about.folder, tell)
    given = {**about.variables(settings, wish.revision), "secrets": dict(secrets)}
    texts = await asyncio.to_thread(_contents, settings.files, given)
    files = tuple(await asyncio.to_thread(_made, settings.files, texts, wish))
    tree = configfiles.beside(wish.source, files)
    added = dict.fromkeys(tree.keys() - wish.source.keys(), b"")
    return (
        replace(wish, source=tree, config=files),
        replace(
            source,
            extra={**source.extra, **added, **_of(files, texts, "release")},
            shared=_of(files, texts, "shared"),
            secrets=secrets,
        ),
    )


def _of(files: tuple[ConfigFile, ...], texts: Mapping[str, bytes], to: str) -> dict[bytes, bytes]:
    return {file.path: texts[file.path.decode()] for file in files if file.to == to}


def _contents(files: tuple[File, ...], given: Mapping[str, object]) -> dict[str, bytes]:
    return {file.path: _content(file, given) for file in files}


def _content(file: File, given: Mapping[str, object]) -> bytes:
    if file.copied:
        return _read(file.copied)
    text, place = file.content, f"content of {file.path} in opsnb.toml"
    if file.template:
        place = file.template
        try:
            text = _read(file.template).decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise ConfigError(f"the template {safe(place)} is empty, or is no UTF-8")
    return render(text, place, given).encode("utf-8", "surrogateescape")


def _made(files: tuple[File, ...], texts: Mapping[str, bytes], wish: Wish) -> list[ConfigFile]:
    made = [configfiles.made(file.path, file.to, file.bits, texts[file.path]) for file in files]
    return [replace(file, over=file.to == "release" and file.path in wish.source) for file in made]


def _read(path: str) -> bytes:
    """A file of this machine, within bounds."""
    try:
        if not Path(path).is_file():
            raise ConfigError(f"{safe(path)}, which `files` in opsnb.toml names, is no file")
        with Path(path).open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {safe(path)}: {error.strerror}") from error
