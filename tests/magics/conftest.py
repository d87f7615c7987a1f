"""A shell of IPython's in this process, with the extension loaded, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

CONFIG = """
[project]
name = "shop"

[environments.production]
confirm = "type-name"

[servers.web1]
url = "file://{folder}/srv"
environment = "production"

[servers.test1]
url = "file://{folder}/srv"
"""


class Cells:
    """Runs cells, and tells how they ended.

    Attributes:
        shell: The shell.
        folder: Its working directory.
    """

    def __init__(self, shell: InteractiveShell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder

    def __call__(self, cell: str) -> bool:
        """Run a cell; whether it ended well."""
        return bool(self.shell.run_cell(cell).success)

    @property
    def status(self) -> int:
        """The exit status of the last one of ours."""
        status = self.shell.user_ns["_exit_code"]
        assert isinstance(status, int)
        return status


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cells]:
    """A shell without the extension; ``srv`` is a deployment path in its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "srv/releases/1").mkdir(parents=True)
    (tmp_path / "srv/current").symlink_to("releases/1")
    (tmp_path / "opsnb.toml").write_text(CONFIG.replace("{folder}", str(tmp_path)))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell(config=config)
    yield Cells(shell, tmp_path)
    shell.run_line_magic("unload_ext", "opsnb")
    shell.restore_sys_module_state()


@pytest.fixture
def cells(bare: Cells) -> Cells:
    """The same with it."""
    assert bare("%load_ext opsnb")
    return bare
