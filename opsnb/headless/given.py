"""What a runbook is run with: the values of its parameters, and a kernel."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from nbformat.warnings import MissingIDFieldWarning
from papermill.inspection import inspect_notebook

from opsnb.core.text import safe
from opsnb.errors import ConfigError


def as_papermill_names(path: Path) -> str:
    """A path for papermill, which would fill in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def parameters(
    notebook: Path, given: Mapping[str, str], files: Mapping[str, Path | None] | None = None
) -> dict[str, Any]:
    """Values for a notebook's parameters, each of the type of the one that it replaces.

    Args:
        notebook: The notebook.
        given: Values as text, by name.
        files: Files that options of the command name, by the parameter that takes each of them;
            None for an option that was not given. What is given as a value goes before it.

    Raises:
        ConfigError: There is no such notebook, no such parameter, or a value is of another type.
    """
    known = _known(notebook)
    handed_on = {name: file for name, file in (files or {}).items() if file and name not in given}
    for name, file in handed_on.items():
        if name not in known:
            # It must not be ignored: the notebook would work on what another file names.
            raise ConfigError(
                f"{notebook.name} has no parameter {name!r} that could take --{_dashed(name)}",
                f"Leave --{_dashed(name)} out, or give the notebook such a parameter.",
            )
        _readable(file)
    # The folder that a kernel runs in is its own affair.
    given = {**{name: str(file.absolute()) for name, file in handed_on.items()}, **given}
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ConfigError(
                f"{notebook.name} has no parameter {safe(name)!r}", f"Its parameters: {listed}."
            )
    return {name: _typed(name, text, known[name]["default"]) for name, text in given.items()}


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _readable(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigError(f"cannot read {safe(str(file))}: {error.strerror}") from error


def _known(notebook: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # Cells without an id, as older programs write them: papermill gives them one.
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            # A name that does not end as notebooks' names do: if it is none, that is told below.
            warnings.simplefilter("ignore", UserWarning)
            found: dict[str, Any] = inspect_notebook(as_papermill_names(notebook))
    except Exception as error:  # a file that is no notebook fails its reader in any way
        if notebook.suffix != ".ipynb":
            raise ConfigError(
                f"{safe(str(notebook))} is no notebook", "A runbook is a notebook: NAME.ipynb."
            ) from error
        said = safe(str(error).partition("\n")[0])
        raise ConfigError(f"cannot read the notebook {notebook}: {said}") from error
    return found


def _typed(name: str, text: str, default: str) -> Any:
    try:
        before = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        before = None
    if isinstance(before, bool):
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ConfigError(f"{name} is true or false, not {safe(text)!r}")
    if isinstance(before, int | float):
        try:
            return type(before)(text)
        except ValueError:
            raise ConfigError(f"{name} is a number like {before}, not {safe(text)!r}") from None
    return text


def checked_kernel(notebook: Path, given: str) -> str:
    """The kernel that a notebook is run with.

    Args:
        notebook: A notebook that can be read.
        given: The kernel's name; empty for the notebook's own.

    Raises:
        ConfigError: There is no kernel of that name, or the notebook names none.
    """
    book = json.loads(notebook.read_text("utf-8"))
    name = given or book.get("metadata", {}).get("kernelspec", {}).get("name", "")
    if not name:
        raise ConfigError(f"{notebook.name} names no kernel", "Give one: --kernel python3.")
    known = KernelSpecManager().find_kernel_specs()
    if name not in known:
        listed = ", ".join(map(safe, sorted(known))) or "none"
        raise ConfigError(f"no kernel is called {safe(name)!r}", f"There are: {listed}.")
    return str(name)
