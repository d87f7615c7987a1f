"""Scripts as texts for a shell. A real shell runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from opsnb.core import scripts

# sudo without the rights that it needs: the shell that it would start, and nothing of its caller's.
SUDO = """#!/bin/sh
[ "$1 $2 $3 $4" = "-n -u app --" ] || exit 9
shift 4
exec env -i PATH="$PATH" SEEN="$*" "$@"
"""


def sh(text: str, *, path: str = "", env: dict[str, str] | None = None) -> tuple[int, str]:
    ran = subprocess.run(
        ["/bin/sh", "-c", text],
        env={"PATH": f"{path}:{os.environ['PATH']}", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("echo x\n", ["/bin/sh"]),
        ("#!/bin/sh\necho x\n", ["/bin/sh"]),
        ("#! /usr/bin/env python3\n", ["/usr/bin/env", "python3"]),
        ("#!/usr/bin/awk -f -x\n", ["/usr/bin/awk", "-f -x"]),
        ("#!\n", ["/bin/sh"]),
        ("", ["/bin/sh"]),
    ],
)
def test_the_first_line_says_what_runs_a_script(text: str, program: list[str]) -> None:
    assert scripts.interpreter(text) == program


def test_a_script_is_run_by_what_its_first_line_names(tmp_path: Path) -> None:
    text = "#!/usr/bin/env python3\nimport sys\nprint('it\\'s $HOME', \"`x`\")\nsys.exit(3)\n"
    env = {"TMPDIR": str(tmp_path)}
    assert sh(scripts.of_file(text, "mark"), env=env) == (3, "it's $HOME `x`\n")
    assert list(tmp_path.iterdir()) == []


def test_a_shell_script_is_run_as_it_is() -> None:
    assert sh(scripts.of_file("#!/bin/sh\necho one; exit 4\n", "mark")) == (4, "one\n")


VALUES = [
    "plain",
    "",
    "it's",
    "two\nlines\n",
    "'",
    "''\n'",
    '$(id) `id` \\ " %s',
    "\\'x",
    "-n",
    "é",
]


@pytest.fixture
def sudo(tmp_path: Path) -> str:
    program = tmp_path / "sudo"
    program.write_text(SUDO)
    program.chmod(0o755)
    return str(tmp_path)


@pytest.mark.parametrize("value", VALUES)
def test_another_user_finds_the_values_as_they_are(sudo: str, value: str) -> None:
    text = scripts.as_user("app", 'printf "%s|" "$ONE"; echo "$SEEN"', ["ONE", "TWO"], 60)
    status, said = sh(text, path=sudo, env={"ONE": value, "TWO": "x"})
    assert (status, said) == (0, f"{value}|/bin/sh -s\n")


def test_the_status_is_the_commands(sudo: str) -> None:
    assert sh(scripts.as_user("app", "echo it; exit 5", [], 60), path=sudo) == (5, "it\n")


def test_it_reads_nothing(sudo: str) -> None:
    assert sh(scripts.as_user("app", "cat; echo end", [], 60), path=sudo) == (0, "end\n")


def test_a_user_that_sudo_does_not_give_is_named(sudo: str) -> None:
    status, said = sh(scripts.as_user("other", "echo it", [], 60), path=sudo)
    assert (status, said) == (126, "sudo does not run /bin/sh as other without a password\n")
