"""What the embedded server looks like when a runbook begins: the situation that it is about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opsnb.errors import ConfigError
from opsnb.job import unaccompanied
from opsnb.project import DemoProject
from opsnb.server import Server


def lay_out(scene: str, project: DemoProject) -> None:
    """Make a scene on the embedded server.

    Args:
        scene: Its name.
        project: A fresh demo.

    Raises:
        ConfigError: There is no such scene.
    """
    if scene not in SCENES:
        raise ConfigError(f"no scene is called {scene!r}", f"There are: {', '.join(SCENES)}.")
    with unaccompanied():
        SCENES[scene](project)


def _empty(project: DemoProject) -> None:
    del project


def _live(project: DemoProject) -> None:
    """A release that works, and the good one before it."""
    with _somebody(project, "ops1") as server:
        server.deploy(project.site("v2"), revision="3f1c2ab").wait()
        server.deploy(project.site("v1"), revision="9d04e71").wait()


def _broken(project: DemoProject) -> None:
    """A broken release is live, since whoever deployed it had no health check."""
    with _somebody(project, "ops1") as server:
        server.deploy(project.site("v1"), revision="9d04e71").wait()
        server.deploy(project.site("v2"), revision="3f1c2ab").wait()
        server.deploy(project.site("v3"), revision="c0ffee1").wait()


def _full(project: DemoProject) -> None:
    """More releases than anybody needs, one of them pinned."""
    with _somebody(project, "ops1") as server:
        for number in range(8):
            version = "v1" if number % 2 else "v2"
            server.deploy(project.site(version), revision=f"build-{number}", keep=99).wait()
        oldest = server.look().releases[0].name
        server.pin(oldest).wait()


def _held(project: DemoProject) -> None:
    """Somebody holds the server back, and has gone home."""
    _live(project)
    with _somebody(project, "ops2") as server:
        server.hold("database migration until 16:00").wait()


def _foreign(project: DemoProject) -> None:
    """A site that Capistrano laid out, with a release that never became whole."""
    site = Path(project.server("demo").deploy_to)
    for version, name in (("v2", "20260114091500"), ("v1", "20260203174200")):
        shutil.copytree(project.site(version), site / "releases" / name)
    half = site / "releases" / "20260301120000"
    half.mkdir()
    (half / "index.html").write_text("")
    (site / "repo").mkdir()
    (site / "revisions.log").write_text(
        "Branch main (at 3f1c2ab) deployed as release 20260114091500 by ops1\n"
        "Branch main (at 9d04e71) deployed as release 20260203174200 by ops2\n"
    )
    (site / "current").symlink_to("releases/20260203174200")


SCENES: dict[str, Callable[[DemoProject], None]] = {
    "empty": _empty,
    "live": _live,
    "broken": _broken,
    "full": _full,
    "held": _held,
    "foreign": _foreign,
}


@contextmanager
def _somebody(project: DemoProject, name: str) -> Iterator[Server]:
    """The embedded server as somebody else uses it: under another name, without a health check."""
    known = project.server("demo")
    settings = known.settings.model_copy(update={"health": ()})
    server = Server(
        known.url, name="demo", settings=settings, ssh_config=project.embedded.ssh_config
    )
    before = os.environ.get("OPSNB_USER")
    os.environ["OPSNB_USER"] = name
    try:
        yield server
    finally:
        if before is None:
            del os.environ["OPSNB_USER"]
        else:
            os.environ["OPSNB_USER"] = before
        server.close()
