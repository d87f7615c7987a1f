"""The scripts that people write: rsync, a link, ``mv -T`` and ``rm``.

Two kinds of building a release: ``--link-dest`` (unchanged files are hard links to the release
before, which then share every later change) and ``cp -a`` of the live release (separate files).
Each with a connection that is reused and without, and each plain and durable.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.benchmarks.tools import Command, Target, Tool

_CONNECT_SECONDS = 15.0

_HEAD = """\
set -eu
ssh="ssh -F $CONFIG $OPTIONS"
"""

# $NEW is the new release's name, $KEEP how many stay, $TO the site; $FLUSH is `sync -f`, or `:`.
_SWITCH = """\
$ssh bench "set -e; cd $TO
    $FLUSH releases/$NEW
    ln -s releases/$NEW current.new && mv -T current.new current
    $FLUSH .
    ls -1 releases | head -n -$KEEP | sed 's,^,releases/,' | xargs -r rm -rf"
"""

_LINK_DEST = """\
rsync $RSYNC --delete --mkpath -e "$ssh" --link-dest=$TO/current "$TREE/" bench:$TO/releases/$NEW/
"""

_COPY = """\
$ssh bench "set -e; cd $TO; mkdir -p releases
    if [ -e current ]; then mkdir releases/$NEW; cp -a current/. releases/$NEW; fi"
rsync $RSYNC --delete -e "$ssh" "$TREE/" bench:$TO/releases/$NEW/
"""

_ROLLBACK = """\
$ssh bench 'set -e; cd '$TO'
    live=$(basename "$(readlink current)")
    before=$(ls -1 releases | grep -x -B 1 "$live" | head -n 1)
    [ "$before" != "$live" ]
    ln -s "releases/$before" current.new && mv -T current.new current
    '"$FLUSH"' .'
"""

_RELEASES = """\
$ssh bench "cd $TO && readlink current && du -sh releases/*"
"""

_PRUNE = """\
$ssh bench "set -e; cd $TO
    ls -1 releases | head -n -$KEEP | sed 's,^,releases/,' | xargs -r rm -rf
    $FLUSH ."
"""


class Script:
    """A shell script around rsync and ssh.

    Args:
        copies: ``cp -a`` of the live release, and not ``--link-dest``.
        warm: Whether one connection is kept open and reused (ControlMaster).
        durable: Whether it flushes the disk before the switch and after it.
    """

    group = "rsync"

    def __init__(self, *, copies: bool, warm: bool, durable: bool) -> None:
        kind = "cp -a" if copies else "link-dest"
        how = ("mux" if warm else "cold", "durable" if durable else "plain")
        self.name = ", ".join((f"rsync {kind}", *how))
        self.warm = warm
        self.durable = durable
        self._build = _COPY if copies else _LINK_DEST
        self._master: subprocess.Popen[bytes] | None = None
        self._last = datetime.min.replace(tzinfo=UTC)

    def missing(self) -> str:
        """Why it cannot run here: it needs rsync and ssh."""
        absent = [name for name in ("rsync", "ssh") if shutil.which(name) is None]
        return f"not here: {', '.join(absent)}" if absent else ""

    def open(self, target: Target) -> None:
        """Connect, if a connection is to be kept."""
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix="opsnb-script-"))
        if self.warm:
            self._master = self._connect()

    def close(self) -> None:
        """End the connection."""
        if self._master is not None:
            self._master.terminate()
            self._master.wait()
            self._master = None
        shutil.rmtree(self._folder)

    def deploy(self, tree: Path, keep: int = 3) -> Command:
        """Build, switch, prune."""
        return self._command(
            self._build + _SWITCH, TREE=str(tree), NEW=self._name(), KEEP=str(keep)
        )

    def rollback(self) -> Command:
        """Switch to the release before the live one."""
        return self._command(_ROLLBACK)

    def releases(self) -> Command:
        """``du`` over the releases, and where ``current`` leads."""
        return self._command(_RELEASES)

    def prune(self, keep: int) -> Command:
        """Remove all but the newest."""
        return self._command(_PRUNE, KEEP=str(keep))

    def _name(self) -> str:
        """The time, later than the last name: two releases may be made in one second here."""
        now = datetime.now(UTC).replace(microsecond=0)
        self._last = max(now, self._last + timedelta(seconds=1))
        return f"{self._last:%Y%m%d%H%M%S}"

    def _command(self, script: str, **values: str) -> Command:
        rsync = "-az" if self._target.slow else "-a"
        env = {
            "CONFIG": str(self._target.ssh_config),
            "OPTIONS": f"-o ControlPath={self._folder}/mux" if self.warm else "",
            "RSYNC": rsync,
            "TO": str(self._target.deploy_to),
            "FLUSH": "sync -f" if self.durable else ": ",
            **values,
        }
        running = (self._master.pid,) if self._master else ()
        return Command((*self._target.enter, "sh", "-c", _HEAD + script), env, running=running)

    def _connect(self) -> subprocess.Popen[bytes]:
        path = self._folder / "mux"
        master = subprocess.Popen(
            (*self._target.enter, "ssh", "-F", str(self._target.ssh_config), "-M", "-N",
             "-o", f"ControlPath={path}", "bench"),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _CONNECT_SECONDS
        while not path.exists():
            if master.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: no connection, status {master.poll()}")
            time.sleep(0.01)
        return master


def tools() -> list[Tool]:
    """Every kind of script."""
    kinds = itertools.product((True, False), repeat=3)
    return [Script(durable=d, warm=w, copies=c) for d, w, c in kinds]
