"""JupyterLab with the runbooks, on this machine only.

Rule 1: a notebook that somebody has changed is never written over.
Rule 2: the token is made anew each time, and never stands in a list of processes; a JupyterLab
        that answers without it is ended at once.
Rule 3: what was started is ended: JupyterLab, with its kernels.
"""

from __future__ import annotations

import html
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from opsnb.errors import ConfigError, OpsnbError

HOST = "127.0.0.1"
READY = 60.0  # seconds that JupyterLab may take to answer
PAGE = "open-jupyterlab.html"  # no hidden name: a confined browser may not read such
GRACE = 15.0  # seconds that it may take to end its kernels
NEWS = "@jupyterlab/apputils-extension:announcements"  # it asks whether to ask for news
CONSOLE = "console.ipynb"
MADE = "# Made by `opsnb lab`, which writes it anew at each start.\n"
OPTIONS = (
    "--no-browser",
    f"--ServerApp.ip={HOST}",
    "--ServerApp.base_url=/",
    "--ServerApp.port_retries=0",
    # Nothing is asked of any other machine.
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def notebooks() -> Path:
    """Where the package's notebooks are: beside it in a checkout, in it when it was installed.

    Raises:
        OpsnbError: They are not there: the package is not whole.
    """
    here = Path(__file__).parent
    for folder in (here / "notebooks", here.parent / "notebooks"):
        if (folder / "00-tour.ipynb").is_file():
            return folder
    raise OpsnbError("opsnb's notebooks are missing", "Install opsnb again.")


def copy_notebooks(folder: Path, config: str = "", ssh_config: str = "") -> list[str]:
    """Copy the notebooks into a working folder.

    Args:
        folder: The folder; it is made.
        config: The project file that is to stand among their parameters; theirs when not given.
        ssh_config: The ssh_config file, likewise.

    Returns:
        The names of those that are not as they come, and were kept.

    Raises:
        ConfigError: The folder cannot be written.
    """
    kept = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(notebooks().glob("*.ipynb")):
            target, text = folder / source.name, source.read_text("utf-8")
            made = _with(_with(text, "config", config), "ssh_config", ssh_config)
            if target.exists() and target.read_bytes() not in (text.encode(), made.encode()):
                kept.append(source.name)
            else:
                target.write_text(made, "utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror or error}") from error
    return kept


def _with(text: str, name: str, value: str) -> str:
    """A notebook, as a file has it, with another default of a parameter that is a text."""
    if not value:
        return text
    line = json.dumps(f"{name} = {json.dumps(value)}")[1:-1]
    return re.sub(rf'(?<="){name} = \\"[^"]*\\"', lambda _: line, text)


def write_project(folder: Path, config: str, ssh_config: str) -> None:
    """Write the project file of the embedded server, and the ssh_config that knows its keys.

    Args:
        folder: The working folder.
        config: The project file's text.
        ssh_config: The ssh_config's text.

    Raises:
        ConfigError: A project file of somebody's own is there.
    """
    for name, text in (("opsnb.toml", config), ("ssh_config", ssh_config)):
        file = folder / name
        if file.exists() and not file.read_text("utf-8", "replace").startswith(MADE):
            raise ConfigError(
                f"{file} was not made by `opsnb lab`, and is kept",
                "Use it with --config, or name another folder.",
            )
        file.write_text(MADE + text, "utf-8")


def copy_sources(folder: Path, versions: Mapping[str, Path]) -> None:
    """Copy the small site in its versions to ``site/``, to be changed and deployed.

    Args:
        folder: The working folder.
        versions: Where each version is; one that is there already is kept as it is.
    """
    for name, source in versions.items():
        target = folder / "site" / name
        if not target.exists():
            shutil.copytree(source, target)


def write_console(folder: Path, config: str, ssh_config: str) -> bool:
    """Write ``console.ipynb``, a notebook of one cell, which shows the console.

    Args:
        folder: The working folder.
        config: The project file.
        ssh_config: The ssh_config; empty for the user's own.

    Returns:
        Whether it was written; one that somebody has changed is kept.
    """
    more = f", ssh_config={ssh_config!r}" if ssh_config else ""
    source = f"import opsnb\n\nopsnb.console(opsnb.load({config!r}{more}))"
    file = folder / CONSOLE
    if file.exists() and not _is_ours(file):
        return False
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "console",
        "metadata": {},
        "outputs": [],
        "source": source,
    }
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "opsnb": {"made": source}}
    book = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    file.write_text(json.dumps(book, indent=1) + "\n", "utf-8")
    return True


