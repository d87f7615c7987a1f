"""A runbook without a front end: executed cell by cell, told of as it goes, kept as a record.

Rule 1: the record is kept however it ends: each cell is written when it has run.
Rule 2: to stop is to interrupt the cell that runs, so that a change in it is aborted and cleans up.
Rule 3: the exit status is the runbook's: that of the error that stopped it.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_core.utils import ensure_event_loop
from nbconvert import HTMLExporter
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from papermill.inspection import inspect_notebook

from opsnb import errors
from opsnb.core.text import safe
from opsnb.errors import ConfigError, GateClosed, Interrupted, OpsnbError

ENGINE = "opsnb"
_SCRIPT = re.compile(r"<script\b.*?</script\s*>|<link\b[^>]*>", re.DOTALL | re.IGNORECASE)
STOPPED = ("KeyboardInterrupt", "CancelledError", "DeadKernelError")


@dataclass(frozen=True, slots=True)
class Event:
    """Base of what is told."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON, the event's name under ``event``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class CellBegan(Event):
    """A cell begins to run.

    Attributes:
        cell: Its number among the code cells, from 1.
        cells: How many code cells there are.
        section: The heading that it stands below.
        line: Its first line.
    """

    cell: int
    cells: int
    section: str
    line: str


@dataclass(frozen=True, slots=True)
class CellSaid(Event):
    """A cell has put something out.

    Attributes:
        cell: Its number.
        text: Lines, safe to show.
    """

    cell: int
    text: str


@dataclass(frozen=True, slots=True)
class CellEnded(Event):
    """A cell has ended.

    Attributes:
        cell: Its number.
        ok: Whether it ended well.
        seconds: How long it took.
    """

    cell: int
    ok: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class RunReport(Event):
    """How a runbook ended.

    Attributes:
        notebook: The notebook.
        record: The executed notebook.
        page: The record as an HTML page; empty when it could not be written.
        ran: Code cells that were run.
        cells: Code cells that there are.
        seconds: How long it took.
        error: What stopped it, by the name of its class; empty when nothing did.
        message: What stopped it, in words.
        exit_status: What a shell is told.
    """

    notebook: str
    record: str
    page: str
    ran: int
    cells: int
    seconds: float
    error: str = ""
    message: str = ""
    exit_status: int = 0


Told = CellBegan | CellSaid | CellEnded


class Run:
    """One run of a notebook.

    Args:
        notebook: The notebook.
        record: Where the executed notebook is kept.
        parameters: Values for its parameters.
        tell: Is told what happens, on the thread that runs the notebook.
        kernel: The kernel; the notebook's own when not given.

    Raises:
        ConfigError: There is no such notebook, or it has no such parameter.
    """

    def __init__(
        self,
        notebook: Path,
        record: Path,
        parameters: Mapping[str, Any],
        tell: Callable[[Told], None],
        kernel: str = "",
    ) -> None:
        self._notebook, self._record = notebook, record
        self._parameters = dict(parameters)
        self._tell = tell
        self._kernel = kernel
        self._stop = threading.Event()
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ran = 0

    def stop(self) -> None:
        """Interrupt the cell that runs, and run no further one. From any thread."""
        self._stop.set()
        self._ask(lambda kernel: kernel.interrupt_kernel())

    def kill(self) -> None:
        """End the kernel at once. What it was doing on a server is cleared by the next change."""
        self._ask(lambda kernel: kernel.shutdown_kernel(now=True))

    def _ask(self, what: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Ask the kernel's manager for something, on the loop that it belongs to."""
        client, loop = self._client, self._loop
        if client is not None and client.km is not None and loop is not None:
            asyncio.run_coroutine_threadsafe(what(client.km), loop)

    def execute(self) -> RunReport:
        """Run the notebook, and keep its record.

        Raises:
            ConfigError: The notebook cannot be read, or its kernel cannot be started.
        """
        began = time.monotonic()
        self._record.parent.mkdir(parents=True, exist_ok=True)
        try:
            ename, message, status = self._executed()
        finally:
            # nbclient made it for this thread, and leaves it open.
            ensure_event_loop().close()
        page = _page(self._record)
        return RunReport(
            str(self._notebook),
            str(self._record),
            str(page) if page else "",
            self._ran,
            _cells(self._record),
            round(time.monotonic() - began, 3),
            ename,
            message,
            status,
        )

    def _executed(self) -> tuple[str, str, int]:
        """The error that stopped it, its words and its exit status."""
        papermill_engines.register(ENGINE, _engine(self))
        try:
            execute_notebook(
                str(self._notebook),
                str(self._record),
                self._parameters,
                engine_name=ENGINE,
                kernel_name=self._kernel or None,
                progress_bar=False,
            )
        except PapermillExecutionError as error:
            if self._stop.is_set():
                return self._interrupted()
            return error.ename, _lines(error.evalue), status_of(error.ename)
        if self._stop.is_set():
            return self._interrupted()
        return "", "", 0

    def _interrupted(self) -> tuple[str, str, int]:
        said = "interrupted; the last outputs of the record say how far it came"
        return Interrupted.__name__, said, Interrupted.exit_status

    def begin(self, client: Client) -> None:
        """Run the cells, one after the other; called by papermill's engine."""
        self._client, self._loop = client, ensure_event_loop()
        section, number, total = "", 0, sum(map(_counts, client.nb.cells))
        for index, cell in enumerate(client.nb.cells):
            section = _heading(cell) or section
            if _counts(cell):
                if self._stop.is_set():
                    return
                number += 1
                line = cell.source.strip().partition("\n")[0]
                self._tell(CellBegan(number, total, section, safe(line)))
            if not self._one(client, cell, index, number):
                return

    def _one(self, client: Client, cell: Any, index: int, number: int) -> bool:
        """Run a cell as papermill does; whether it went well."""
        from nbclient.exceptions import CellExecutionError  # noqa: PLC0415 - beside its only use

        began, ok = time.monotonic(), True
        try:
            client.nb_man.cell_start(cell, index)
            client.execute_cell(cell, index)
        except CellExecutionError as error:
            ok = False
            client.nb_man.cell_exception(client.nb.cells[index], cell_index=index, exception=error)
        finally:
            client.nb_man.cell_complete(client.nb.cells[index], cell_index=index)
        if _counts(cell):
            self._ran = number
            self._tell(CellEnded(number, ok, round(time.monotonic() - began, 3)))
        return ok

    def said(self, output: Any) -> None:
        """Tell what a cell puts out."""
        if output.output_type == "stream":
            text = "".join(output.text)
        elif "data" in output:
            text = "".join(output.data.get("text/plain", ""))
        else:
            return
        self._tell(CellSaid(self._ran + 1, _lines(text.rstrip("\n"))))


class Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill is not typed
    """Papermill's client, whose cells are run by a :class:`Run`."""

    run: Run

    def papermill_execute_cells(self) -> None:
        """See papermill."""
        self.run.begin(self)

    def process_message(self, *args: Any, **kwargs: Any) -> Any:
        """See nbclient; what is put out is told, too."""
        output = super().process_message(*args, **kwargs)
        if output:
            self.run.said(output)
        return output


def _engine(run: Run) -> type[NBClientEngine]:
    """An engine of papermill's for one run."""

    class Engine(NBClientEngine):  # type: ignore[misc]  # papermill is not typed
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=options.get("start_timeout", 60),
                timeout=None,
                # It says at every start that it speaks over TCP, which is loopback here.
                extra_arguments=["--log-level=40"],
            )
            client.run = run
            # No widget where nobody can see it, whatever the shell that began this runs in.
            env = {key: value for key, value in os.environ.items() if key != "JPY_SESSION_NAME"}
            return client.execute(env={**env, "OPSNB_FACE": "static"})

    return Engine


