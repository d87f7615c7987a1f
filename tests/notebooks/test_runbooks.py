"""Every runbook is run on the embedded server, and what it promises is so at its end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from opsnb.errors import GateClosed, NotConfirmed
from opsnb.headless import CellEnded, Run, RunReport, Told
from opsnb.server import Server

FOLDER = Path(__file__).parents[2] / "notebooks"
NAME = r"\d{14}"


class Ran:
    """A run of a notebook, read back from its record.

    Args:
        name: The notebook's number and name.
        folder: Where it runs and keeps its record.
        given: Its parameters.
        book: Another notebook to run than the committed one.
    """

    def __init__(
        self, name: str, folder: Path, given: Mapping[str, Any] | None = None, book: Any = None
    ) -> None:
        (source,) = FOLDER.glob(f"{name}*.ipynb")
        if book is not None:
            source = folder / "changed.ipynb"
            nbformat.write(book, source)
        self.told: list[Told] = []
        record = folder / "record.ipynb"
        self.report: RunReport = Run(source, record, given or {}, self.told.append).execute()
        self.book = nbformat.read(record, 4)

    @property
    def text(self) -> str:
        """Everything that the record says, as text."""
        said = []
        for cell in self.book.cells:
            for output in cell.get("outputs", []):
                said.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
        return "\n".join(said)

    @property
    def ended(self) -> list[bool]:
        return [told.ok for told in self.told if isinstance(told, CellEnded)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("00", ["serves v2, release", rf"rollback on demo\n.*\n  result    ✓ {NAME} is live"]),
        ("01", ["✓ .* the server can take atomic releases", "✓ .* visitors are served"]),
        ("02", ["✓ .* the audit log is whole", rf"demo: {NAME} is live, good"]),
        ("03", ["✓ .* the new release is live", "✓ .* the release is as it was sent"]),
        ("04", ["visitors are NOT served", "✓ .* visitors are served", "visitors see errors"]),
        ("05", ["✓ .* what was to go is gone", "4 releases removed"]),
        ("06", ["held by ops2@", "✓ .* the server is free", "was: ops2@"]),
        ("07", ["laid out by Capistrano", "✓ .* not one path of theirs has changed"]),
    ],
)
def test_it_runs_top_to_bottom_and_ends_as_it_promises(
    name: str, says: list[str], tmp_path: Path
) -> None:
    ran = Ran(name, tmp_path)
    assert ran.report.exit_status == 0, ran.report
    assert ran.ended == [True] * ran.report.cells
    for text in says:
        assert re.search(text, ran.text), f"{text!r} is not in {ran.text}"
    assert "✕" not in re.sub(r"✕ bad", "", ran.text)
    assert "object at 0x" not in ran.text


def real(folder: Path) -> Server:
    """A server that nobody calls a demo, with two good releases."""
    for version in ("one", "two"):
        (folder / version).mkdir()
        (folder / version / "index.html").write_text(version)
    server = Server(f"file://{folder}/site", name="web1")
    server.deploy(folder / "one").wait()
    server.deploy(folder / "two").wait()
    (folder / "opsnb.toml").write_text(
        f'[servers.web1]\nurl = "file://{folder}/site"\nsource = "one"\n'
    )
    return server


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below a folder with its time, inode and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (seen.st_mtime_ns, seen.st_ino, content)
    return found


@pytest.mark.parametrize("name", ["03", "04", "05", "06"])
def test_a_real_server_is_not_touched_before_it_is_confirmed(name: str, tmp_path: Path) -> None:
    server = real(tmp_path)
    if name == "06":
        server.hold("migration").wait()
    before = state(tmp_path / "site")
    given = {"server": "web1", "config": str(tmp_path / "opsnb.toml"), "confirm": "web"}
    if name == "05":
        given["keep"] = 1
    ran = Ran(name, tmp_path, given)
    assert ran.report.error == NotConfirmed.__name__
    assert ran.report.exit_status == 2
    assert "confirm = 'web1'" in ran.report.message
    assert state(tmp_path / "site") == before
    after = [cell for cell in ran.book.cells if cell.cell_type == "code"][len(ran.ended) + 1 :]
    assert after
    assert all(cell.outputs == [] for cell in after)
    server.close()


def test_a_real_server_is_changed_when_its_name_was_given(tmp_path: Path) -> None:
    server = real(tmp_path)
    live = server.look().current.name
    given = {"server": "web1", "config": str(tmp_path / "opsnb.toml"), "confirm": "web1"}
    ran = Ran("04", tmp_path, {**given, "why": "checkout is slow"})
    assert ran.report.exit_status == 0, ran.report
    site = server.look()
    assert site.current.name != live
    left = site.find(live)
    assert left is not None
    assert left.record is not None
    assert left.record.verdict is not None
    assert left.record.verdict.why == "checkout is slow"
    # Who visits this server is not known: that is said, and is no proof.
    assert "it is not known where visitors come in" in ran.text
    server.close()


def test_looking_needs_no_confirmation(tmp_path: Path) -> None:
    server = real(tmp_path)
    before = state(tmp_path / "site")
    given = {"server": "web1", "config": str(tmp_path / "opsnb.toml")}
    assert Ran("02", tmp_path, given).report.exit_status == 0
    assert state(tmp_path / "site") == before
    server.close()


def test_a_gate_that_does_not_hold_stops_everything_after_it(tmp_path: Path) -> None:
    book = nbformat.read(FOLDER / "03-ship-a-change.ipynb", 4)
    for cell in book.cells:
        cell.source = cell.source.replace("not site.hold", "site.hold")
    ran = Ran("03", tmp_path, book=book)
    assert ran.report.error == GateClosed.__name__
    assert ran.report.exit_status == 24
    assert ran.ended[-1] is False
    assert ran.report.ran < ran.report.cells
    assert "✕" in ran.text
    assert "deploy on demo" not in ran.text


def test_a_release_that_is_broken_does_not_pass_as_shipped(tmp_path: Path) -> None:
    """The runbook's own check is worth something: the third version never works."""
    book = nbformat.read(FOLDER / "03-ship-a-change.ipynb", 4)
    for cell in book.cells:
        cell.source = cell.source.replace("book.folder()", "book.folder('v3')")
    ran = Ran("03", tmp_path, book=book)
    assert ran.report.error == "Restored"
    assert ran.report.exit_status == 21
    assert "and was put back" in ran.text
