"""Notebook kernels that differ in ipykernel's version and in nothing else.

Rule 1: each has a small environment of its own that holds ipykernel alone; all other packages are
    those of the environment that runs the tests.
Rule 2: tests make no environment, since that needs a network: ``python -m tests.support.kernels``
    does, and ``tests/run`` calls it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]

PINNED = {"opsnb-6": "6.31.*", "opsnb-7.3": "7.3.*"}
"""Kernels with an older ipykernel: one of the last major version, and the last whose buttons' calls
run on a thread of their own."""

NEW = "opsnb-new"
"""The kernel of the environment that runs the tests."""

KERNELS = (*PINNED, NEW)


def python(kernel: str) -> Path:
    """The interpreter of a kernel; it may be missing."""
    if kernel == NEW:
        return Path(sys.executable)
    return _folder(kernel) / "bin/python"


def _folder(kernel: str) -> Path:
    return ROOT / f".venv-ipykernel-{PINNED[kernel].removesuffix('.*')}"


def make(kernel: str) -> None:
    """Make a kernel's environment, unless it is there."""
    if kernel == NEW or _ready(kernel):
        return
    venv.create(_folder(kernel), with_pip=False, clear=True)
    own = sysconfig.get_path("purelib")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    wanted = f"ipykernel=={PINNED[kernel]}"
    subprocess.run([*pip, "--no-deps", "--target", str(_packages(kernel)), wanted], check=True)
    # Last, so that an environment without it was not finished. addsitedir and no bare path: it
    # reads the .pth files there too, and an editable install is one.
    _link(kernel).write_text(f"import site; site.addsitedir({own!r})\n")


def _packages(kernel: str) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(_folder(kernel))}))


def _link(kernel: str) -> Path:
    return _packages(kernel) / "zz-tests.pth"


def _ready(kernel: str) -> bool:
    return python(kernel).exists() and _link(kernel).exists()


def require_kernel(kernel: str) -> str:
    """The kernel's name, when it is there; else the test is skipped, and in CI it fails."""
    if kernel != NEW and not _ready(kernel):
        _missing(f"the kernel {kernel} is not here: python -m tests.support.kernels")
    return kernel


def _missing(text: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{text} (in CI nothing is skipped)")
    pytest.skip(text)


def write_specs(folder: Path) -> Path:
    """Write the kernels' descriptions below a folder, which then is one for ``JUPYTER_PATH``.

    Returns:
        The folder that holds them.
    """
    kernels = folder / "kernels"
    for kernel in KERNELS:
        command = [str(python(kernel)), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": command, "display_name": kernel, "language": "python"}
        (kernels / kernel).mkdir(parents=True, exist_ok=True)
        (kernels / kernel / "kernel.json").write_text(json.dumps(spec))
    return kernels


if __name__ == "__main__":
    for each in PINNED:
        make(each)
