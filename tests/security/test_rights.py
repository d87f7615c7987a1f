"""What opsnb writes is its owner's alone, and it needs no right but to write into ``deploy_to``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import opsnb
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import NotReady, OpsnbError
from opsnb.server import Server
from tests.support.sshd import RealSshd


@contextmanager
def umask(mode: int) -> Iterator[None]:
    before = os.umask(mode)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> dict[str, str]:
    """What others than its owner may do anything with, below a folder and the folder itself."""
    found = [folder, *folder.rglob("*")]
    modes = {
        str(path): stat.S_IMODE(path.lstat().st_mode) for path in found if not path.is_symlink()
    }
    return {path: f"{mode:o}" for path, mode in modes.items() if mode & 0o077}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "index").write_text("one")
    (folder / "large").write_bytes(os.urandom(9 << 20))
    return folder


@pytest.mark.parametrize("mask", [0, 0o002, 0o022])
def test_cache_and_logs_are_private_whatever_the_umask(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    home = tmp_path / "home"
    home.mkdir(0o700)
    monkeypatch.setenv("OPSNB_CACHE", str(home / "not" / "there" / "yet" / "cache"))
    monkeypatch.setenv("OPSNB_LOGS", str(home / "nor" / "these" / "logs"))
    with umask(mask):
        there = Server(f"file://{tmp_path}/srv")
        for text in ("one", "two"):
            (source / "index").write_text(text)
            there.deploy(source).wait()
        there.close()
    written = {path.parent.name for path in home.rglob("*") if path.is_file()}
    assert written >= {"logs", "manifests", "chunks"}
    assert open_to_others(home) == {}


def test_the_control_what_is_open_to_others_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with umask(0):
        (tmp_path / "a" / "b").mkdir(mode=0o700, parents=True)
        (tmp_path / "file").write_text("")
    assert open_to_others(tmp_path) == {str(tmp_path / "a"): "777", str(tmp_path / "file"): "666"}


def test_the_folder_of_the_embedded_server_is_private(tmp_path: Path, source: Path) -> None:
    with umask(0), EmbeddedServer(tmp_path / "root") as embedded:
        there = Server(embedded.url, ssh_config=embedded.ssh_config)
        there.deploy(source).wait()
        there.close()
        assert stat.S_IMODE(embedded.root.stat().st_mode) == 0o700
        assert open_to_others(embedded.client_key.parent) == {}
    with umask(0), opsnb.demo() as project:
        root = Path(project.server(next(iter(project.servers))).deploy_to).parent
        assert stat.S_IMODE(root.stat().st_mode) & 0o077 == 0


@pytest.fixture
def sshd() -> Iterator[RealSshd]:
    """A login that may write into one directory, which somebody else has made for it."""
    with RealSshd() as running:
        site = running.base / "srv" / "site"
        site.mkdir(parents=True)
        os.chown(site, running.uid, running.gid)
        if os.geteuid() == 0:
            for top, folders, files in os.walk(running.home):
                for name in (".", *folders, *files):
                    os.chown(Path(top, name), 0, 0, follow_symlinks=False)
        else:
            running.home.chmod(0o555)
        yield running
        running.home.chmod(0o755)


def test_who_may_write_into_deploy_to_alone_can_do_everything(
    sshd: RealSshd, tmp_path: Path, source: Path
) -> None:
    site = sshd.base / "srv" / "site"
    assert sshd.run(f"touch {sshd.home}/x {site.parent}/x").returncode != 0
    there = Server(sshd.url(site), ssh_config=sshd.ssh_config)
    assert all(finding.ok is not False for finding in there.findings())
    for text in ("one", "two", "three"):
        (source / "index").write_text(text)
        there.deploy(source).wait()
    there.rollback().wait()
    there.hold("why").wait()
    there.unhold().wait()
    name = there.look().releases[0].name
    there.pin(name).wait()
    there.unpin(name).wait()
    there.prune(1).wait()
    assert there.run("cat index", directory="current").out == "two"
    assert there.verify_log() == []
    assert len(there.usage()) > 0
    there.close()
    assert sorted(os.listdir(site.parent)) == ["site"]


def test_who_may_write_nothing_can_look_and_change_nothing(sshd: RealSshd, source: Path) -> None:
    site = sshd.base / "srv" / "site"
    there = Server(sshd.url(site), ssh_config=sshd.ssh_config)
    there.deploy(source).wait()
    there.close()
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    for top, folders, files in os.walk(site):
        for name in (".", *folders, *files):
            os.chown(Path(top, name), 0, 0, follow_symlinks=False)
    there = Server(sshd.url(site), ssh_config=sshd.ssh_config)
    assert list(there.releases()["current"]) == [True]
    changes = (there.rollback, there.prune, lambda: there.deploy(source, force=True))
    for change in (*changes, lambda: there.hold("why")):
        with pytest.raises(OpsnbError) as refused:
            change().wait()
        assert isinstance(refused.value, NotReady) or change == there.rollback
    there.close()
