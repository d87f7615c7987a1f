"""The disk whose power can be cut gets it back, whatever else runs on the machine meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import disk as support
from tests.support.disk import Disk
from tests.support.sshd import absent, require


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        absent("only root can mount a file system and cut its power")
    with Disk(tmp_path / "image", tmp_path / "place", request.param) as made:
        yield made


@contextmanager
def namespace(propagation: str) -> Iterator[None]:
    """A mount namespace of somebody else's, as a sandbox makes it."""
    words = [require("unshare"), "--mount", "--propagation", propagation]
    held = subprocess.Popen(
        [*words, "sh", "-c", "echo there; exec sleep 60"], stdout=subprocess.PIPE
    )
    assert held.stdout
    try:
        assert held.stdout.readline() == b"there\n"
        yield
    finally:
        held.kill()
        held.communicate()


def cut_and_back(disk: Disk) -> None:
    (disk.place / "kept").write_text("kept")
    disk.flush()
    disk.cut(2)
    with pytest.raises(OSError, match="Input/output error"):
        (disk.place / "lost").write_text("lost")
    disk.unmount()
    disk.mount()
    (disk.place / "more").write_text("more")
    assert sorted(path.name for path in disk.place.iterdir() if path.is_file()) == ["kept", "more"]


def test_power_comes_back_while_a_namespace_is_there_that_was_made_meanwhile(disk: Disk) -> None:
    with namespace("slave"):
        cut_and_back(disk)
    cut_and_back(disk)


def test_the_control_a_private_namespace_holds_what_has_no_power(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "_BUSY", 0.5)
    with namespace("private"), pytest.raises(OSError, match="Input/output error"):
        cut_and_back(disk)
