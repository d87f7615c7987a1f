"""The record: the executed notebook, and a page of it for any browser."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from nbformat.warnings import MissingIDFieldWarning

from opsnb.core.text import safe
from opsnb.errors import ConfigError

# A record runs nothing and fetches nothing, whatever stands in the outputs of its cells: what
# would is taken out, and browsers are told to refuse what is left of it.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:"
)
_ACTIVE = re.compile(
    r"<script\b.*?</script\s*>|<(?:link|base|meta(?=[^>]*http-equiv))\b[^>]*>",
    re.DOTALL | re.IGNORECASE,
)
# On paper nothing can be scrolled or opened: long lines go on below, and what is folded is shown.
_PRINTED = """<style>@media print {
  .jp-OutputArea-output, pre { overflow: visible !important; }
  pre { white-space: pre-wrap !important; overflow-wrap: anywhere; }
  .jp-RenderedHTMLCommon table { font-size: 62%; }
  .jp-RenderedHTMLCommon :is(th, td) { padding: 2px 4px; overflow-wrap: anywhere; }
  details::details-content { content-visibility: visible; block-size: auto; }
  body { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}</style>"""


def at(notebook: Path, record: Path) -> Path:
    """A record where somebody wants it.

    Args:
        notebook: The notebook.
        record: The record; one that is there is written over, as asked for.

    Raises:
        ConfigError: It is the notebook itself, no notebook's name, or cannot be written.
    """
    if record.suffix != ".ipynb":
        raise ConfigError(
            f"{safe(str(record))} is no name for a record", "It is a notebook: NAME.ipynb."
        )
    if record.exists() and record.samefile(notebook):
        raise ConfigError(
            "the record would take the place of the runbook", "Name another file with --output."
        )
    _folder(record.parent)
    try:
        record.open("ab").close()
    except OSError as error:
        raise _unwritable(record, error) from error
    return record


def of_its_own(folder: Path, name: str) -> Path:
    """A record under a name that no other has, not even one of another run that begins now.

    Args:
        folder: Where; it is made.
        name: The name; numbered where it is taken.

    Raises:
        ConfigError: It cannot be written.
    """
    _folder(folder)
    number = 1
    while True:
        record = folder / (f"{name}.ipynb" if number == 1 else f"{name}-{number}.ipynb")
        try:
            record.open("xb").close()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _unwritable(record, error) from error
        else:
            return record


def _folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {safe(str(folder))}: {error.strerror}"
        ) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write the record {safe(str(path))}: {error.strerror or error}")


# --- what it holds -----------------------------------------------------------------------------


def heading(cell: Any) -> str:
    """The last heading of a text cell; empty for any other cell.

    Args:
        cell: A cell.
    """
    if cell.cell_type != "markdown":
        return ""
    headings = [line.lstrip("# ") for line in cell.source.split("\n") if line.startswith("#")]
    return safe(headings[-1]) if headings else ""


def counts(cell: Any) -> bool:
    """Whether a cell is code of the runbook's own, and not what papermill put in.

    Args:
        cell: A cell.
    """
    injected = "injected-parameters" in cell.metadata.get("tags", [])
    return cell.cell_type == "code" and not injected


def page(record: Path, pictures: Path) -> Path:
    """Write the page beside the record.

    Args:
        record: The record.
        pictures: The folder that the notebook's own pictures are relative to.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingIDFieldWarning)
        book: Any = nbformat.read(record, 4)  # type: ignore[no-untyped-call]
    exporter = HTMLExporter(embed_images=True)  # type: ignore[no-untyped-call]
    where = {"metadata": {"name": record.stem, "path": str(pictures)}}
    body, _ = exporter.from_notebook_node(book, where)
    policy = f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    body = (
        _ACTIVE.sub("", body)
        .replace("<head>", policy, 1)
        .replace("</head>", f"{_PRINTED}</head>", 1)
    )
    made = record.with_suffix(".html")
    made.write_text(body, "utf-8")
    return made