def _lines(text: str) -> str:
    """Text that is safe to show, line by line."""
    return "\n".join(safe(line) for line in text.split("\n"))


def status_of(ename: str) -> int:
    """The exit status of a notebook that an exception has stopped.

    Args:
        ename: The name of the exception's class.

    Returns:
        That of opsnb's own error; 130 for an interrupt; 24 for the notebook's own failing code,
        which is a gate, too.
    """
    known = getattr(errors, ename, None)
    if isinstance(known, type) and issubclass(known, OpsnbError):
        return known.exit_status
    return Interrupted.exit_status if ename in STOPPED else GateClosed.exit_status


# --- parameters --------------------------------------------------------------------------------


def parameters(notebook: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """Values for a notebook's parameters, each of the type of the one that it replaces.

    Args:
        notebook: The notebook.
        given: Values as text, by name.

    Raises:
        ConfigError: There is no such notebook, no such parameter, or a value is of another type.
    """
    try:
        known = inspect_notebook(str(notebook))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the notebook {notebook}: {safe(str(error))}") from error
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ConfigError(
                f"{notebook.name} has no parameter {safe(name)!r}", f"Its parameters: {listed}."
            )
    return {name: _typed(name, text, known[name]["default"]) for name, text in given.items()}


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


# --- the record --------------------------------------------------------------------------------


def _heading(cell: Any) -> str:
    """The last heading of a text cell."""
    if cell.cell_type != "markdown":
        return ""
    headings = [line.lstrip("# ") for line in cell.source.split("\n") if line.startswith("#")]
    return safe(headings[-1]) if headings else ""


def _counts(cell: Any) -> bool:
    """Whether a cell is code of the runbook's own, and not what papermill put in."""
    injected = "injected-parameters" in cell.metadata.get("tags", [])
    return cell.cell_type == "code" and not injected


def _cells(record: Path) -> int:
    if not record.exists():
        return 0
    return sum(map(_counts, nbformat.read(record, 4).cells))  # type: ignore[no-untyped-call]


def _page(record: Path) -> Path | None:
    """The record as a page. It holds no script: a record runs nothing and fetches nothing."""
    if not record.exists():
        return None
    exporter = HTMLExporter(embed_images=True)  # type: ignore[no-untyped-call]
    body, _ = exporter.from_filename(str(record))
    page = record.with_suffix(".html")
    page.write_text(_SCRIPT.sub("", body), "utf-8")
    return page