def _is_ours(file: Path) -> bool:
    """Whether a console notebook holds no code but the line that was written into it."""
    try:
        book = json.loads(file.read_text("utf-8"))
        cells = ["".join(cell["source"]) for cell in book["cells"]]
        return list(filter(None, cells)) == [book["metadata"]["opsnb"]["made"]]
    except (ValueError, KeyError, TypeError):
        return False


class Lab:
    """A JupyterLab that runs; as a context manager it is ended at the end.

    Args:
        folder: What it shows.
        port: Where it listens; a free one when 0.
        stopped: When it is set, nobody waits for the start any more.

    Attributes:
        url: Where it is, without the token.
    """

    def __init__(self, folder: Path, port: int = 0, stopped: threading.Event | None = None) -> None:
        self._folder = folder
        self._stopped = stopped or threading.Event()
        self._port = port or _free_port()
        self._token = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{HOST}:{self._port}"

    def address(self, path: str) -> str:
        """Where a browser opens something, with the token.

        Args:
            path: What, for instance ``lab/tree/00-tour.ipynb``.
        """
        return f"{self.url}/{path}?token={self._token}"

    def page(self, path: str) -> Path:
        """A page of the owner's that leads there: whoever starts a browser names it, not the token.

        Args:
            path: As for :meth:`address`.
        """
        page = self._folder / PAGE
        page.unlink(missing_ok=True)
        descriptor = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            there = html.escape(self.address(path))
            file.write(
                f'<!doctype html><meta charset="utf-8"><title>opsnb</title>'
                f'<meta http-equiv="refresh" content="0;url={there}">'
                f'<a href="{there}">JupyterLab</a>'
            )
        return page

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            OpsnbError: It ended, or did not answer in time; its last words are told.
            ConfigError: It would answer to everybody on this machine.
        """
        root = ["--ServerApp.allow_root=True"] if os.geteuid() == 0 else []
        place = [f"--ServerApp.port={self._port}", f"--ServerApp.root_dir={self._folder}"]
        own = self._folder / ".opsnb-lab"
        log = own / "jupyterlab.log"
        settings = own / "labconfig" / "page_config.json"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps({"disabledExtensions": {NEWS: True}}), "utf-8")
        paths = [str(own), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *OPTIONS, *place, *root],
                cwd=self._folder,
                env={
                    **os.environ,
                    "JUPYTER_TOKEN": self._token,
                    "JUPYTER_CONFIG_PATH": os.pathsep.join(paths),
                },
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                # Ctrl-C is for this process, which then ends that one in order.
                start_new_session=True,
            )
        try:
            self._wait(log)
            if self.answers(""):
                raise ConfigError(
                    "your Jupyter configuration switches the token off",
                    "Take `token` out of it: `jupyter --paths` lists where it may be.",
                )
        except BaseException:
            self.stop()
            raise

    def _wait(self, log: Path) -> None:
        until = time.monotonic() + READY
        while not self._stopped.is_set() and not self.answers(self._token):
            if not self.running or time.monotonic() > until:
                said = log.read_text("utf-8", "replace").strip().split("\n")[-5:]
                raise OpsnbError("JupyterLab did not start", "\n".join(said))
            time.sleep(0.1)

    def answers(self, token: str) -> bool:
        """Whether it answers to somebody.

        Args:
            token: The token that they have; empty for none.
        """
        line = HTTPConnection(HOST, self._port, timeout=5)
        try:
            headers = {"Authorization": f"token {token}"} if token else {}
            line.request("GET", "/api/status", headers=headers)
            return line.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            line.close()

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> int | None:
        """Wait for its end.

        Args:
            seconds: How long at most.

        Returns:
            Its exit status; None when it has not ended.
        """
        if self._process is None:
            return 0
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End it, with its kernels."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
        if self.wait(GRACE) is None:
            self._process.kill()
            self._process.wait()
        self._process = None
        with suppress(OSError):  # it leads nowhere any more
            (self._folder / PAGE).unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
