"""What the tests of secrets share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.secret import VALUE


@pytest.fixture
def secret_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret, a source, and logs and a cache of their own."""
    monkeypatch.setenv("TOKEN", VALUE)
    monkeypatch.setenv("OPSNB_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("OPSNB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "index").write_text("x")
