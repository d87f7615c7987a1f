"""One run of a notebook, by papermill."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import nbformat
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.warnings import MissingIDFieldWarning
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

from opsnb.core.text import safe
from opsnb.errors import ConfigError, GateClosed
from opsnb.headless import record as records
from opsnb.headless.ended import DIED, INTERRUPTED, Stop, lines, raised
from opsnb.headless.given import as_papermill_names
from opsnb.headless.told import CellBegan, CellEnded, CellSaid, RunReport, Told

ENGINE = "opsnb"
WORDS = 2000  # characters of what a kernel says of itself


class Run:
    """One run of a notebook.

    Args:
        notebook: The notebook.
        record: Where the executed notebook is kept.
        parameters: Values for its parameters.
        tell: Is told what happens, on the thread that runs the notebook.
        kernel: The kernel; the notebook's own when not given.

    Attributes:
        words: What the kernel has said of itself, and not as a cell's output.
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
        self._guard = threading.Lock()
        self._in_cell = False
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ran = self._cells = 0
        self.words = ""

    def stop(self) -> None:
        """Interrupt the cell that runs, and run no further one. From any thread."""
        with self._guard:
            self._stop.set()
            if self._in_cell:
                self._interrupt()

    def in_cell(self) -> None:
        """The kernel has begun with a cell: it hears an interrupt, which before it does not."""
        with self._guard:
            self._in_cell = True
            if self._stop.is_set():
                self._interrupt()

    def _interrupt(self) -> None:
        self._ask(lambda kernel: kernel.interrupt_kernel())

    def kill(self) -> None:
        """End the kernel at once. What it was doing on a server is cleared by the next change."""
        self._ask(lambda kernel: kernel.shutdown_kernel(now=True))

    def _ask(self, what: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Ask the kernel's manager for something, on the loop that it belongs to."""
        client, loop = self._client, self._loop
        if client is not None and client.km is not None and loop and not loop.is_closed():
            asyncio.run_coroutine_threadsafe(what(client.km), loop)

    def execute(self) -> RunReport:
        """Run the notebook, and keep its record.

        Returns:
            How it ended, whatever it was that ended it.

        Raises:
            ConfigError: The kernel cannot be started.
        """
        began = time.monotonic()
        try:
            stop = self._executed()
        finally:
            # nbclient made it for this thread, and leaves it open.
            ensure_event_loop().close()
        page, page_error = self._page()
        return RunReport(
            notebook=str(self._notebook),
            record=str(self._record),
            page=page,
            ran=self._ran,
            cells=self._cells,
            seconds=round(time.monotonic() - began, 3),
            error=stop.ename,
            message=stop.message,
            exit_status=stop.exit_status,
            page_error=page_error,
        )

    def _executed(self) -> Stop:
        """Run the cells; what stopped them."""
        try:
            self._execute()
        except PapermillExecutionError as error:
            stop = raised(error.ename, error.evalue)
        except (OSError, RuntimeError) as error:
            stop = self._broken(error)
        else:
            stop = Stop()
        return INTERRUPTED if self._stop.is_set() else stop

    def _broken(self, error: OSError | RuntimeError) -> Stop:
        """What stopped a run that was not stopped by a cell's own error."""
        if self._client is None:
            raise ConfigError(f"the kernel does not start: {error}", self.words) from error
        if isinstance(error, DeadKernelError):
            return Stop(type(error).__name__, DIED, GateClosed.exit_status)
        said = f"the record cannot be kept: {error}"
        return Stop(type(error).__name__, said, GateClosed.exit_status)

    def _execute(self) -> None:
        papermill_engines.register(ENGINE, _engine(self))
        with warnings.catch_warnings():
            # Cells without an id, as older programs write them: papermill gives them one.
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            # A name that does not end as notebooks' names do: it was read as one all the same.
            warnings.filterwarnings("ignore", "the file is not specified with", UserWarning)
            warnings.filterwarnings("ignore", "The specified file", UserWarning)
            execute_notebook(
                as_papermill_names(self._notebook),
                as_papermill_names(self._record),
                self._parameters,
                engine_name=ENGINE,
                kernel_name=self._kernel or None,
                progress_bar=False,
            )

    def _page(self) -> tuple[str, str]:
        """The page, or why there is none."""
        try:
            return str(records.page(self._record, self._notebook.parent)), ""
        except Exception as error:  # noqa: BLE001 - the exit status is the runbook's, not the page's
            return "", f"{type(error).__name__}: {safe(str(error).partition(chr(10))[0])}"

    # --- called by papermill -------------------------------------------------------------------

    def begin(self, client: Client) -> None:
        """Run the cells, one after the other."""
        self._client, self._loop = client, ensure_event_loop()
        self._cells = sum(map(records.counts, client.nb.cells))
        section, number = "", 0
        for index, cell in enumerate(client.nb.cells):
            section = records.heading(cell) or section
            if records.counts(cell):
                if self._stop.is_set():
                    return
                number += 1
                line = cell.source.strip().partition("\n")[0]
                self._tell(CellBegan(number, self._cells, section, safe(line)))
            if not self._one(client, cell, index, number):
                return

    def _one(self, client: Client, cell: Any, index: int, number: int) -> bool:
        """Run a cell as papermill does; whether it went well."""
        began, runs, ok = time.monotonic(), False, False
        try:
            client.nb_man.cell_start(cell, index)
            # Told to stop while the record was written: the cell is not begun.
            runs = not self._stop.is_set()
            if runs:
                client.execute_cell(cell, index)
                ok = True
        except CellExecutionError as error:
            client.nb_man.cell_exception(client.nb.cells[index], cell_index=index, exception=error)
        except DeadKernelError:
            cell.outputs.append(_died())
            raise
        finally:
            self._in_cell = False
            client.nb_man.cell_complete(client.nb.cells[index], cell_index=index)
            if records.counts(cell):
                self._ran = number if runs else self._ran
                self._tell(CellEnded(number, ok, round(time.monotonic() - began, 3)))
        return ok

    def said(self, output: Any) -> None:
        """Tell what a cell puts out."""
        if output.output_type == "stream":
            text = "".join(output.text)
        else:
            text = "".join(output.get("data", {}).get("text/plain", ""))
        if text:
            self._tell(CellSaid(self._ran + 1, lines(text.removesuffix("\n"))))


class Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill is not typed
    """Papermill's client, whose cells are run by a :class:`Run`."""

    run: Run
    sockets: Path

    def create_kernel_manager(self) -> Any:
        """See nbclient; where it can, the kernel listens in a folder that only its owner enters.

        A port that was free when it was chosen can be taken by the time the kernel listens on it,
        and whoever has a login on the machine can connect to it.
        """
        manager = super().create_kernel_manager()
        if os.name == "posix" and any("ipykernel" in word for word in manager.kernel_spec.argv):
            manager.transport = "ipc"
            manager.ip = str(self.sockets / "kernel")
        return manager

    def papermill_execute_cells(self) -> None:
        """See papermill."""
        self.run.begin(self)

    def process_message(self, msg: Any, *args: Any, **kwargs: Any) -> Any:
        """See nbclient; what is put out is told, too."""
        if msg["msg_type"] == "execute_input":
            self.run.in_cell()
        output = super().process_message(msg, *args, **kwargs)
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
                # Where it speaks over TCP, which is loopback here, it says so at every start.
                extra_arguments=["--log-level=40"],
            )
            client.run = run
            # No widget where nobody can see it, whatever the shell that began this runs in.
            env = {key: value for key, value in os.environ.items() if key != "JPY_SESSION_NAME"}
            env["OPSNB_FACE"] = "static"
            # What a kernel says of itself is for nobody, unless it does not start.
            with TemporaryFile() as words, TemporaryDirectory(prefix="opsnb-") as sockets:
                client.sockets = Path(sockets)
                try:
                    return client.execute(env=env, stdout=words, stderr=words)
                finally:
                    words.seek(0)
                    run.words = lines(words.read().decode("utf-8", "replace")[-WORDS:].strip())

    return Engine


def _died() -> Any:
    output: Any = nbformat.v4.new_output(  # type: ignore[no-untyped-call]
        "error", ename=DeadKernelError.__name__, evalue=DIED, traceback=[DIED]
    )
    return output
