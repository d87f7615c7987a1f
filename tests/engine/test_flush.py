"""What is acknowledged has been flushed to the disk: before the switch, and after it (G3).

A ``sync`` of the tests' own stands before the real one in the server's ``PATH``. It writes down
where ``current`` leads at that moment, and what the release that is being made holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.sshd import require

SHIM = """\
#!/bin/sh
printf '%s|%s|%s|%s\\n' "$*" "$(readlink '{site}/current')" \\
    "$(ls -t '{site}/releases' | wc -l)" "$(cat '{site}'/releases/*/index | tr -d '\\n')" >> '{log}'
exec '{sync}' "$@"
"""


@pytest.fixture
def flushes(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where each flush is written down: its arguments, ``current``, releases, newest content."""
    shims, log = tmp_path / "shims", tmp_path / "flushes"
    shims.mkdir()
    shim = shims / "sync"
    shim.write_text(SHIM.format(site=site(server), log=log, sync=require("sync")))
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
    yield log
    server.close()


def whole(log: Path) -> list[tuple[str, str, str]]:
    """The flushes of the whole file system: ``current``, number of releases, newest content."""
    told = [line.split("|") for line in log.read_text().splitlines()]
    log.unlink()
    return [(link, count, content) for args, link, count, content in told if args == "-f ."]


def test_a_deploy_flushes_the_finished_release_before_the_switch_and_the_link_after_it(
    server: Server, source: Path, flushes: Path
) -> None:
    first = server.deploy(source).wait().release
    whole(flushes)
    (source / "index").write_text("two")
    second = server.deploy(source).wait().release
    told = whole(flushes)
    before = [flush for flush in told if flush[0] == f"releases/{first}"]
    after = [flush for flush in told if flush[0] == f"releases/{second}"]
    assert before[-1] == (f"releases/{first}", "2", "onetwo")
    assert after
    assert told == before + after


def test_a_first_deploy_flushes_before_anything_is_live(
    server: Server, source: Path, flushes: Path
) -> None:
    first = server.deploy(source).wait().release
    told = whole(flushes)
    assert ("", "1", "one") in told
    assert told[-1][0] == f"releases/{first}"


def test_a_rollback_flushes_the_link_before_it_is_acknowledged(
    server: Server, source: Path, flushes: Path
) -> None:
    first = server.deploy(source).wait().release
    (source / "index").write_text("two")
    server.deploy(source).wait()
    whole(flushes)
    server.rollback().wait()
    assert whole(flushes)[-1][0] == f"releases/{first}"


def test_a_release_that_is_put_back_is_flushed_too(
    server: Server, source: Path, flushes: Path
) -> None:
    first = server.deploy(source).wait().release
    whole(flushes)
    configure(server, after_publish=["false"])
    (source / "index").write_text("two")
    with pytest.raises(Exception, match="the after_publish hook false exited with 1"):
        server.deploy(source).wait()
    told = whole(flushes)
    links = [link for link, _, _ in told]
    assert links[-1] == f"releases/{first}"
    assert any(link != f"releases/{first}" for link in links)


def test_the_link_is_on_the_disk_before_a_hook_may_tell_anybody(
    server: Server, source: Path, flushes: Path
) -> None:
    configure(server, after_publish=[f"echo hook >> '{flushes}'"])
    release = server.deploy(source).wait().release
    lines = flushes.read_text().splitlines()
    before = lines[: lines.index("hook")]
    assert any(line.startswith(f"-f .|releases/{release}|") for line in before)
