"""A tool at a site of its own, from one state to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import check, measure
from tests.benchmarks.relay import Relay
from tests.benchmarks.target import Server
from tests.benchmarks.tools import Command, Tool


class Stand:
    """A tool, its site, and how it gets there.

    Args:
        tool: The tool; nobody else's.
        server: Where the site is.
        site: The site's name.
        keep: How many releases stay.

    Attributes:
        tool: The tool.
        deploy_to: The site.
        keep: How many releases stay.
    """

    def __init__(self, tool: Tool, server: Server, site: str, keep: int) -> None:
        self.tool = tool
        self.keep = keep
        self.deploy_to = server.target(site).deploy_to
        self._server = server
        self._site = site
        self._open = False

    def close(self) -> None:
        """Let go of the site, if it is held."""
        if self._open:
            self._open = False
            self.tool.close()

    def empty(self) -> None:
        """Begin anew with an empty site."""
        self.close()
        self._server.clear(self._site)
        self._reach()

    def lay_out(self, tree: Path, count: int) -> None:
        """Begin anew with a site of so many releases."""
        self.close()
        self._server.lay_out(self._site, tree, count)
        self._reach()

    @contextmanager
    def counted(self) -> Iterator[Relay]:
        """Reach the site through a relay that counts, and afterwards straight again."""
        self.close()
        with self._server.counted(self._site) as (target, relay):
            self.tool.open(target)
            try:
                yield relay
            finally:
                self.tool.close()
        self._reach()

    def deploy(self, tree: Path) -> Command:
        """The command that deploys a source here."""
        return self.tool.deploy(tree, self.keep)

    def perform(self, command: Command) -> None:
        """Do something that is not timed.

        Raises:
            RuntimeError: It failed.
        """
        answer = measure.perform(command)
        if answer.status != 0:
            raise RuntimeError(f"{self.tool.name}, status {answer.status}: {answer.output[-500:]}")

    @property
    def relative(self) -> bool:
        """Whether ``current`` must be a relative link: some of the other tools make no such."""
        return self.tool.group != "other"

    @property
    def count(self) -> int:
        """How many releases there are."""
        return len(check.releases(self.deploy_to))

    def _reach(self) -> None:
        self.tool.open(self._server.target(self._site))
        self._open = True
