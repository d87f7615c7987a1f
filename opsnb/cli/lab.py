"""``opsnb lab``: JupyterLab with the runbooks, and a server to try them on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from opsnb.cli.streams import put
from opsnb.errors import ConfigError

if TYPE_CHECKING:
    from opsnb.lab import Lab
    from opsnb.project import DemoProject

POLL = 0.5
VERSIONS = ("v1", "v2", "v3")
SOURCE = "site/v2"


@click.command("lab")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="opsnb-lab")
@click.option("--console", is_flag=True, help="Open the console alone.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where it listens.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Your own project, in place of the embedded server.",
)
def lab(folder: Path, console: bool, port: int, no_browser: bool, config: Path | None) -> int:
    """Start JupyterLab with the lesson and the runbooks, copied into FOLDER (./opsnb-lab).

    A server runs inside this process, and opsnb.toml in the folder names it. It listens on this
    machine only, and asks for the token that the printed address holds. Ctrl-C ends everything.
    Notebooks that you have changed are kept as they are.
    """
    from opsnb import lab as labs  # noqa: PLC0415 - loaded when it is started
    from opsnb.project import demo  # noqa: PLC0415 - as above

    where = folder.resolve()
    _, kept = labs.copy_notebooks(where)
    with _stopping() as stopped, nullcontext() if config else demo() as project:
        if project is not None:
            _lay_out(project, where)
        named = str(config.resolve()) if config else "opsnb.toml"
        opened = labs.write_console(where, named, "" if config else "ssh_config")
        with labs.Lab(where, port) as running:
            path = f"doc/tree/{opened}" if console else "lab/tree/00-tour.ipynb"
            _tell(running.address(path), where, kept, console=console)
            if not no_browser and _sees():
                webbrowser.open(running.address(path))
            _watch(running, stopped)
    return 0


def _lay_out(project: DemoProject, folder: Path) -> None:
    from opsnb import lab as labs  # noqa: PLC0415 - as above
    from opsnb.runbooks.scenes import lay_out  # noqa: PLC0415 - as above

    lay_out("live", project)
    labs.copy_sources(folder, {name: project.site(name) for name in VERSIONS})
    config = project.embedded.config.replace("[project]\n", f'[project]\nsource = "{SOURCE}"\n', 1)
    labs.write_project(folder, config, project.embedded.ssh_config.read_text("utf-8"))


def _tell(address: str, folder: Path, kept: list[str], *, console: bool) -> None:
    lines = [f"JupyterLab  {address}", f"folder      {folder}"]
    if kept:
        lines.append(f"kept        {', '.join(kept)}: changed by you")
    if console:
        lines.append("            press Shift+Enter in its cell to show the console")
    put("\n".join([*lines, "Ctrl-C ends it.", ""]))


def _sees() -> bool:
    """Whether a browser can be seen where this runs."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _watch(running: Lab, stopped: threading.Event) -> None:
    while not stopped.is_set():
        if running.wait(POLL):
            raise ConfigError(
                "JupyterLab has ended by itself", "Its log is .opsnb-lab/jupyterlab.log."
            )


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Signals end it in order; a second one does not hurry it."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
