"""``opsnb run``: a runbook, headless."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import click

from opsnb.cli import json_out
from opsnb.cli.brief import settled
from opsnb.cli.live import SIGNALS
from opsnb.cli.options import Setup, json_option, with_setup
from opsnb.cli.streams import Borne, hung_up
from opsnb.errors import ConfigError

if TYPE_CHECKING:
    from opsnb.headless import Run, RunReport, Told

POLL = 0.2


class Teller(Protocol):
    """Tells of a runbook that runs."""

    def watch(self) -> AbstractContextManager[object]:
        """What surrounds the telling: a display that is drawn while the runbook runs."""

    def tell(self, told: Told) -> None:
        """Tell of something that happened."""

    def end(self, report: RunReport) -> None:
        """Tell how it ended."""


@click.command("run")
@click.argument("notebook", type=click.Path(path_type=Path), metavar="NOTEBOOK")
@click.option(
    "-p",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter's value, for instance -p server=web1 -p confirm=web1.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The record; records/NAME-TIME.ipynb when not given. One that is there is replaced.",
)
@click.option("--kernel", default="", metavar="NAME", help="The kernel to run it with.")
@json_option
@with_setup
def run(
    setup: Setup,
    notebook: Path,
    given: tuple[str, ...],
    output: Path | None,
    kernel: str,
    as_json: bool,
) -> int:
    """Run a runbook without a front end, and keep the executed copy.

    The record is the executed notebook, and beside it a page of it for any browser; both are kept
    however it ends. The exit status is the runbook's: 0 when it came to its end, that of the error
    or of the %opsnb verb that stopped it, 24 when a gate or its own code did, 130 when it was
    interrupted.

    A runbook changes a real server only when its name is given: -p confirm=NAME. What stands before
    the verb, --config and --ssh-config, is handed on as its parameters config and ssh_config.
    """
    from opsnb import headless  # noqa: PLC0415 - papermill is loaded when a notebook is run

    settled()
    if not notebook.is_file():
        raise ConfigError(
            f"there is no notebook {notebook}", "`opsnb lab` copies the runbooks into a folder."
        )
    files = {"config": setup.config, "ssh_config": setup.ssh_config}
    values = headless.parameters(notebook, _values(given), files)
    kernel = headless.checked_kernel(notebook, kernel)
    if output is None:
        record = headless.of_its_own(Path("records"), _name(notebook))
    else:
        record = headless.at(notebook, output)
    teller = Lines() if as_json else _words()
    with teller.watch():
        words = Borne()
        report = _executed(headless.Run(notebook, record, values, _borne(teller, words), kernel))
    with words:
        teller.end(report)
    words.complain(f"exit status {report.exit_status}, {report.record}")
    return report.exit_status


def _borne(teller: Teller, words: Borne) -> Callable[[Told], None]:
    """What tells of a run, which goes on also when that can be written nowhere."""

    def tell(event: Told) -> None:
        with words:
            teller.tell(event)

    return tell


def _values(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    wrong = [name for name, mark, _ in pairs if not mark or not name]
    if wrong:
        raise ConfigError(f"{wrong[0]!r} is no parameter's value", "Write it as -p NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _name(notebook: Path) -> str:
    return f"{notebook.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _executed(made: Run) -> RunReport:
    """Run it on a thread of its own, so that a signal interrupts the kernel and not the record."""
    ended: dict[str, Any] = {}

    def work() -> None:
        try:
            ended["report"] = made.execute()
        except Exception as error:  # noqa: BLE001 - it is raised below, on the thread that waits
            ended["error"] = error

    thread = threading.Thread(target=work, name="opsnb-run")
    with _stopping(made):
        thread.start()
        while thread.is_alive():
            thread.join(POLL)
    if "error" in ended:
        raise ended["error"]
    report: RunReport = ended["report"]
    return report


@contextmanager
def _stopping(made: Run) -> Iterator[None]:
    """A signal interrupts the runbook; the second one ends its kernel."""
    times = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal times
        del frame
        hung_up(number)
        times += 1
        # Not in the handler itself: the kernel's manager is another thread's.
        threading.Thread(target=made.stop if times == 1 else made.kill, daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, stop)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Lines:
    """One line of JSON for each event, the report last."""

    def watch(self) -> AbstractContextManager[object]:
        """See :meth:`Teller.watch`."""
        return nullcontext()

    def tell(self, told: Told) -> None:
        """See :meth:`Teller.tell`."""
        json_out.line(told.to_dict())

    def end(self, report: RunReport) -> None:
        """See :meth:`Teller.end`."""
        json_out.line(report.to_dict())


def _words() -> Teller:
    from opsnb.cli.running import Words  # noqa: PLC0415 - rich is loaded when a person reads

    return Words()
