"""``opsnb lab``: JupyterLab with the runbooks, and a server to try them on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from opsnb.cli import json_out
from opsnb.cli.brief import settled
from opsnb.cli.live import SIGNALS
from opsnb.cli.options import Setup, json_option, with_setup
from opsnb.cli.streams import hung_up, put
from opsnb.core.text import safe
from opsnb.errors import OpsnbError

if TYPE_CHECKING:
    from opsnb.lab import Lab
    from opsnb.project import DemoProject

POLL = 0.5
VERSIONS = ("v1", "v2", "v3")
SOURCE = "site/v2"
TOUR = "00-tour.ipynb"


@dataclass(frozen=True)
class Desk:
    """A working folder that is ready.

    Attributes:
        folder: The folder.
        config: The project file.
        ssh_config: The ssh_config file; empty for the user's own.
        kept: The notebooks that are not as they come, and were left alone.
    """

    folder: Path
    config: str
    ssh_config: str
    kept: list[str]


@click.command("lab")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="opsnb-lab")
@click.option("--console", is_flag=True, help="Open the console alone.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Where it listens; a free port when not given.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Your own project, in place of the embedded server.",
)
@json_option
@with_setup
def lab(
    setup: Setup,
    folder: Path,
    console: bool,
    port: int,
    no_browser: bool,
    config: Path | None,
    as_json: bool,
) -> int:
    """Start JupyterLab with the lesson and the runbooks.

    They are copied into FOLDER (./opsnb-lab). A server runs inside this process, and opsnb.toml in
    the folder names it. JupyterLab listens on this machine only, and asks for the token that the
    printed address holds. Ctrl-C ends everything. Notebooks that you have changed are kept as they
    are.
    """
    from opsnb.lab import CONSOLE, Lab  # noqa: PLC0415 - loaded when it is started
    from opsnb.project import demo  # noqa: PLC0415 - as above

    settled()
    where, own = folder.resolve(), config or setup.config
    with _stopping() as stopped, ExitStack() as servers:
        if own:
            desk = _own(where, own, setup.ssh_config)
        else:
            desk = _embedded(where, servers.enter_context(demo()))
        with Lab(where, port, stopped) as running:
            path = f"doc/tree/{CONSOLE}" if console else f"lab/tree/{TOUR}"
            if not stopped.is_set():
                _tell(running.address(path), desk, as_json, console=console)
                if not no_browser and _sees():
                    with suppress(OSError):  # the address was told
                        webbrowser.open(running.page(path).as_uri())
            _watch(running, stopped)
    return 0


def _embedded(folder: Path, project: DemoProject) -> Desk:
    """A folder to work on the embedded server."""
    from opsnb import lab as labs  # noqa: PLC0415 - as above
    from opsnb.runbooks.scenes import lay_out  # noqa: PLC0415 - as above

    kept = labs.copy_notebooks(folder)
    lay_out("live", project)
    labs.copy_sources(folder, {name: project.site(name) for name in VERSIONS})
    config = project.embedded.config.replace("[project]\n", f'[project]\nsource = "{SOURCE}"\n', 1)
    labs.write_project(folder, config, project.embedded.ssh_config.read_text("utf-8"))
    return _with_console(Desk(folder, "opsnb.toml", "ssh_config", kept))


def _own(folder: Path, config: Path, ssh_config: Path | None) -> Desk:
    """A folder to work on somebody's own servers."""
    from opsnb import lab as labs  # noqa: PLC0415 - as above
    from opsnb.project import load  # noqa: PLC0415 - as above

    load(config, ssh_config)  # what is wrong with it is said here, and not in a cell
    named = str(config.resolve()), str(ssh_config.resolve()) if ssh_config else ""
    return _with_console(Desk(folder, *named, labs.copy_notebooks(folder, *named)))


def _with_console(desk: Desk) -> Desk:
    from opsnb import lab as labs  # noqa: PLC0415 - as above

    if not labs.write_console(desk.folder, desk.config, desk.ssh_config):
        desk.kept.append(labs.CONSOLE)
    return desk


def _tell(address: str, desk: Desk, as_json: bool, *, console: bool) -> None:
    if as_json:
        facts = {"folder": safe(str(desk.folder)), "config": safe(desk.config), "kept": desk.kept}
        json_out.document({"url": address, **facts})
        return
    lines = [f"JupyterLab  {address}", f"folder      {safe(str(desk.folder))}"]
    if desk.kept:
        lines.append(f"kept        {', '.join(desk.kept)}: not as they come with opsnb")
    if console:
        lines.append("            press Shift+Enter in its cell when the kernel is idle")
    put("\n".join([*lines, "Ctrl-C ends it.", ""]))


def _sees() -> bool:
    """Whether a browser can be seen where this runs."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _watch(running: Lab, stopped: threading.Event) -> None:
    """Wait for a signal, or for the end that its own menu gives it."""
    while not stopped.is_set():
        status = running.wait(POLL)
        if status:
            raise OpsnbError(
                f"JupyterLab has failed with exit status {status}",
                "Its log is .opsnb-lab/jupyterlab.log in the folder.",
            )
        if status == 0:
            return


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Signals end it in order; a second one does not hurry it."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        hung_up(number)
        stopped.set()

    before = {
        number: signal.signal(number, stop)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
