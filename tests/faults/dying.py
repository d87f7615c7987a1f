"""Clients that are killed: a program that makes one for each line it reads, and kills it.

It has imported all that a client needs, so that each is but a fork. A line is JSON: ``site`` and
``config`` of an ssh_config (or none), ``verb``, ``source``, ``at`` (the number of the call to the
server that it dies at; 0 for none), ``after`` (whether it dies after that call or before it), and
``seconds`` (when it is killed wherever it is; 0 for never). The answer is the names of the calls it
made.
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

from opsnb.core.config import Address
from opsnb.engine.switch import PruneWork, RollbackWork
from opsnb.remote.ssh import ssh_remote
from tests.faults.faulty import Faulty, Plot
from tests.faults.lab import SETTINGS, change, deploying, folder

WORKS = {
    "deploy": lambda source: deploying(Path(source)),
    "rollback": lambda _source: RollbackWork(SETTINGS),
    "prune": lambda _source: PruneWork(1),
}


def die() -> None:
    """Be killed, as by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


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
            die()

    plot.watch = watch
    await change(Faulty(real, plot), order["verb"], WORKS[order["verb"]](order["source"]))
    await real.close()


def one(order: dict[str, Any]) -> list[str]:
    """A client, from its beginning to its end; the calls that it made."""
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
    os.waitpid(pid, 0)
    with os.fdopen(hear) as heard:
        return heard.read().split()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(one(json.loads(line))), flush=True)
