"""Somebody who reads through ``current`` all the time never fails, whatever is published."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opsnb.remote.local import local_remote
from tests.support.sshd import require

SWITCHES = 400
NAMES = ("20260101000000", "20260101000001")


class Reader:
    """Opens a file through ``current`` as fast as it can until it is stopped."""

    def __init__(self, site: Path) -> None:
        self._path = site / "current" / "index"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.opened = self.failed = 0

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                self._path.read_bytes()
                self.opened += 1
            except OSError:
                self.failed += 1

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


async def prepared(site: Path) -> tuple[Any, Any]:
    remote = local_remote(str(site), 60, 20)
    held = await remote.lock("tester", "here", "now", "reading")
    assert held is not None
    for number, name in enumerate(NAMES, 1):
        record = f'{{"name": "{name}", "seq": {number}, "state": "good"}}\n'
        await held.begin(name, record.encode())
        await held.hook(f"releases/{name}", "echo x > index", {}, 10, lambda _said: None)
    await held.publish(NAMES[0], b"")
    return remote, held


async def test_hundreds_of_switches_fail_no_reader(tmp_path: Path) -> None:
    remote, held = await prepared(tmp_path / "site")
    with Reader(tmp_path / "site") as reader:
        for number in range(SWITCHES):
            was, name = NAMES[number % 2], NAMES[(number + 1) % 2]
            await held.publish(name, f"releases/{was}".encode())
    await held.release()
    await remote.close()
    assert reader.failed == 0
    assert reader.opened > SWITCHES


def switching(site: Path, command: Callable[[str], list[str]]) -> Reader:
    with Reader(site) as reader:
        for number in range(SWITCHES):
            name = NAMES[(number + 1) % 2]
            subprocess.run(command(name), cwd=site, check=True)
    return reader


async def test_the_control_busybox_ln_fails_readers(tmp_path: Path) -> None:
    """BusyBox's ``ln -sfn`` removes the link and makes it anew: the reader must notice."""
    busybox = require("busybox")
    site = tmp_path / "site"
    remote, held = await prepared(site)
    await held.release()
    await remote.close()
    reader = switching(site, lambda name: [busybox, "ln", "-sfn", f"releases/{name}", "current"])
    assert reader.failed > 0
