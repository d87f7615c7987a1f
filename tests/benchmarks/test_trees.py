"""What happens to a source is what the case says, and the same on every machine."""

from __future__ import annotations

import os
from pathlib import Path

from tests.benchmarks import check, trees


def _tiny(folder: Path) -> Path:
    folder.mkdir()
    trees.tiny(folder)
    return folder


def test_an_edit_changes_so_many_files(tmp_path: Path) -> None:
    a, b = _tiny(tmp_path / "a"), _tiny(tmp_path / "b")
    trees.edit(a, 3, seed=1)
    assert len(check.different(a, b)) == 3
    trees.edit(b, 3, seed=1)
    assert check.different(a, b) == []
    trees.edit(b, 3, seed=2)
    assert len(check.different(a, b)) == 3


def test_a_touch_changes_times_and_nothing_else(tmp_path: Path) -> None:
    a, b = _tiny(tmp_path / "a"), _tiny(tmp_path / "b")
    for path in trees.files(a):
        os.utime(path, (1, 1))
    trees.touch(a)
    assert check.different(a, b) == []
    assert all(path.stat().st_mtime > 1 for path in trees.files(a))


def test_a_tree_becomes_another_and_keeps_what_is_equal(tmp_path: Path) -> None:
    a, b = _tiny(tmp_path / "a"), tmp_path / "b"
    (b / "new").mkdir(parents=True)
    (b / "new" / "file").write_text("new")
    (b / "part-0").mkdir()
    (b / "part-0" / "0.txt").write_bytes((a / "part-0" / "0.txt").read_bytes())
    kept = (a / "part-0" / "0.txt").stat().st_mtime_ns
    (a / "latest").unlink()
    trees.become(a, b)
    assert sorted(p.name for p in trees.files(a)) == ["0.txt", "file", "run.sh"][:2]
    assert (a / "part-0" / "0.txt").stat().st_mtime_ns == kept


def test_a_large_file_is_edited_in_few_places(tmp_path: Path) -> None:
    trees.large(1, 4 * trees.MIB)(tmp_path)
    (path,) = trees.files(tmp_path)
    before = path.read_bytes()
    trees.edit_large(tmp_path, seed=1)
    after = path.read_bytes()
    middle = len(before) // 2
    assert len(after) == len(before) + 1024
    joined = after[:middle] + after[middle + 1024 :]
    assert 0 < sum(x != y for x, y in zip(before, joined, strict=True)) <= 10 * 4096
