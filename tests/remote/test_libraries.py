"""What asyncssh looks for among the system's libraries, and what is asked for them."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opsnb.remote import libraries
from opsnb.remote.libraries import no_compiler

STARTED = """
import sys
sys.addaudithook(lambda event, args: event == "subprocess.Popen" and print(args[0]))
import opsnb.remote.ssh
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names that the slow search is asked for; the loader knows libnettle only."""
    names: list[str] = []

    def find(name: str) -> str | None:
        names.append(name)
        return f"lib{name}.so.1"

    cache = tmp_path / "cache"
    cache.write_bytes(b"glibc-ld.so.cache1.1\0libnettle.so.8\0/lib/libnettle.so.8\0")
    monkeypatch.setattr(libraries, "CACHE", cache)
    monkeypatch.setattr(ctypes.util, "find_library", find)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return names


def found(*names: str) -> list[str | None]:
    with no_compiler():
        return [ctypes.util.find_library(name) for name in names]


def test_what_the_loader_knows_is_found_and_nothing_else_is_looked_for(asked: list[str]) -> None:
    assert found("nettle", "oqs", "liboqs", "nett") == ["libnettle.so.1", None, None, None]
    assert asked == ["nettle"]


def test_what_cannot_be_known_is_looked_for_as_ever(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(libraries, "CACHE", tmp_path / "none")
        assert found("oqs") == ["liboqs.so.1"]
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    assert found("oqs") == ["liboqs.so.1"]


def test_afterwards_the_search_is_as_it_was(asked: list[str]) -> None:
    before: Callable[[str], str | None] = ctypes.util.find_library
    with pytest.raises(ImportError), no_compiler():
        raise ImportError
    assert ctypes.util.find_library is before
    assert found("oqs") == [None]


@pytest.mark.skipif(not libraries.CACHE.exists(), reason="this loader keeps no list")
def test_to_load_asyncssh_no_compiler_is_started() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STARTED], capture_output=True, text=True, check=True
    )
    assert {Path(program).name for program in ran.stdout.split()} <= {"ldconfig"}
