"""Sets up what the benchmark needs on a Debian system, and says what is on the machine."""

from __future__ import annotations

import compileall
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import opsnb

_PACKAGES = {
    "rsync": "rsync",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "gcc": "gcc",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "ip": "iproute2",
    "zstd": "zstd",
}
PACKAGE = Path(opsnb.__file__).parent
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def install() -> None:
    """Install what is not here, if this is root on a system with apt-get.

    Raises:
        subprocess.CalledProcessError: The packages cannot be had.
    """
    wanted = [package for tool, package in _PACKAGES.items() if not shutil.which(tool, path=_PATH)]
    if not any(Path("/usr").glob("lib*/**/libnss_wrapper.so")):
        wanted.append("libnss-wrapper")
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        get = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *wanted]
        for command in (["apt-get", "-qq", "update"], get):
            subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=True)


def as_installed() -> None:
    """Have the tools that are written in Python run as pip leaves them: compiled once.

    pip compiles what it installs. This checkout, which it only points to, would be compiled anew by
    each command where the environment says ``PYTHONDONTWRITEBYTECODE``: some 150 ms of it.

    Raises:
        RuntimeError: There is no room for what was compiled, or no right to write it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not compileall.compile_dir(PACKAGE, quiet=2):
        raise RuntimeError(f"{PACKAGE} cannot be compiled")


def machine() -> dict[str, str]:
    """What the report says about this machine, and the programs that were compared."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) >> 20} GiB",
        "system": f"{_system()}, Linux {platform.release()}",
        "file systems": "fresh ext4 with a journal for the source and for the sites, on loop "
        "devices with direct access",
        "Python": platform.python_version(),
        "rsync": _said("rsync", "--version").split(" protocol")[0].split("version ")[-1].strip(),
        "ssh": _said("ssh", "-V"),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "0"


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", sys.platform)


def _said(*command: str) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return (done.stdout.splitlines() or ["?"])[0]
