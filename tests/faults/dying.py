"""Clients that are killed or frozen: a program that makes one for each line it reads.

It has imported all that a client needs, so that each is but a fork. A line is JSON: ``site`` and
``config`` of an ssh_config (or none), ``verb``, ``source``, ``at`` (the number of the call to the
server that it ends at; 0 for none), ``after`` (whether it ends after that call or before it),
``signal`` (what it is sent then), ``seconds`` (when it is killed wherever it is; 0 for never), and
``watchdog`` (the seconds of the watchdog of its switch; 0 for none).
The answer is the names of the calls it made, once it has ended or is stopped. ``wake`` in a line of
its own lets the one that was stopped go on to its end; the answer is its report.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from opsnb.core.address import Address
from opsnb.core.retention import Rules
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.remote.ssh import ssh_remote
from tests.faults.faulty import Faulty, Plot
from tests.faults.lab import change, deploying, folder, watched

WORKS = {
    "deploy": lambda source, watchdog: deploying(Path(source), watchdog),
    "rollback": lambda _source, watchdog: RollbackWork(watched(watchdog)),
    "prune": lambda _source, _watchdog: PruneWork(Rules(1)),
}


async def client(order: dict[str, Any], said: int) -> None:
    """Carry a change out, and die where it was said."""
    config, site = order["config"], order["site"]
    real = ssh_remote(Address.parse(site), Path(config), 60, 20) if config else folder(Path(site))
    plot = Plot()
    moments = [0]

    def watch() -> None:
        # Called before each call and after it.
        moments[0] += 1
        number, after = (moments[0] + 1) // 2, moments[0] % 2 == 0
        if not after:
            os.write(said, f"{plot.calls[-1]}\n".encode())
        if number == order["at"] and after is order["after"]:
            os.kill(os.getpid(), order["signal"])

    plot.watch = watch
    work = WORKS[order["verb"]](order["source"], order["watchdog"])
    report, error = await change(Faulty(real, plot), order["verb"], work)
    await real.close()
    told = {"outcome": report.outcome, "live": report.live, "switched": report.switched}
    told["exit_status"] = report.exit_status
    os.write(said, json.dumps(told | {"error": str(error)}).encode() + b"\n")


class Maker:
    """Makes clients, one after the other."""

    def __init__(self) -> None:
        self._pid = 0
        self._heard = -1

    def answer(self, order: dict[str, Any]) -> Any:
        """What is said to an order."""
        return self._wake() if order.get("wake") else self._one(order)

    def _one(self, order: dict[str, Any]) -> list[str]:
        """A client, until it has ended or is stopped; the calls that it made."""
        hear, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(hear)
            asyncio.run(client(order, said))
            os._exit(0)
        os.close(said)
        if order["seconds"]:
            time.sleep(order["seconds"])
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, os.WUNTRACED)
        calls = os.read(hear, 65536).decode().split("\n")
        if os.WIFSTOPPED(status):
            self._pid, self._heard = pid, hear
        else:
            os.close(hear)
        return [call for call in calls if call.isidentifier()]

    def _wake(self) -> Any:
        """Let the one that is stopped go on; its report."""
        os.kill(self._pid, signal.SIGCONT)
        os.waitpid(self._pid, 0)
        with os.fdopen(self._heard) as heard:
            return json.loads(heard.read().splitlines()[-1])


if __name__ == "__main__":
    maker = Maker()
    for line in sys.stdin:
        print(json.dumps(maker.answer(json.loads(line))), flush=True)
