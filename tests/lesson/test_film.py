"""A film holds every state that the files were seen in, and which phase made it."""

from __future__ import annotations

import time
from collections.abc import Callable

from opsnb.core.events import Phase, PhaseBegan
from opsnb.lesson.film import Film, Frame, Recorder
from opsnb.lesson.tree import Line, Tree


def tree(*names: str, note: str = "") -> Tree:
    return tuple(Line("", name, note=note) for name in names)


class Disk:
    """What a recorder looks at; counts how often."""

    def __init__(self, *names: str) -> None:
        self.tree = tree(*names)
        self.looks = 0

    def __call__(self) -> Tree:
        self.looks += 1
        return self.tree

    def seen(self) -> None:
        looks = self.looks
        wait_for(lambda: self.looks > looks + 1)


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.002)


def began(*phases: Phase) -> list[PhaseBegan]:
    return [PhaseBegan("shop", 10.0 * number, phase) for number, phase in enumerate(phases, 1)]


def test_every_state_is_a_frame_and_a_note_alone_is_none() -> None:
    disk = Disk("current → 1")
    with Recorder(disk) as recorder:
        disk.seen()
        disk.tree = tree("current → 1", note="2 files")
        disk.seen()
        disk.tree = tree("current → 2")
        disk.seen()
    frames = recorder.film().frames
    assert [frame.tree[0].name for frame in frames] == ["current → 1", "current → 2"]
    assert frames[0].tree[0].note == "2 files"
    assert frames[0].label == "before"
    assert frames[0].at <= frames[1].since <= frames[1].at


def test_what_changed_last_is_in_the_film() -> None:
    disk = Disk("1")
    with Recorder(disk) as recorder:
        disk.tree = tree("1", "2")
    assert len(recorder.film().frames) == 2


def labels(*states: tuple[float, float, Tree], events: list[PhaseBegan]) -> list[str]:
    recorder = Recorder(tuple)
    recorder._frames = [Frame(at, since, drawn) for since, at, drawn in states]
    return [frame.label for frame in recorder.film(events).frames]


def test_a_frame_is_of_the_phase_in_which_it_was_seen() -> None:
    events = began(Phase.LOCK, Phase.BUILD)
    states = [(0.0, 1.0, tree("c")), (19.0, 21.0, tree("c", "new"))]
    assert labels(*states, events=events) == ["before", "build"]
    assert labels(*states, events=[]) == ["before", ""]


def test_the_link_moves_in_publish_though_it_is_seen_a_moment_later() -> None:
    events = began(Phase.CHECK, Phase.PUBLISH, Phase.CONFIRM)
    first = (0.0, 1.0, tree("current → 1"))
    moved, back = tree("current → 2"), tree("current → 1")
    assert labels(first, (21.0, 31.0, moved), events=events)[1] == "publish"
    assert labels(first, (19.0, 31.0, moved), events=events)[1] == "publish"
    # The control: a release that is put back is put back in confirm.
    assert labels(first, (21.0, 31.0, moved), (32.0, 33.0, back), events=events)[2] == "confirm"


def test_of_many_frames_some_are_picked_evenly_in_time() -> None:
    times = [0.0, 5.0, 5.1, 5.2, 5.3, 6.0, 7.0, 8.0, 9.0]
    film = Film(tuple(Frame(at, at, tree("c")) for at in times))
    assert [frame.at for frame in film.pick(20)] == times
    assert [frame.at for frame in film.pick(6)] == [0.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert [frame.at for frame in film.pick(3)] == [0.0, 5.0, 9.0]
    assert Film().pick(3) == []
