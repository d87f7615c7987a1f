"""Every runbook is run on the embedded server, and what it promises is so at its end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from opsnb.core.release import Site
from opsnb.errors import GateClosed, NotConfirmed
from opsnb.headless import CellEnded, Run, RunReport, Told
from opsnb.project import DemoProject, demo
from opsnb.runbooks.scenes import lay_out
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
    def untouched(self) -> bool:
        """Whether a cell failed, others come after it, and none of those has run."""
        cells = [cell for cell in self.book.cells if cell.cell_type == "code"]
        kinds = [[output.output_type for output in cell.outputs] for cell in cells]
        (failed,) = [n for n, found in enumerate(kinds) if "error" in found]
        after = cells[failed + 1 :]
        return bool(after) and not any(cell.outputs or cell.execution_count for cell in after)

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
        ("04", ["✕ .* does not contain 'ok'", "are NOT served", "✓ .* visitors are served"]),
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
    # Only the look at the site that is broken finds something wrong.
    assert ran.text.count("✕ ") - ran.text.count("✕ bad") == (1 if name == "04" else 0)
    assert "object at 0x" not in ran.text


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below a folder with its time, inode and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (seen.st_mtime_ns, seen.st_ino, content)
    return found


@pytest.fixture
def production(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DemoProject]:
    """A server behind SSH and a web server that no runbook knows as a demo, laid out as a scene."""
    project = demo()
    lay_out(request.param, project)
    url, web = project.server("demo").url, project.web_url
    (tmp_path / "opsnb.toml").write_text(
        f"""[environments.production]
confirm = "type-name"
[servers.web1]
url = "{url}"
environment = "production"
source = "{project.site("v2")}"
[[servers.web1.health]]
url = "{web}/health.txt"
contains = "ok"
"""
    )
    yield project
    project.close()


def promised(name: str, server: Server, before: Site) -> bool:
    """Whether a server is as a runbook promises, after it was as before."""
    site = server.look()
    names, old = [{r.name for r in seen.releases} for seen in (site, before)]
    left = site.find(before.current.name)
    verdict = left.record.verdict if left and left.record else None
    match name:
        case "01":
            return site.live is not None and not old
        case "03":
            return site.current.name not in old and not server.drift()
        case "04":
            return site.current.name in old and verdict is not None and verdict.why == "slow"
        case "05":
            return len(old - names) == 4 and site.current == before.current
        case "06":
            return before.hold is not None and site.hold is None
    return old == names and all(release.record for release in site.releases)


@pytest.mark.parametrize(
    ("name", "production"),
    [
        ("01", "empty"),
        ("03", "live"),
        ("04", "broken"),
        ("05", "full"),
        ("06", "held"),
        ("07", "foreign"),
    ],
    indirect=["production"],
)
def test_a_real_server_is_untouched_until_it_is_confirmed_and_then_as_promised(
    name: str, production: DemoProject, tmp_path: Path
) -> None:
    server = production.server("demo")
    before, paths = server.look(), state(Path(server.deploy_to))
    embedded = production.embedded
    given = {
        "server": "web1",
        "config": str(tmp_path / "opsnb.toml"),
        "ssh_config": str(embedded.ssh_config),
        **({"why": "slow"} if name == "04" else {}),
    }
    refused = Ran(name, tmp_path, {**given, "confirm": "web"})
    assert refused.report.error == NotConfirmed.__name__
    assert refused.report.exit_status == 2
    assert "confirm = 'web1'" in refused.report.message
    assert state(Path(server.deploy_to)) == paths
    assert not promised(name, server, before)
    assert refused.untouched

    ran = Ran(name, tmp_path, {**given, "confirm": "web1"})
    assert ran.report.exit_status == 0, ran.report
    assert promised(name, server, before)
    if name != "06":
        assert re.search(r"✓ .*/health.txt is well: HTTP 200", ran.text)


def real(folder: Path) -> Server:
    """A server of which nobody knows who visits it, with two good releases."""
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
    # Who visits this server is not known: that is said, and nothing is claimed.
    assert "not known whether visitors are served" in ran.text
    assert not re.search("✓ .* visitors are served", ran.text)
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
    assert "✕ " in ran.text
    assert "Open 06-somebody-holds-the-lock." in ran.report.message
    assert ran.untouched
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


def undone(name: str, folder: Path, scene: str) -> Ran:
    """A run of a notebook in a scene, with the line under its last heading as one more cell."""
    (path,) = FOLDER.glob(f"{name}*.ipynb")
    book = nbformat.read(path, 4)
    texts = "\n".join(cell.source for cell in book.cells)
    (line,) = re.findall(r"```python\n(.+)\n```", texts)
    for cell in book.cells:
        cell.source = re.sub(r'scene="\w+"', f'scene="{scene}"', cell.source)
    book.cells += [nbformat.v4.new_code_cell(source) for source in (line, "web")]
    return Ran(name, folder, book=book)


@pytest.mark.parametrize(
    ("name", "scene", "tree"),
    [
        ("03", "live", ["✕ bad", "● live", "good"]),
        ("04", "live", ["● live", "good"]),
        ("06", "held", ["● live", "good"]),
    ],
)
def test_what_undo_says_undoes_it(name: str, scene: str, tree: list[str], tmp_path: Path) -> None:
    ran = undone(name, tmp_path, scene)
    assert ran.report.exit_status == 0, ran.report
    last = ran.text[ran.text.rindex("├── releases/") :]
    assert re.findall(r"[├└]── \d{14} +(● live|good|✕ bad)", last) == tree
    assert ("HELD BACK by" in last) == (name == "06")


def test_undoing_the_rollback_of_a_release_that_is_broken_ends_at_the_good_one(
    tmp_path: Path,
) -> None:
    ran = undone("04", tmp_path, "broken")
    assert ran.report.error == "Restored"
    assert "is live again" in ran.report.message
