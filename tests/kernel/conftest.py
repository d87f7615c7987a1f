"""Each kernel in turn, without a front end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.session import Session
from tests.support.kernels import KERNELS, require_kernel, write_specs


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    return require_kernel(request.param)


@pytest.fixture
def session(kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name in ("JPY_SESSION_NAME", "OPSNB_FACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    with Session(kernel, write_specs(tmp_path), tmp_path) as running:
        yield running
