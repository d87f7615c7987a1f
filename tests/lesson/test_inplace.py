"""An upload in place does what an FTP client does, over real SFTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from opsnb.embedded.inplace import Order, Uploaded, upload
from opsnb.embedded.sshd import EmbeddedServer


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tree(tmp_path / "new", {"index.html": "new", "css/theme.css": "new" * 1000})


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def put(server: EmbeddedServer, source: Path, there: Path, order: Order | None = None) -> Uploaded:
    address = (server.host, server.port)
    return upload(source, there, address, server.ssh_config, order or Order())


def test_afterwards_the_folder_is_the_source(server: EmbeddedServer, source: Path) -> None:
    there = tree(server.root / "one", {"index.html": "old", "gone.txt": "old", "away/x": "old"})
    done = put(server, source, there)
    assert content(there) == content(source)
    assert not (there / "away").exists()
    assert (done.files, done.bytes, done.removed) == (2, 3003, 2)


def test_what_is_to_be_kept_stays(server: EmbeddedServer, source: Path) -> None:
    there = tree(server.root / "two", {"uploads/cat.txt": "a cat", "gone.txt": "old"})
    done = put(server, source, there, Order(keep=("uploads",)))
    assert content(there) == {**content(source), "uploads/cat.txt": "a cat"}
    assert done.removed == 1


def test_a_file_is_written_over_in_its_place(server: EmbeddedServer, source: Path) -> None:
    """The same inode: whoever has it open sees it change. That is what breaks pages."""
    there = tree(server.root / "three", {"index.html": "old"})
    inode = (there / "index.html").stat().st_ino
    put(server, source, there)
    assert (there / "index.html").stat().st_ino == inode


@pytest.mark.parametrize("backwards", [False, True])
def test_files_go_by_name_forwards_or_backwards(
    server: EmbeddedServer, source: Path, backwards: bool
) -> None:
    there = server.root / f"four-{backwards}"
    put(server, source, there, Order(backwards=backwards))
    first, second = (there / "css/theme.css").stat(), (there / "index.html").stat()
    assert (first.st_mtime_ns > second.st_mtime_ns) is backwards


def test_a_folder_that_cannot_be_written_is_an_error(server: EmbeddedServer, source: Path) -> None:
    there = tree(server.root / "five", {"index.html/inside": "a folder where a file must go"})
    with pytest.raises(asyncssh.SFTPError):
        put(server, source, there)
