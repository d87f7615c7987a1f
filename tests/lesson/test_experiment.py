"""An experiment counts what real visitors got from a real site while it really changed."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import OpsnbError
from opsnb.lesson.experiment import Run, apart, finish, watch
from opsnb.lesson.program import Program
from opsnb.lesson.shop import Shop

OURS = ("opsnb-reader", "opsnb-film", "opsnb-change", "opsnb-line", "opsnb-upload")


def first(shop: Shop) -> None:
    finish(shop.server.deploy(shop.site("v1")))


def broken(run: Run) -> int:
    return run.mixed + run.failed


def test_in_place_pages_break_and_the_files_are_the_new_ones_in_the_end(shop: Shop) -> None:
    shop.pause = 0.01
    run = watch(shop.www, lambda: shop.upload("v2"))
    assert broken(run) > 0
    assert run.mixed > 0
    assert run.counts["good"] > 0
    assert 0 < run.broken < run.seconds
    assert {reason["what was wrong"] for reason in run.reasons} >= {"put together from v1 and v2"}
    assert set(run.versions) == {"v1", "v2"}
    assert all(line.words in ("", "new", "the same in both") for line in shop.www.draw())
    assert (shop.docroot / "uploads" / "photo.svg").exists()


def test_a_release_over_the_same_line_breaks_none(shop: Shop) -> None:
    first(shop)
    shop.pause = 0.01
    run = watch(shop.live, lambda: shop.server.deploy(shop.site("v2")))
    assert (run.failed, run.mixed, run.broken) == (0, 0, 0.0)
    assert run.counts["good"] > 0
    assert run.result.outcome is Outcome.DONE
    assert set(run.versions) == {"v1", "v2"}
    began, ended = run.changing
    assert began < run.switched[0] < ended
    names = [frame.tree[0].name for frame in run.film.frames]
    assert names[0] != names[-1] == f"current → releases/{run.result.release}"
    assert "publish" in {frame.label for frame in run.film.frames}


def test_the_control_a_link_removed_and_made_anew_fails_in_the_same_counting(shop: Shop) -> None:
    """Only the step differs: removed and made, or made beside it and renamed over it."""
    first(shop)
    live = (shop.path / "current").readlink()
    anew = f"rm current; ln -s {live} current"
    renamed = f"ln -s {live} next; mv -T next current"
    runs = [
        watch(shop.live, lambda c=command: again(shop.path, c), slow=False)  # type: ignore[misc]
        for command in (anew, renamed)
    ]
    assert runs[0].failed > 0
    assert runs[0].mixed == 0
    assert broken(runs[1]) == 0
    assert runs[1].pages > 0


def again(folder: Path, command: str) -> None:
    script = f"for i in $(seq 400); do {command}; done"
    subprocess.run(["/bin/sh", "-c", script], cwd=folder, check=True)


def test_a_broken_release_is_seen_until_it_is_put_back(shop: Shop) -> None:
    first(shop)
    run = watch(shop.live, lambda: shop.server.deploy(shop.site("v3")), slow=False)
    assert run.result.outcome is Outcome.RESTORED
    assert len(run.switched) == 2
    assert run.versions["v3"] > 0
    assert (shop.path / "current").readlink().name == run.result.live


def test_slow_browsers_get_two_releases_and_one_when_they_load_again(shop: Shop) -> None:
    first(shop)
    change = shop.server.deploy
    run = watch(shop.live, lambda: change(shop.site("v2")), visitors=8, slow=False, dawdle=0.6)
    assert run.between > 0
    assert (run.failed, run.mixed) == (0, 0)


def test_a_run_tells_of_whole_seconds_and_only_of_them(shop: Shop) -> None:
    run = watch(shop.www, lambda: None, seconds=3, visitors=24)
    assert run.seconds == 3 == len(run.per_second())
    assert sum(sum(counts.values()) for counts in run.per_second()) == run.pages
    assert run.requests >= run.pages
    assert all(run.began <= view.at < run.began + 3 for view in run.views)


def test_a_run_is_shown_once_a_second_and_in_the_end(shop: Shop) -> None:
    shown: list[Run] = []
    run = watch(shop.www, lambda: None, seconds=3, show=shown.append)
    assert [one.seconds for one in shown][-1] == 3
    assert shown[-1] == run
    assert len(shown) >= 3


def test_an_error_of_the_change_is_the_experiment_s(shop: Shop) -> None:
    def change() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        watch(shop.www, change)
    assert not ours() - {"opsnb-line"}


@pytest.mark.parametrize("place", ["www", "live"])
def test_an_interrupt_sends_visitors_home_and_ends_the_change(shop: Shop, place: str) -> None:
    first(shop)
    shop.pause = 0.05

    def interrupt(run: Run) -> None:
        if run.changing:
            raise KeyboardInterrupt

    def deploy() -> object:
        return shop.server.deploy(shop.site("v2")) if place == "live" else shop.upload("v2")

    with pytest.raises(KeyboardInterrupt):
        watch(getattr(shop, place), deploy, show=interrupt)
    assert not ours() - {"opsnb-line"}
    assert shop.live.line.pause == 0
    report = shop.server.jobs[-1].report
    assert report is not None
    assert report.outcome is (Outcome.NOT_DONE if place == "live" else Outcome.DONE)
    finish(shop.server.deploy(shop.site("v2")))


def ours() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & set(OURS)


def test_finish_raises_what_must_not_fail_and_gives_the_report_of_what_may(shop: Shop) -> None:
    first(shop)
    with pytest.raises(OpsnbError, match="health"):
        finish(shop.server.deploy(shop.site("v3")))
    assert finish(shop.server.deploy(shop.site("v3")), fails=True).outcome is Outcome.RESTORED


def test_two_servers_are_apart_for_as_long_as_their_switches(shop: Shop) -> None:
    one = shop.server.deploy(shop.site("v1"))
    finish(one)
    time.sleep(0.2)
    other = shop.second.deploy(shop.site("v1"))
    finish(other)
    assert apart(one, other) == apart(other, one) >= 200
    assert apart(one, one) == 0


def test_a_program_stays_where_the_link_led(shop: Shop) -> None:
    first(shop)
    with Program(shop.path / "current") as program:
        assert (program.version(), shop.ask("status.json")) == ("v1", "v1")
        finish(shop.server.deploy(shop.site("v2")))
        assert (program.version(), shop.ask("status.json")) == ("v1", "v2")


def test_what_lies_in_shared_outlives_a_release_and_what_lies_in_the_release_does_not(
    shop: Shop,
) -> None:
    first(shop)
    for name in ("uploads/cat.txt", "cat.txt"):
        (shop.path / "current" / name).write_text("a cat")
        assert shop.ask(name) == "● there"
    finish(shop.clean.deploy(shop.site("v2")))
    assert shop.ask("uploads/cat.txt") == "● there"
    assert shop.ask("cat.txt") == "× status 404"


def test_a_closed_shop_leaves_nothing_behind() -> None:
    before = ours()
    shop = Shop(shelves=1)
    folder, root = shop.site("v1").parent, shop.docroot.parent
    assert folder.exists()
    assert root.exists()
    shop.close()
    assert not folder.exists()
    assert not root.exists()
    assert ours() <= before
