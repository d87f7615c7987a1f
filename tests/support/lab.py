"""A real JupyterLab, with a home, a configuration and a port of its own.

It asks for no token: it listens on loopback, for as long as the tests run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.kernels import write_specs
from tests.support.ports import free_port

HOST = "127.0.0.1"
_START_SECONDS = 60.0

THEMES = ("JupyterLab Light", "JupyterLab Dark")

_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Else the outputs of cells that are out of sight have no text.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # A file that changes on disk, or a kernel that restarts, is a test's doing.
    "docmanager-extension/plugin": {"autosave": False},
    "apputils-extension/themes": {"theme": THEMES[0]},
}


class Lab:
    """A JupyterLab server.

    Attributes:
        url: where it answers.
        work: the folder whose notebooks it opens.
    """

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="opsnb-lab-", dir="/tmp"))
        self.work = self.base / "work"
        self.work.mkdir()
        self.url = f"http://{HOST}:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._set_up()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _set_up(self) -> None:
        for name, said in _SETTINGS.items():
            file = self.base / f"settings/@jupyterlab/{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(said))
        write_specs(self.base / "data")

    def _start(self) -> None:
        log = (self.base / "log").open("wb")
        with log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab does not start:\n{self.log()}")
            time.sleep(0.1)

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyter", "lab", "--no-browser"),
            f"--ip={HOST}",
            f"--port={urlsplit(self.url).port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.allow_root=True",
            f"--ServerApp.root_dir={self.work}",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            "--ServerApp.disable_check_xsrf=True",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]

    def _environment(self) -> dict[str, str]:
        ours = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        plain = {name: value for name, value in os.environ.items() if name != "OPSNB_FACE"}
        return plain | {name: str(self.base / folder) for name, folder in ours.items()}

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/status", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log(self) -> str:
        """What the server wrote to its log until now."""
        return (self.base / "log").read_text(errors="backslashreplace")

    def close(self) -> None:
        """End the server and its kernels, and remove its folders."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.base, ignore_errors=True)

    def write(self, name: str, cells: Iterable[str], kernel: str) -> Path:
        """Write a notebook of code cells, for a kernel."""
        path = self.work / name
        path.write_text(json.dumps(notebook(cells, kernel)))
        return path


def notebook(cells: Iterable[str], kernel: str) -> dict[str, Any]:
    """A notebook of code cells that were not run."""
    made: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(cells)
    ]
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    return {"cells": made, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
