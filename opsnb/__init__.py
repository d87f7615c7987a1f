"""Atomic releases over SSH, from a Jupyter notebook.

::

    import opsnb

    project = opsnb.load("opsnb.toml")      # or opsnb.demo() for a server inside this process
    web1 = project.server("web1")
    web1.releases()                         # a DataFrame
    plan = web1.plan("dist/")               # reads only
    report = web1.deploy(plan).wait()       # or: await web1.deploy(plan)
    web1.rollback()

Importing this loads neither pandas nor asyncssh: each comes when it is first needed. In IPython it
also tells the shell how to show opsnb's objects, and nothing else is changed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from opsnb import errors
from opsnb.errors import OpsnbError
from opsnb.notebook.mode import shell as _shell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from opsnb.core.events import Outcome, Report
    from opsnb.job import Job
    from opsnb.notebook.console import console
    from opsnb.project import DemoProject, Project, demo, load
    from opsnb.runbooks import runbook
    from opsnb.server import DeployPlan, Server

__version__ = "0.1.0"

_HOMES = {
    "DemoProject": "opsnb.project",
    "DeployPlan": "opsnb.server",
    "Job": "opsnb.job",
    "Outcome": "opsnb.core.events",
    "Project": "opsnb.project",
    "Report": "opsnb.core.events",
    "Server": "opsnb.server",
    "console": "opsnb.notebook.console",
    "demo": "opsnb.project",
    "load": "opsnb.project",
    "runbook": "opsnb.runbooks",
}

__all__ = [
    "DemoProject",
    "DeployPlan",
    "Job",
    "OpsnbError",
    "Outcome",
    "Project",
    "Report",
    "Server",
    "console",
    "demo",
    "errors",
    "load",
    "runbook",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'opsnb' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%load_ext opsnb``; see :mod:`opsnb.magics`."""
    from opsnb.magics import load  # noqa: PLC0415 - nothing is changed until it is asked for

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%unload_ext opsnb``."""
    from opsnb.magics import unload  # noqa: PLC0415 - as above

    unload(shell)


if (_running := _shell()) is not None:
    from opsnb.notebook.formatters import register as _register

    _register(_running)
