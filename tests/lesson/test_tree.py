"""Trees are read from the disk, and compared line by line."""

from __future__ import annotations

import json
from pathlib import Path

from opsnb.lesson.tree import Line, changes, folder_tree, shape, site_tree


def release(deploy_to: Path, name: str, version: str) -> None:
    folder = deploy_to / "releases" / name
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"version": version}))
    (folder / "index.html").write_text("a page")


def drawn(tree: tuple[Line, ...]) -> list[str]:
    return ["  ".join(filter(None, [f"{x.trunk}{x.name}", x.words, x.note])) for x in tree]


def signs(before: tuple[Line, ...], after: tuple[Line, ...]) -> list[str]:
    return [f"{sign} {line.key}" for sign, line in changes(before, after) if sign != " "]


def test_a_site_is_drawn_as_it_stands_on_the_disk(tmp_path: Path) -> None:
    release(tmp_path, "1", "v1")
    release(tmp_path, "2", "v2")
    (tmp_path / "shared" / "uploads").mkdir(parents=True)
    (tmp_path / "shared" / "uploads" / "cat.txt").write_text("a cat")
    (tmp_path / "releases" / "2" / "uploads").symlink_to("../../shared/uploads")
    (tmp_path / "current").symlink_to("releases/1")
    assert drawn(site_tree(tmp_path)) == [
        "├── current → releases/1",
        "├── releases/",
        "│   ├── 1  v1 ● live  2 files",
        "│   └── 2  v2  2 files",
        "└── shared/",
        "    └── uploads/cat.txt",
    ]


def test_a_site_of_which_nothing_is_there_can_be_drawn(tmp_path: Path) -> None:
    lines = drawn(site_tree(tmp_path / "nowhere"))
    assert lines == ["├── current is not there", "├── releases/", "└── shared/"]


def test_a_release_with_a_broken_status_has_no_version(tmp_path: Path) -> None:
    release(tmp_path, "1", "v1")
    (tmp_path / "releases" / "1" / "status.json").write_text('{"version": ')
    assert drawn(site_tree(tmp_path))[2] == "│   └── 1  2 files"


def test_names_from_the_disk_are_made_safe(tmp_path: Path) -> None:
    (tmp_path / "releases" / "a\x1b[31m").mkdir(parents=True)
    assert "\\x1b[31m" in drawn(site_tree(tmp_path))[2]


def test_a_folder_says_of_each_thing_how_far_it_has_come(tmp_path: Path) -> None:
    files = {"css/a": "1", "css/b": "1", "index": "1", "same": "x", "late": "1"}
    old, here, new = (tmp_path / name for name in ("old", "www", "new"))
    for folder in (old, here, new):
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    for name in ("css/a", "css/b", "index", "late"):
        (new / name).write_text("22")
    (here / "css/a").write_text("22")
    (here / "css/b").write_text("2")
    (here / "index").write_text("22")
    assert drawn(folder_tree(here, old, new)) == [
        "www/",
        "├── css/  1 of 2 new, half written",
        "├── index  new",
        "├── late  old",
        "└── same  the same in both",
    ]


def test_a_folder_that_loses_a_file_has_not_come_to_its_end_before(tmp_path: Path) -> None:
    old, here, new = (tmp_path / name for name in ("old", "www", "new"))
    for folder in (old, here, new):
        (folder / "img").mkdir(parents=True)
    for folder in (old, here):
        (folder / "img" / "gone").write_text("1")
    assert drawn(folder_tree(here, old, new))[1] == "└── img/  old"
    (here / "img" / "gone").unlink()
    assert drawn(folder_tree(here, old, new))[1] == "└── img/  new"


def test_what_came_changed_and_went_is_told(tmp_path: Path) -> None:
    release(tmp_path, "1", "v1")
    release(tmp_path, "2", "v2")
    (tmp_path / "current").symlink_to("releases/1")
    before = site_tree(tmp_path)
    assert signs(before, before) == []
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("releases/2")
    (tmp_path / "releases" / "1" / "status.json").unlink()
    release(tmp_path, "3", "v3")
    after = site_tree(tmp_path)
    assert signs(before, after) == ["~ current", "~ 1", "~ 2", "+ 3"]
    gone = tuple(line for line in after if line.name != "2")
    assert signs(after, gone) == ["− 2"]
    assert [line.key for _, line in changes(after, gone)][2:5] == ["1", "2", "3"]


def test_compared_with_nothing_nothing_is_marked(tmp_path: Path) -> None:
    release(tmp_path, "1", "v1")
    assert signs((), site_tree(tmp_path)) == []


def test_the_number_of_files_alone_is_no_change(tmp_path: Path) -> None:
    release(tmp_path, "1", "v1")
    before = site_tree(tmp_path)
    (tmp_path / "releases" / "1" / "more").write_text("more")
    after = site_tree(tmp_path)
    assert before != after
    assert shape(before) == shape(after)
    assert signs(before, after) == []
