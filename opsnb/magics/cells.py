"""``%opsnb`` and ``%%remote``."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from opsnb.core.output import Said
from opsnb.core.text import safe
from opsnb.errors import OpsnbError
from opsnb.job import unaccompanied
from opsnb.magics.failure import CellFailed
from opsnb.magics.servers import Servers
from opsnb.server import Server

if TYPE_CHECKING:
    from opsnb.core.readonly import Judged
    from opsnb.engine.run import CommandResult

CHANGE = ("--change", "--change {}")


class _Parser(argparse.ArgumentParser):
    """Reads the line of ``%%remote``; what is wrong with it fails the cell."""

    def __init__(self) -> None:
        super().__init__(
            "%%remote",
            usage="%%%%remote SERVER [--change [NAME]] [--timeout S] [--in PATH]",
            add_help=False,
            allow_abbrev=False,
        )
        self.add_argument("server")
        self.add_argument("--change", nargs="?", const=True, default=False)
        self.add_argument("--timeout", type=float, default=300.0)
        self.add_argument("--in", dest="directory", default="")

    def error(self, message: str) -> NoReturn:
        """See :meth:`argparse.ArgumentParser.error`."""
        usage = " ".join(self.format_usage().split())
        raise CellFailed(f"%%remote: {safe(message)}\n{usage}; `%%remote?` says more.")


@magics_class
class OpsnbMagics(Magics):
    """The magics, and the connections that they keep.

    Args:
        shell: The shell they belong to.
    """

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._variables: dict[str, Any] = shell.user_ns
        # A terminal shows both streams as one, and draws on standard error. In a notebook what
        # comes there looks like an error, and a verb tells of its progress there.
        self._shown_apart = getattr(shell, "kernel", None) is None
        self._servers = Servers()

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()

    @line_magic
    def opsnb(self, line: str) -> None:
        """Run a verb of the command line: ``%opsnb releases web1``.

        ``%opsnb --help`` lists the verbs. Variables of the notebook may stand in the line:
        ``%opsnb deploy web1 {folder} --revision $revision``. Nobody can be asked in a cell: a
        change that would ask needs ``--yes``. An interrupt aborts a change, and says what is live.
        The cell fails when the exit status is not 0.
        """
        status = self._remember(_verb(_words("%opsnb", line), self._shown_apart))
        if status:
            raise CellFailed(f"opsnb: exit status {status}")

    @cell_magic
    def remote(self, line: str, cell: str) -> None:
        """Run the cell on a server with ``/bin/sh``, whatever the login shell is.

        ``%%remote SERVER [--change [NAME]] [--timeout S] [--in PATH]``, where SERVER is a variable
        that is a server, a server's name (of the variable ``project``, or in ``./opsnb.toml``) or
        an address; S is seconds, 300 when not given; and PATH is where the cell runs: ``current``,
        ``releases/NAME``, or ``.`` for ``deploy_to``. When not given it is ``current``, or
        ``deploy_to`` where nothing is live.

        Lines come as they are said, errors apart from output; of very many the middle is left out,
        and that is said. The cell fails when its exit status is not 0. An interrupt, and the
        timeout, end everything it has started there; what it leaves in the background ends with it.
        It waits for no lock, and keeps no other question waiting.

        A cell runs only when all its commands are known to only read, or with ``--change``. That is
        a guard against slips and no sandbox: a command can do whatever the login may do. Where the
        environment asks for it, ``--change`` takes the server's name: ``--change web1``.
        """
        given = _Parser().parse_args(_words("%%remote", line))
        try:
            server = self._servers.find(given.server, self._variables)
            ran = _run(server, cell, given.change, given.timeout, given.directory)
        except OpsnbError as error:
            self._remember(error.exit_status)
            raise
        if self._remember(ran.status):
            raise CellFailed(_ended(ran))
        sys.stdout.write(f"{_ended(ran)}\n")

    def _remember(self, status: int) -> int:
        """Keep an exit status where IPython's own ``!`` keeps it."""
        self._variables["_exit_code"] = status
        return status


def _words(magic: str, line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise CellFailed(f"{magic}: {error}: {safe(line)}") from None


def _verb(words: Sequence[str], apart: bool) -> int:
    from opsnb.cli.main import opsnb  # noqa: PLC0415 - the verbs are loaded when one is run

    # A verb tells of its change itself: nobody else is to show it as well.
    one_stream = nullcontext() if apart or "--json" in words else redirect_stderr(sys.stdout)
    try:
        with one_stream, unaccompanied():
            opsnb.main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def _run(
    server: Server, cell: str, change: bool | str, timeout: float, directory: str
) -> CommandResult:
    judged = server.guard.saying(CHANGE).permit(cell, change)
    sys.stdout.write(f"{_head(server, judged)}\n")
    teller = _Teller()
    try:
        return server.run(
            cell, directory=directory, change=change, timeout=timeout, on_output=teller
        )
    finally:
        teller.flush()


def _head(server: Server, judged: Judged) -> str:
    does = "reads only" if judged.reads_only else f"may change it: {'; '.join(judged.unknown)}"
    facts = (server.name, server.environment_name, server.url)
    return "▸ " + " · ".join([*(safe(fact) for fact in facts if fact), does])


def _ended(ran: CommandResult) -> str:
    return f"exit status {ran.status}{_signal(ran.status)} · {ran.seconds:.1f} s · {ran.directory}"


def _signal(status: int) -> str:
    try:
        return f" ({signal.Signals(status - 128).name})" if status > 128 else ""
    except ValueError:
        return ""


class _Teller:
    """Writes the lines of a command to standard output and standard error, in their order."""

    def __init__(self) -> None:
        self._last = sys.stdout

    def __call__(self, said: Said) -> None:
        stream = sys.stderr if said.stream == "err" else sys.stdout
        if stream is not self._last:
            # A kernel sends each of the two when it likes.
            self._last.flush()
            self._last = stream
        stream.write(f"{said.text}\n")

    def flush(self) -> None:
        """Let everything be seen."""
        self._last.flush()
