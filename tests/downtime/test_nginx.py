"""Zero downtime: nginx on ``current``, constant load, changes without a pause."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.downtime.conftest import WHOLE
from tests.downtime.load import Crowd, Switch, verdict
from tests.downtime.operator import NAMED, NAMED_LARGE, Operator, write
from tests.downtime.web import nginx
from tests.support.sshd import RealSshd, require

DEPLOYS, ROLLBACKS = (300, 100) if WHOLE else (40, 15)
CONTROL_SECONDS = 40.0
ANY = [Switch(0, float("inf"), name) for name in ("a", "b")]
"""In a control nothing is ever acknowledged: whatever is named may be live."""

Said = Callable[[str, object], None]


def told(found: Counter[str]) -> str:
    """The figures of a crowd, in words."""
    kinds = ("failed", "mixed", "stale")
    return f"{found.total():,} answers, " + ", ".join(f"{found[kind]:,} {kind}" for kind in kinds)


def test_no_visitor_notices_a_deploy_or_a_rollback(
    sshd: RealSshd, operator: Operator, said: Said
) -> None:
    """No request fails, no answer mixes two releases, none is stale after the acknowledgement.

    Some visitors keep their connection, some come anew, and some are still reading a large page
    when its release has been replaced more than once.
    """
    operator.deploy()
    with nginx(sshd, operator.site / "current") as port:
        quick, slow = Crowd(port, "/page.html"), Crowd(port, "/large.html", keep=0, fresh=0, slow=4)
        with quick, slow:
            operator.work(DEPLOYS, ROLLBACKS)
            time.sleep(0.5)
    small = verdict(quick.answers, operator.switches, NAMED)
    large = verdict(slow.answers, operator.switches, NAMED_LARGE)
    said(f"{DEPLOYS} deploys, {ROLLBACKS} rollbacks, nginx", told(small))
    said("the same, slow visitors of a large page", told(large))
    assert set(small) == {"good"}
    assert set(large) == {"good"}
    assert len({answer.names for answer in quick.answers}) > DEPLOYS // 2, "they saw the changes"
    assert small.total() > 10 * DEPLOYS
    assert any(
        sum(answer.asked < switch.acknowledged < answer.ended for switch in operator.switches) > 1
        for answer in slow.answers
    ), "no visitor was slow enough"


def first_break(crowd: Crowd, times: int, breaks: Callable[[], object]) -> Counter[str]:
    """Let something change a site again and again until somebody notices, for some time."""
    deadline = time.monotonic() + CONTROL_SECONDS
    found: Counter[str] = Counter()
    with crowd:
        time.sleep(0.3)
        assert set(verdict(list(crowd.answers), ANY, times)) == {"good"}, "nothing is wrong yet"
        while not (found["failed"] or found["mixed"]) and time.monotonic() < deadline:
            breaks()
            found = verdict(list(crowd.answers), ANY, times)
    return found


@pytest.mark.parametrize("how", ["cp", "rsync"])
def test_the_control_an_upload_in_place_is_noticed(
    sshd: RealSshd, tmp_path: Path, said: Said, how: str
) -> None:
    """By the same visitors, and the same judgement."""
    root = sshd.home / f"in-place-{how}"
    root.mkdir()
    copy = {
        "cp": [require("cp"), "-R"],
        "rsync": [require("rsync"), "-r", "--inplace", "--no-whole-file", "--ignore-times"],
    }[how]
    sources = [write(tmp_path / name, name) for name in ("a", "b")]

    def upload() -> None:
        for source in sources:
            subprocess.run([*copy, f"{source}/.", str(root)], check=True, timeout=60)

    upload()
    page, times = ("/page.html", NAMED) if how == "cp" else ("/large.html", NAMED_LARGE)
    with nginx(sshd, root, name=how) as port:
        found = first_break(Crowd(port, page), times, upload)
    said(f"control: {how} in place, until somebody noticed", told(found))
    assert found["failed"] + found["mixed"] > 0


def test_the_control_a_switch_by_busybox_is_noticed(
    sshd: RealSshd, tmp_path: Path, said: Said
) -> None:
    """``ln -sfn`` removes the link and makes it anew: in between there is no site."""
    base = sshd.home / "busybox"
    for name in ("a", "b"):
        write(tmp_path / name, name)
        (base / name).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-R", tmp_path / name, base / name], check=True)
    link, busybox = base / "current", require("busybox")
    link.symlink_to("a")

    def switch() -> None:
        for name in ("a", "b") * 50:
            subprocess.run([busybox, "ln", "-sfn", name, str(link)], check=True)

    with nginx(sshd, link, name="nginx-busybox") as port:
        found = first_break(Crowd(port, "/page.html"), NAMED, switch)
    said("control: BusyBox's ln -sfn, until somebody noticed", told(found))
    assert found["failed"] > 0


def test_the_control_a_cache_of_open_files_serves_what_is_gone(
    sshd: RealSshd, operator: Operator, said: Said
) -> None:
    """``open_file_cache`` remembers where a path led: the check's warning of it is true."""
    operator.deploy()
    cache = "open_file_cache max=100 inactive=60s; open_file_cache_valid 60s;"
    with (
        nginx(sshd, operator.site / "current", cache, "nginx-cache") as port,
        Crowd(port, "/page.html") as crowd,
    ):
        time.sleep(0.3)
        operator.deploy()
        time.sleep(0.5)
    found = verdict(crowd.answers, operator.switches, NAMED)
    said("control: open_file_cache", told(found))
    assert found["stale"] > 0
