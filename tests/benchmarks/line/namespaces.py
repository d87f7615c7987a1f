"""Network namespaces with names: made, set up, and removed."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/run/netns")
DEVICE = "line"

_MARK = "opsnb-line"

# No packets but the clients' own; and no memory of an earlier connection's losses, which would let
# one tool pay for another's.
_SETTINGS = """\
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save
"""


@contextlib.contextmanager
def namespace(name: str) -> Iterator[str]:
    """A new network namespace; yields its full name, which has this process's id in it."""
    full = f"{_MARK}-{os.getpid()}-{name}"
    _run("ip", "netns", "add", full)
    try:
        yield full
    finally:
        _run("ip", "netns", "del", full)


def set_up(name: str, address: str, peer: str) -> None:
    """Give a namespace its loopback, its end of the line, and its settings."""
    steps = (
        "link set lo up",
        f"addr add {address} peer {peer} dev {DEVICE}",
        f"link set {DEVICE} mtu 1500 txqueuelen 2000 up",
    )
    _run("nsenter", f"--net={FOLDER / name}", "sh", "-c", _SETTINGS)
    _run("ip", "-n", name, "-batch", "-", said="\n".join(steps) + "\n")


def remove_left_behind() -> None:
    """Remove the namespaces of processes that were killed before they could."""
    for path in FOLDER.glob(f"{_MARK}-*"):
        if not Path(f"/proc/{path.name.split('-')[2]}").exists():
            with contextlib.suppress(RuntimeError):  # somebody else may have been quicker
                _run("ip", "netns", "del", path.name)


def _run(*command: str, said: str = "") -> None:
    done = subprocess.run(
        command,
        input=said,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")
