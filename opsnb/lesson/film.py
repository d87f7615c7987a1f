"""A film of a site's files: a picture for every time that they were seen to have changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from opsnb.core.events import Event, PhaseBegan
from opsnb.lesson.tree import Tree, shape

EVERY = 0.02  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Frame:
    """The files at one moment.

    Attributes:
        at: When they were first seen so, seconds since the epoch.
        tree: The files, as they were last seen in this state.
        label: What was being done.
    """

    at: float
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
        tree = self._draw()
        if self._frames and shape(self._frames[-1].tree) == shape(tree):
            self._frames[-1] = replace(self._frames[-1], tree=tree)
        else:
            self._frames.append(Frame(time.time(), tree))

    def film(self, events: Sequence[Event] = ()) -> Film:
        """What was recorded so far.

        Args:
            events: What the change told: which phase it was in when.
        """
        began = [event for event in events if isinstance(event, PhaseBegan)]
        return Film(
            tuple(
                replace(frame, label=_phase(frame.at, began) if number else "before")
                for number, frame in enumerate(list(self._frames))
            )
        )


def _phase(at: float, began: Sequence[PhaseBegan]) -> str:
    """The phase that a change was in."""
    return next((event.phase.value for event in reversed(began) if event.at <= at), "")
