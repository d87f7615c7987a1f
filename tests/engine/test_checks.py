"""The control: what :mod:`tests.support.site` checks, it can find broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from opsnb.errors import DeployFailed
from opsnb.remote.held import PosixHeld
from opsnb.server import Server
from tests.engine.conftest import site
from tests.faults.guarantees import live
from tests.support.site import faults, tree


def rewrite(path: Path, **said: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | said) + "\n")


def record(made: Path, name: str) -> Path:
    return made / ".opsnb" / "records" / f"{name}.json"


def other(made: Path) -> str:
    """The release that is not live."""
    return next(p.name for p in (made / "releases").iterdir() if p.name != live(made))


BREAK: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file is missing": ("G1", lambda made: (made / "current/index").unlink()),
    "a file is changed": ("G1", lambda made: (made / "current/index").write_text("TWO")),
    "a mode is changed": ("G1", lambda made: (made / "current/index").chmod(0o600)),
    "a file is added": ("G1", lambda made: (made / "current/new").write_text("x")),
    "a directory is missing": ("G1", lambda made: (made / "current/empty").rmdir()),
    "a link leads elsewhere": ("G1", lambda made: relink(made / "current/link", "nowhere")),
    "a shared link is a directory": ("G1", lambda made: redirect(made / "current/uploads")),
    "current leads nowhere": ("G1", lambda made: relink(made / "current", "releases/none")),
    "current is unfinished": (
        "G1",
        lambda made: rewrite(record(made, live(made)), state="unfinished"),
    ),
    "the record is gone": ("G1", lambda made: record(made, live(made)).unlink()),
    "the record names another manifest": (
        "G1",
        lambda made: rewrite(record(made, live(made)), manifest="0" * 64),
    ),
    "an older good one is broken": (
        "G9",
        lambda made: (made / "releases" / other(made) / "index").unlink(),
    ),
    "a temporary link is left": ("G8", lambda made: (made / ".current.opsnb.1.1").symlink_to("x")),
    "trash is left": ("G8", lambda made: (made / ".opsnb" / "trash" / "x").mkdir()),
    "an intent is left": ("G8", lambda made: (made / ".opsnb" / "intent.json").write_text("{}")),
    "the log is changed": ("G10", lambda made: change_log(made / ".opsnb" / "audit.jsonl")),
}


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def redirect(path: Path) -> None:
    path.unlink()
    path.mkdir()


def change_log(path: Path) -> None:
    path.write_text(path.read_text().replace("deploy.done", "deploy.dune", 1))


@pytest.mark.parametrize("what", BREAK)
def test_what_is_broken_by_hand_is_found(server: Server, source: Path, what: str) -> None:
    made = site(server)
    tree(made / "shared", {"uploads/photo": "p"})
    tree(source, {"index": "one", "empty/": ""})
    (source / "link").symlink_to("index")
    for text in ("one", "two"):
        (source / "index").write_text(text)
        server.deploy(source).wait()
    assert faults(made, server) == []
    guarantee, breaking = BREAK[what]
    breaking(made)
    found = faults(made, server)
    assert any(fault.startswith(guarantee) for fault in found), found
    shutil.rmtree(made)


def test_a_release_whose_listing_is_another_than_planned_is_not_published(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = PosixHeld.finish_as

    async def emptied(held: PosixHeld, name: str, gist: str) -> bytes | None:
        assert await really(held, name, gist) is None
        return b""

    monkeypatch.setattr(PosixHeld, "finish_as", emptied)
    (source / "index").write_text("one")
    first = Server(f"file://{tmp_path}/another")
    with pytest.raises(DeployFailed, match="not as planned: index is missing"):
        first.deploy(source).wait()
    assert not (site(first) / "current").is_symlink()
    first.close()
