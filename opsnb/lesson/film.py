"""A film of a site's files: a picture for every time that they were seen to have changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import TracebackType
from typing import Self

from opsnb.core.events import Event, Phase, PhaseBegan
from opsnb.lesson.tree import Tree, shape

EVERY = 0.02  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Frame:
    """The files at one moment.

    Attributes:
        at: When they were first seen so, seconds since the epoch.
        since: When they were last seen otherwise: the change lies between the two.
        tree: The files, as they were last seen in this state.
        label: What was being done.
    """

    at: float
    since: float
    tree: Tree
    label: str = ""


@dataclass(frozen=True, slots=True)
class Film:
    """Every state that the files were seen in, in order."""

    frames: tuple[Frame, ...] = ()

    def pick(self, most: int) -> list[Frame]:
        """Some of them, evenly spaced in time; the first and the last are among them.

        Args:
            most: How many at most, at least three.
        """
        if len(self.frames) <= most:
            return list(self.frames)
        before, *changing = self.frames
        began, lasted = changing[0].at, changing[-1].at - changing[0].at
        picked = {before.at: before}
        for number in range(most - 1):
            at = began + lasted * number / (most - 2)
            frame = [frame for frame in changing if frame.at <= at][-1]
            picked[frame.at] = frame
        return list(picked.values())


class Recorder:
    """Looks at the files again and again while it is entered.

    Args:
        draw: Draws the files as they are.
    """

    def __init__(self, draw: Callable[[], Tree]) -> None:
        self._draw = draw
        self._frames: list[Frame] = []
        self._looked = time.time()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._record, name="opsnb-film", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _record(self) -> None:
        while not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        before = self._looked
        tree = self._draw()
        self._looked = time.time()
        if self._frames and shape(self._frames[-1].tree) == shape(tree):
            self._frames[-1] = replace(self._frames[-1], tree=tree)
        else:
            self._frames.append(Frame(self._looked, before, tree))

    def film(self, events: Sequence[Event] = ()) -> Film:
        """What was recorded so far.

        Args:
            events: What the change told: which phase it was in when.
        """
        began = [event for event in events if isinstance(event, PhaseBegan)]
        frames = list(self._frames)
        labels = [_label(before, frame, began) for before, frame in pairwise(frames)]
        labelled = [replace(f, label=label) for f, label in zip(frames[1:], labels, strict=True)]
        return Film((*(replace(first, label="before") for first in frames[:1]), *labelled))


def _label(before: Frame, frame: Frame, began: Sequence[PhaseBegan]) -> str:
    """The phase that made the difference, as far as looking again and again can tell."""
    if not began or before.tree[:1] == frame.tree[:1]:
        return _phase(frame.at, began)
    # The link moved, which ends its phase: by the time that is seen, the next may have begun.
    phase = _phase(frame.since, began)
    return phase if phase in (Phase.PUBLISH, Phase.CONFIRM) else Phase.PUBLISH.value


def _phase(at: float, began: Sequence[PhaseBegan]) -> str:
    """The phase that a change was in."""
    return next((event.phase.value for event in reversed(began) if event.at <= at), "")
