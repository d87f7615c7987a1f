"""What is deployed: trees of real packages and large files, and what happens to them in between.

Everything is the same on each run and each machine: packages have versions, chance has a seed.
A source is changed in place, as an editor, a build or ``git checkout`` does it.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.tools import CACHE

SITE = ("wagtail==6.2.2", "wagtail==6.3.1")
MANY = (
    "ansible==10.7.0",
    "ansible==9.13.0",
    "ansible==8.7.0",
    "plotly==5.24.1",
    "plotly==5.18.0",
    "sympy==1.13.3",
    "django==5.1.4",
    "django==5.2.1",
    *SITE,
)
MIB = 1 << 20


@dataclass(frozen=True)
class Tree:
    """A source.

    Attributes:
        name: Its name on the command line.
        title: What it is, for the report.
        make: Fills an empty folder with it.
    """

    name: str
    title: str
    make: Callable[[Path], None]


def packages(wanted: tuple[str, ...], most: int) -> Callable[[Path], None]:
    """A maker of a tree of published packages, each in a folder of its own.

    Args:
        wanted: Requirements, such as ``django==5.1.4``.
        most: How many files at most, in the order of their paths.
    """

    def make(folder: Path) -> None:
        left = most
        for requirement in wanted:
            left -= unpack(requirement, folder / requirement.replace("==", "-"), left)

    return make


def unpack(requirement: str, folder: Path, most: int = 1 << 30) -> int:
    """Unpack a published package, with the times and modes of a release.

    Args:
        requirement: Such as ``django==5.1.4``.
        folder: Where to; is made.
        most: How many files at most, in the order of their paths.

    Returns:
        How many there were.
    """
    with zipfile.ZipFile(_wheel(requirement)) as wheel:
        members = sorted(each.filename for each in wheel.infolist() if not each.is_dir())[:most]
        for name in members:
            path = Path(wheel.extract(name, folder))
            path.chmod(0o644)
            then = time.mktime((*wheel.getinfo(name).date_time, 0, 0, -1))
            os.utime(path, (then, then))
    return len(members)


def _wheel(requirement: str) -> Path:
    """The package's file, from the cache; fetched by pip the first time."""
    shelf = CACHE / "packages" / requirement
    found = list(shelf.glob("*.whl"))
    if not found:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
        subprocess.run([*pip, "--only-binary", ":all:", "--dest", shelf, requirement], check=True)
        found = list(shelf.glob("*.whl"))
    return found[0]


def large(count: int, size: int) -> Callable[[Path], None]:
    """A maker of large files that do not compress, such as pictures or archives.

    Args:
        count: How many.
        size: Of each, in bytes.
    """

    def make(folder: Path) -> None:
        chance = random.Random(count)
        for number in range(count):
            with (folder / f"part-{number:02}.bin").open("wb") as file:
                for _ in range(size // MIB):
                    file.write(chance.randbytes(MIB))

    return make


def tiny(folder: Path) -> None:
    """Forty small files in folders, an executable, an empty folder and a link."""
    for number in range(40):
        path = folder / f"part-{number % 4}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"file {number}\n" * (number + 1))
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").mkdir()
    (folder / "latest").symlink_to("part-0/0.txt")


TREES = {
    tree.name: tree
    for tree in (
        Tree("tiny", "43 tiny files", tiny),
        Tree("small", "10,000 small files", packages(MANY, 10_000)),
        Tree("many", "100,000 small files", packages(MANY, 100_000)),
        Tree("site", f"a site, {SITE[0]}", packages(SITE[:1], 1 << 30)),
        Tree("one500", "one file of 500 MB", large(1, 500 * MIB)),
        Tree("forty", "2 GB in 40 files", large(40, 50 * MIB)),
        Tree("one300", "one file of 300 MB", large(1, 300 * MIB)),
        Tree("page", "200 small files", packages(MANY, 200)),
    )
}


def files(tree: Path) -> list[Path]:
    """Every regular file of a tree, in the order of their paths."""
    return sorted(path for path in _walk(tree) if path.is_file() and not path.is_symlink())


def _walk(tree: Path) -> Iterator[Path]:
    for top, _, names in os.walk(tree):
        for name in names:
            yield Path(top, name)


_SECONDS = itertools.count(1_700_000_000)


def edit(tree: Path, count: int, seed: int) -> None:
    """Change the content of some files: one more line in the middle of each.

    Args:
        tree: The source.
        count: How many files.
        seed: Which ones, and what the line says.
    """
    for path in random.Random(seed).sample(files(tree), count):
        content = path.read_bytes()
        middle = content.find(b"\n", len(content) // 2) + 1
        path.write_bytes(content[:middle] + f"# edit {seed}\n".encode() + content[middle:])
        # rsync goes by size and whole seconds: two edits within one must not look alike.
        when = next(_SECONDS)
        os.utime(path, (when, when))


def touch(tree: Path) -> None:
    """Give every file the time of now, as a fresh checkout or build does; nothing else changes."""
    for path in files(tree):
        os.utime(path)


def edit_large(tree: Path, seed: int) -> None:
    """Ten edits of 4 KB and an insertion of 1 KB in the middle of the one file there is."""
    path = files(tree)[0]
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(10):
        at = chance.randrange(len(content) - 4096)
        content[at : at + 4096] = chance.randbytes(4096)
    middle = len(content) // 2
    content[middle:middle] = chance.randbytes(1024)
    path.write_bytes(content)


def upgrade(tree: Path, requirement: str) -> None:
    """Make the site in a tree another published version of itself."""
    folder = tree.with_name("upgrade")
    remove(folder)
    (inside,) = tree.iterdir()
    unpack(requirement, folder / inside.name)
    become(tree, folder)


def become(tree: Path, other: Path) -> None:
    """Make a tree equal to another one, touching only what differs, as ``git checkout`` does."""
    old, new = ({path.relative_to(each) for path in files(each)} for each in (tree, other))
    for path in old - new:
        (tree / path).unlink()
    for path in new:
        content = (other / path).read_bytes()
        target = tree / path
        if path not in old or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o644)
    for top, _, _ in os.walk(tree, topdown=False):
        if not os.listdir(top):
            Path(top).rmdir()


def remove(tree: Path) -> None:
    """Remove a tree, if it is there."""
    if tree.is_dir():
        shutil.rmtree(tree)
