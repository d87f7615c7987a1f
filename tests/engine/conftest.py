"""A source folder and a server that is a folder of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from opsnb.core.config import Settings
from opsnb.remote.shell import Call, Reply, Shell
from opsnb.server import Server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "index").write_text("one")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(f"file://{tmp_path}/site", name="local")
    yield made
    made.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the steps that were sent together, for each time."""
    batches: list[list[str]] = []
    real = Shell.batch

    async def batch(
        self: Shell, calls: Sequence[Call], answered: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        batches.append([call.name for call in calls])
        return await real(self, calls, answered)

    monkeypatch.setattr(Shell, "batch", batch)
    return batches


def configure(server: Server, **said: object) -> Server:
    """Give a server settings."""
    server.settings = Settings.model_validate(said)
    return server


def site(server: Server) -> Path:
    """Where a server's site is."""
    return Path(server.deploy_to)
