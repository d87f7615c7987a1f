"""Clients in processes of their own, to be killed or frozen at a call."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.lab import Scenario
from tests.support.sshd import RealSshd


class Clients:
    """Makes clients that are killed or frozen; see :mod:`tests.faults.dying`."""

    def __init__(self) -> None:
        self._maker = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.dying"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def one(self, sshd: RealSshd, site: Path, scenario: Scenario, **how: Any) -> list[str]:
        """Let a client die, or stop; the calls that it made."""
        order: dict[str, Any] = {
            "site": sshd.url(site),
            "config": str(sshd.ssh_config),
            "verb": scenario.verb,
        }
        order |= {"source": str(site.parent / "new"), "at": 0, "after": False, "seconds": 0}
        order |= {"watchdog": 0}
        order |= {"signal": signal.SIGKILL} | how
        return list(self._say(order))

    def wake(self) -> dict[str, Any]:
        """Let the client that was stopped go on to its end; what it reports."""
        return dict(self._say({"wake": True}))

    def _say(self, order: dict[str, Any]) -> Any:
        assert self._maker.stdin is not None
        assert self._maker.stdout is not None
        self._maker.stdin.write(json.dumps(order) + "\n")
        self._maker.stdin.flush()
        return json.loads(self._maker.stdout.readline())

    def close(self) -> None:
        """End."""
        self._maker.communicate(timeout=30)
