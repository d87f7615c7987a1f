"""More ways for a server to fail than :mod:`tests.faults.faulty` knows, at one call or at several.

``fails after``: the step has happened, and its answer says that it failed (the flush after a
rename, for instance). ``times out``: it has happened, its answer came too late, and the shell has
been closed, as :class:`opsnb.remote.shell.Shell` does by its deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from opsnb.errors import StepFailed, StepTimedOut
from tests.faults.faulty import Faulty, Plot, _close

MORE = ("fails after", "times out")


@dataclass
class Plots(Plot):
    """Faults at several calls.

    Attributes:
        faults: The kind of fault for the number of a call, from 1.
        met: Numbers of the faults that were met.
    """

    faults: dict[int, str] = field(default_factory=dict)
    met: list[int] = field(default_factory=list)


class FaultyAgain(Faulty):
    """Stands before a remote or what it holds, as its parent does; knows more kinds of faults."""

    async def _call(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
        plots = self._plot
        assert isinstance(plots, Plots)
        plots.calls.append(name)
        kind = plots.faults.get(len(plots.calls), "")
        if kind:
            plots.met.append(len(plots.calls))
            plots.struck += f"{kind} at {len(plots.calls)} ({name}) "
            await self._before(kind)
        answer = await real(*args, **kwargs)
        if kind:
            await self._after(kind, answer)
            if kind in MORE:
                await self._fail(kind, answer)
        if name == "lock" and answer is not None:
            return FaultyAgain(answer, plots)
        return answer

    async def _fail(self, kind: str, answer: Any) -> None:
        if kind == "fails after":
            if hasattr(answer, "release"):
                await answer.release()
            raise StepFailed("made to fail after it happened", 1)
        await self._lose()
        await _close(answer)
        raise StepTimedOut("made to time out after it happened")
