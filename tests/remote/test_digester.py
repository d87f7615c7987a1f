"""The server's program for many digests: openssl where it is one, and the same without."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.sshd import require

SCRIPT = files("opsnb.remote").joinpath("agent.sh").read_text().removesuffix("serve\n")
SAYS = {
    "none": "",
    "one that fails": "exit 1",
    "one that says something else": 'echo "SHA256($1)= 00"',
    "one that knows no second file": f"echo '{'e3b0c44298fc1c149afbf4c8996fb924'} */dev/null'",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with odd names in a release's folder."""
    (tmp_path / "tree").mkdir()
    (tmp_path / ".opsnb").mkdir()
    for name in (b"-rf", b"a b", b"*", b"\xff", b"plain", b"'", b"%s"):
        (tmp_path / "tree" / name.decode("utf-8", "surrogateescape")).write_bytes(name)
    return tmp_path


def shell(tree: Path, command: str, path: str = "") -> str:
    script = f"{SCRIPT}\nD=$1 T=1\ncd $1/tree || exit\n{command}"
    env = {"PATH": path or "/usr/bin:/bin"}
    ran = subprocess.run(
        ["/bin/sh", "-s", tree], input=script, env=env, text=True, capture_output=True, check=True
    )
    return ran.stdout.strip()


HASH = "find . -type f -print0 | hash_many"


def test_where_there_is_openssl_it_is_used(tree: Path) -> None:
    require("openssl")
    assert shell(tree, "digester") == "openssl dgst -sha256 -r"


@pytest.mark.parametrize("says", SAYS)
def test_without_a_good_one_the_digests_are_the_same(tree: Path, tmp_path: Path, says: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name != "openssl" and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    if SAYS[says]:
        (programs / "openssl").write_text(f"#!/bin/sh\n{SAYS[says]}\n")
        (programs / "openssl").chmod(0o755)
    assert shell(tree, "digester", str(programs)) == "sha256sum -b --"
    assert shell(tree, HASH, str(programs)) == shell(tree, HASH)
